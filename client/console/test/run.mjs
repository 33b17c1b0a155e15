// node test/run.mjs unit|browser: bundles the TypeScript tests and runs them under node's test runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const kind = process.argv[2];
const out = await mkdtemp(join(tmpdir(), "sluice-console-"));
await build({
  absWorkingDir: here, entryPoints: [`${kind}.test.ts`], outfile: join(out, `${kind}.test.mjs`), bundle: true, platform: "node", format: "esm", target: "node18",
  jsx: "automatic", jsxImportSource: "preact",
  // Not bundled: it looks for files beside itself.
  external: [], plugins: [{ name: "playwright", setup(b) { b.onResolve({ filter: /^playwright-core$/ }, () => ({ path: join(here, "../node_modules/playwright-core/index.mjs"), external: true })); } }],
  banner: { js: "globalThis.sessionStorage ??= { getItem: () => null, setItem() {}, removeItem() {} };" },
});
const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=spec", ...(process.env.SLUICE_ONLY ? [`--test-name-pattern=${process.env.SLUICE_ONLY}`] : []), join(out, `${kind}.test.mjs`)], { stdio: "inherit", env: { ...process.env, SLUICE_CONSOLE: join(here, "..") } });
await rm(out, { recursive: true, force: true });
process.exit(status ?? 1);
