import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Builder, QueryType, SluiceQuery } from '../types';
import { addFilter, condition, defaultBuilder, hasFilter, removeFilter, textOf, write, writeAlerts } from './builder';
import { interval, isColumn, literal, quoteColumn, quoteText, variableOf } from './literal';

/** What strangers could write into a label; the same list as in pkg/flowql/expand_test.go, and some more. */
const hostile = [
  '" or true or "', "' or true or '", 'x" | limit 0 --', 'a\nb | drop rule x', '\\', '\\"', '$one x', '${one', '`', 'a`, b', ') or (true', '/* ', '-- ', '//', '[[one]]',
  '<script>alert(1)</script>', '$__timeFilter()', '\u0000\u001b[31m', '\u202e', '💥', '\ud800', '10.0.0.0/8', '1; drop rule x', '1 or true', '10KB | limit 1', '5m by x',
];

/** One text in quotes and nothing behind it, by the rules of LANGUAGE.md. */
const oneText = /^"(?:[^"\\]|\\(?:[ntr"'\\/]|x[0-9a-f]{2}))*"$/;

const builder = (part: Partial<Builder>): Builder => ({ ...defaultBuilder(), ...part });
const chip = (column: string, operator: string, ...values: string[]) => ({ column, operator, values });

/** Texts that the builder writes. The back end's tests have the server check each (pkg/plugin, TestBuildersTexts). */
const written: Record<string, string> = {};
const texts: Array<[string, QueryType, Partial<Builder>]> = [
  ['everything', 'timeseries', {}],
  ['series', 'timeseries', { metric: 'bytes', groupBy: ['src_ip', 'dst_port'], interval: '5m', top: 5 }],
  ['series_variable', 'timeseries', { metric: 'flows', filters: [chip('src_ip', '==', '$hosts')], interval: '$step' }],
  ['table', 'table', { filters: [chip('dst_port', '==', 'https', '22', '8000-9000'), chip('src_ip', '==', '10.0.0.0/8'), chip('action', '!=', 'reject')], groupBy: ['src_ip'], others: true, metric: 'bytes' }],
  ['table_rate', 'table', { groupBy: ['src_ip'], others: true, metric: 'bits' }],
  ['table_sizes', 'table', { filters: [chip('bytes', '>=', '10KB'), chip('duration', '>', '5s'), chip('tcp_flags', 'has', 'S'), chip('src_vpc_id', 'known'), chip('src_host', 'unknown')] }],
  ['table_texts', 'table', { filters: [chip('src_region', 'contains', 'eu'), chip('src_region', 'starts_with', 'eu'), chip('src_region', 'matches', '^eu-.*$')], metric: 'custom', aggregate: 'p95', column: 'bytes' }],
  ['rates', 'table', { metric: 'packets_rate', groupBy: ['protocol'] }],
  ['different', 'table', { metric: 'ports', groupBy: ['dst_ip'] }],
  ['services', 'timeseries', { groupBy: ['service'], top: 8 }],
  ['services_table', 'table', { metric: 'bytes', groupBy: ['src_ip', 'service'], others: true }],
  ['logs', 'logs', { filters: [chip('ip', '==', '10.0.0.1')] }],
  ['graph', 'nodegraph', defaultBuilder('nodegraph')],
  ['map', 'geomap', defaultBuilder('geomap')],
  ['map_regions', 'geomap', { ...defaultBuilder('geomap'), groupBy: ['region'] }],
  ['either_side', 'timeseries', { groupBy: ['ip', 'port'], metric: 'flows_rate' }],
  ...hostile.map((value, i): [string, QueryType, Partial<Builder>] => [`hostile_${i}`, 'logs', { filters: [chip('src_interface_id', '==', value), chip('app', '!=', value, 'x')] }]),
];

test('the builder writes what is kept, and what the server has checked', () => {
  for (const [name, type, part] of texts) {
    written[name] = write(type, builder(part));
  }
  written.alerts = writeAlerts();
  written.alerts_some = writeAlerts({ rules: ['port_scan', '$rule'], severities: ['high', 'critical'], state: 'firing' });
  written.alerts_hostile = writeAlerts({ rules: hostile, severities: [], state: '' });
  const path = join(__dirname, '../../testdata/builder.json');
  const text = JSON.stringify(written, null, 1) + '\n';
  if (process.env.SLUICE_UPDATE) {
    writeFileSync(path, text);
  }
  expect(text).toBe(readFileSync(path, 'utf8'));
});

test('hostile values are one text', () => {
  for (const value of hostile) {
    expect(quoteText(value)).toMatch(oneText);
    expect(quoteText(value)).not.toMatch(/[$[]/);
    expect(condition(chip('app', '==', value))).toBe('`app` == ' + quoteText(value));
    expect(literal(value)).toBe(quoteText(value));
    expect(interval(value)).toBe('$__interval');
    expect(isColumn(value)).toBe(false);
    expect(() => quoteColumn(value)).toThrow('not the name of a column');
    expect(() => write('table', builder({ groupBy: [value] }))).toThrow();
    expect(() => write('table', builder({ metric: 'custom', aggregate: value }))).toThrow();
    expect(() => condition(chip('app', value, 'x'))).toThrow();
    expect(() => condition(chip(value, '==', 'x'))).toThrow();
    expect(variableOf(value)).toBeUndefined();
  }
});

test('a value that is a variable is one, and vanishes with All', () => {
  expect(condition(chip('src_ip', '==', '$hosts'))).toBe('$__conditionalAll(`src_ip` in ($hosts), $hosts)');
  expect(condition(chip('src_ip', '!=', '${hosts}', 'x'))).toBe('$__conditionalAll(`src_ip` not in ($hosts, "x"), $hosts)');
  expect(condition(chip('bytes', '>', '$least'))).toBe('$__conditionalAll(`bytes` > $least, $least)');
  expect(condition(chip('app', '==', '$hosts or true'))).toBe('`app` == "\\x24hosts or true"');
});

test('chips that are not filled in are none', () => {
  expect(write('logs', builder({ filters: [chip('', '=='), chip('src_ip', '=='), chip('src_ip', '==', '')] }))).toBe('from flows');
  expect(write('table', builder({ groupBy: ['a'], top: -1 }))).toContain('top 10 `a`');
  expect(write('table', builder({ groupBy: ['a'], top: 1e9 }))).toContain('top 1000 `a`');
  expect(write('table', builder({ groupBy: ['a'], top: NaN }))).toContain('top 10 `a`');
});

test('filters are added, found and taken away, in form and text', () => {
  const form: SluiceQuery = { refId: 'A', queryType: 'logs', mode: 'builder', builder: builder({}) };
  const text: SluiceQuery = { refId: 'A', queryType: 'logs', mode: 'code', expr: 'from flows -- all\n;' };
  for (const value of [...hostile, 'plain']) {
    for (const query of [form, text]) {
      const more = addFilter(query, 'app', '==', value);
      expect(hasFilter(more, 'app', value)).toBe(true);
      expect(hasFilter(more, 'app', value + '!')).toBe(false);
      expect(hasFilter(removeFilter(more, 'app', value), 'app', value)).toBe(false);
    }
  }
  expect(addFilter(text, 'app', '!=', 'x').expr).toBe('from flows -- all\n\n| where `app` != "x"');
  expect(textOf({ refId: 'A', builder: builder({ metric: 'flows' }), queryType: 'table' })).toBe('from flows\n| stats flows = count()');
});
