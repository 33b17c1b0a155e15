// Flows as they come in.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ViewProps } from "../app.tsx";
import type { Editor } from "../editor.ts";
import { count } from "../format.ts";
import { FaultBox } from "../parts.tsx";
import { writePlace } from "../place.ts";
import { QueryBox } from "../querybox.tsx";
import { type Column, type Fault, readJson, type Row, type Value } from "../server.ts";
import { follow, type StreamState } from "../stream.ts";
import { orderOfFlows } from "../shapes.ts";
import { type CellAction, Table } from "../table.tsx";
import { filterStage } from "./query.tsx";

const keptMax = 5_000;
const goesOn = "The connection is back, and goes on where it was.";
const seconds = 60;

interface Said {
  at: number;
  text: string;
}

export default function TailView({ place, go, editorSoon }: ViewProps) {
  const q = place.settings.q ?? "";
  const isOn = place.settings.on === "1";
  const [text, setText] = useState(q);
  const [columns, setColumns] = useState<Column[]>([]);
  const [rows, setRows] = useState<Row[]>([]);
  const [state, setState] = useState<StreamState>();
  const [paused, setPaused] = useState(false);
  const [counts, setCounts] = useState({ rows: 0, dropped: 0, lost: 0 });
  const [said, setSaid] = useState<Said[]>([]);
  const [pace, setPace] = useState<number[]>(() => Array<number>(seconds).fill(0));
  const editor = useRef<Editor | null>(null);
  const live = useRef({ rows: [] as Row[], paused: false, thisSecond: 0 });
  live.current.paused = paused;

  const set = (settings: Record<string, string>) => go({ view: "tail", settings: { ...place.settings, ...settings } });
  const start = (asked: string) => {
    setText(asked);
    set({ q: asked, on: "1" });
  };

  useEffect(() => {
    setText(q);
    if (!isOn) return;
    live.current.rows = [];
    live.current.thisSecond = 0;
    setRows([]);
    setColumns([]);
    setCounts({ rows: 0, dropped: 0, lost: 0 });
    setSaid([]);
    setPaused(false);
    const say = (line: string) => setSaid((was) => [{ at: Date.now(), text: line }, ...was].slice(0, 50));
    const end = follow(
      `/v1/tail?${new URLSearchParams({ q: q.trim() || "from flows" })}`,
      ({ name, data }) => {
        const body = readJson<{ columns?: Column[]; rows?: Row[]; dropped?: number; lost?: number; reason?: string; error?: Fault }>(data);
        if (name === "columns" && body.columns) setColumns((was) => (JSON.stringify(was) === JSON.stringify(body.columns) ? was : body.columns!));
        if (name === "rows" && body.rows) {
          const found = body.rows;
          live.current.thisSecond += found.length;
          live.current.rows = [...found.slice().reverse(), ...live.current.rows].slice(0, keptMax);
          setCounts((was) => ({ ...was, rows: was.rows + found.length }));
          if (!live.current.paused) setRows(live.current.rows);
        }
        if (name === "dropped" && body.dropped) {
          live.current.thisSecond += body.dropped;
          setCounts((was) => ({ ...was, dropped: was.dropped + body.dropped! }));
        }
        if (name === "lost" && body.lost) {
          setCounts((was) => ({ ...was, lost: was.lost + body.lost! }));
          say(`${count(body.lost)} flows passed unseen: ${body.reason ?? ""}`);
        }
        if (name === "gap") {
          setSaid((was) => was.filter((s) => s.text !== goesOn));
          say(`The connection is back. There is a gap: ${body.reason ?? ""}`);
        }
        if (name === "error" && body.error) say(body.error.message);
      },
      (next) => {
        setState((was) => {
          if (next.kind === "live" && was?.kind === "waiting") say(goesOn);
          return next;
        });
        if (next.kind === "waiting") say(`The connection is broken (${next.why}).`);
      },
    );
    const timer = setInterval(() => {
      setPace((was) => [...was.slice(1), live.current.thisSecond]);
      live.current.thisSecond = 0;
    }, 1000);
    return () => {
      end();
      clearInterval(timer);
      setState(undefined);
    };
  }, [q, isOn]);

  const resume = () => {
    setPaused(false);
    setRows(live.current.rows);
  };
  const waiting = paused ? live.current.rows.findIndex((r) => r === rows[0]) : 0;
  const addressHref = (ip: string) => writePlace({ view: "address", settings: { ip } });
  const actions = (v: Value, column: Column): CellAction[] => {
    const out: CellAction[] = [];
    if (column.type === "ip" && typeof v === "string") out.push({ label: "Look into this address", run: () => { location.hash = addressHref(v); } });
    const current = (editor.current?.text() ?? q).trim() || "from flows";
    for (const [keep, label] of [[true, "Only flows with this"], [false, "Only flows without this"]] as const) {
      const stage = filterStage(column, v, keep);
      if (stage) out.push({ label, run: () => start(`${current}\n| ${stage}`) });
    }
    return out;
  };
  const most = Math.max(...pace, 1);
  const status = !isOn ? "stopped" : !state || state.kind === "connecting" ? "connecting" : state.kind === "live" ? (paused ? "paused" : "live") : state.kind === "waiting" ? "waiting" : "refused";
  const words = { stopped: "Stopped", connecting: "Connecting …", live: "Live", paused: "Paused; flows are gathered meanwhile", waiting: "Not connected; trying again", refused: "Cannot run" };
  // A hint and not an empty table for who has nothing coming in.
  const isSilent = isOn && status === "live" && counts.rows === 0;
  const order = useMemo(() => orderOfFlows(columns, [], true)?.order, [columns]);
  const table = useMemo(() => <Table columns={columns} rows={rows} order={order} label="Flows, the newest first" actions={actions} sortable={false} />, [columns, rows, q]);

  return (
    <div class="view tail">
      <section class="ask" aria-label="Query">
        <QueryBox handle={editor} editorSoon={editorSoon} text={q} label="Which flows, in FlowQL" hint="All flows. Or such as: dst_port == 22 | select ts, src_ip, dst_ip, bytes" onChange={setText} onRun={start} />
        <div class="tools">
          {isOn ? <button onClick={() => set({ on: "" })}>Stop</button> : null}
          <button class="primary" onClick={() => start(editor.current?.text() ?? text)} disabled={isOn && text === q}>{isOn ? "Follow this" : "Follow"}</button>
          {isOn && state?.kind !== "refused" && <button onClick={() => (paused ? resume() : setPaused(true))} aria-pressed={paused}>{paused ? "Go on" : "Pause"}</button>}
          <span class={`stream-state ${status}`} role="status">{words[status]}</span>
          <span class="account">
            {count(counts.rows)} {counts.rows === 1 ? "flow" : "flows"} shown
            {waiting > 0 && <> · {count(waiting)} new</>}
            {counts.dropped > 0 && <> · <span class="warn" title="They met the query and came faster than 2,000 a second">{count(counts.dropped)} left out, too fast to show</span></>}
            {counts.lost > 0 && <> · <span class="bad">{count(counts.lost)} passed unseen</span></>}
          </span>
          {isOn && (
            <svg class="pace" viewBox={`0 0 ${seconds} 20`} preserveAspectRatio="none" role="img" aria-label={`Flows a second over the last minute, ${most} at most`}>
              {pace.map((n, i) => (n > 0 ? <rect key={i} x={i} y={20 - Math.max(1, (n / most) * 20)} width="0.8" height={Math.max(1, (n / most) * 20)} /> : null))}
            </svg>
          )}
        </div>
      </section>
      {state?.kind === "refused" && <FaultBox fault={state.fault} goTo={(offset, length) => editor.current?.goTo(offset, length)} />}
      {said.length > 0 && (
        <ul class="warnings alone" aria-label="What happened to the stream">
          {said.slice(0, 4).map((s, i) => <li key={`${s.at}-${i}`}><span class="quiet">{new Date(s.at).toISOString().slice(11, 19)}</span> {s.text}</li>)}
        </ul>
      )}
      {columns.length > 0 && state?.kind !== "refused" && (
        <section class="result" aria-label="Flows">
          {isSilent ? <p class="quiet pad">Nothing has come in yet that meets this. The table fills as flows are stored.</p> : table}
        </section>
      )}
      {!isOn && rows.length === 0 && <p class="quiet pad">Flows are shown as they are stored, whatever door they come in by. <kbd>where</kbd>, <kbd>extend</kbd>, <kbd>select</kbd>, <kbd>drop</kbd> and <kbd>rename</kbd> work here; what needs all rows, such as <kbd>stats</kbd>, is for Query.</p>}
    </div>
  );
}
