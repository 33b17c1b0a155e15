// What can be known without a browser.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { StringStream } from "@codemirror/language";
import { bytes, cell, count, inLines, literal, milliseconds, quoted, shortCount, time } from "../src/format.ts";
import { factsOf, forPeople } from "../src/known.ts";
import { parser, stages, words } from "../src/language.ts";
import { readPlace, writePlace } from "../src/place.ts";
import { bytesBefore, type Column, indexOfByte, readJson, type Row } from "../src/server.ts";
import { bestDrawing, drawnOf, hindrance, orderOfFlows, shapeOf, talkerData, timeData } from "../src/shapes.ts";
import { EventReader } from "../src/stream.ts";
import { fitted, sortedBy } from "../src/table.tsx";
import { isAddress, names, namesIn } from "../src/views/address.tsx";
import { moved, niceBin, rangeLabel, readTime } from "../src/timerange.ts";

test("a place survives its URL, whatever it says", () => {
  for (const q of ["last 1d", 'a == "<img src=x onerror=alert(1)>" | where b & c = 1%', "ü 🌊 \n line", "#?&=+"]) {
    const place = { view: "query" as const, settings: { q, from: "now-1h" } };
    assert.deepEqual(readPlace(writePlace(place)), place);
  }
  assert.equal(readPlace("#/nowhere?q=x").view, "query");
  assert.equal(readPlace("").view, "query");
  assert.equal(writePlace({ view: "tail", settings: { q: "" } }), "#/tail");
});

test("places in a text, in bytes and in UTF-16", () => {
  const text = "src == \"ü🌊\" and x";
  for (let i = 0; i <= text.length; ++i) {
    if (/[\udc00-\udfff]/.test(text[i] ?? "")) continue; // within a pair
    assert.equal(indexOfByte(text, bytesBefore(text, i)), i);
  }
  assert.equal(indexOfByte("abc", 99), 3);
});

test("integers beyond 2^53 stay exact where the engine tells what it read", () => {
  const text = '{"rows":[[9007199254740993, 1.5, 18446744073709551615, 7, "12345678901234567890", -9223372036854775808]]}';
  const [row] = readJson<{ rows: Row[] }>(text).rows;
  const knowsSource = JSON.parse("1", ((_k: string, _v: unknown, c?: { source?: string }) => c?.source) as never) === "1";
  if (knowsSource) assert.deepEqual(row, [9007199254740993n, 1.5, 18446744073709551615n, 7, "12345678901234567890", -9223372036854775808n]);
  assert.equal(row![1], 1.5);
  assert.equal(row![4], "12345678901234567890");
  assert.deepEqual(readJson("[1234567890123456]"), [1234567890123456]);
});

test("values as people read them", () => {
  assert.deepEqual([0, 999, 1500, 99_960, 999_600, 10e9, -2000, 14.14].map((n) => bytes(n)), ["0 B", "999 B", "1.5 kB", "100 kB", "1.0 MB", "10.0 GB", "-2.0 kB", "14.1 B"]);
  assert.deepEqual([0, 250e6, 1.25e9, 2e9].map((n) => bytes(n, 4)), ["0 B", "250 MB", "1.25 GB", "2 GB"]);
  assert.deepEqual([0, 999, 1000, 1234567, 0.5, 1234.56, 12345678901234567890n].map(count), ["0", "999", "1,000", "1,234,567", "0.5", "1,234.6", "12,345,678,901,234,567,890"]);
  assert.deepEqual([999, 12345, 1234567, 5.6e9].map(shortCount), ["999", "12.3k", "1.23M", "5.60G"]);
  assert.deepEqual([0.25, 12, 1500, 61_000, 3_600_000, 90_061_000].map(milliseconds), ["0.25 ms", "12 ms", "1.50 s", "1m 1s", "1h", "1d 1h"]);
  assert.equal(time("2026-11-26T12:00:00.512345Z"), "2026-11-26 12:00:00.512");
  const port: Column = { name: "dst_port", type: "uint" };
  assert.equal(cell(8443, port), "8443"); // a port is no amount
  assert.equal(cell(8443, { name: "flows", type: "uint" }), "8,443");
  assert.equal(cell(null, port), "");
  assert.equal(cell(6, { name: "protocol", type: "uint" }), "tcp");
  assert.equal(cell(253, { name: "protocol", type: "uint" }), "253");
  const rate = (unit: string): Column => ({ name: "r", type: "float", unit });
  assert.deepEqual(["bytes/s", "packets/s", "1/s"].map((unit) => cell(1234567.8, rate(unit))), ["1.2 MB/s", "1,234,567.8/s", "1,234,567.8/s"]);
  assert.equal(cell({ a: "1", b: "<b>" }, { name: "extra", type: "map<string>" }), "a=1 b=<b>");
});

test("a value never becomes syntax", () => {
  const text: Column = { name: "src_host", type: "string" };
  assert.equal(literal('x" or 1 == 1 | drop "', text), '"x\\" or 1 == 1 | drop \\""');
  assert.equal(quoted('a\\"\n\x00'), '"a\\\\\\"\\u{a}\\u{0}"');
  assert.equal(literal("10.0.0.1", { name: "src_ip", type: "ip" }), "10.0.0.1");
  assert.equal(literal("10.0.0.1 | drop list x", { name: "src_ip", type: "ip" }), '"10.0.0.1 | drop list x"');
  assert.equal(literal(5, { name: "duration", type: "duration" }), "5ms");
  assert.equal(literal(null, text), "null");
  assert.equal(literal(["a"], text), undefined);
});

const at = (minute: number) => `2026-11-26T12:${String(minute).padStart(2, "0")}:00Z`;
const series: Column[] = [{ name: "ts", type: "timestamp" }, { name: "dst_port", type: "uint" }, { name: "total", type: "uint", unit: "bytes" }, { name: "others", type: "bool" }];

test("an answer says what it can be drawn as", () => {
  assert.deepEqual(shapeOf(series), { time: 0, values: [2], keys: [1, 3] });
  assert.equal(hindrance("time", series), "");
  assert.notEqual(hindrance("talkers", series), "");
  assert.notEqual(hindrance("bars", [{ name: "src_ip", type: "ip" }]), "");
  const rows: Row[] = [[at(0), 443, 1, false], [at(1), 443, 2, false], [at(2), 443, 2, false]];
  assert.equal(bestDrawing(series, rows), "time");
  assert.equal(bestDrawing(series, rows, "barchart"), "bars");
  assert.equal(drawnOf(series, 2), "total by dst_port");
  assert.equal(drawnOf([{ name: "r", type: "float", unit: "1/s" }], 0), "r (1/s)");
});

test("series have a point for every time, and the rest is told", () => {
  const rows: Row[] = [[at(1), 443, 5, false], [at(0), 443, 3, false], [at(1), 53, 1, false], [at(0), null, 9, true]];
  const data = timeData(series, rows, 2);
  assert.equal(data.times.length, 2);
  assert.ok(data.times[0]! < data.times[1]!);
  assert.deepEqual(data.series.map((s) => [s.label, s.points]), [["all others", [9, null]], ["443", [3, 5]], ["53", [null, 1]]]);
  assert.deepEqual(data.series.map((s) => s.isRest ?? false), [true, false, false]);
  const many: Row[] = Array.from({ length: 30 }, (_, i) => [at(0), i, 100 - i, false]);
  const cut = timeData(series, many, 2, 12);
  assert.equal(cut.series.length, 12);
  assert.equal(cut.left, 18);
});

test("pairs of talkers are summed up, the greatest first", () => {
  const columns: Column[] = [{ name: "src_ip", type: "ip" }, { name: "dst_ip", type: "ip" }, { name: "b", type: "uint", unit: "bytes" }];
  const data = talkerData(columns, [["a", "b", 1], ["a", "c", 5], ["a", "b", 2], ["x", "c", 0], [null, "c", 4]], 2);
  assert.deepEqual(data.talks, [{ source: "a", target: "c", value: 5 }, { source: "(not known)", target: "c", value: 4 }, { source: "a", target: "b", value: 3 }]);
  assert.deepEqual(data.targets, [{ name: "c", value: 9 }, { name: "b", value: 3 }]);
  assert.equal(talkerData(columns, Array.from({ length: 50 }, (_, i) => [`s${i}`, "d", i + 1]), 2).left, 10);
});

test("rows sort by numbers, addresses and text, nulls last both ways", () => {
  const ip: Column[] = [{ name: "src_ip", type: "ip" }];
  const rows: Row[] = [["10.0.0.9"], [null], ["10.0.0.10"], ["9.0.0.1"], ["::1"]];
  assert.deepEqual(sortedBy(rows, ip, 0, false).flat(), ["9.0.0.1", "10.0.0.9", "10.0.0.10", "::1", null]);
  assert.deepEqual(sortedBy(rows, ip, 0, true).flat(), ["::1", "10.0.0.10", "10.0.0.9", "9.0.0.1", null]);
  const severity = forPeople({ columns: [{ name: "severity", type: "string" }], rows: [["low"], ["critical"], [null], ["info"], ["high"], ["medium"]] }, ["severity"]);
  assert.deepEqual(sortedBy(severity.rows, severity.columns, 0, true).flat(), ["critical", "high", "medium", "low", "info", null]);
  assert.deepEqual(sortedBy([[2], [10n], [1]], [{ name: "n", type: "uint" }], 0, true).flat(), [10n, 2, 1]);
});

// What each word of a text is painted as.
function painted(text: string): [string, string | null][] {
  const stream = new StringStream(text, 2, 2), state = parser.startState!(2), out: [string, string | null][] = [];
  while (!stream.eol()) {
    stream.start = stream.pos;
    const looks = parser.token(stream, state);
    if (stream.current().trim()) out.push([stream.current(), looks]);
  }
  return out;
}

test("every stage and word of the grammar is painted, and names are not", () => {
  const grammar = (file: string, list: RegExp) => [...list.exec(readFileSync(join(process.env.SLUICE_CONSOLE!, "../../grammar", file), "utf8"))![1]!.matchAll(/"([a-z_ ]+)"/g)].map((m) => m[1]!);
  const all = grammar("words.cc", /kStages\[\] = \{(.*?)\};/s);
  assert.ok(all.length > 20);
  for (const stage of all) assert.deepEqual(painted(`last 1d | ${stage} x`)[3], [stage, "keyword"]);
  for (const word of [...grammar("words.cc", /kOperators\[\] = \{(.*?)\};/s), ...grammar("complete.cc", /kStageWords\[\] = \{(.*?)\n\};/s)].flatMap((w) => w.split(" ")))
    assert.ok(stages.has(word) || words.has(word), word);
  assert.deepEqual(painted("sessions by src_ip gap 10m | stats least = min(bytes), first(ts) by x | sort flows desc").map(([word, looks]) => `${word}:${looks}`), [
    "sessions:keyword", "by:operatorKeyword", "src_ip:variableName", "gap:operatorKeyword", "10m:number", "|:operator", "stats:keyword", "least:variableName", "=:operator",
    "min:variableName.function", "(:null", "bytes:variableName", "):null", ",:null", "first:variableName.function", "(:null", "ts:variableName", "):null", "by:operatorKeyword", "x:variableName",
    "|:operator", "sort:keyword", "flows:variableName", "desc:operatorKeyword",
  ]);
});

test("a rule in one line is shown in several, and stays the same text", () => {
  const rule = 'create rule r severity high description "as from | x" fires ("1 every | 2") every 1h over 1d as from flows | where a in (from b | where c) and d || e | timeseries n = count() every 5m alert by x suppress 1d message "{x} | y"';
  const shown = inLines(rule);
  assert.equal(shown.replace(/\s+/g, " "), rule);
  assert.deepEqual(shown.split("\n"), ["create rule r", "  severity high", '  description "as from | x"', '  fires ("1 every | 2")', "  every 1h over 1d", "as from flows",
    "  | where a in (from b | where c) and d || e", "  | timeseries n = count() every 5m", "alert by x suppress 1d", '  message "{x} | y"']);
  assert.equal(inLines("create rule r\n as from flows"), "create rule r\n as from flows");
});

test("the server's own tables are told in words, and what is nothing is left out", () => {
  const columns: Column[] = [{ name: "exporter_ip", type: "ip" }, { name: "lost_unit", type: "string" }, { name: "bad_packets", type: "uint" }, { name: "oper_up", type: "bool" }, { name: "last_seen", type: "timestamp" }, { name: "new_thing", type: "uint" }];
  const rows: Row[] = [["10.0.0.1", "", 0, true, "2026-11-26T12:00:00.5Z", 0], ["10.0.0.2", null, 0, false, null, 3]];
  const table = forPeople({ columns, rows }, ["last_seen", "?lost_unit", "?bad_packets", "exporter_ip=from>90", "?oper_up", "not_there"]);
  assert.deepEqual(table.columns.map((c) => [c.name, c.label]), [["last_seen", "last seen"], ["exporter_ip", "from"], ["oper_up", "up"]]);
  assert.equal(table.columns[1]!.least, 90);
  assert.deepEqual(table.rows[1], [null, "10.0.0.2", false]);
  assert.deepEqual(table.rows[0]!.map((v, i) => cell(v, table.columns[i]!)), ["2026-11-26 12:00:00", "10.0.0.1", "yes"]);
  const { facts, nothing } = factsOf(columns, rows[1]!);
  assert.deepEqual(facts.map((f) => [f.word, f.text]), [["address", "10.0.0.2"], ["new thing", "3"]]);
  assert.deepEqual(nothing, ["what is lost", "unreadable packets", "up", "last seen"]);
});

test("a table that has to fit cuts its texts, then lets its last columns go", () => {
  const columns: Column[] = [{ name: "a", type: "timestamp" }, { name: "b", type: "string", least: 200 }, { name: "c", type: "uint" }, { name: "d", type: "string" }];
  const wanted = [160, 600, 80, 300];
  assert.deepEqual(fitted(columns, wanted, 2000), wanted);
  const some = fitted(columns, wanted, 900);
  assert.equal(some.length, 4);
  assert.ok(some.reduce((sum, w) => sum + w, 0) <= 900 && some[1]! > some[3]!, String(some));
  assert.deepEqual(fitted(columns, wanted, 552), [160, 200, 80, 112]);
  assert.deepEqual(fitted(columns, wanted, 500), [160, 260, 80]);
  assert.deepEqual(fitted(columns, wanted, 300), [160, 140]);
  assert.deepEqual(fitted(columns, wanted, 100), [160, 112]);
});

test("whole flows show who spoke with whom first, and no columns of nothing", () => {
  const columns: Column[] = Array.from({ length: 45 }, (_, i) => ({ name: `c${i}`, type: "string" }));
  columns[3] = { name: "flow_end", type: "timestamp" };
  columns[40] = { name: "src_ip", type: "ip" };
  columns[41] = { name: "dst_ip", type: "ip" };
  const row: Row = columns.map((_, i) => (i === 7 || i === 41 ? "x" : null));
  assert.deepEqual(orderOfFlows(columns, [row], false), { order: [3, 40, 41, 7], empty: 41 });
  assert.equal(orderOfFlows(columns, [row], true)!.order.length, 45);
  assert.equal(orderOfFlows(columns.slice(21), [], false), undefined);
});

test("events are read whatever the pieces they come in", () => {
  const text = ': hello\n\nevent: columns\ndata: {"a":1}\n\nid: x-1\r\nevent: rows\r\ndata: one\r\ndata:two\r\n\r\ndata\n\nretry: 5\nid: x-2\ndata: three\n\ndata: cut';
  const expected = [
    { name: "columns", data: '{"a":1}', id: "" },
    { name: "rows", data: "one\ntwo", id: "x-1" },
    { name: "message", data: "", id: "x-1" },
    { name: "message", data: "three", id: "x-2" },
  ];
  assert.deepEqual(new EventReader().read(text), expected);
  for (let size = 1; size < 9; ++size) {
    const reader = new EventReader();
    const found = [];
    for (let i = 0; i < text.length; i += size) found.push(...reader.read(text.slice(i, i + size)));
    assert.deepEqual(found, expected, `pieces of ${size}`);
  }
});

test("an address is named by itself, not by a longer one", () => {
  assert.ok(names("src_ip=10.0.0.5 dst_port=22", "10.0.0.5"));
  assert.ok(names("10.0.0.5.", "10.0.0.5"));
  assert.ok(names("who is 2001:db8::1?", "2001:db8::1"));
  assert.ok(!names("src_ip=10.0.0.50", "10.0.0.5"));
  assert.ok(!names("src_ip=110.0.0.5", "10.0.0.5"));
  assert.ok(!names("2001:db8::12", "2001:db8::1"));
  for (const good of ["10.0.0.1", "::1", "2001:db8::1", "::ffff:1.2.3.4"]) assert.ok(isAddress(good), good);
  for (const bad of ["", "x", "10.0.0", "10.0.0.1 ", "1.2.3.4|", "dead"]) assert.ok(!isAddress(bad), bad);
});

test("names of an address, of both its sides", () => {
  const columns: Column[] = [{ name: "host", type: "string" }, { name: "mac", type: "mac" }, { name: "flows", type: "uint" }, { name: "first", type: "timestamp" }, { name: "last", type: "timestamp" }];
  const answer = (rows: Row[]) => ({ columns, rows, range: null, warnings: [], stats: {} });
  assert.deepEqual(namesIn([answer([["web", null, 2, at(1), at(3)]]), answer([["web", "aa:bb", 3, at(0), at(2)], [null, null, 9, at(0), at(9)]])]), [
    { kind: "host", name: "web", flows: 5, first: at(0), last: at(3) },
    { kind: "mac", name: "aa:bb", flows: 3, first: at(0), last: at(2) },
  ]);
});

test("ranges of time", () => {
  const now = Date.parse("2026-11-26T12:00:00Z");
  assert.equal(readTime("now-90m", now), now - 5_400_000);
  assert.equal(readTime("now", now), now);
  assert.equal(readTime("tomorrow", now), undefined);
  assert.deepEqual(moved({ from: "now-1h", to: "" }, -1, now), { from: "2026-11-26T10:00:00Z", to: "2026-11-26T11:00:00Z" });
  assert.equal(moved({ from: "", to: "" }, 1, now), undefined);
  assert.equal(rangeLabel({ from: "now-1h", to: "" }), "Last hour");
  assert.equal(rangeLabel({ from: "now-2d", to: "" }), "Last 2 days");
  assert.equal(rangeLabel({ from: "now-2d", to: "now-1d" }), "now-2d – now-1d");
  assert.equal(niceBin(86_400_000), "15m");
  assert.equal(niceBin(3_600_000), "30s");
});
