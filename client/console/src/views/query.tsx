// Ask, and see the answer as a table, over time, as bars, or as who talks to whom.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ComponentType } from "preact";
import { Bars } from "../bars.tsx";
import type { Editor } from "../editor.ts";
import { count, literal } from "../format.ts";
import { Account, FaultBox, Tabs, TimeChooser, Warnings } from "../parts.tsx";
import { type Settings, writePlace } from "../place.ts";
import { QueryBox } from "../querybox.tsx";
import { recall, remember } from "../recent.ts";
import { type Answer, type Column, type Fault, faultFrom, ok, query, request, type Row, type Value } from "../server.ts";
import { bestDrawing, type Drawing, drawnOf, hindrance, orderOfFlows, shapeOf, timeData } from "../shapes.ts";
import { type CellAction, Table } from "../table.tsx";
import { Talkers } from "../talkers.tsx";
import type { ViewProps } from "../app.tsx";
import { isoTime } from "../timerange.ts";

const examples: [string, string][] = [
  ["Who moves the most?", "last 1d | dedup | top 20 src_ip, dst_ip by volume = sum(bytes)"],
  ["What goes over the network, and when?", "last 1d | timeseries bytes = sum(bytes) every 15m by dst_port limit 8"],
  ["Who knocks on many doors?", "last 1d | where tcp_flags == S | stats ports = dcount(dst_port), hosts = dcount(dst_ip), flows = count() by src_ip | where ports > 100 | sort ports desc"],
  ["What was refused?", "last 1d | where action == reject | top 20 dst_port by flows = count()"],
  ["The newest flows", "last 15m | sort ts desc | limit 200 | select ts, src_ip, src_port, dst_ip, dst_port, protocol, bytes, packets, action"],
];
const limits = [1_000, 10_000, 100_000];

const drawings: [Drawing, string][] = [["table", "Table"], ["time", "Over time"], ["bars", "Bars"], ["talkers", "Talkers"]];

type TimeChartType = ComponentType<{ data: ReturnType<typeof timeData>; value: Column; label: string; theme: string; height?: number; onRange?: (from: number, to: number) => void }>;

export function useTimeChart(): TimeChartType | undefined {
  const [Chart, setChart] = useState<TimeChartType>();
  useEffect(() => void import("../timechart.tsx").then((module) => setChart(() => module.default as TimeChartType)), []);
  return Chart;
}

// A stage that keeps or leaves out rows with this value.
export function filterStage(column: Column, value: Value, keep: boolean): string | undefined {
  const name = /^[A-Za-z_][\w.]*$/.test(column.name) ? column.name : `\`${column.name.replace(/`/g, "")}\``;
  const text = literal(value, column);
  if (text === undefined) return undefined;
  return value === null ? `where ${name} is ${keep ? "" : "not "}null` : `where ${name} ${keep ? "==" : "!="} ${text}`;
}

export default function QueryView({ place, go, theme, editorSoon }: ViewProps) {
  const { q = "", from = "", to = "", as = "", value = "" } = place.settings;
  const limit = limits.find((n) => String(n) === place.settings.max) ?? limits[1]!;
  const [text, setText] = useState(q);
  const [answer, setAnswer] = useState<Answer>();
  const [fault, setFault] = useState<Fault>();
  const [running, setRunning] = useState<AbortController>();
  const [turn, setTurn] = useState(0);
  const byHand = useRef<string | null>(null);
  const editor = useRef<Editor | null>(null);
  const set = (settings: Settings) => go({ view: "query", settings: { ...place.settings, ...settings } });

  const run = (asked: string) => {
    if (!asked.trim()) return;
    byHand.current = asked;
    remember(asked);
    setText(asked);
    // What the answer is drawn as is chosen anew for another query.
    go({ view: "query", settings: { ...place.settings, q: asked, ...(asked === q ? {} : { as: "", value: "", sort: "" }) } });
    setTurn((t) => t + 1);
  };
  useEffect(() => {
    setText(q);
    setFault(undefined);
    if (!q.trim()) {
      setAnswer(undefined);
      return;
    }
    const stop = new AbortController();
    // A link may ask, but only a person may change something.
    const readOnly = byHand.current !== q;
    byHand.current = null;
    setRunning(stop);
    query(q, { from, to, limit, signal: stop.signal, readOnly })
      .then((a) => setAnswer(a))
      .catch((error: unknown) => {
        if (stop.signal.aborted) return;
        setAnswer(undefined);
        const met = faultFrom(error);
        setFault(readOnly && met.status === 403 ? { ...met, hint: "A link changes nothing by itself. Run does, if you may." } : met);
      })
      .finally(() => setRunning((was) => (was === stop ? undefined : was)));
    return () => stop.abort();
  }, [q, from, to, limit, turn]);

  const add = (stage: string) => run(`${(editor.current?.text() ?? text).trimEnd()}\n| ${stage}`);

  return (
    <div class="view query">
      <section class="ask" aria-label="Query">
        <QueryBox handle={editor} editorSoon={editorSoon} text={q} label="Query in FlowQL" hint="Ask something: dst_port == 443 last 1h | top 10 src_ip by sum(bytes)" onChange={setText} onRun={run} />
        <div class="tools">
          <button class="primary" onClick={() => run(editor.current?.text() ?? text)} disabled={!text.trim()} title="Ctrl+Enter">Run</button>
          {running && <button onClick={() => running.abort()}>Stop</button>}
          <TimeChooser range={{ from, to }} onChange={(range) => set({ ...range })} />
          <select aria-label="Rows at most" value={String(limit)} onChange={(e) => set({ max: (e.target as HTMLSelectElement).value })}>
            {limits.map((n) => <option key={n} value={String(n)}>{count(n)} rows</option>)}
          </select>
          <Recent onChoose={(chosen) => { editor.current?.setText(chosen); editor.current?.focus(); }} />
          <span class="working" role="status">{running ? "Asking …" : text !== q && text.trim() ? "Ctrl+Enter runs it" : ""}</span>
        </div>
      </section>
      {fault && <FaultBox fault={fault} goTo={text === q ? (offset, length) => editor.current?.goTo(offset, length) : undefined} />}
      {answer && (
        <Result answer={answer} as={as} valueName={value} withEmpty={place.settings.empty === "1"} sorting={place.settings.sort ?? ""} set={set} theme={theme} question={q} range={{ from, to }}
          onRange={(a, b) => set({ from: isoTime(a), to: isoTime(b) })} onFilter={add} onFault={setFault} />
      )}
      {!q && !answer && (
        <section class="start">
          <h2>Questions to begin with</h2>
          <ul>
            {examples.map(([label, example]) => (
              <li key={label}><a href={writePlace({ view: "query", settings: { q: example } })}>{label}</a><code>{example}</code></li>
            ))}
          </ul>
          <p class="quiet">Completion opens while you type; <kbd>Ctrl</kbd>+<kbd>Space</kbd> asks for it. <kbd>?</kbd> outside the editor shows all keys.</p>
        </section>
      )}
    </div>
  );
}

function Recent({ onChoose }: { onChoose(text: string): void }) {
  const [list, setList] = useState<string[]>([]);
  return (
    <select aria-label="Recent queries" class="recent" value="" onFocus={() => setList(recall())} onMouseDown={() => setList(recall())}
      onChange={(e) => {
        const chosen = list[Number((e.target as HTMLSelectElement).value)];
        (e.target as HTMLSelectElement).value = "";
        if (chosen) onChoose(chosen);
      }}>
      <option value="">Recent …</option>
      {list.map((text, i) => <option key={i} value={String(i)}>{text.replace(/\s+/g, " ").slice(0, 110)}</option>)}
    </select>
  );
}

interface ResultProps {
  answer: Answer;
  as: string;
  valueName: string;
  withEmpty: boolean; // columns in which no row has anything
  sorting: string;
  set(settings: Settings): void;
  theme: string;
  question: string;
  range: { from: string; to: string };
  onRange(from: number, to: number): void;
  onFilter(stage: string): void;
  onFault(fault: Fault): void;
}

function Result({ answer, as, valueName, withEmpty, sorting, set, theme, question, range, onRange, onFilter, onFault }: ResultProps) {
  const Chart = useTimeChart();
  const { columns, rows } = answer;
  const shape = useMemo(() => shapeOf(columns), [columns]);
  const wanted = drawings.find(([d]) => d === as)?.[0];
  const drawing = wanted && !hindrance(wanted, columns) ? wanted : bestDrawing(columns, rows, answer.render);
  const value = shape.values.find((v) => columns[v]!.name === valueName) ?? shape.values[0] ?? -1;
  const data = useMemo(() => (drawing === "time" ? timeData(columns, rows, value) : undefined), [answer, drawing, value]);
  const flows = useMemo(() => (drawing === "table" ? orderOfFlows(columns, rows, withEmpty) : undefined), [answer, drawing, withEmpty]);
  const addressHref = (ip: string) => writePlace({ view: "address", settings: { ip, ...(range.from ? range : {}) } });

  const actions = (v: Value, column: Column): CellAction[] => {
    const out: CellAction[] = [];
    if (column.type === "ip" && typeof v === "string") out.push({ label: "Look into this address", run: () => { location.hash = addressHref(v); } });
    const keep = filterStage(column, v, true), leave = filterStage(column, v, false);
    if (keep) out.push({ label: "Only rows with this", run: () => onFilter(keep) });
    if (leave) out.push({ label: "Only rows without this", run: () => onFilter(leave) });
    return out;
  };
  return (
    <section class="result" aria-label="Answer">
      <Warnings warnings={answer.warnings} />
      <div class="tools">
        <Tabs label="Show as" chosen={drawing} onChoose={(id) => set({ as: id })} tabs={drawings.map(([id, label]) => ({ id, label, hindrance: hindrance(id, columns) }))} />
        {drawing !== "table" && shape.values.length > 1 && (
          <select aria-label="Amount" value={columns[value]?.name} onChange={(e) => set({ value: (e.target as HTMLSelectElement).value })}>
            {shape.values.map((v) => <option key={v} value={columns[v]!.name}>{columns[v]!.name}</option>)}
          </select>
        )}
        <Account answer={answer} />
        {!!flows?.empty && rows.length > 0 && <button aria-pressed={withEmpty} onClick={() => set({ empty: withEmpty ? "" : "1" })}>{withEmpty ? "Hide" : "Show"} {count(flows.empty)} empty columns</button>}
        <button onClick={() => void download(question, range).catch((error: unknown) => onFault(faultFrom(error)))} title="All rows, as comma-separated values">CSV</button>
      </div>
      {drawing !== "table" && rows.length > 0 && <p class="note drawn">{drawnOf(columns, value)}</p>}
      {rows.length === 0 ? (
        <p class="quiet pad">Nothing matches.</p>
      ) : drawing === "time" ? (
        Chart && data ? <Chart data={data} value={columns[value]!} label={columns[value]!.name} theme={theme} height={Math.max(260, Math.min(480, innerHeight - 480))} onRange={onRange} /> : <p class="quiet pad">Loading …</p>
      ) : drawing === "bars" ? (
        <Bars columns={columns} rows={rows} value={value} label={columns[value]!.name} href={(row) => ipIn(row, columns, addressHref)} />
      ) : drawing === "talkers" ? (
        <Talkers columns={columns} rows={rows} value={value} label="Who talks to whom" addressHref={addressHref} />
      ) : (
        <Table columns={columns} rows={rows} order={flows?.order} label="Rows of the answer" actions={actions} sorting={sorting} onSort={(sort) => set({ sort })} />
      )}
    </section>
  );
}

// A bar of one address leads to its page.
function ipIn(row: Row, columns: Column[], href: (ip: string) => string): string | undefined {
  const ips = columns.flatMap((c, i) => (c.type === "ip" && typeof row[i] === "string" ? [row[i] as string] : []));
  return ips.length === 1 ? href(ips[0]!) : undefined;
}

async function download(question: string, range: { from: string; to: string }): Promise<void> {
  const q = new URLSearchParams({ q: question, format: "csv", ...(range.from ? { from: range.from } : {}), ...(range.to ? { to: range.to } : {}) });
  const blob = await (await ok(await request(`/v1/query?${q}`))).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "sluice.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
