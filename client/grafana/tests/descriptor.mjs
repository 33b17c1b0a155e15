// plugin.json and the dashboards, held to what Grafana's schema for descriptors says (docs/sources/developers/plugins/plugin.schema.json in grafana/grafana, at
// version 13): the members that a data source may have, their types and patterns, and that what is named is there.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const dist = process.argv[2];
const plugin = JSON.parse(readFileSync(path.join(dist, 'plugin.json'), 'utf8'));

/** Name → is it what the schema wants? Members without a row are refused: the schema has no others for a data source. */
const isText = (v) => typeof v === 'string' && v.length > 0;
const isFlag = (v) => typeof v === 'boolean';
const hasOnly = (v, names) => Object.keys(v).every((name) => names.split(' ').includes(name));
const shape = {
  $schema: isText,
  type: (v) => v === 'datasource',
  id: (v) => /^[0-9a-z]+-([0-9a-z]+-)?(app|panel|datasource)$/.test(v),
  name: isText,
  executable: (v) => /^gpx_[a-z0-9_]+$/.test(v),
  category: (v) => ['tsdb', 'logging', 'cloud', 'tracing', 'profiling', 'sql', 'enterprise', 'iot', 'other'].includes(v),
  backend: isFlag,
  metrics: isFlag,
  logs: isFlag,
  tracing: isFlag,
  alerting: isFlag,
  annotations: isFlag,
  streaming: isFlag,
  multiValueFilterOperators: isFlag,
  queryOptions: (v) => Object.entries(v).every(([name, flag]) => ['maxDataPoints', 'minInterval', 'cacheTimeout'].includes(name) && isFlag(flag)),
  info: (v) =>
    hasOnly(v, 'author build description keywords links logos screenshots updated version') &&
    hasOnly(v.author, 'name email url') &&
    hasOnly(v.logos, 'small large') &&
    v.keywords.length > 0 &&
    v.links.every((l) => hasOnly(l, 'name url')) &&
    v.screenshots.every((s) => hasOnly(s, 'name path')) &&
    isText(v.description) &&
    isText(v.author.name) &&
    Array.isArray(v.keywords) &&
    v.keywords.every(isText) &&
    isText(v.logos.small) &&
    isText(v.logos.large) &&
    Array.isArray(v.links) &&
    Array.isArray(v.screenshots) &&
    v.screenshots.every((s) => isText(s.name) && isText(s.path)) &&
    /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9a-z.-]+)?$/i.test(v.version) &&
    /^\d{4}-\d{2}-\d{2}$/.test(v.updated),
  includes: (v) => v.every((i) => hasOnly(i, 'uid type name component role path addToNav defaultNav icon') && ['dashboard', 'page', 'panel', 'datasource'].includes(i.type) && isText(i.name) && isText(i.path)),
  dependencies: (v) => hasOnly(v, 'grafanaDependency grafanaVersion plugins extensions') && /^(<=|>=|<|>|=|~|\^)?\d+\.[\dx*]+(\.[\dx*]+)?(\s(<=|>=|<|=>)?\d+\.[\dx]+\.[\dx]+)?$/.test(v.grafanaDependency) && Array.isArray(v.plugins),
};
for (const [name, value] of Object.entries(plugin)) {
  assert.ok(shape[name], `plugin.json has a member that data sources have not: ${name}`);
  assert.ok(shape[name](value), `plugin.json: ${name} is ${JSON.stringify(value)}`);
}
for (const name of ['type', 'id', 'name', 'info', 'dependencies']) {
  assert.ok(name in plugin, `plugin.json has no ${name}`);
}
for (const file of [plugin.info.logos.small, plugin.info.logos.large, ...plugin.info.screenshots.map((s) => s.path), ...plugin.includes.map((i) => i.path)]) {
  assert.ok(existsSync(path.join(dist, file)), `${file} is named and not there`);
}

const uids = new Set();
for (const { path: file, name } of plugin.includes) {
  const dashboard = JSON.parse(readFileSync(path.join(dist, file), 'utf8'));
  assert.equal(dashboard.title, name, `${file} is called otherwise in plugin.json`);
  assert.ok(/^[a-zA-Z0-9-_]{1,40}$/.test(dashboard.uid) && !uids.has(dashboard.uid), `${file}: its uid is none, or another's`);
  uids.add(dashboard.uid);
  assert.equal(dashboard.id, undefined, `${file} has a number of one Grafana`);
  const numbers = dashboard.panels.map((p) => p.id);
  assert.equal(new Set(numbers).size, numbers.length, `${file}: two panels have one number`);
  const sources = JSON.stringify(dashboard).match(/"uid":"[^"]*"/g).filter((u) => u !== `"uid":"${dashboard.uid}"`);
  assert.ok(sources.every((u) => u === '"uid":"${datasource}"'), `${file} names a data source of one Grafana`);
  for (const a of dashboard.panels) {
    const p = a.gridPos;
    assert.ok(p.x >= 0 && p.x + p.w <= 24 && p.w > 0 && p.h > 0, `${file}: ${a.title} lies outside of the page`);
    for (const b of dashboard.panels) {
      const q = b.gridPos;
      assert.ok(a === b || p.x + p.w <= q.x || q.x + q.w <= p.x || p.y + p.h <= q.y || q.y + q.h <= p.y, `${file}: ${a.title} lies over ${b.title}`);
    }
  }
}
console.log(`plugin.json and ${plugin.includes.length} dashboards are as Grafana's schema says`);
