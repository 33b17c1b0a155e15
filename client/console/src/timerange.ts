// Ranges of time, as the server's `from` and `to` take them: "now-15m", "now", RFC 3339. Both empty: what the query says.

export interface TimeRange {
  from: string;
  to: string;
}

export const presets: [label: string, range: TimeRange][] = [
  ["Last 15 minutes", { from: "now-15m", to: "" }],
  ["Last hour", { from: "now-1h", to: "" }],
  ["Last 6 hours", { from: "now-6h", to: "" }],
  ["Last day", { from: "now-1d", to: "" }],
  ["Last 7 days", { from: "now-7d", to: "" }],
  ["Last 30 days", { from: "now-30d", to: "" }],
];

const unitMs: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3 };

// Milliseconds since 1970; undefined: not a time. The server has the last word; this is for moving and drawing.
export function readTime(text: string, now: number): number | undefined {
  const relative = /^now(?:-(\d+)([smhdw]))?$/.exec(text);
  if (relative) return now - Number(relative[1] ?? 0) * (unitMs[relative[2] ?? "s"] ?? 0);
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

export function rangeLabel(range: TimeRange): string {
  if (!range.from && !range.to) return "As the query says";
  const preset = presets.find(([, r]) => r.from === range.from && (r.to === range.to || (!r.to && range.to === "now")));
  if (preset) return preset[0];
  const last = /^now-(\d+)([smhdw])$/.exec(range.from);
  if (last && (!range.to || range.to === "now")) return `Last ${last[1]} ${{ s: "second", m: "minute", h: "hour", d: "day", w: "week" }[last[2] as "s"]}${last[1] === "1" ? "" : "s"}`;
  return `${shortTime(range.from) || "the beginning"} – ${shortTime(range.to) || "now"}`;
}

function shortTime(text: string): string {
  return text.startsWith("now") ? text : text.replace("T", " ").replace(/(:\d\d)(:00)?(\.0+)?Z$/, "$1 UTC");
}

// Whole milliseconds, as RFC 3339 in UTC.
export function isoTime(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

// The range moved by its own length; undefined where it has no fixed ends.
export function moved(range: TimeRange, steps: number, now: number): TimeRange | undefined {
  if (!range.from) return undefined;
  const from = readTime(range.from, now), to = readTime(range.to || "now", now);
  if (from === undefined || to === undefined || from >= to) return undefined;
  const by = (to - from) * steps;
  return { from: isoTime(from + by), to: isoTime(to + by) };
}

// A bin for about `bins` points over the range, from the lengths that people read easily.
export function niceBin(lengthMs: number, bins = 120): string {
  const lengths: [string, number][] = [
    ["1s", 1e3], ["5s", 5e3], ["10s", 10e3], ["30s", 30e3], ["1m", 60e3], ["2m", 120e3], ["5m", 300e3], ["10m", 600e3], ["15m", 900e3],
    ["30m", 1800e3], ["1h", 3600e3], ["2h", 7200e3], ["6h", 21600e3], ["12h", 43200e3], ["1d", 86400e3], ["7d", 7 * 86400e3],
  ];
  return (lengths.find(([, ms]) => lengthMs / ms <= bins) ?? lengths[lengths.length - 1]!)[0];
}
