// Builds the page into server/console/page: node build.mjs [FOLDER]
// The same sources and lock file give the same bytes, on any machine and in any folder: names are made of contents, and nothing of the
// place or the time goes in.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../../server/console/page"));

const result = await build({
  absWorkingDir: here,
  entryPoints: { main: "src/main.tsx" },
  outdir: out,
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022", "chrome110", "firefox110", "safari16.4"],
  minify: true,
  legalComments: "none", // licenses.txt has them whole
  jsx: "automatic",
  jsxImportSource: "preact",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  metafile: true,
  write: false,
});

const files = new Map(result.outputFiles.map((file) => [file.path.slice(out.length + 1), file.contents]));
const outputs = Object.entries(result.metafile.outputs);
const script = outputs.find(([, o]) => o.entryPoint === "src/main.tsx")[0].split("/").pop();
const style = [...files.keys()].find((name) => name.endsWith(".css"));
// What the first view needs is fetched beside the main script and not after it: the pieces that it shares with others, and the editor.
const first = [outputs.find(([, o]) => o.entryPoint === "src/main.tsx")[0], outputs.find(([, o]) => o.entryPoint === "src/editor.ts")[0]];
for (const path of first)
  for (const { path: piece, kind } of result.metafile.outputs[path].imports) if (kind === "import-statement" && !first.includes(piece)) first.push(piece);
const soon = first.slice(1).map((path) => path.split("/").pop()).sort();

const page = (await readFile(join(here, "src/index.html"), "utf8"))
  .replace("{{style}}", `/console/${style}`)
  .replace("{{script}}", `/console/${script}`)
  .replace("{{soon}}", soon.map((name) => `<link rel="modulepreload" href="/console/${name}">`).join("\n"));
files.set("index.html", page);
files.set("icon.svg", await readFile(join(here, "src/icon.svg")));
files.set("licenses.txt", await licenses(Object.keys(result.metafile.inputs)));

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
for (const [name, contents] of files) await writeFile(join(out, name), contents);
for (const [name, contents] of [...files].sort()) console.log(String(contents.length).padStart(8), name);

// Of every package that went in: who made it and on what terms.
async function licenses(inputs) {
  const packages = new Set();
  for (const input of inputs) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) packages.add(found[1]);
  }
  let text = "The console is part of Sluice (Apache-2.0) and contains:\n";
  for (const name of [...packages].sort()) {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((f) => /^licen[cs]e/i.test(f));
    if (!file) throw new Error(`${name} has no licence file`);
    text += `\n${"=".repeat(80)}\n${name} ${version} (${license})\n\n${(await readFile(join(folder, file), "utf8")).trim()}\n`;
  }
  return text;
}
