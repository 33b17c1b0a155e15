// What an answer can be drawn as: its columns say. Pure.
import { cell, isNumeric, numberOf } from "./format.ts";
import type { Column, Row } from "./server.ts";

export interface Shape {
  time: number;      // the first column of times, or -1
  values: number[];  // columns of numbers that mean an amount
  keys: number[];    // what is neither
}

export function shapeOf(columns: Column[]): Shape {
  const time = columns.findIndex((c) => c.type === "timestamp");
  const values: number[] = [], keys: number[] = [];
  columns.forEach((c, i) => {
    if (i === time) return;
    if (isNumeric(c)) values.push(i);
    else if (c.type !== "timestamp" && c.type !== "map<string>") keys.push(i);
  });
  return { time, values, keys };
}

export type Drawing = "table" | "time" | "bars" | "talkers";

// Why it can't be drawn so; empty: it can.
export function hindrance(drawing: Drawing, columns: Column[]): string {
  const { time, values, keys } = shapeOf(columns);
  switch (drawing) {
    case "table": return "";
    case "time": return time < 0 ? "needs a column of times, as bin(5m) or timeseries gives" : values.length === 0 ? "needs a column of amounts, as count() gives" : "";
    case "bars": return values.length === 0 ? "needs a column of amounts, as sum(bytes) gives" : "";
    case "talkers": return ends(columns, keys) ? "" : "needs two columns of ends, such as src_ip and dst_ip";
  }
}

function ends(columns: Column[], keys: number[]): [number, number] | undefined {
  const ips = keys.filter((k) => columns[k]!.type === "ip");
  const [a, b] = ips.length >= 2 ? ips : keys.filter((k) => ["ip", "string", "mac"].includes(columns[k]!.type));
  return a === undefined || b === undefined ? undefined : [a, b];
}

// How an answer is best shown where nobody has said.
export function bestDrawing(columns: Column[], rows: Row[], render?: string): Drawing {
  if (render === "timechart" || render === "linechart" || render === "areachart") return hindrance("time", columns) ? "table" : "time";
  if (render === "barchart" || render === "columnchart" || render === "piechart") return hindrance("bars", columns) ? "table" : "bars";
  const { time, values, keys } = shapeOf(columns);
  if (time >= 0 && values.length > 0 && columns.length <= 6 && keys.length <= 2 && rows.length > 2 && columns[time]!.name !== "flow_start") return "time";
  return "table";
}

// Whole flows have more columns than anybody reads: those that say who spoke with whom come first, and those in which no row has anything may be
// left out. undefined: it is something else, and stays as it was asked for.
const flowColumns = ["flow_end", "src_ip", "src_port", "dst_ip", "dst_port", "protocol", "bytes", "packets", "tcp_flags", "action", "source"];
export function orderOfFlows(columns: Column[], rows: Row[], withEmpty: boolean): { order: number[]; empty: number } | undefined {
  if (columns.length < 25 || !["src_ip", "dst_ip", "flow_end"].every((name) => columns.some((c) => c.name === name))) return undefined;
  const order = flowColumns.map((name) => columns.findIndex((c) => c.name === name)).filter((i) => i >= 0);
  const first = new Set(order);
  let empty = 0;
  columns.forEach((_, i) => {
    if (first.has(i)) return;
    const isEmpty = rows.every((row) => row[i] === null);
    if (isEmpty) ++empty;
    if (withEmpty || !isEmpty) order.push(i);
  });
  return { order, empty };
}

// What a picture is of: "flows by dst_port", with the unit where its values do not show it.
export function drawnOf(columns: Column[], value: number): string {
  const { keys } = shapeOf(columns), mark = restMark(columns, keys);
  const by = keys.filter((k) => k !== mark).map((k) => columns[k]!.name).join(", ");
  const amount = value < 0 ? "rows" : columns[value]!.name, unit = value < 0 ? "" : columns[value]!.unit ?? "";
  return `${amount}${unit && !unit.startsWith("bytes") && unit !== amount ? ` (${unit})` : ""}${by ? ` by ${by}` : ""}`;
}

// --- series over time --------------------------------------------------------------------------------------------------------

export interface Series {
  label: string;
  points: (number | null)[];
  total: number;
  isRest?: boolean; // sums up what has no series of its own
}
export interface TimeData {
  times: number[]; // seconds since 1970, ascending
  series: Series[];
  left: number;    // series that are not here, because they are too many
}
export const seriesMax = 12;

export function timeData(columns: Column[], rows: Row[], value: number, most = seriesMax): TimeData {
  const { time, keys } = shapeOf(columns);
  const at = new Map<number, number>();
  for (const row of rows) {
    const t = Date.parse(row[time] as string) / 1000;
    if (!Number.isNaN(t)) at.set(t, 0);
  }
  const times = [...at.keys()].sort((a, b) => a - b);
  times.forEach((t, i) => at.set(t, i));
  const groups = new Map<string, Series>();
  for (const row of rows) {
    const index = at.get(Date.parse(row[time] as string) / 1000);
    const v = numberOf(row[value]!);
    if (index === undefined) continue;
    const label = nameOf(row, columns, keys) || columns[value]!.name;
    let series = groups.get(label);
    if (!series) groups.set(label, (series = { label, points: Array<number | null>(times.length).fill(null), total: 0, ...(isRest(row, columns, keys) ? { isRest: true } : {}) }));
    if (v === null) continue;
    series.points[index] = (series.points[index] ?? 0) + v;
    series.total += Math.abs(v);
  }
  const all = [...groups.values()].sort((a, b) => b.total - a.total);
  return { times, series: all.slice(0, most), left: Math.max(0, all.length - most) };
}

// Several amounts of one kind side by side, a row for each time. Nothing of a kind is an amount of 0.
export function wideData(columns: Column[], rows: Row[], values: number[]): TimeData {
  const { time } = shapeOf(columns);
  const sorted = rows.map((row) => ({ t: Date.parse(row[time] as string) / 1000, row })).sort((a, b) => a.t - b.t);
  const series = values.map((v) => {
    const points = sorted.map(({ row }) => numberOf(row[v]!) ?? 0);
    return { label: columns[v]!.name, points, total: points.reduce((sum, p) => sum + Math.abs(p), 0) };
  });
  return { times: sorted.map(({ t }) => t), series, left: 0 };
}

// --- bars --------------------------------------------------------------------------------------------------------------------

export interface Bar {
  label: string;
  value: number | null;
  row: Row;
}
export const barsMax = 60;

export function barData(columns: Column[], rows: Row[], value: number): { bars: Bar[]; left: number } {
  const { time, keys } = shapeOf(columns);
  const parts = time >= 0 ? [time, ...keys] : keys;
  const bars = rows.slice(0, barsMax).map((row, i) => ({
    label: nameOf(row, columns, parts) || `row ${i + 1}`,
    value: numberOf(row[value]!),
    row,
  }));
  return { bars, left: Math.max(0, rows.length - barsMax) };
}

// `others` marks the row that sums up the rest; its own keys are null then and would say nothing.
const restMark = (columns: Column[], keys: number[]) => keys.find((k) => columns[k]!.name === "others" && columns[k]!.type === "bool");
function isRest(row: Row, columns: Column[], keys: number[]): boolean {
  const mark = restMark(columns, keys);
  return mark !== undefined && row[mark] === true;
}

// What a row is called: its keys.
function nameOf(row: Row, columns: Column[], keys: number[]): string {
  const mark = restMark(columns, keys);
  if (isRest(row, columns, keys)) {
    const time = keys.find((k) => columns[k]!.type === "timestamp");
    return time === undefined ? "all others" : `${labelOf(row, columns, time)} · all others`;
  }
  return keys.filter((k) => k !== mark).map((k) => labelOf(row, columns, k)).join(" · ");
}
function labelOf(row: Row, columns: Column[], k: number): string {
  const value = row[k]!;
  return value === null ? "(not known)" : cell(value, columns[k]!);
}

// --- who talks to whom -------------------------------------------------------------------------------------------------------

export interface Talk {
  source: string;
  target: string;
  value: number;
}
export interface TalkerData {
  talks: Talk[];   // the greatest, descending
  sources: { name: string; value: number }[];
  targets: { name: string; value: number }[];
  left: number;    // pairs that are not here
  isIp: [boolean, boolean];
}
export const talksMax = 40;

// `value` -1: each row counts one.
export function talkerData(columns: Column[], rows: Row[], value: number, most = talksMax): TalkerData {
  const found = ends(columns, shapeOf(columns).keys);
  if (!found) return { talks: [], sources: [], targets: [], left: 0, isIp: [false, false] };
  const [a, b] = found;
  const pairs = new Map<string, Talk>();
  for (const row of rows) {
    const source = labelOf(row, columns, a), target = labelOf(row, columns, b);
    const v = value < 0 ? 1 : numberOf(row[value]!) ?? 0;
    const key = JSON.stringify([source, target]);
    const talk = pairs.get(key);
    if (talk) talk.value += v;
    else pairs.set(key, { source, target, value: v });
  }
  const all = [...pairs.values()].filter((t) => t.value > 0).sort((x, y) => y.value - x.value);
  const talks = all.slice(0, most);
  const sum = (end: "source" | "target") => {
    const sums = new Map<string, number>();
    for (const t of talks) sums.set(t[end], (sums.get(t[end]) ?? 0) + t.value);
    return [...sums].map(([name, v]) => ({ name, value: v })).sort((x, y) => y.value - x.value);
  };
  return { talks, sources: sum("source"), targets: sum("target"), left: all.length - talks.length, isIp: [columns[a]!.type === "ip", columns[b]!.type === "ip"] };
}
