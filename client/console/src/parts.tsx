// Small parts that views are made of.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { factsOf } from "./known.ts";
import { writePlace } from "./place.ts";
import type { Answer, Column, Fault, Row } from "./server.ts";
import { bytes, count, milliseconds, time } from "./format.ts";
import { isoTime, presets, rangeLabel, type TimeRange } from "./timerange.ts";

// An error as the server tells it: what, where in the text, and what may help. Bounds that were met are named as such.
export function FaultBox({ fault, goTo }: { fault: Fault; goTo?: (offset: number, length: number) => void }) {
  const isLimit = ["deadline", "too_large", "full"].includes(fault.code) || fault.status === 429;
  const place = fault.line ? `line ${fault.line}, column ${fault.column}` : "";
  return (
    <div class={`fault${isLimit ? " limit" : ""}`} role="alert">
      <p>
        <strong>{isLimit ? "A limit of the server: " : ""}{fault.message}</strong>
        {place && (goTo && fault.offset !== undefined ? <> <button class="link" onClick={() => goTo(fault.offset!, fault.length ?? 0)}>{place}</button></> : <span class="quiet"> {place}</span>)}
      </p>
      {fault.caret && <pre class="caret">{fault.caret}</pre>}
      {fault.hint && <p class="hint">{fault.hint}</p>}
      {fault.retryAfter && <p class="hint">It asks to come back in {fault.retryAfter} s.</p>}
    </div>
  );
}

// Of a view that loads again by itself: said once, above it, for all that it shows is from before.
export function LoadFault({ fault }: { fault: Fault }) {
  return <FaultBox fault={fault.status === 0 ? { ...fault, hint: "It is asked again. Until then, what is shown is from before." } : fault} />;
}

// A time to the second, which no line's end cuts at a hyphen.
export function Moment({ text }: { text: string }) {
  return <span class="moment">{time(text).slice(0, 19)}</span>;
}

// What an answer says of itself. Missing data comes first: an answer over it is not the whole truth.
export function Warnings({ warnings }: { warnings: string[] }) {
  if (warnings.length === 0) return null;
  const isLoss = (w: string) => w.startsWith("known loss") || w.includes("damaged");
  const sorted = [...warnings].sort((a, b) => Number(isLoss(b)) - Number(isLoss(a)));
  return (
    <ul class="warnings" aria-label="Warnings">
      {sorted.map((w, i) => (
        <li key={i} class={isLoss(w) ? "loss" : ""}>
          {isLoss(w) && <strong>Data is missing: </strong>}
          {w.replace(/^known loss: /, "").split(/(\d{4}-\d\d-\d\dT[\d:.]+Z)/).map((part, at) => (at % 2 ? <span key={at} class="moment">{part}</span> : part))}
        </li>
      ))}
    </ul>
  );
}

export function Account({ answer }: { answer: Answer }) {
  const { stats: s, range } = answer;
  const parts = [
    `${count(answer.rows.length)} ${answer.rows.length === 1 ? "row" : "rows"}`,
    `${milliseconds(s.elapsed_ms ?? 0)}`,
    s.rows_scanned ? `${count(s.rows_scanned)} flows scanned, ${count(s.rows_matched ?? 0)} matched` : "",
    s.kept_rows ? `${count(s.kept_rows)} ${s.rows_scanned ? "more" : "flows"} known from before` : "",
    s.bytes_read ? `${bytes(s.bytes_read)} read` : "",
    s.segments ? `${count(s.segments - (s.segments_pruned ?? 0))} of ${count(s.segments)} segments` : "",
  ].filter(Boolean);
  return (
    <p class="account" title={s.kept_segments ? `Of ${count(s.kept_segments)} segments the server knew what they come to from a question before` : undefined}>
      {parts.join(" · ")}
      {range && (range.from || range.to) && <span class="covered"> · covers {range.from ? <Moment text={range.from} /> : "the beginning"} to {range.to ? <Moment text={range.to} /> : "the end"} UTC</span>}
    </p>
  );
}

export function TimeChooser({ range, onChange, allowNone = true }: { range: TimeRange; onChange(range: TimeRange): void; allowNone?: boolean }) {
  const [isOpen, setOpen] = useState(false);
  const [from, setFrom] = useState(range.from);
  const [to, setTo] = useState(range.to);
  useEffect(() => {
    setFrom(range.from);
    setTo(range.to);
  }, [range.from, range.to]);
  const preset = presets.findIndex(([, r]) => r.from === range.from && r.to === range.to);
  const isNone = !range.from && !range.to;
  return (
    <div class="time">
      <select
        aria-label="Time range"
        value={isOpen ? "custom" : isNone ? "none" : preset >= 0 ? String(preset) : "shown"}
        onChange={(event) => {
          const chosen = (event.target as HTMLSelectElement).value;
          setOpen(chosen === "custom");
          if (chosen === "none") onChange({ from: "", to: "" });
          else if (chosen !== "custom" && chosen !== "shown") onChange(presets[Number(chosen)]![1]);
        }}
      >
        {allowNone && <option value="none">As the query says</option>}
        {!isNone && preset < 0 && <option value="shown">{rangeLabel(range)}</option>}
        {presets.map(([label], i) => <option key={label} value={String(i)}>{label}</option>)}
        <option value="custom">From … to …</option>
      </select>
      {isOpen && (
        <form class="custom" onSubmit={(event) => {
          event.preventDefault();
          setOpen(false);
          onChange({ from: from.trim(), to: to.trim() });
        }}>
          <label>From <input value={from} placeholder="now-3h" onInput={(e) => setFrom((e.target as HTMLInputElement).value)} /></label>
          <label>to <input value={to} placeholder="now" onInput={(e) => setTo((e.target as HTMLInputElement).value)} /></label>
          <button type="submit">Set</button>
          <button type="button" onClick={() => setOpen(false)}>Cancel</button>
          <p class="note">Such as now-90m, 2026-11-26T08:00:00Z, or <button type="button" class="link" onClick={() => { setFrom(isoTime(new Date().setUTCHours(0, 0, 0, 0))); setTo(""); }}>today</button>. Times are UTC.</p>
        </form>
      )}
    </div>
  );
}

export function Tabs<T extends string>({ label, tabs, chosen, onChoose }: { label: string; tabs: { id: T; label: string; hindrance?: string }[]; chosen: T; onChoose(id: T): void }) {
  return (
    <div class="tabs" role="group" aria-label={label}>
      {tabs.map((tab) => (
        <button key={tab.id} aria-pressed={tab.id === chosen} disabled={!!tab.hindrance} title={tab.hindrance ? `${tab.label} ${tab.hindrance}` : undefined} onClick={() => onChoose(tab.id)}>
          {tab.label}
        </button>
      ))}
    </div>
  );
}

export function Panel({ title, children, aside, wide }: { title: ComponentChildren; children: ComponentChildren; aside?: ComponentChildren; wide?: boolean }) {
  return (
    <section class={`panel${wide ? " wide" : ""}`}>
      <header><h2>{title}</h2>{aside}</header>
      {children}
    </section>
  );
}

// All that a row of one of the server's own tables says.
export function RowFacts({ columns, row }: { columns: Column[]; row: Row }) {
  const { facts, nothing } = factsOf(columns, row);
  return (
    <>
      <dl class="facts">
        {facts.map(({ word, text, column, value }) => (
          <div key={column.name} title={column.name}><dt>{word}</dt><dd>{column.type === "ip" ? <a href={writePlace({ view: "address", settings: { ip: String(value) } })}>{text}</a> : text}</dd></div>
        ))}
      </dl>
      {nothing.length > 0 && <p class="note pad">Nothing: {nothing.join(", ")}.</p>}
    </>
  );
}

export function Tile({ label, value, tone, title }: { label: string; value: string; tone?: string; title?: string }) {
  return (
    <div class={`tile ${tone ?? ""}${value.length > 13 ? " long" : ""}`} title={title}>
      <span class="tile-value">{value}</span>
      <span class="tile-label">{label}</span>
    </div>
  );
}
