// The page in a real browser, served by a real sluiced over generated flows.
//
// SLUICE_BIN: folder of sluiced and sluice-generate; SLUICE_BROWSER: chromium; SLUICE_SHOTS: a folder for pictures (none are made without).
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { awsLines, loadCompany, netflow5, sendPackets, type Server, startCutable, startServer } from "./server.ts";

let browser: Browser;
let server: Server;
let flows = 0;
const evil = "<img/src=x/onerror=window.hacked=1>";

// A rule whose every text is a stranger's.
const rule = `create rule knocks severity high technique "T1110" tags ("${evil}") description "${evil} tries"
as from flows | where dst_port == 2222 | stats tries = count() by src_ip window 1m | where tries >= 5
alert by src_ip message "{src_ip} knocked {tries} times ${evil}"`;

before(async () => {
  server = await startServer();
  await server.post("/v1/query", rule);
  flows = await loadCompany(server);
  browser = await chromium.launch({ executablePath: process.env.SLUICE_BROWSER!, args: ["--no-sandbox", "--force-prefers-reduced-motion"] });
}, { timeout: 300_000 });
after(async () => {
  await browser?.close();
  await server?.stop();
});

const axe = readFileSync(createRequire(join(process.env.SLUICE_CONSOLE!, "package.json")).resolve("axe-core/axe.min.js"), "utf8");

interface Opened {
  page: Page;
  context: BrowserContext;
  close(): Promise<void>;
}
// A fresh profile at a place of the console. What the page must never do fails the test when it is closed: errors of scripts, breaches of
// the policy, requests to anybody else.
async function open(hash: string, options: { url?: string; width?: number; height?: number; theme?: "light" | "dark"; expectErrors?: RegExp } = {}): Promise<Opened> {
  const url = options.url ?? server.url;
  const context = await browser.newContext({ viewport: { width: options.width ?? 1280, height: options.height ?? 860 }, colorScheme: options.theme ?? "light" });
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !options.expectErrors?.test(message.text())) wrong.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("blob:")) wrong.push(`asks ${request.url()}`);
  });
  await page.goto(`${url}/${hash}`);
  return {
    page, context,
    async close() {
      assert.equal(await page.evaluate(() => (window as { hacked?: number }).hacked), undefined);
      await context.close();
      assert.deepEqual(wrong, []);
    },
  };
}
const at = (view: string, settings: Record<string, string> = {}) => `#/${view}?${new URLSearchParams(settings)}`;
const editorText = (page: Page) => page.locator(".editor .cm-content").innerText();

// What a view asks for has come.
async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelector(".view") && !/Loading …/.test(document.querySelector("main")!.innerText));
}
// Tables that are wider than their places, and the page itself where it is.
const tooWide = (page: Page) =>
  page.evaluate(() => [document.documentElement, ...document.querySelectorAll<HTMLElement>(".table .scroll")].filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.getAttribute("aria-label") ?? "the page"));

async function type(page: Page, text: string): Promise<void> {
  await page.locator(".editor .cm-content").click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}

// Looks until it is so: what a page shows comes when its machine has time for it. Tells what it saw last.
async function becomes<T>(look: () => Promise<T>, wanted: T, what = ""): Promise<void> {
  const until = Date.now() + 15_000;
  for (let seen = await look(); ; seen = await look()) {
    try {
      assert.deepEqual(seen, wanted, `${what || "at last"}: ${JSON.stringify(seen)}`);
      return;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await new Promise((done) => setTimeout(done, 50));
  }
}

// Takes the proposal that is first, until the text is what it makes of it. The editor takes no key for a proposal that has been there less than
// 75 ms, or while others are asked for: a key that was meant for the text must not take it. Tab then leaves the editor.
async function takeProposal(page: Page, label: string, text: RegExp): Promise<void> {
  for (let tries = 1; ; ++tries) {
    await page.locator(".editor .cm-completionLabel", { hasText: label }).first().waitFor();
    const shown = await page.evaluate(() => performance.now());
    await page.waitForFunction((since) => performance.now() - since > 80, shown);
    await page.keyboard.press("Tab");
    if (text.test(await editorText(page))) return;
    assert.ok(tries < 10, `Tab took nothing: ${await editorText(page)}`);
    await page.locator(".editor .cm-content").focus();
    await page.keyboard.press("ControlOrMeta+End");
    if (/"$/.test(await editorText(page))) await page.keyboard.press("ArrowLeft"); // the quote that the editor closed
    await page.keyboard.press("Control+Space");
  }
}

test("the page is small, kept by browsers, and guarded", async () => {
  const head = await fetch(`${server.url}/`);
  const policy = head.headers.get("content-security-policy")!;
  for (const word of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) assert.ok(policy.includes(word), word);
  assert.ok(!policy.includes("unsafe"));
  assert.equal(head.headers.get("x-content-type-options"), "nosniff");
  const html = await head.text();
  assert.ok(!/<script(?![^>]*src)|<style|\son\w+=|style="/.test(html), "nothing inline");
  const again = await fetch(`${server.url}/`, { headers: { "If-None-Match": head.headers.get("etag")! } });
  assert.equal(again.status, 304);
  assert.equal((await fetch(`${server.url}/`, { headers: { "If-None-Match": '"other"' } })).status, 200);
  for (const [, path] of html.matchAll(/(?:src|href)="(\/console\/[^"]+)"/g)) {
    const file = await fetch(server.url + path!);
    assert.equal(file.status, 200, path!);
    if (/-[A-Z0-9]{8}\./.test(path!)) assert.match(file.headers.get("cache-control")!, /immutable/);
    assert.match(file.headers.get("content-type")!, path!.endsWith(".js") ? /javascript/ : path!.endsWith(".css") ? /css/ : /svg/);
  }
});

test("the first paint", async (t) => {
  const paints: number[] = [];
  for (let i = 0; i < 5; ++i) {
    const { page, close } = await open("");
    await page.locator(".editor .cm-content").waitFor();
    paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]!.startTime));
    await close();
  }
  paints.sort((a, b) => a - b);
  t.diagnostic(`first contentful paint of a fresh profile: ${paints.map((p) => p.toFixed(0)).join(", ")} ms`);
});

test("a query is written with help, run, filtered further, and shared", async () => {
  const { page, close } = await open("");
  await page.locator(".editor .cm-content").click();
  await page.keyboard.type("last 2d | where dst_po");
  await takeProposal(page, "dst_port", /where dst_port$/);
  await page.keyboard.type(" == 443 | top 5 src_ip by total = sum(bytes)");
  await page.keyboard.press("Escape");
  await page.keyboard.press("ControlOrMeta+Enter");
  const grid = page.getByRole("grid", { name: "Rows of the answer" });
  await grid.waitFor();
  assert.equal(await grid.getAttribute("aria-rowcount"), "6");
  assert.equal(await grid.getByRole("columnheader").count(), 2);
  assert.match(await page.locator(".account").innerText(), /5 rows .*flows scanned/);

  // By keyboard: into the table, to the first cell's menu, and keep only its rows.
  await grid.focus();
  await page.keyboard.press("Enter");
  const menu = page.getByRole("menu");
  await menu.waitFor();
  const address = (await menu.getAttribute("aria-label"))!.split(" = ")[1]!;
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector('[role="grid"]')?.getAttribute("aria-rowcount") === "2");
  assert.ok((await editorText(page)).includes(`where src_ip == ${address}`));

  const shared = page.url();
  await page.goBack();
  await page.waitForFunction(() => document.querySelector('[role="grid"]')?.getAttribute("aria-rowcount") === "6");
  const other = await open(new URL(shared).hash);
  await other.page.getByRole("grid").waitFor();
  assert.equal(await other.page.getByRole("grid").getAttribute("aria-rowcount"), "2");
  await other.close();
  await close();
});

test("values are proposed in the quotes that they stand in", async () => {
  const { page, close } = await open("");
  await page.locator(".editor .cm-content").click();
  for (const typed of ['last 2d | where src_instance_id == "', "i", "-"]) {
    await page.keyboard.type(typed);
    await page.locator(".editor .cm-completionLabel", { hasText: '"i-' }).first().waitFor();
  }
  await takeProposal(page, '"i-', /src_instance_id == "i-\w+"$/);
  await close();
});

test("errors stand where they are", async () => {
  const { page, close } = await open("", { expectErrors: /400/ });
  await type(page, 'last 1d | where src_host == "ü" and src_prt == 443');
  const mark = page.locator(".editor .cm-lintRange-error");
  await mark.waitFor();
  assert.equal(await mark.innerText(), "src_prt");
  await page.keyboard.press("ControlOrMeta+Enter");
  const fault = page.getByRole("alert");
  await fault.waitFor();
  assert.match(await fault.innerText(), /unknown column 'src_prt'/);
  assert.match(await fault.innerText(), /did you mean 'src_port'/);
  assert.match(await fault.locator(".caret").innerText(), /\n +\^/);
  await fault.getByRole("button").click();
  await page.keyboard.insertText("src_port");
  await page.keyboard.press("ControlOrMeta+Enter");
  await page.locator(".result").waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  await close();
});

test("answers are drawn over time, as bars, and as talkers", async () => {
  const { page, close } = await open(at("query", { q: "last 2d | timeseries bytes = sum(bytes) every 1h by protocol limit 3" }));
  await page.locator(".chart canvas").waitFor();
  assert.match(await page.locator(".u-legend").innerText(), /tcp/);
  // A drag over the chart chooses that time.
  const box = (await page.locator(".u-over").boundingBox())!;
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction(() => /from=20\d\d/.test(location.hash));
  await page.goto(`${server.url}/${at("query", { q: "last 2d | top 8 src_ip, dst_ip by total = sum(bytes)", as: "talkers" })}`);
  await page.locator(".talkers .band").first().waitFor({ state: "attached" });
  assert.equal(await page.locator(".talkers .band").count(), 8);
  await page.getByRole("button", { name: "Bars" }).click();
  assert.equal(await page.locator(".bars li").count(), 8);
  assert.match(page.url(), /as=bars/);
  await page.getByRole("button", { name: "Over time" }).isDisabled();
  await close();
});

test("missing data and bounds are said as such", async () => {
  const { page, close } = await open(at("query", { q: "last 2d | stats n = count()" }), { expectErrors: /408|413|400/ });
  assert.match(await page.locator(".warnings .loss").innerText(), /Data is missing: aws_vpc lost 1 record\b/);
  await page.getByLabel("Rows at most").selectOption("1000");
  await type(page, "last 2d | select src_ip, dst_ip");
  await page.keyboard.press("ControlOrMeta+Enter");
  await page.locator(".warnings", { hasText: "the answer is cut at 1000 rows" }).waitFor();
  await close();
});

test("100,000 rows scroll", async (t) => {
  const { page, close } = await open(at("query", { q: "last 2d | select ts, src_ip, src_port, dst_ip, dst_port, protocol, bytes, packets, action, source", max: "100000" }));
  const grid = page.getByRole("grid");
  await grid.waitFor({ timeout: 60_000 });
  assert.equal(await grid.getAttribute("aria-rowcount"), "100001");
  const frames = await page.evaluate(async () => {
    const scroller = document.querySelector(".table .scroll")!;
    const spans: number[] = [];
    let last = performance.now(), most = 0;
    for (let i = 1; i <= 120; ++i) {
      scroller.scrollTop = (scroller.scrollHeight * i) / 120;
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      spans.push(now - last);
      last = now;
      most = Math.max(most, scroller.querySelectorAll(".row").length);
    }
    spans.sort((a, b) => a - b);
    return { median: spans[60]!, p95: spans[114]!, most };
  });
  assert.ok(frames.most < 120, `${frames.most} rows in the page`);
  t.diagnostic(`frames while 100,000 rows pass by: median ${frames.median.toFixed(1)} ms, 95 % below ${frames.p95.toFixed(1)} ms; at most ${frames.most} rows in the page`);
  await grid.focus();
  await page.keyboard.press("ControlOrMeta+Home");
  await page.locator('[aria-rowindex="2"] .active').waitFor();
  await page.keyboard.press("ControlOrMeta+End");
  await page.locator('[aria-rowindex="100001"] .active').waitFor();
  const sorting = Date.now();
  await page.getByRole("columnheader", { name: "bytes" }).click();
  await page.locator('[aria-sort="descending"]').waitFor();
  t.diagnostic(`sorted by a click in ${Date.now() - sorting} ms`);
  assert.match(page.url(), /sort=-bytes/);
  await grid.focus();
  await page.keyboard.press("ControlOrMeta+Home");
  const greatest = await page.locator('[aria-rowindex="2"]').innerText();
  await page.reload();
  await page.locator('[aria-sort="descending"]').waitFor({ timeout: 60_000 });
  assert.equal(await page.locator('[aria-rowindex="2"]').innerText(), greatest);
  await close();
});

test("a stranger's text is never markup, and a stranger's link changes nothing", async () => {
  const now = Math.floor(Date.now() / 1000);
  await server.post("/v1/ingest/aws_vpc", `${evil} 10.66.6.6 10.66.6.7 1 2 6 1 100 ${now - 1} ${now} ACCEPT\n`, {
    "X-Sluice-Format": "${instance-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action}",
  });
  const seen = await open(at("query", { q: "last 1h | where src_ip == 10.66.6.6 | stats n = count(), total = sum(bytes) by instance_id, src_ip, bin(1h) | select ts, instance_id, src_ip, n, total" }));
  await seen.page.getByRole("gridcell", { name: evil }).first().waitFor();
  for (const name of ["Over time", "Bars"]) {
    await seen.page.getByRole("button", { name, exact: true }).click();
    await seen.page.locator(".result", { hasText: evil }).waitFor();
  }
  assert.equal(await seen.page.locator("img").count(), 0);
  await seen.page.getByRole("button", { name: "Table", exact: true }).click();
  await seen.page.getByRole("gridcell", { name: evil }).first().click();
  await seen.page.getByRole("menuitem", { name: "Only rows with this" }).click();
  await seen.page.waitForFunction(() => location.hash.includes("instance_id+%3D%3D") || location.hash.includes("instance_id+=="));
  await seen.page.getByRole("gridcell", { name: evil }).first().waitFor();
  await seen.close();

  const link = await open(at("query", { q: `create list stolen (10.0.0.1) ${evil}`, from: evil, as: evil, max: evil, value: evil }), { expectErrors: /40\d/ });
  await link.page.getByRole("alert").waitFor();
  assert.equal(await link.page.locator("img").count(), 0);
  await link.close();
  const statement = await open(at("query", { q: "create list stolen (10.0.0.1)" }), { expectErrors: /403/ });
  await statement.page.getByRole("alert").waitFor();
  assert.deepEqual((JSON.parse(await server.post("/v1/query", "show lists")) as { rows: unknown[] }).rows, []);
  // The same by a person's hand is done.
  await statement.page.getByRole("button", { name: "Run" }).click();
  await statement.page.getByRole("gridcell", { name: "stolen" }).waitFor();
  assert.equal((JSON.parse(await server.post("/v1/query", "show lists")) as { rows: unknown[] }).rows.length, 1);
  await statement.page.reload();
  await statement.page.getByRole("alert").waitFor();
  await statement.close();
});

test("flows are followed as they come in, and a broken connection goes on where it was", async () => {
  const data = mkdtempSync(join(tmpdir(), "sluice-console-tail-"));
  let live = await startServer({ data });
  const port = Number(new URL(live.url).port);
  const way = await startCutable(live.url);
  try {
    // 503: what a server says that is being started.
    const { page, close } = await open("#/tail", { url: way.url, expectErrors: /ERR_|400|503|fetch/ });
    await type(page, "dst_port == 443 | select src_ip, dst_port, bytes");
    await page.keyboard.press("ControlOrMeta+Enter");
    const state = page.locator(".stream-state");
    await page.locator(".stream-state.live").waitFor();
    await live.post("/v1/ingest/aws_vpc", awsLines(3) + awsLines(2, { port: 80 }));
    const grid = page.getByRole("grid");
    await grid.waitFor();
    const rows = () => grid.getAttribute("aria-rowcount");
    await becomes(rows, "4");
    // Paused, flows are gathered but the table stands still.
    await page.getByRole("button", { name: "Pause" }).click();
    await live.post("/v1/ingest/aws_vpc", awsLines(2, { source: (i) => `10.55.0.${i}` }));
    await page.locator(".account", { hasText: "2 new" }).waitFor();
    assert.equal(await grid.getAttribute("aria-rowcount"), "4");
    await page.getByRole("button", { name: "Go on" }).click();
    await becomes(rows, "6");
    // More than anybody reads: left out, and said.
    await live.post("/v1/ingest/aws_vpc", awsLines(12_000));
    await page.locator(".account .warn", { hasText: "left out" }).waitFor();
    const counted = async () => {
      const account = await page.locator(".account").innerText();
      return [/([\d,]+) left out/, /([\d,]+) flows shown/].map((said) => Number((said.exec(account)?.[1] ?? "").replaceAll(",", ""))).reduce((a, b) => a + b);
    };
    await becomes(counted, 12_005);

    // The connection breaks, flows come meanwhile, and none is missed.
    way.cut();
    await page.locator(".stream-state.waiting").waitFor();
    await live.post("/v1/ingest/aws_vpc", awsLines(4, { source: (i) => `10.56.0.${i}` }));
    way.mend();
    await page.locator(".stream-state.live").waitFor();
    await page.getByRole("gridcell", { name: "10.56.0.3" }).waitFor();
    await becomes(() => page.getByRole("gridcell", { name: /^10\.56\.0\./ }).count(), 4);

    // The server itself is started anew: the page comes back by itself, and says that there is a gap.
    await live.stop();
    await page.locator(".stream-state.waiting").waitFor();
    live = await startServer({ data, port });
    await page.locator(".warnings", { hasText: "There is a gap" }).waitFor();
    await page.locator(".stream-state.live").waitFor();
    await live.post("/v1/ingest/aws_vpc", awsLines(1, { source: () => "10.57.0.1" }));
    await page.getByRole("gridcell", { name: "10.57.0.1" }).waitFor();
    await becomes(() => state.innerText(), "Live");

    // What cannot be followed is refused, with its place.
    await type(page, "from flows | sort ts");
    await page.keyboard.press("ControlOrMeta+Enter");
    await page.getByRole("alert").filter({ hasText: "cannot run 'sort'" }).waitFor();
    await close();
  } finally {
    way.close();
    await live.stop();
    rmSync(data, { recursive: true, force: true });
  }
});

test("an alert comes by itself, with its flows and the rule that made it", async () => {
  const { page, close } = await open(at("alerts", { rule: "knocks" }));
  await page.locator(".stream-state.live").waitFor();
  await page.getByText("No alerts of this kind").waitFor();
  await server.post("/v1/ingest/aws_vpc", awsLines(7, { source: () => "10.44.0.1", port: 2222 }));
  const grid = page.getByRole("grid", { name: "Alerts, the latest first" });
  await grid.getByText("10.44.0.1 knocked 7 times").waitFor();
  await grid.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /10\.44\.0\.1 knocked 7 times/ }).waitFor();
  assert.match(page.url(), /id=[0-9a-f]+/);
  const flowsGrid = page.getByRole("grid", { name: "The flows behind it" });
  await flowsGrid.waitFor();
  await becomes(() => flowsGrid.getAttribute("aria-rowcount"), "8");
  await page.locator(".code", { hasText: "create rule knocks" }).waitFor();
  assert.match(await page.locator(".facts").first().innerText(), /T1110/);
  // Its texts are a stranger's (see the rule), and stay text.
  assert.match(await page.locator(".panel", { hasText: "The rule that made it" }).innerText(), /<img\/src=x/);
  assert.equal(await page.locator("img").count(), 0);
  await page.getByRole("button", { name: "Rules" }).click();
  await page.getByRole("grid", { name: "Rules" }).getByText("knocks").waitFor();
  await close();
});

test("an address tells of itself, and a stranger's address is only text", async () => {
  const { page, close } = await open(at("address", { ip: "10.20.12.40", from: "now-2d" }));
  await page.locator(".chart canvas").waitFor();
  await page.getByRole("grid", { name: "Peers" }).waitFor();
  assert.ok(Number(await page.getByRole("grid", { name: "Peers" }).getAttribute("aria-rowcount")) > 3);
  await page.getByRole("grid", { name: "Ports that it offers" }).getByText("8443", { exact: true }).waitFor();
  await page.getByRole("grid", { name: "Names over time" }).getByText(/^i-/).first().waitFor();
  const flowsSaid = Number((await page.locator(".tile", { hasText: "flows" }).locator(".tile-value").innerText()).replaceAll(",", ""));
  const asked = JSON.parse(await server.post("/v1/query", "last 2d | where ip == 10.20.12.40 | stats n = count()")) as { rows: [[number]] };
  assert.equal(flowsSaid, asked.rows[0][0]);
  // On to a peer, by keyboard.
  await page.getByRole("grid", { name: "Peers" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: "Look into this address" }).press("Enter");
  await page.waitForFunction(() => !location.hash.includes("10.20.12.40"));
  await page.getByRole("grid", { name: "Peers" }).waitFor();
  await close();
  const knocked = await open(at("address", { ip: "10.44.0.1" }));
  await knocked.page.getByRole("grid", { name: "Alerts that name it" }).getByText("knocks").waitFor();
  await knocked.close();
  for (const ip of [evil, '1.2.3.4" or 1==1', "1.2.3.4 | drop x", "$ip"]) {
    const link = await open(at("address", { ip, from: evil }));
    await link.page.getByText("This is no address").waitFor();
    assert.equal(await link.page.locator("img").count(), 0);
    await link.close();
  }
});

test("sources say how they do, and storage what it costs", async () => {
  await sendPackets(server.netflow, [netflow5(10, 0), netflow5(10, 10), netflow5(10, 45)]); // 25 flows are missing
  // What exporters lost is booked once a second.
  for (let tries = 0; tries < 100; ++tries) {
    const { exporters } = (await (await fetch(`${server.url}/v1/exporters`)).json()) as { exporters: { lost: number }[] };
    if (exporters.some((e) => e.lost >= 25)) break;
    await new Promise((done) => setTimeout(done, 100));
  }
  const { page, close } = await open("#/sources");
  const exporters = page.getByRole("grid", { name: "Exporters" });
  await exporters.waitFor();
  await exporters.locator('[aria-rowindex="2"] .bad', { hasText: "25" }).waitFor();
  assert.match(await page.locator(".tile", { hasText: "lost by exporters" }).innerText(), /25/);
  await page.getByRole("grid", { name: "Known losses" }).getByText("by its sequence numbers").waitFor();
  // In words, not in names of columns; a row opens to all that it says, and a link shares that.
  assert.deepEqual((await exporters.getByRole("columnheader").allInnerTexts()).slice(0, 2), ["address", "formats"]);
  assert.ok(!(await page.getByRole("columnheader").allInnerTexts()).some((text) => text.includes("_")));
  await exporters.focus();
  await page.keyboard.press("Enter");
  const panel = page.locator(".panel", { has: exporters });
  await panel.locator(".facts", { hasText: "out of order" }).or(panel.locator(".note", { hasText: "out of order" })).first().waitFor();
  const shared = await open(new URL(page.url()).hash);
  await shared.page.locator(".facts", { hasText: "netflow5" }).waitFor();
  await shared.close();
  await server.post("/v1/admin/flush", "");
  await page.getByRole("link", { name: "Storage" }).click();
  const columns = page.getByRole("grid", { name: "Columns" });
  await columns.getByText("src_ip", { exact: true }).waitFor();
  const bars = page.locator(".bars li");
  assert.ok((await bars.count()) > 15);
  const totals = (await (await fetch(`${server.url}/v1/storage`)).json()) as { flows: number };
  await becomes(async () => Number((await page.locator(".tile", { hasText: "flows" }).first().locator(".tile-value").innerText()).replaceAll(",", "")), totals.flows);
  await page.getByRole("grid", { name: "Segments" }).waitFor();
  await close();
});

test("tables of the server fit at every width", async () => {
  await server.post("/v1/ingest/aws_vpc", awsLines(7, { source: () => "10.45.0.1", port: 2222 }));
  for (const width of [1440, 1000, 700, 390]) {
    const { page, close } = await open("#/sources", { width });
    for (const hash of [at("sources"), at("alerts"), at("alerts", { show: "rules" }), at("storage")]) {
      await page.goto(`${server.url}/${hash}`);
      await page.locator(`.view.${/\w+/.exec(hash)![0]}`).waitFor();
      await settled(page);
      await becomes(() => tooWide(page), [], `${hash} at ${width}`);
      // What an alert says is never what leaves.
      if (hash === at("alerts")) await page.getByRole("grid").getByRole("columnheader", { name: "message" }).waitFor();
    }
    await page.goto(`${server.url}/${at("address", { ip: "10.20.12.40", from: "now-2d" })}`);
    await page.locator(".view.address canvas").waitFor();
    await settled(page);
    await becomes(() => tooWide(page), [], `an address at ${width}`);
    // What has no room the menu of a cell tells.
    const peers = page.getByRole("grid", { name: "Peers" });
    const isShown = (await peers.getByRole("columnheader", { name: "last" }).count()) === 1;
    await peers.focus();
    await page.keyboard.press("Enter");
    assert.equal(/\blast: 20\d\d-/.test(await page.getByRole("menu").innerText()), !isShown, `at ${width}`);
    await page.keyboard.press("Escape");
    await page.goto(`${server.url}/${at("query", { q: "last 2d | top 8 src_ip, dst_ip by total = sum(bytes)", as: "talkers" })}`);
    await page.locator(".talkers .band").first().waitFor({ state: "attached" });
    await becomes(() => page.locator(".talkers").evaluate((e) => e.scrollWidth <= e.clientWidth), true, `talkers at ${width}`);
    await page.getByLabel("Time range").selectOption("custom");
    const outside = async () => {
      const box = (await page.locator(".custom").boundingBox())!;
      return box.x >= 0 && box.x + box.width <= width ? "" : JSON.stringify(box);
    };
    await becomes(outside, "", `a time of one's own at ${width}`);
    await close();
  }
});

test("whole flows show what they have, and all of it when asked", async () => {
  const { page, close } = await open(at("query", { q: "last 2d | limit 50" }));
  const grid = page.getByRole("grid");
  await grid.waitFor();
  assert.deepEqual((await grid.getByRole("columnheader").allInnerTexts()).slice(0, 5), ["flow_end", "src_ip", "src_port", "dst_ip", "dst_port"]);
  const few = Number(await grid.getAttribute("aria-colcount"));
  const button = page.getByRole("button", { name: /Show \d+ empty columns/ });
  const empty = Number(/\d+/.exec(await button.innerText())![0]);
  await button.click();
  await page.waitForFunction((n) => Number(document.querySelector('[role="grid"]')!.getAttribute("aria-colcount")) === n, few + empty);
  assert.match(page.url(), /empty=1/);
  await close();
});

test("what is known from a question before is said", async () => {
  await server.post("/v1/admin/flush", "");
  const place = at("query", { q: "last 2d | stats total = sum(bytes), flows = count() by protocol" });
  // Segments may be merged between two questions, and what was known of them is gone with them: then it is known the time after.
  for (let asked = 1, known = false; !known; ++asked) {
    const { page, close } = await open(place);
    await page.locator(".account").waitFor();
    known = /[\d,]+ (flows|more) known from before/.test(await page.locator(".account").innerText());
    await close();
    assert.ok(known || asked < 10, "nothing is known from before");
  }
});

test("all of it goes by keyboard", async () => {
  const { page, close } = await open("#/storage");
  await page.locator(".view.storage").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "To the content");
  for (const [key, view] of [["t", "tail"], ["a", "alerts"], ["d", "address"], ["s", "sources"], ["o", "storage"], ["q", "query"]] as const) {
    // A view that has just opened may yet take the focus into its box, where letters are text: then once more.
    for (let tries = 1; ; ++tries) {
      await page.evaluate(() => (document.activeElement as HTMLElement)?.blur());
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      const shown = await page.locator(`.view.${view}`).waitFor({ timeout: 5_000 }).then(() => true, () => false);
      if (shown) break;
      assert.ok(tries < 5, `no view of ${view}`);
    }
  }
  await page.evaluate(() => (document.activeElement as HTMLElement)?.blur());
  await page.locator("header.bar").click({ position: { x: 600, y: 10 } });
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  await page.waitForFunction(() => !!document.querySelector(".editor")?.shadowRoot?.activeElement);
  // The choice of colours stays.
  await page.getByRole("button", { name: "Dark colours" }).click();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.reload();
  await page.locator(".view").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await close();
});

test("axe-core finds nothing wrong with any view", async () => {
  // In the dark colours only what colours can be wrong in, where they differ from view to view.
  const places: [hash: string, ready: string, dark?: true][] = [
    [at("query"), ".start", true],
    [at("query", { q: "last 2d | limit 50" }), "[role=grid]"],
    [at("query", { q: "last 2d | top 8 src_ip, dst_ip by total = sum(bytes)", as: "talkers" }), ".band", true],
    [at("query", { q: "last 2d | timeseries b = sum(bytes) every 1h by protocol" }), "canvas"],
    [at("query", { q: "last 2d | where src_prt == 1" }), "[role=alert]", true],
    [at("tail"), ".view.tail"],
    [at("alerts", { show: "rules", rule: "knocks" }), ".code", true],
    [at("address", { ip: "10.20.12.40", from: "now-2d" }), "canvas"],
    [at("sources", { row: "sources:aws_vpc" }), ".facts"],
    [at("storage"), ".bars"],
  ];
  for (const theme of ["light", "dark"] as const) {
    const context = await browser.newContext({ viewport: { width: 1000, height: 600 }, colorScheme: theme, bypassCSP: true });
    const page = await context.newPage();
    for (const [hash, ready] of places.filter(([, , dark]) => dark || theme === "light")) {
      await page.goto("about:blank");
      await page.goto(`${server.url}/${hash}`);
      await page.locator(ready).first().waitFor({ state: "attached" });
      await settled(page);
      await page.evaluate(axe);
      type Found = { violations: { id: string; nodes: { html: string }[] }[] };
      const { violations } = await page.evaluate(
        (options) => (window as unknown as { axe: { run(of: Document, options: object): Promise<Found> } }).axe.run(document, options),
        { resultTypes: ["violations"], ...(theme === "dark" ? { runOnly: ["color-contrast"] } : {}) },
      );
      assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes[0]!.html.slice(0, 120)}`), [], `${hash}, ${theme}`);
    }
    await context.close();
  }
});

test("a server that is gone is said once, and what it tells is shown again when it is back", async () => {
  const data = mkdtempSync(join(tmpdir(), "sluice-console-gone-"));
  let own = await startServer({ data });
  try {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.clock.install();
    await page.goto(`${own.url}/#/sources`);
    const formats = page.getByRole("grid", { name: "What came by HTTP, by format" });
    await formats.waitFor();
    await own.stop();
    await page.clock.fastForward(11_000);
    await page.getByRole("alert").filter({ hasText: "It is asked again" }).waitFor();
    assert.equal(await page.getByRole("alert").count(), 1);
    assert.equal(await formats.count(), 1, "what was told before stays in sight");
    own = await startServer({ data, port: Number(new URL(own.url).port) });
    await page.clock.fastForward(31_000);
    await page.getByRole("alert").waitFor({ state: "detached" });
    await context.close();
  } finally {
    await own.stop();
    rmSync(data, { recursive: true, force: true });
  }
});

test("with tokens switched on the page asks for one, and keeps it in its tab", async () => {
  const guarded = await startServer();
  try {
    const make = async (role: string, headers = {}) =>
      (JSON.parse(await guarded.post("/v1/admin/tokens", JSON.stringify({ name: role, role }), headers)) as { token: string }).token;
    const admin = await make("admin"); // the first has to be
    const reader = await make("read", { Authorization: `Bearer ${admin}` });
    assert.equal((await fetch(`${guarded.url}/v1/schema`)).status, 401);
    assert.equal((await fetch(`${guarded.url}/`)).status, 200);
    const { page, context, close } = await open(at("query", { q: "show columns | limit 3" }), { url: guarded.url, expectErrors: /401/ });
    const dialog = page.getByRole("dialog");
    await dialog.getByText("This server wants a token").waitFor();
    await page.getByLabel("Token", { exact: true }).fill("sluice_wrong");
    await page.keyboard.press("Enter");
    await dialog.getByText("does not take this token").waitFor();
    await page.getByLabel("Token", { exact: true }).fill(reader);
    await page.keyboard.press("Enter");
    await page.getByRole("grid").waitFor();
    assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage }) + document.cookie + location.href).then((kept) => kept.includes("sluice_")), false);
    await page.reload();
    await page.getByRole("grid").waitFor();
    const other = await context.newPage();
    await other.goto(page.url());
    await other.getByRole("dialog").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("dialog").waitFor();
    await close();
  } finally {
    await guarded.stop();
  }
});

test("alerts stand in the order in which they began, or in another that a link holds", async () => {
  await server.post("/v1/query", 'create rule rattles severity low as from flows | where dst_port == 2225 | stats tries = count() by src_ip window 1d | where tries >= 5 alert by src_ip message "{src_ip} rattled {tries} times"');
  await server.post("/v1/ingest/aws_vpc", awsLines(7, { source: () => "10.46.0.1", port: 2222 }));
  type Told = { alerts: { ts: string; message: string; severity: string }[] };
  const told = async (word: string) => {
    for (let tries = 0; tries < 300; ++tries) {
      const all = ((await (await fetch(`${server.url}/v1/alerts`)).json()) as Told).alerts;
      if (all.some((a) => a.message.startsWith(word))) return all;
      await new Promise((done) => setTimeout(done, 100));
    }
    assert.fail(`no alert of ${word}`);
  };
  await told("10.46.0.1 knocked");
  // Its window begins with the day, and it fires last.
  await server.post("/v1/ingest/aws_vpc", awsLines(7, { source: () => "10.46.0.2", port: 2225 }));
  const alerts = await told("10.46.0.2 rattled");
  const began = [...alerts].sort((a, b) => Date.parse(b.ts) - Date.parse(a.ts));
  for (const [width, settings, first] of [[1280, {}, began[0]!.message], [390, {}, began[0]!.message], [1280, { sort: "-severity" }, "high"], [1280, { sort: "severity" }, "low"]] as const) {
    const { page, close } = await open(at("alerts", settings), { width });
    const rows = page.getByRole("grid", { name: /^Alerts/ }).locator("[aria-rowindex]");
    await rows.nth(1).waitFor();
    const shown = await rows.allInnerTexts();
    assert.ok(shown[1]!.includes(first.slice(0, 20)), `${shown[1]} at ${width} with ${JSON.stringify(settings)}`);
    assert.equal(await page.getByText("the latest to begin first").count(), "sort" in settings ? 0 : 1);
    // What fires is seen where the column that says so has no room.
    await page.locator(".row.marked", { hasText: "10.46.0.2 rattled" }).waitFor();
    // A row opens its own alert, however rows are sorted.
    await rows.filter({ hasText: "10.46.0.2 rattled" }).click();
    await page.getByRole("heading", { name: /10\.46\.0\.2 rattled/ }).waitFor();
    await close();
  }
  const { page, close } = await open(at("alerts"));
  await page.getByRole("columnheader", { name: "severity" }).click();
  await page.waitForFunction(() => location.hash.includes("sort=-severity"));
  await close();
});

test("a telephone shows of segments how many flows they have and how large they are", async () => {
  await server.post("/v1/admin/flush", "");
  const { page, close } = await open("#/storage", { width: 390 });
  const segments = page.getByRole("grid", { name: "Segments" });
  await segments.locator('[aria-rowindex="2"]').waitFor();
  assert.deepEqual(await segments.getByRole("columnheader").allInnerTexts(), ["from", "flows", "bytes"]);
  await close();
});

test("pictures say what they are of, and no time is cut at a hyphen", async () => {
  for (const [q, as, caption] of [["top 5 dst_port by n = count()", "bars", "n by dst_port"], ["stats p = rate(sum(packets)) by dst_port | sort p desc | limit 5", "bars", "p (packets/s) by dst_port"], ["timeseries b = sum(bytes) every 1h", "time", "b"]]) {
    const { page, close } = await open(at("query", { q: `last 2d | ${q}`, as: as! }), { width: 390 });
    await page.locator(".drawn").waitFor();
    assert.equal(await page.locator(".drawn").innerText(), caption);
    if (q!.includes("rate")) assert.match(await page.locator(".bar-value").first().innerText(), /^[\d.,]+\/s$/);
    // The loss that the answer tells, and what it covers.
    const lines = await page.locator(".moment").evaluateAll((all) => all.map((e) => e.getClientRects().length));
    assert.ok(lines.length >= 4 && lines.every((n) => n === 1), String(lines));
    await close();
  }
});

test("pictures", { skip: process.env.SLUICE_SHOTS ? false : "SLUICE_SHOTS names no folder" }, async () => {
  const folder = process.env.SLUICE_SHOTS!;
  mkdirSync(folder, { recursive: true });
  assert.ok(flows > 100_000);
  const alert = (await (await fetch(`${server.url}/v1/alerts?rule=knocks`)).json()) as { alerts: { id: string }[] };
  const traffic = setInterval(() => void server.post("/v1/ingest/aws_vpc", awsLines(40)), 200);
  const places: [string, string, string][] = [
    ["start", at("query"), ".start"],
    ["table", at("query", { q: "last 2d | limit 500" }), "[role=grid]"],
    ["time", at("query", { q: "last 2d | timeseries bytes = sum(bytes) every 15m by dst_port limit 6" }), "canvas"],
    ["talkers", at("query", { q: "last 2d | top 25 src_ip, dst_ip by total = sum(bytes)", as: "talkers" }), ".band"],
    ["bars", at("query", { q: "last 2d | top 15 dst_port by flows = count()", as: "bars" }), ".bars"],
    ["error", at("query", { q: "last 2d | where src_prt == 443" }), "[role=alert]"],
    ["tail", at("tail", { q: "dst_port == 443", on: "1" }), "[role=grid]"],
    ["alerts", at("alerts"), "[role=grid]"],
    ["alert", at("alerts", { id: alert.alerts[0]!.id }), ".code"],
    ["rules", at("alerts", { show: "rules", rule: "knocks" }), ".code"],
    ["address", at("address", { ip: "10.20.12.40", from: "now-2d" }), "canvas"],
    ["sources", at("sources"), "[role=grid]"],
    ["storage", at("storage"), ".bars"],
  ];
  for (const [name, hash, ready] of places)
    for (const theme of ["light", "dark"] as const)
      for (const width of [1280, 390]) {
        const { page, close } = await open(hash, { theme, width, height: width > 600 ? 860 : 844, expectErrors: /400/ });
        await page.locator(ready).first().waitFor({ state: "attached" });
        await settled(page);
        await page.screenshot({ path: join(folder, `${name}-${theme}-${width}.png`) });
        await close();
      }
  clearInterval(traffic);
});
