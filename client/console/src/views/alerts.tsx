// Alerts as they happen, each with the flows behind it and the rule that made it; and the rules themselves.
import { useEffect, useMemo, useState } from "preact/hooks";
import type { ViewProps } from "../app.tsx";
import { count, inLines, milliseconds } from "../format.ts";
import { FaultBox, LoadFault, Moment, Panel, RowFacts, Tabs, Warnings } from "../parts.tsx";
import { type Settings, writePlace } from "../place.ts";
import { type Answer, type Column, getJson, query, readJson, type Row, type Value } from "../server.ts";
import { follow, type StreamState } from "../stream.ts";
import { alertColumns, forPeople, ruleColumns, severities, targetColumns } from "../known.ts";
import { orderOfFlows } from "../shapes.ts";
import { Table } from "../table.tsx";
import { useLoad } from "../use.ts";
import { Answered, heightFor, isAddress } from "./address.tsx";

export interface Alert {
  ts: string;
  rule: string;
  severity: string;
  state: string;
  key: string | null;
  message: string;
  end: string;
  fired_at: string;
  ended_at: string | null;
  matches: number;
  techniques: string[] | null;
  tags: string[] | null;
  values: string[];
  id: string;
  query: string;
}
interface Rule {
  name: string;
  state: string;
  enabled: boolean;
  severity: string | null;
  window: number | null;
  slide: number | null;
  early: boolean | null;
  flows: number | null;
  flows_read: number | null;
  late_flows: number;
  dropped_flows: number;
  let_go_groups: number;
  partial_groups: number;
  groups: number;
  lag: number;
  alerts: number;
  open_alerts: number;
  watermark: string | null;
  techniques: string[] | null;
  note: string | null;
  description: string | null;
  text: string;
}

const columns: Column[] = [
  { name: "severity", type: "string" }, { name: "ts", type: "timestamp" }, { name: "message", type: "string" }, { name: "state", type: "string" },
  { name: "rule", type: "string" }, { name: "matches", type: "uint" }, { name: "key", type: "string" },
];
const most = 2_000;
// The server has them in the order in which they fired, which after a load of older flows is not the order in which anything happened.
const asTheyBegan = "-ts";

function severityTone(value: Value, column: Column): string | undefined {
  if (column.name === "severity") return value === "critical" || value === "high" ? "bad" : value === "medium" ? "warn" : undefined;
  if (column.name === "state") return value === "firing" ? "bad" : value === "broken" ? "bad" : value === "reading" ? "warn" : undefined;
  if (/^(dropped|late)_flows$|^flows_dropped$|^(let_go|partial)_groups$/.test(column.name)) return Number(value) > 0 ? "warn" : undefined;
  if (/^(failures|refused|expired|dropped)$/.test(column.name)) return Number(value) > 0 ? "bad" : undefined;
  return undefined;
}

export default function AlertsView({ place, go }: ViewProps) {
  const { id = "", state = "", severity = "", rule = "", show = "", sort = "" } = place.settings;
  const tab = show === "rules" || show === "targets" ? show : "alerts";
  const set = (settings: Settings, how?: { replace?: boolean }) => go({ view: "alerts", settings: { ...place.settings, ...settings } }, how);
  const asked = new URLSearchParams({ limit: String(most), ...(state ? { state } : {}), ...(severity ? { severity } : {}), ...(rule ? { rule } : {}) });
  const loaded = useLoad(`alerts ${asked}`, (signal) => getJson<{ alerts: Alert[]; total: number }>(`/v1/alerts?${asked}`, signal));
  const [stream, setStream] = useState<StreamState>();
  const [latest, setLatest] = useState("");

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    // Many changes are one look.
    const soon = () => (timer ??= setTimeout(() => { timer = undefined; loaded.again(); }, 400));
    const end = follow("/v1/alerts/stream", ({ name, data }) => {
      if (name === "alert") {
        const alert = readJson<Alert & { change: string }>(data);
        if (alert.change === "started" || alert.change === "resumed") setLatest(`${alert.severity}: ${alert.message}`);
        soon();
      } else if (name === "gap" || name === "lost") {
        soon();
      }
    }, setStream);
    return () => {
      end();
      clearTimeout(timer);
    };
  }, []);

  const alerts = loaded.value?.alerts ?? [];
  const table = useMemo(() => forPeople({ columns, rows: alerts.map((a): Row => [a.severity, a.ts, a.message, a.state, a.rule, a.matches, a.key]) }, alertColumns), [loaded.value]);
  const rows = table.rows;
  const firing = alerts.filter((a) => a.state === "firing").length;
  return (
    <div class="view alerts">
      <div class="head-line">
        <Tabs label="Show" chosen={tab} onChoose={(chosen) => set({ show: chosen === "alerts" ? "" : chosen, id: "" })} tabs={[{ id: "alerts", label: "Alerts" }, { id: "rules", label: "Rules" }, { id: "targets", label: "Told to" }]} />
        {tab === "alerts" && (
          <>
            <select aria-label="State" value={state} onChange={(e) => set({ state: (e.target as HTMLSelectElement).value })}><option value="">firing and ended</option><option value="firing">firing</option><option value="ended">ended</option></select>
            <select aria-label="Severity" value={severity} onChange={(e) => set({ severity: (e.target as HTMLSelectElement).value })}><option value="">every severity</option>{[...severities].reverse().map((s) => <option key={s} value={s}>{s}</option>)}</select>
            {rule && <button onClick={() => set({ rule: "" })} title="Alerts of all rules">rule {rule} ✕</button>}
            <span class="account">{loaded.value ? <>{count(loaded.value.total)} {loaded.value.total === 1 ? "alert" : "alerts"}, {count(firing)} firing{loaded.value.total > alerts.length && <>; the {count(alerts.length)} that fired last are here</>}{!sort && alerts.length > 1 && ", the latest to begin first"}</> : "Loading …"}</span>
            <span class={`stream-state ${stream?.kind === "live" ? "live" : stream?.kind === "refused" ? "refused" : "waiting"}`} role="status">{stream?.kind === "live" ? "Live" : stream?.kind === "waiting" ? `Not connected (${stream.why})` : stream?.kind === "refused" ? stream.fault.message : "Connecting …"}</span>
          </>
        )}
      </div>
      <p class="offscreen" role="status" aria-live="polite">{latest}</p>
      {tab === "rules" ? <Rules chosen={rule} find={place.settings.find ?? ""} set={set} /> : tab === "targets" ? <Targets chosen={place.settings.target ?? ""} set={set} /> : (
        <>
          {loaded.fault && <LoadFault fault={loaded.fault} />}
          <section class="result" aria-label="Alerts">
            {loaded.value && rows.length === 0 ? <p class="quiet pad">No alerts{state || severity || rule ? " of this kind" : ""}. {!state && !severity && !rule && <>Rules make them: <code>sluice rules apply rules/</code> brings a library of them.</>}</p> : (
              <Table {...table} fit label={sort ? "Alerts" : "Alerts, the latest first"} tone={severityTone} height={id ? heightFor(rows.length, 9) : undefined} sorting={sort || asTheyBegan} onSort={(by) => set({ sort: by === asTheyBegan ? "" : by })}
                isMarked={(row) => alerts[rows.indexOf(row)]?.state === "firing"} isChosen={(row) => alerts[rows.indexOf(row)]?.id === id} onRow={(row) => { const chosen = alerts[rows.indexOf(row)]!.id; set({ id: chosen === id ? "" : chosen }); }} />
            )}
          </section>
          {id && <OneAlert key={id} id={id} known={alerts.find((a) => a.id === id)} set={set} />}
        </>
      )}
    </div>
  );
}

function OneAlert({ id, known, set }: { id: string; known: Alert | undefined; set(settings: Settings): void }) {
  const asked = useLoad(`alert ${id} ${known?.matches ?? ""} ${known?.state ?? ""}`, async (signal) => known ?? (await getJson<{ alerts: Alert[] }>(`/v1/alerts?${new URLSearchParams({ id })}`, signal)).alerts[0]);
  const alert = asked.value ?? known;
  const made = useLoad(`rule ${alert?.rule ?? ""}`, async (signal) => (alert ? (await getJson<{ rules: Rule[] }>(`/v1/rules?${new URLSearchParams({ name: alert.rule })}`, signal)).rules[0] : undefined));
  const flows = useLoad(`flows ${alert?.query ?? ""}`, (signal) => (alert?.query ? query(alert.query, { limit: flowsBehindMax, signal, readOnly: true }) : Promise.reject(new Error("no query"))));
  if (asked.fault) return <FaultBox fault={asked.fault} />;
  if (!alert) return <p class="quiet pad">{asked.isLoading ? "Loading …" : "There is no such alert any more."}</p>;
  const keys = (alert.key ?? "").split(" ").map((pair) => pair.split(/=(.*)/s)).filter((pair) => pair[0]);
  return (
    <div class="panels">
      <Panel wide title={<><span class={`severity ${alert.severity}`}>{alert.severity}</span> {alert.message}</>} aside={<button onClick={() => set({ id: "" })}>Close</button>}>
        <dl class="facts">
          <div><dt>state</dt><dd class={alert.state === "firing" ? "bad" : ""}>{alert.state}{alert.ended_at && <> <Moment text={alert.ended_at} /></>}</dd></div>
          <div><dt>windows</dt><dd><Moment text={alert.ts} /> to <Moment text={alert.end} />, {count(alert.matches)} matched</dd></div>
          <div><dt>fired</dt><dd><Moment text={alert.fired_at} /></dd></div>
          {keys.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value && isAddress(value) ? <a href={writePlace({ view: "address", settings: { ip: value, from: alert.ts } })}>{value}</a> : value}</dd></div>)}
          <div class="whole"><dt>values</dt><dd><code>{alert.values.join("  ")}</code></dd></div>
          {!!alert.techniques?.length && <div><dt>ATT&amp;CK</dt><dd>{alert.techniques.join(", ")}</dd></div>}
          {!!alert.tags?.length && <div><dt>tags</dt><dd>{alert.tags.join(", ")}</dd></div>}
        </dl>
      </Panel>
      <Panel wide title="The flows behind it" aside={alert.query && <a href={writePlace({ view: "query", settings: { q: alert.query } })}>as a query</a>}>
        {alert.query ? <Answered loaded={flows} empty="They are not kept any more.">{(a) => <FlowsBehind answer={a} />}</Answered> : <p class="quiet">None are told.</p>}
      </Panel>
      <Panel wide title={<>The rule that made it: {alert.rule}</>} aside={<button onClick={() => set({ rule: alert.rule, id: "" })}>Its other alerts</button>}>
        {made.fault ? <FaultBox fault={made.fault} /> : made.value ? <OneRule rule={made.value} /> : <p class="quiet">Loading …</p>}
      </Panel>
    </div>
  );
}

const flowsBehindMax = 500;
function FlowsBehind({ answer }: { answer: Answer }) {
  const order = useMemo(() => orderOfFlows(answer.columns, answer.rows, false)?.order, [answer]);
  // Whose limit it is that cuts them is known here.
  const isCut = (warning: string) => warning.startsWith("the answer is cut at");
  return <>{answer.warnings.some(isCut) && <p class="note">{count(flowsBehindMax)} of them; the query shows all.</p>}<Warnings warnings={answer.warnings.filter((w) => !isCut(w))} /><Table columns={answer.columns} rows={answer.rows} order={order} label="The flows behind it" height={heightFor(answer.rows.length, 10, 16)} /></>;
}

function OneRule({ rule }: { rule: Rule }) {
  return (
    <>
      {rule.note && <Warnings warnings={[rule.note]} />}
      {rule.description && <p class="pad">{rule.description}</p>}
      <dl class="facts">
        <div><dt>state</dt><dd class={rule.state === "running" ? "" : "warn"}>{rule.state}</dd></div>
        {rule.window !== null && <div><dt>window</dt><dd>{milliseconds(rule.window)}{rule.slide !== rule.window && rule.slide !== null && `, every ${milliseconds(rule.slide)}`}{rule.early ? "; alerts as soon as its limit is crossed" : "; alerts when a window is complete"}</dd></div>}
        {rule.flows_read !== null && <div><dt>flows read</dt><dd>{count(rule.flows_read)}, each as often as the rule asked for it</dd></div>}
        {rule.flows !== null && <div><dt>flows</dt><dd>{count(rule.flows)} met its filter{rule.late_flows > 0 && <span class="warn">, {count(rule.late_flows)} came too late</span>}{rule.dropped_flows > 0 && <span class="bad">, {count(rule.dropped_flows)} were not counted (its bound was met)</span>}</dd></div>}
        {rule.groups > 0 || rule.let_go_groups > 0 ? <div><dt>groups held</dt><dd>{count(rule.groups)}{rule.partial_groups > 0 && <span class="warn">, of {count(rule.partial_groups)} what is counted is a lower bound</span>}{rule.let_go_groups > 0 && <span class="warn">, {count(rule.let_go_groups)} let go at its bound, the least first</span>}</dd></div> : null}
        <div><dt>alerts</dt><dd>{count(rule.alerts)}, {count(rule.open_alerts)} open</dd></div>
        {rule.watermark && <div><dt>has seen all to</dt><dd><Moment text={rule.watermark} /></dd></div>}
      </dl>
      <pre class="code">{inLines(rule.text)}</pre>
    </>
  );
}

const ruleFields: [keyof Rule, string][] = [["name", "string"], ["state", "string"], ["severity", "string"], ["window", "duration"], ["flows", "uint"], ["flows_read", "uint"], ["late_flows", "uint"], ["dropped_flows", "uint"], ["let_go_groups", "uint"], ["partial_groups", "uint"], ["groups", "uint"], ["alerts", "uint"], ["open_alerts", "uint"], ["lag", "duration"], ["watermark", "timestamp"], ["note", "string"]];

function Rules({ chosen, find, set }: { chosen: string; find: string; set(settings: Settings, how?: { replace?: boolean }): void }) {
  const loaded = useLoad("rules", (signal) => getJson<{ rules: Rule[]; queue: { flows: number; lag_ms: number; catch_ups: number } }>("/v1/rules", signal), 5_000);
  const all = loaded.value?.rules ?? [];
  const sought = find.trim().toLowerCase();
  // Those that something is open of first, then those that ever alerted; a name finds the others.
  const sorted = useMemo(() => [...all].sort((a, b) => b.open_alerts - a.open_alerts || b.alerts - a.alerts), [loaded.value]);
  const rules = useMemo(() => (sought ? sorted.filter((r) => [r.name, r.severity, r.state, r.description, ...(r.techniques ?? [])].some((t) => t?.toLowerCase().includes(sought))) : sorted), [sorted, sought]);
  const table = useMemo(() => forPeople({ columns: ruleFields.map(([name, type]) => ({ name, type })), rows: rules.map((r) => ruleFields.map(([name]) => r[name] as Value)) }, ruleColumns), [rules]);
  const rows = table.rows;
  const rule = all.find((r) => r.name === chosen);
  const queue = loaded.value?.queue;
  return (
    <>
      {loaded.fault && <LoadFault fault={loaded.fault} />}
      <div class="head-line">
        <input type="search" aria-label="Find rules" placeholder="Find: a name, technique, severity, word …" value={find} onInput={(e) => set({ find: (e.target as HTMLInputElement).value }, { replace: true })} />
        {queue && <p class="account">{sought && `${count(rules.length)} of `}{count(all.length)} {all.length === 1 ? "rule" : "rules"} · {count(queue.flows)} flows wait for them{queue.lag_ms > 0 && `, ${milliseconds(queue.lag_ms)} behind`}{queue.catch_ups > 0 && <span class="warn"> · {count(queue.catch_ups)} times they fell too far behind and read their windows from the store again</span>}</p>}
      </div>
      <section class="result" aria-label="Rules">
        {loaded.value && rows.length === 0 && all.length > 0 ? <p class="quiet pad">No rule is like that.</p> : loaded.value && rows.length === 0 ? <p class="quiet pad">There are no rules. <code>sluice rules apply rules/</code> brings a library of them.</p> : (
          <Table {...table} fit label="Rules" tone={severityTone} height={rule ? heightFor(rows.length, 9) : undefined}
            isMarked={(row) => rules[rows.indexOf(row)]!.open_alerts > 0} isChosen={(row) => row[0] === chosen} onRow={(row) => set({ rule: row[0] === chosen ? "" : String(row[0]) })} />
        )}
      </section>
      {rule && <div class="panels"><Panel wide title={<><span class={`severity ${rule.severity ?? ""}`}>{rule.severity}</span> {rule.name}</>} aside={<button onClick={() => set({ show: "" })}>Its alerts</button>}><OneRule rule={rule} /></Panel></div>}
    </>
  );
}

// Whom alerts are told to, and how that goes.
function Targets({ chosen, set }: { chosen: string; set(settings: Settings): void }) {
  const loaded = useLoad("targets", (signal) => query("show targets", { signal }), 5_000);
  const given = loaded.value;
  const table = useMemo(() => given && forPeople(given, targetColumns), [given]);
  const name = given?.columns.findIndex((c) => c.name === "name") ?? -1;
  const at = chosen ? given?.rows.findIndex((row) => row[name] === chosen) ?? -1 : -1;
  return (
    <>
      {loaded.fault?.status === 0 && <LoadFault fault={loaded.fault} />}
      <section class="result" aria-label="Targets">
        <Answered loaded={loaded} empty="Nobody is told of alerts. A [[target]] of the configuration file names a webhook or a file.">
          {() => table && (
            <>
              <Table {...table} fit label="Targets" tone={severityTone} isChosen={(row) => row === table.rows[at]} onRow={(row) => { const to = String(given!.rows[table.rows.indexOf(row)]![name]); set({ target: to === chosen ? "" : to }); }} />
              {at >= 0 && <RowFacts columns={given!.columns} row={given!.rows[at]!} />}
            </>
          )}
        </Answered>
      </section>
    </>
  );
}
