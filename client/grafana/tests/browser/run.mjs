// The built plugin in a real browser: module.js loaded by SystemJS in a host page with the real @grafana packages, its back end started over gRPC, and a running
// sluiced behind it with the sample day of scripts/run. scripts/grafana builds all of that and says where it is:
//   SLUICE_BIN      folder of sluiced, sluice and sluice-generate
//   SLUICE_BROWSER  chromium
//   SLUICE_STEPS    a regular expression, for trying some steps alone
//   SLUICE_GRAFANA  folder with dist (the plugin), host (the page), serve (the stand-in for Grafana) and screens (pictures are put there)
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = path.dirname(fileURLToPath(import.meta.url));
const { SLUICE_BIN: bin, SLUICE_BROWSER: browserPath, SLUICE_GRAFANA: built } = process.env;
if (!bin || !browserPath || !built) {
  console.error('SLUICE_BIN, SLUICE_BROWSER and SLUICE_GRAFANA say what to try');
  process.exit(2);
}
const screens = path.join(built, 'screens');
const work = mkdtempSync(path.join(os.tmpdir(), 'sluice-grafana-'));
const children = [];
let passed = 0;
let failed = 0;

/** Starts a program and waits for a word of its output; ended with this one, by its number. */
function start(program, args, ready) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  children.push(child);
  return new Promise((resolve, reject) => {
    let words = '';
    const hear = (text) => {
      words = (words + text).slice(-20000);
      const found = ready.exec(words);
      if (found) {
        resolve(found[1]);
      }
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${program} ended with ${code}: ${words}`)));
  });
}

const hostile = `eni-<img src=x onerror=window.pwned=1>"|limit`.replaceAll(' ', '/');
const dayEnd = Math.floor(Date.now() / 3600000) * 3600000;
// Not to the full hour, at which the last word of a time axis would stand half outside.
const day = { from: new Date(dayEnd - 86400000).toISOString(), to: new Date(dayEnd - 1000).toISOString() };

async function sampleServer() {
  const address = await start(path.join(bin, 'sluiced'), ['--data', path.join(work, 'data'), '--http', '127.0.0.1:0', '--netflow', '127.0.0.1:0', '--sflow', '127.0.0.1:0'], /http=(\S+)/);
  const env = { ...process.env, SLUICE_SERVER: `http://${address}` };
  // Not synchronously: somebody has to read what the server says, or it waits.
  const run = (program, ...args) =>
    new Promise((resolve, reject) => {
      const child = spawn(path.join(bin, program), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      let words = '';
      child.stdout.on('data', (text) => (words += text));
      child.stderr.on('data', (text) => (words += text));
      child.on('error', reject);
      child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${program} ${args.join(' ')} ended with ${code}: ${words.slice(-4000)}`))));
    });
  const flows = path.join(work, 'flows');
  mkdirSync(flows);
  await run('sluice-generate', '--profile', 'company', '--start', day.from.replace('.000', ''), '--out', flows, '--format', 'aws,netflow5,ipfix');
  await run('sluice', 'rules', 'apply', path.join(here, '../../../../rules'));
  await run('sluice', 'ingest', '--source', 'aws_vpc', path.join(flows, 'aws'));
  await run('sluice', 'ingest', '--source', 'netflow', path.join(flows, 'netflow5/edge.pcap'), path.join(flows, 'ipfix/core.pcap'));
  await ingest(address, line(hostile, '10.66.0.1', '10.66.0.2', dayEnd / 1000 - 60));
  return address;
}

const line = (eni, src, dst, end) => `2 111122223333 ${eni} ${src} ${dst} 4000 6666 6 3 300 ${end - 5} ${end} REJECT OK\n`;

async function ingest(address, text) {
  const response = await fetch(`http://${address}/v1/ingest/aws_vpc`, { method: 'POST', body: text });
  assert.equal((await response.json()).rejected, 0);
}

/** Passes everything on to the server; a live tail is played where the server has none. */
async function withTail(address) {
  const probe = await fetch(`http://${address}/v1/tail?q=${encodeURIComponent('dst_port == 1')}`, { headers: { Accept: 'text/event-stream' }, signal: AbortSignal.timeout(3000) }).catch(() => undefined);
  const isReal = probe?.status === 200;
  await probe?.body?.cancel().catch(() => undefined);
  const proxy = http.createServer((request, response) => {
    if (!isReal && request.url.startsWith('/v1/tail')) {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      let n = 0;
      const timer = setInterval(() => {
        const at = new Date().toISOString();
        response.write(`id: ${++n}\ndata: ${JSON.stringify({ flow_end: at, src_ip: '10.66.0.1', dst_ip: `10.66.0.${n}`, protocol: 6, dst_port: 6666, bytes: 300 * n, action: n % 2 ? 'accept' : 'reject', src_interface_id: hostile })}\n\n`);
      }, 150);
      request.on('close', () => clearInterval(timer));
      return;
    }
    const [host, port] = address.split(':');
    const onward = http.request({ host, port, method: request.method, path: request.url, headers: { ...request.headers, host: address } }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${proxy.address().port}`, isReal };
}

let page;
let shownTheme = '';
const problems = [];

const chosen = new RegExp(process.env.SLUICE_STEPS ?? '');

async function step(name, what) {
  if (!chosen.test(name)) {
    return;
  }
  try {
    await what();
    passed++;
    console.log(`ok   ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error.message}`);
    await page.screenshot({ path: path.join(screens, `failed-${name.replace(/\W+/g, '-')}.png`) }).catch(() => undefined);
  }
}

const shot = (name) => page.screenshot({ path: path.join(screens, `${name}.png`) });

/** Opens an editor with a query; and runs it, unless told otherwise. */
async function open(query, { what = 'query', run = true, range = day, dashboard } = {}) {
  await page.evaluate(([q, w, r, d]) => window.host.open({ what: w, query: { refId: 'A', ...q }, dashboard: d, ...r }), [query, what, range, dashboard]);
  await page.waitForTimeout(150);
  if (run) {
    await page.evaluate(() => window.host.run());
    await settled();
  }
}

/** The page anew, with the plugin loaded into it. */
async function load(url, theme = '') {
  await page.goto(`${url}?theme=${theme}`, { timeout: 120000 });
  shownTheme = theme;
  await page.waitForFunction(() => window.host || document.getElementById('broken'), null, { timeout: 60000 });
  const broken = await page.evaluate(() => document.getElementById('broken')?.textContent);
  assert.equal(broken, undefined, `the plugin could not be loaded: ${broken}`);
}

/** Texts of ours that are hard to read: below 4.5 to 1 against what lies behind them (WCAG 2, AA), each with its ratio. */
const hardToRead = (selector) =>
  page.evaluate((chosen) => {
    const parts = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const over = ([r, g, b, a = 1], [r2, g2, b2]) => [r * a + r2 * (1 - a), g * a + g2 * (1 - a), b * a + b2 * (1 - a)];
    const light = (rgb) => rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
      const layers = [];
      for (let at = element; at; at = at.parentElement) {
        layers.push(parts(getComputedStyle(at).backgroundColor));
      }
      return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
    };
    const found = [];
    let looked = 0;
    for (const element of document.querySelectorAll(chosen)) {
      const text = [...element.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => n.textContent.trim()).join('');
      if (!text || !element.checkVisibility()) {
        continue;
      }
      looked++;
      const back = behind(element);
      const [a, b] = [light(over(parts(getComputedStyle(element).color), back)), light(back)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) {
        found.push(`${ratio.toFixed(1)}: ${text.slice(0, 60)}`);
      }
    }
    return { looked, found };
  }, selector);

const settled = () => page.getByText(/^Panel \((Done|Error|Streaming)\)$/).waitFor();
const saved = () => page.evaluate(() => window.host.query());
const panel = () => page.getByTestId('panel');

/** What a query of ours answers, without a panel. */
const ask = (query, range = day) =>
  page.evaluate(
    ([q, r]) =>
      new Promise((resolve) => {
        const at = (iso) => ({ valueOf: () => Date.parse(iso), toISOString: () => iso });
        let last;
        const done = (error) =>
          resolve({
            error: error ?? last?.error?.message ?? last?.errors?.[0]?.message,
            rows: (last?.data ?? []).reduce((n, f) => n + (f.length ?? f.fields?.[0]?.values?.length ?? 0), 0),
            fields: (last?.data ?? []).map((f) => f.fields?.map((g) => g.name)),
            first: (last?.data ?? []).map((f) => f.fields?.map((g) => g.values?.[0])),
            values: (last?.data ?? []).filter((f) => f.text !== undefined).map((f) => f.value),
          });
        const request = { requestId: 'ask', app: 'dashboard', range: { from: at(r.from), to: at(r.to), raw: r }, interval: '10m', intervalMs: 1440000, scopedVars: {}, targets: [{ refId: 'A', ...q }], filters: q.filters };
        const stream = q.asVariable ? window.host.datasource.variables.query(request) : window.host.datasource.query(request);
        stream.subscribe({ next: (x) => (last = x), error: (e) => done(String(e.message ?? e)), complete: () => done() });
      }),
    [query, range]
  );

async function main() {
  mkdirSync(screens, { recursive: true });
  const address = await sampleServer();
  const server = await withTail(address);
  const url = await start(path.join(built, 'serve'), ['-backend', path.join(built, 'gpx'), '-page', path.join(built, 'host'), '-plugin', path.join(built, 'dist'), '-server', server.url], /ready (http\S+)/);
  const browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox', '--disable-gpu'] });
  children.push({ kill: () => browser.close().catch(() => undefined) });
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(60000); // of a machine that has other things to do
  page.on('pageerror', (error) => problems.push(error.message));
  await load(url);

  await step('health check runs a query', async () => {
    const result = await page.evaluate(() => window.host.datasource.testDatasource());
    assert.equal(result.status, 'success');
    assert.match(result.message, /The server answers/);
  });

  await step('a new query is a chart of the builder', async () => {
    await open({}, { run: false });
    await page.getByRole('button', { name: 'Run' }).click();
    await settled();
    assert.match((await saved()).expr, /timeseries bits = 8 \* rate\(sum\(bytes\)\) every \$__interval/);
    await panel().locator('canvas').waitFor();
  });

  await step('builder: a key, a chip with a suggested value', async () => {
    await page.getByRole('combobox', { name: 'Group by' }).click();
    await page.getByRole('combobox', { name: 'Group by' }).fill('service');
    await page.getByRole('option', { name: /^service/ }).first().click();
    await page.keyboard.press('Escape');
    await settled();
    await page.getByRole('button', { name: 'Filter', exact: true }).click();
    await page.getByRole('combobox', { name: 'Filter column' }).click();
    await page.getByRole('combobox', { name: 'Filter column' }).fill('action');
    await page.getByRole('option', { name: /^action/ }).first().click();
    await page.getByRole('combobox', { name: 'Filter value' }).click();
    await page.getByRole('option', { name: 'accept' }).waitFor();
    await page.getByRole('option', { name: 'accept' }).click();
    await page.keyboard.press('Escape');
    await settled();
    const { expr, builder } = await saved();
    assert.deepEqual(builder.groupBy, ['service']);
    assert.equal(expr, 'from flows\n| where `action` == "accept"\n| timeseries bits = 8 * rate(sum(bytes)) every $__interval by service = service(if(src_port < dst_port, src_port, dst_port), protocol) limit 10');
    await panel().getByText('https', { exact: true }).first().waitFor();
    await page.mouse.click(5, 790);
    assert.equal(await page.getByRole('combobox', { name: 'Group by' }).inputValue(), '', 'what was typed stays beside what was chosen');
    await shot('builder');
  });

  await step('code: completion of a column and of a value that flows have', async () => {
    await open({ mode: 'code', queryType: 'table', expr: '' }, { run: false });
    const editor = page.getByTestId('flowql-editor');
    await editor.locator('.monaco-editor').first().waitFor();
    await editor.locator('.view-lines').click();
    await page.keyboard.type('src_vpc', { delay: 30 });
    await page.locator('.suggest-widget .monaco-list-row').filter({ hasText: 'src_vpc_id' }).first().waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.type(' == ', { delay: 30 });
    await page.locator('.suggest-widget .monaco-list-row').filter({ hasText: 'vpc-0a20c0ffee0000001' }).first().waitFor();
    await shot('completion');
    await page.keyboard.press('Tab');
    await page.keyboard.type('\n| top 5 src_ip by sum(bytes)', { delay: 5 });
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+Enter');
    await settled();
    assert.equal((await saved()).expr.split('\n')[0], 'src_vpc_id == "vpc-0a20c0ffee0000001"');
    await panel().getByText('10.20.', { exact: false }).first().waitFor();
  });

  await step('code: what is wrong is marked and said while typing', async () => {
    await open({ mode: 'code', queryType: 'table', expr: 'from flows\n| where $__timeFilter and src_prt == 443\n| top 5 src_ip by sum(bytes)' }, { run: false });
    await page.getByTestId('flowql-editor').getByRole('alert').filter({ hasText: "unknown column 'src_prt'" }).waitFor();
    await page.getByText("did you mean 'src_port'?").first().waitFor();
    await page.locator('.squiggly-error').first().waitFor();
    await shot('squiggle');
  });

  await step('an error of a query is told with its place', async () => {
    await page.evaluate(() => window.host.run());
    await settled();
    await page.getByText('The query failed').waitFor();
    await page.getByText('^~~~~~~').waitFor();
    await shot('error');
  });

  await step('the samples run', async () => {
    await open({}, { run: false });
    await page.getByRole('button', { name: 'Samples' }).click();
    await page.getByText('Who knocks on many doors').click();
    await settled();
    await panel().getByText('203.0.113.66').first().waitFor();
    await shot('table');
  });

  await step('a variable: its values, one, several, All, and a hostile one', async () => {
    const asked = await ask({ asVariable: true, column: 'src_vpc_id' });
    assert.deepEqual(asked.values.sort(), ['vpc-0a20c0ffee0000001', 'vpc-0b30c0ffee0000002']);
    const early = { from: new Date(dayEnd - 3 * 86400000).toISOString(), to: new Date(dayEnd - 2 * 86400000).toISOString() };
    for (const variable of [{ column: 'src_vpc_id' }, { expr: 'from flows | top 10 src_ip by count()', mode: 'code' }]) {
      assert.deepEqual((await ask({ asVariable: true, ...variable }, early)).values, [], 'values from outside of the time range');
    }
    const query = { queryType: 'table', mode: 'code', expr: 'from flows\n| where $__conditionalAll(src_ip in $host, $host)\n| stats flows = count() by src_ip | sort flows desc | limit 50' };
    await page.evaluate(() => window.host.choose('host', ['10.20.0.11']));
    await open(query);
    assert.equal((await ask(query)).rows, 1);
    await page.evaluate(() => window.host.choose('host', ['10.20.0.11', '10.20.0.12']));
    assert.equal((await ask(query)).rows, 2);
    await page.evaluate(() => window.host.choose('host', ['10.20.0.11', '10.20.0.12'], true));
    assert.equal((await ask(query)).rows, 50);
    await page.evaluate(() => window.host.choose('host', ['" or true) or ("']));
    const wrong = await ask(query);
    assert.match(wrong.error, /is not an address/);
    await page.evaluate(() => window.host.choose('host', ['10.20.0.11', '10.20.0.12']));
    await open(query);
    await panel().getByText('10.20.0.12').first().waitFor();
    await shot('variable');
  });

  await step('filters above the dashboard: keys and values are suggested, and narrow the answer', async () => {
    const query = { queryType: 'table', mode: 'code', expr: 'from flows | stats flows = count() by action' };
    await open(query);
    await page.getByTestId('adhoc-key').selectOption('action');
    await page.getByTestId('adhoc-value').locator('option', { hasText: 'reject' }).waitFor({ state: 'attached' });
    await page.getByTestId('adhoc-value').selectOption('reject');
    await page.getByTestId('adhoc-add').click();
    await page.getByTestId('adhoc').waitFor();
    await page.waitForTimeout(300);
    await settled();
    await panel().getByText('reject').first().waitFor();
    assert.equal(await panel().getByText('accept').count(), 0);
    await shot('filter');
    const hostileFilter = await ask({ ...query, filters: [{ key: 'action', operator: '=', value: 'reject" or true or "' }] });
    assert.match(hostileFilter.error ?? '', /action|reject/);
    const hostileKey = await ask({ ...query, filters: [{ key: 'action == "x" or true', operator: '=', value: 'y' }] });
    assert.match(hostileKey.error, /is not the name of a column/);
    await page.evaluate(() => window.host.filter([]));
  });

  await step('logs: flows as lines, their volume, what stands around one', async () => {
    await open({ queryType: 'logs', mode: 'code', expr: 'src_ip == 203.0.113.66 and action == reject' });
    await panel().getByText('TCP 203.0.113.66').first().waitFor();
    await shot('logs');
    const volume = await page.evaluate(([r]) => window.host.datasource.getSupplementaryRequest('LogsVolume', { range: r, targets: [{ refId: 'A', queryType: 'logs', mode: 'code', expr: 'dst_port == 22' }] }).targets[0], [day]);
    const bars = await ask(volume);
    assert.equal(bars.error, undefined);
    assert.ok(bars.fields.length >= 2 && bars.rows > 10, JSON.stringify(bars.fields));
    const around = await page.evaluate(
      ([at]) => window.host.datasource.getLogRowContext({ uid: 'x', timeEpochMs: at, labels: { src_ip: '10.20.11.14', dst_ip: '10.20.12.40' } }, { direction: 'BACKWARD', limit: 5, timeWindowMs: 86400000 }).then((x) => ({ error: x.error?.message, n: x.data?.[0]?.length })),
      [dayEnd]
    );
    assert.deepEqual(around, { error: undefined, n: 5 });
  });

  await step('a graph has circles and arrows', async () => {
    const graph = await ask({ queryType: 'nodegraph', mode: 'builder' , builder: { filters: [], groupBy: ['src_ip', 'dst_ip'], metric: 'bytes', interval: 'auto', top: 20, others: false } });
    assert.equal(graph.error, undefined);
    assert.ok(graph.fields[0].includes('arc__sent') && graph.fields[1].includes('thickness'), JSON.stringify(graph.fields));
  });

  await step('a map has places', async () => {
    const map = await ask({ queryType: 'geomap', mode: 'code', expr: 'top 5 src_region by bytes = sum(bytes)' });
    assert.equal(map.error, undefined);
    assert.ok(map.fields[0].includes('latitude'));
  });

  await step('alerts are annotations', async () => {
    const query = await page.evaluate(() => window.host.datasource.annotations.prepareQuery({ name: 'x', target: { refId: 'Anno', queryType: 'alerts', mode: 'builder', alerts: { rules: [], severities: ['high'], state: '' } } }));
    const marks = await ask(query);
    assert.equal(marks.error, undefined);
    assert.ok(marks.rows > 0, 'no alerts');
    assert.deepEqual(marks.fields[0].slice(0, 5), ['time', 'timeEnd', 'title', 'text', 'tags']);
    await open(query, { what: 'annotation' });
    await page.getByTestId('alerts-form').waitFor();
    await page.getByRole('combobox', { name: 'Rules' }).fill('guessing_from_outside_s');
    await page.getByRole('option', { name: 'guessing_from_outside_ssh' }).click();
    await page.keyboard.press('Escape');
    assert.match((await saved()).expr, /`rule` == "guessing_from_outside_ssh" and `severity` == "high"/);
    await settled();
    await shot('alerts');
  });

  await step('a live tail shows lines as they come, and ends when it is left', async () => {
    await open({ queryType: 'tail', mode: 'code', expr: 'dst_port == 6666' });
    if (server.isReal) {
      for (let i = 0; i < 4; i++) {
        await ingest(address, line(hostile, '10.66.0.1', `10.66.0.${i + 1}`, Math.floor(Date.now() / 1000)));
        await page.waitForTimeout(300);
      }
    }
    await panel().getByText(/TCP 10\.66\.0\.1(:\d+)? → 10\.66\.0\.3:6666/).first().waitFor();
    await shot('tail');
    await open({ queryType: 'table', mode: 'code', expr: 'from flows | stats count()' });
    assert.equal(await panel().getByText('10.66.0.3').count(), 0);
  });

  await step('a label of a stranger is no markup', async () => {
    const queries = [
      { queryType: 'table', mode: 'code', expr: 'dst_port == 6666 | stats flows = count() by interface_id' },
      { queryType: 'timeseries', mode: 'code', expr: 'dst_port == 6666 | timeseries flows = count() every $__interval by dst_interface_id, src_interface_id' },
      { queryType: 'logs', mode: 'code', expr: 'dst_port == 6666' },
    ];
    for (const query of queries) {
      await open(query);
      assert.equal(await page.locator('img[src="x"]').count(), 0);
    }
    const [key] = ['interface_id'];
    const values = await page.evaluate(([k, r]) => window.host.datasource.getTagValues({ key: k, filters: [{ key: 'dst_port', operator: '=', value: '6666' }], timeRange: { from: { toISOString: () => r.from }, to: { toISOString: () => r.to } } }), [key, day]);
    assert.ok(values.some((v) => v.text === hostile), JSON.stringify(values));
    // Chosen as a filter, it finds its own flows and nothing else.
    const mine = await ask({ queryType: 'table', mode: 'code', expr: 'from flows | stats flows = count()', filters: [{ key: 'interface_id', operator: '=', value: hostile }] });
    assert.deepEqual([mine.error, mine.first], [undefined, [[1]]]);
    const added = await page.evaluate(([v]) => window.host.datasource.toggleQueryFilter({ refId: 'A', queryType: 'table', mode: 'code', expr: 'from flows' }, { type: 'FILTER_FOR', options: { key: 'dst_interface_id', value: v } }), [hostile]);
    assert.equal((await ask({ ...added, queryType: 'logs' })).error, undefined);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
  });

  await step('the configuration: address, token, tenant; a token is told once', async () => {
    await open({}, { what: 'config', run: false });
    await page.getByLabel('Bearer token').fill('s3cret');
    await page.getByLabel('Tenant', { exact: true }).fill('red');
    await shot('config');
    const options = await page.evaluate(() => window.host.options());
    assert.equal(options.secureJsonData.token, 's3cret');
    assert.equal(options.jsonData.tenant, 'red');
    assert.ok(!JSON.stringify(options.jsonData).includes('s3cret'));
  });

  await step('the editor of variables, and help', async () => {
    await open({ refId: 'variable' }, { what: 'variable', run: false });
    await page.getByRole('combobox', { name: 'Column of the variable' }).click();
    await page.getByRole('combobox', { name: 'Column of the variable' }).fill('src_vpc_id');
    await page.getByRole('option', { name: /src_vpc_id/ }).first().click();
    assert.equal((await saved()).column, 'src_vpc_id');
    await shot('variable-editor');
    await open({}, { what: 'help', run: false });
    await page.getByText('$__conditionalAll(condition, $variable)').waitFor();
  });

  // What the sample has none of: it came from files, so no exporter and no feed was heard.
  const mayBeEmpty = /show (exporters|exporter_errors|feeds)|'critical'|compare to/;
  // Flows are sealed a minute after they came; then there is storage to be told of.
  assert.equal((await fetch(`http://${address}/v1/admin/flush`, { method: 'POST' })).status, 200);
  const dashboards = readdirSync(path.join(here, '../../src/dashboards')).map((file) => JSON.parse(readFileSync(path.join(here, '../../src/dashboards', file), 'utf8')));
  /** Variables as a dashboard has them when it is opened: all values, or the text that its file says. What is wrong with them. */
  const choose = async (dashboard) => {
    const wrong = [];
    for (const variable of dashboard.templating.list) {
      if (variable.type === 'query') {
        const asked = await ask({ ...variable.query, asVariable: true });
        await page.evaluate(([n, v]) => window.host.choose(n, v, true), [variable.name, asked.values]);
        if (asked.error || asked.values.length === 0) {
          wrong.push(`variable ${variable.name}: ${asked.error ?? 'no values'}`);
        }
      } else if (variable.type === 'textbox') {
        await page.evaluate(([n, v]) => window.host.choose(n, [v]), [variable.name, variable.query]);
      }
    }
    return wrong;
  };
  const draw = async (dashboard, name) => {
    await open({}, { what: 'dashboard', run: false, dashboard });
    await page.locator('[data-testid=dashboard][data-done=true]').waitFor();
    // Tables draw the rows that can be seen, and one moment after they have them.
    const { height } = await page.locator('[data-testid=dashboard]').boundingBox();
    await page.setViewportSize({ width: 1280, height: Math.ceil(height) + 40 });
    await page.waitForFunction(() => [...document.querySelectorAll('[data-testid=dashboard-panel][data-type=table]')].every((p) => p.querySelector('[role=gridcell]') || (p.textContent && !p.querySelector('[role=grid]'))));
    assert.deepEqual(await page.locator('[data-testid=dashboard-panel] [data-testid="data-testid Alert error"]').allTextContents(), []);
    await page.locator('[data-testid=dashboard]').screenshot({ path: path.join(screens, `${name}.png`) });
    await page.setViewportSize({ width: 1280, height: 800 });
  };
  for (const dashboard of dashboards) {
    await step(`dashboard ${dashboard.uid}: every query answers`, async () => {
      const wrong = await choose(dashboard);
      const queries = [...dashboard.annotations.list.map((a) => ({ ...a.target, title: `annotation ${a.name}` })), ...dashboard.panels.flatMap((p) => (p.targets ?? []).map((t) => ({ ...t, title: p.title })))];
      for (const { title, datasource: _ds, ...query } of queries) {
        const answer = await ask(query);
        if (answer.error || (answer.rows === 0 && !mayBeEmpty.test(query.expr))) {
          wrong.push(`${title}: ${answer.error ?? 'nothing'}\n    ${query.expr.replaceAll('\n', '\n    ')}`);
        }
      }
      assert.deepEqual(wrong, []);
      await draw(dashboard, `dashboard-${dashboard.uid.replace('sluice-', '')}`);
    });
  }

  for (const theme of ['dark', 'light']) {
    await step(`the ${theme} theme: builder, code, errors, settings can be read`, async () => {
      await load(url, theme);
      const [r] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
      assert.ok(theme === 'light' ? r > 200 : r < 60, `the page has a background of ${r}`);
      const all = async (name, selector) => {
        const { looked, found } = await hardToRead(selector);
        assert.ok(looked > 0, `${name}: nothing was looked at`);
        assert.deepEqual(found, [], name);
        await shot(`${name}-${theme}`);
      };
      const filters = [{ column: 'action', operator: '==', values: ['accept'] }, { column: 'dst_port', operator: '!=', values: ['443', '80'] }];
      await open({ queryType: 'timeseries', mode: 'builder', builder: { filters, groupBy: ['src_vpc_id'], metric: 'bits', interval: 'auto', top: 5, others: false } });
      await page.getByTestId('filter-chip').nth(1).getByText('80', { exact: true }).waitFor(); // both values, not one and a number
      const { x, width } = await page.getByRole('button', { name: 'Filter', exact: true }).boundingBox();
      assert.ok(x + width <= 1250, `the filters run out of the page: ${x + width}`);
      await all('builder', '[data-testid=builder] *, [data-testid=written], [data-testid=written] *');
      await open({ mode: 'code', queryType: 'table', expr: 'from flows -- of the edge\n| where $__timeFilter and src_prt == 443 and app == "dns"\n| top 5 src_ip by sum(bytes)' });
      await page.getByTestId('flowql-editor').getByRole('alert').waitFor();
      await page.locator('.squiggly-error').first().waitFor();
      await page.getByText('The query failed').waitFor();
      await all('code', '[data-testid=flowql-editor] [role=alert] *, [data-testid=flowql-editor] .view-line span');
      await open({}, { what: 'config', run: false });
      await page.getByLabel('Bearer token').waitFor();
      await shot(`config-${theme}`);
      await open({}, { what: 'help', run: false });
      await page.getByText('$__conditionalAll(condition, $variable)').waitFor();
      await all('help', '#root code, #root pre, #root p, #root td, #root button');
    });
    for (const dashboard of theme === 'light' ? dashboards : []) {
      await step(`the light theme: dashboard ${dashboard.uid}`, async () => {
        if (shownTheme !== theme) {
          await load(url, theme); // where this step is tried alone
        }
        await choose(dashboard);
        await draw(dashboard, `dashboard-${dashboard.uid.replace('sluice-', '')}-light`);
      });
    }
  }

  await step('no error was thrown on the page', async () => assert.deepEqual(problems, []));
  if (!server.isReal) {
    console.log('note: this sluiced has no /v1/tail; the live tail was tried against a stand-in');
  }
}

main()
  .catch((error) => {
    failed++;
    console.log(`FAIL ${error.stack}`);
  })
  .finally(async () => {
    for (const child of children.reverse()) {
      child.stdin?.end?.();
      await child.kill?.();
    }
    rmSync(work, { recursive: true, force: true });
    writeFileSync(path.join(built, 'browser.txt'), `${passed} passed, ${failed} failed\n`);
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed || !passed ? 1 : 0);
  });
