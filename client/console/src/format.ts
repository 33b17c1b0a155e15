// Values as people read them. What the server sends stays what it is; only its looks are decided here.
import type { Column, Value } from "./server.ts";

const sizes = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

// In powers of 1000, as FlowQL's format_bytes and the prompt write them. `digits`: so many that count and no zeros behind them, for the ticks of
// an axis, which are not to be rounded into each other.
export function bytes(n: number, digits = 0): string {
  let i = 0;
  let v = Math.abs(n);
  while (v >= 999.5 && i < sizes.length - 1) {
    v /= 1000;
    ++i;
  }
  const text = digits ? String(Number(v.toPrecision(digits))) : v >= 99.95 || (i === 0 && Number.isInteger(v)) ? v.toFixed(0) : v.toFixed(1);
  return `${n < 0 ? "-" : ""}${text} ${sizes[i]}`;
}

// 1234567 -> "1,234,567". The same everywhere, so that a screenshot can be talked about.
export function count(n: number | bigint): string {
  if (typeof n === "number" && !Number.isInteger(n)) {
    const text = Math.abs(n) >= 1000 ? n.toFixed(1) : String(Number(n.toPrecision(6)));
    return text.replace(/^(-?\d+)/, (whole) => grouped(whole));
  }
  return grouped(String(n));
}
function grouped(digits: string): string {
  return /^-?\d+$/.test(digits) ? digits.replace(/\B(?=(\d{3})+$)/g, ",") : digits;
}

// For axes and tiles: 1.2M
export function shortCount(n: number): string {
  const v = Math.abs(n);
  if (v < 10_000) return count(Number(n.toPrecision(4)));
  for (const [by, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] as const)
    if (v >= by) return `${(n / by).toFixed(v / by < 10 ? 2 : v / by < 100 ? 1 : 0)}${unit}`;
  return String(n);
}

export function milliseconds(ms: number): string {
  const v = Math.abs(ms);
  if (v < 1) return `${Number(ms.toPrecision(2))} ms`;
  if (v < 1000) return `${ms.toFixed(v < 10 ? 1 : 0)} ms`;
  if (v < 60e3) return `${(ms / 1e3).toFixed(v < 10e3 ? 2 : 1)} s`;
  const whole = Math.round(v / 1e3);
  const parts: [number, string][] = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "m"], [whole % 60, "s"]];
  const first = parts.findIndex(([n]) => n > 0);
  return (ms < 0 ? "-" : "") + parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n}${unit}`).join(" ");
}

// "2026-11-26T12:00:00.512345Z" -> "2026-11-26 12:00:00.512". Times are UTC, here as in FlowQL.
export function time(text: string): string {
  return text.replace("T", " ").replace(/(\.\d{3})\d*/, "$1").replace(/Z$/, "");
}

export function ago(text: string | null, now: number): string {
  const at = text ? Date.parse(text) : NaN;
  if (Number.isNaN(at)) return "never";
  const ms = now - at;
  return ms < 0 ? `in ${milliseconds(-ms)}` : ms < 1000 ? "now" : `${milliseconds(ms < 60e3 ? Math.floor(ms / 1e3) * 1e3 : ms).replace(/\.\d+ s$/, " s")} ago`;
}

export function isNumeric(column: Column): boolean {
  return ["uint", "int", "float", "duration"].includes(column.type) && !isCode(column);
}
// Numbers that name something: a sum of them says nothing.
function isCode(column: Column): boolean {
  return column.type === "uint" && !column.unit && /(^|_)(port|protocol|as|asn|if|vlan|vni|icmp|type|code|version|label|domain|tos|id|vrf)(_|$)|^ip_version$/.test(column.name);
}
export function isBytes(column: Column): boolean {
  return column.unit === "bytes" || column.unit === "bytes/s" || (!column.unit && column.type === "uint" && /(^|_)bytes$/.test(column.name));
}
// Of a rate ("bytes/s", "packets/s", "1/s") the second; what is counted its name says.
export function per(column: Column): string {
  return column.unit?.endsWith("/s") ? "/s" : "";
}
export function numberOf(value: Value): number | null {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "boolean") return value ? 1 : 0;
  return null;
}

// As FlowQL names them (IANA's numbers).
const protocols: Record<number, string> = { 1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 89: "ospf", 132: "sctp" };

// A cell's text. Null is told apart from the empty text by its looks (see table.tsx), not by a word that data could have.
export function cell(value: Value, column: Column): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "bigint") {
    if (column.type === "duration") return milliseconds(Number(value));
    if (isBytes(column)) return bytes(Number(value)) + per(column);
    if (column.name === "protocol" && protocols[Number(value)]) return protocols[Number(value)]!;
    return isNumeric(column) ? count(value) + per(column) : String(value);
  }
  if (typeof value === "boolean") return column.label ? (value ? "yes" : "no") : value ? "true" : "false";
  if (typeof value === "string") return column.type !== "timestamp" ? value : column.seconds ? time(value).slice(0, 19) : time(value);
  if (Array.isArray(value)) return value.join(", ");
  return Object.entries(value).map(([k, v]) => `${k}=${v}`).join(" ");
}

// A rule's text where it came in one line, as rules that are made of others do: its clauses and stages in lines of their own. What is in quotes or
// brackets stays together. Only for the eye; the text is the same but for its blanks.
const ruleClauses = /^(severity|technique|tags|description|needs|false_positives|parameters|severity_when|fires|quiet|every|message)\b/;
export function inLines(text: string): string {
  if (text.trim().includes("\n")) return text;
  let out = "", depth = 0, inQuery = false;
  for (let i = 0; i < text.length; ++i) {
    const c = text[i]!;
    if (c === '"' || c === "'" || c === "`") {
      let end = i + 1;
      while (end < text.length && text[end] !== c) end += text[end] === "\\" && c !== "`" ? 2 : 1;
      out += text.slice(i, end + 1);
      i = end;
      continue;
    }
    if ("([{".includes(c)) ++depth;
    if (")]}".includes(c)) --depth;
    const rest = depth === 0 && c === " " ? text.slice(i + 1) : "";
    if (/^as from\b/.test(rest) || /^alert by\b/.test(rest)) {
      inQuery = rest.startsWith("as");
      out += "\n";
    } else if (inQuery ? /^\|[^|]/.test(rest) : ruleClauses.test(rest)) {
      out += "\n  ";
    } else {
      out += c;
    }
  }
  return out;
}

// A value's exact text, for copying and for titles.
export function exact(value: Value): string {
  if (value === null || value === undefined) return "null";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// A value as a literal of FlowQL, so that it is nothing but a value there. undefined: there is none.
export function literal(value: Value, column: Column): string | undefined {
  if (value === null) return "null";
  if (typeof value === "number" || typeof value === "bigint") {
    if (column.type === "duration") return `${value}ms`;
    return Number.isFinite(Number(value)) ? String(value) : undefined;
  }
  if (typeof value === "boolean") return String(value);
  if (typeof value !== "string") return undefined;
  if (column.type === "ip" && /^[0-9a-fA-F:.]+$/.test(value)) return value;
  if (column.type === "timestamp" && /^[0-9T:.Z-]+$/.test(value)) return value;
  return quoted(value);
}

export function quoted(text: string): string {
  const safe = text.replace(/[\\"]/g, "\\$&").replace(/[\x00-\x1f\x7f]/g, (c) => `\\u{${c.charCodeAt(0).toString(16)}}`);
  return `"${safe}"`;
}
