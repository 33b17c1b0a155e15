// The server's own tables as people read them: which columns tell how things are and in which order, and what they are called. What has no
// room, and the other columns, a row tells when it is opened. Pure.
import { cell } from "./format.ts";
import type { Column, Row, Value } from "./server.ts";

// A column's name; behind "=" what it is called in this table; with "?" before it the column is there only where a row has something in it.
// Texts that take what room is left end with the pixels that they want at least: "message>260".
export type Chosen = string[];

export const exporterColumns: Chosen = [
  "exporter_ip=address", "?name", "formats", "flows", "lost", "?lost_unit=of what", "last_seen", "clock_skew", "?bad_packets", "?bad_records", "?lost_samples", "?sample_drops", "?pending_dropped", "?unsupported_packets",
  "bytes=received", "?restarts", "?sampling_rates=sampled 1 in", "?sampling_configured=set to 1 in", "?origin",
];
export const sourceColumns: Chosen = ["name=format", "accepted=flows", "bytes=received", "rejected", "?skipped_data", "?failed", "?warned=warnings", "bodies=requests", "?duplicates", "?no_data", "description>160"];
export const feedColumns: Chosen = ["name=feed", "state", "kind", "lag=behind", "rows=flows", "?errors", "?set_aside", "?rejected", "?waiting_objects", "last_error>200", "bytes=fetched", "?skipped_data", "objects", "last_object_time", "last_at=looked at"];
export const lossColumns: Chosen = ["who", "lost", "unit=of what", "from", "to", "how>160"];
export const packetErrorColumns: Chosen = ["exporter_ip=exporter", "count=times", "reason>200", "last", "first", "?domain", "?template_id=template"];
export const feedErrorColumns: Chosen = ["at", "feed", "reason>200", "object>160"];
export const interfaceColumns: Chosen = ["exporter", "?exporter_name", "interface=number", "name", "?speed", "?admin_up", "?oper_up", "description>120", "told_by"];
export const storageColumns: Chosen = ["column", "bytes=in all", "bytes_per_flow", "?damaged", "?dictionary_bytes", "?posting_bytes", "data_bytes", "distinct_max", "segments"];
export const segmentColumns: Chosen = ["first=from", "?damaged", "rows=flows", "bytes", "last=to", "bytes_per_flow", "?reason>160", "id", "path>120"];
export const targetColumns: Chosen = ["name=target", "kind", "?failures", "?refused", "?expired", "?dropped", "delivered", "waiting", "lag=behind", "last_success_at", "last_error>160", "tells", "to>120"];
export const alertColumns: Chosen = ["severity", "message>440", "ts=began", "state", "rule", "matches=windows", "key=about"];
export const ruleColumns: Chosen = ["name=rule>170", "severity", "state", "alerts", "open_alerts", "flows=flows met", "?flows_read", "?late_flows", "?dropped_flows", "?let_go_groups", "?partial_groups", "window", "lag=behind", "groups", "watermark", "?note>160"];

// Where a name with its underscores as blanks does not say it, or says it worse.
const words: Record<string, string> = {
  accepted: "flows", admin_up: "switched on", at: "when", bad_packets: "unreadable packets", bad_records: "unreadable records", bad_sets: "unreadable sets", bodies: "requests", bytes_per_flow: "a flow",
  clamped_times: "times set right", clock_skew: "clock off by", clock_skew_max: "clock off at most", clock_skew_min: "clock off at least", counter_samples: "counter samples (no flows)", data_bytes: "values", description: "what it is",
  dictionary_bytes: "dictionaries", discards: "discarded packets told", distinct_max: "values in a segment", domains: "observation domains", dropped_flows: "not counted", duplicates: "had before", effective_sampling_rate: "in effect sampled 1 in",
  exporter_ip: "address", exporter_port: "port", failed: "failed", first: "first", groups: "groups held", let_go_groups: "groups let go", partial_groups: "counted in part", lost_groups: "groups lost, about", how: "how that is known", last_at: "last looked", last_error: "last error", last_object_time: "newest object", late_flows: "too late", lines: "read by lines",
  lost_samples: "lost samples", lost_unit: "what is lost", names: "names told", no_data: "without data", oper_up: "up", options_records: "records of options", pending_bytes: "waits for templates", pending_decoded: "read once a template came",
  pending_dropped: "no template came", posting_bytes: "indexes", reason: "why", reordered: "out of order", sample_drops: "dropped by its sampler", sampling_rates: "sampled 1 in", sampling_configured: "set to sample 1 in", sender_ip: "sent by", set_aside: "set aside", skipped_data: "lost by the source",
  template_changes: "templates changed", told_by: "told by", unknown_formats: "samples of other kinds", unsupported_packets: "unsupported packets", warned: "warnings", watermark: "has seen all to", ts: "began",
};

// The worst last, as they sort.
export const severities = ["info", "low", "medium", "high", "critical"];

export function wordFor(name: string): string {
  return words[name] ?? name.replaceAll("_", " ");
}

const isNothing = (value: Value | undefined) => value === null || value === undefined || value === "" || value === 0 || value === false || (Array.isArray(value) && value.length === 0);

export function forPeople(answer: { columns: Column[]; rows: Row[] }, chosen: Chosen): { columns: Column[]; rows: Row[] } {
  const at: number[] = [], columns: Column[] = [];
  for (const text of chosen) {
    const [, rare, name, label, least] = /^(\??)([^=>]+)(?:=([^>]+))?(?:>(\d+))?$/.exec(text)!;
    const i = answer.columns.findIndex((c) => c.name === name);
    if (i < 0 || (rare && answer.rows.every((row) => isNothing(row[i])))) continue;
    const column = answer.columns[i]!;
    at.push(i);
    columns.push({ ...column, label: label ?? wordFor(column.name), seconds: true, ...(column.name === "severity" ? { ranks: severities } : {}), ...(least ? { least: Number(least) } : {}), ...unitOf(column) });
  }
  return { columns, rows: answer.rows.map((row) => at.map((i) => row[i]!)) };
}

// Sizes that the server gives as plain numbers.
function unitOf(column: Column): Partial<Column> {
  return column.unit || column.name !== "bytes_per_flow" ? {} : { unit: "bytes" };
}

// All that a row says, in words: what there is, and the names of what there is nothing of.
export function factsOf(columns: Column[], row: Row): { facts: { word: string; text: string; column: Column; value: Value }[]; nothing: string[] } {
  const facts: { word: string; text: string; column: Column; value: Value }[] = [], nothing: string[] = [];
  columns.forEach((column, i) => {
    const value = row[i]!;
    if (isNothing(value)) nothing.push(wordFor(column.name));
    else facts.push({ word: wordFor(column.name), text: value === true ? "yes" : cell(value, { ...column, ...unitOf(column) }), column, value });
  });
  return { facts, nothing };
}
