// One address: when it was active, whom it spoke with, what it offers and uses, which alerts name it, and what it was called.
//
// What is asked is the view's own text; the address goes along as a parameter, so whatever a link says it stays a value.
import { useMemo, useState } from "preact/hooks";
import type { ViewProps } from "../app.tsx";
import { bytes, count, time } from "../format.ts";
import { FaultBox, LoadFault, Panel, Tile, TimeChooser, Warnings } from "../parts.tsx";
import { writePlace } from "../place.ts";
import { type Answer, getJson, query, type Row, type Value } from "../server.ts";
import { wideData } from "../shapes.ts";
import { type Chosen, forPeople } from "../known.ts";
import { Table } from "../table.tsx";
import { isoTime, niceBin, readTime } from "../timerange.ts";
import { type Loaded, useLoad } from "../use.ts";
import { useTimeChart } from "./query.tsx";

export function isAddress(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) || (/^[0-9a-fA-F:.]+$/.test(text) && text.includes(":"));
}

const mine = "(src_ip == $ip or dst_ip == $ip)";
const own = "if(src_ip == $ip, src_port, dst_port)", other = "if(src_ip == $ip, dst_port, src_port)", peer = "if(src_ip == $ip, dst_ip, src_ip)";
const questions = {
  sums: `from flows | where ${mine} | stats flows = count(), sent = sumif(bytes, src_ip == $ip), received = sumif(bytes, dst_ip == $ip), first = min(ts), last = max(ts)`,
  peers: `from flows | where ${mine} | extend peer = ${peer} | stats flows = count(), sent = sumif(bytes, src_ip == $ip), received = sumif(bytes, dst_ip == $ip), ports = dcount(${other}), first = min(ts), last = max(ts) by peer | extend total = coalesce(sent, 0) + coalesce(received, 0) | sort total desc | limit 500 | select peer, total, sent, received, flows, ports, first, last`,
  // Who offers a port and who uses it, the flow does not say; the lower port is the server's nearly always. A scan that was
  // refused makes nobody a server.
  offers: `from flows | where ${mine} | where action is null or action != reject | extend own = ${own}, other = ${other}, peer = ${peer} | where own < other | stats flows = count(), clients = dcount(peer), volume = sum(bytes) by port = own, protocol | extend service = service(port, protocol) | sort flows desc | limit 100`,
  uses: `from flows | where ${mine} | extend own = ${own}, other = ${other}, peer = ${peer} | where own >= other | stats flows = count(), hosts = dcount(peer), volume = sum(bytes) by port = other, protocol | extend service = service(port, protocol) | sort flows desc | limit 100`,
  reporters: `from flows | where ${mine} | stats flows = count(), last = max(ts) by source, exporter_ip | sort flows desc | limit 50`,
} as const;
const peerColumns: Chosen = ["peer", "total", "sent", "received", "flows", "ports", "first", "last"];
const portColumns: Chosen = ["port", "protocol", "service>70", "flows", "clients", "hosts", "volume=bytes"];
// Names stand on the side of the address.
const nameColumns = ["host", "instance_id", "interface_id", "mac", "k8s_namespace", "k8s_pod", "k8s_workload", "vpc_id", "account_id", "as_name", "country"];
const namesOf = (side: "src" | "dst") =>
  `from flows | where ${side}_ip == $ip | stats flows = count(), first = min(ts), last = max(ts) by ${nameColumns.map((n) => `${n} = ${side}_${n}`).join(", ")} | limit 1000`;

interface Name {
  kind: string;
  name: string;
  flows: number;
  first: string;
  last: string;
}
// Each name with when it was seen, of both sides together.
export function namesIn(answers: Answer[]): Name[] {
  const names = new Map<string, Name>();
  for (const { columns, rows } of answers) {
    const at = (name: string) => columns.findIndex((c) => c.name === name);
    const flows = at("flows"), first = at("first"), last = at("last");
    for (const row of rows)
      for (const kind of nameColumns) {
        const value = row[at(kind)];
        if (value === null || value === undefined || value === "") continue;
        const key = `${kind}\0${String(value)}`;
        const seen = { kind, name: String(value), flows: Number(row[flows]), first: row[first] as string, last: row[last] as string };
        const known = names.get(key);
        if (!known) names.set(key, seen);
        else {
          known.flows += seen.flows;
          if (seen.first < known.first) known.first = seen.first;
          if (seen.last > known.last) known.last = seen.last;
        }
      }
  }
  return [...names.values()].sort((a, b) => nameColumns.indexOf(a.kind) - nameColumns.indexOf(b.kind) || (a.last < b.last ? 1 : -1));
}

interface Alert {
  id: string;
  ts: string;
  rule: string;
  severity: string;
  state: string;
  key: string | null;
  message: string;
  values: string[];
}
// The address itself, not one that begins with it.
export function names(text: string, ip: string): boolean {
  for (let at = text.indexOf(ip); at >= 0; at = text.indexOf(ip, at + 1)) {
    const before = text[at - 1] ?? " ", after = text.slice(at + ip.length);
    if (!/[\w.:]/.test(before) && !/^[\w:]|^\.\w/.test(after)) return true;
  }
  return false;
}

export default function AddressView({ place, go, theme }: ViewProps) {
  const ip = (place.settings.ip ?? "").trim();
  const range = { from: place.settings.from ?? "now-1d", to: place.settings.to ?? "" };
  const [asked, setAsked] = useState(ip);
  const good = isAddress(ip);
  return (
    <div class="view address">
      <div class="head-line">
        <form role="search" onSubmit={(e) => { e.preventDefault(); go({ view: "address", settings: { ...place.settings, ip: asked.trim() } }); }}>
          <input aria-label="Address" value={asked} placeholder="10.0.0.1 or 2001:db8::1" onInput={(e) => setAsked((e.target as HTMLInputElement).value)} size={24} autofocus={!ip} />{" "}
          <button class="primary" type="submit">Look</button>
        </form>
        <TimeChooser range={range} allowNone={false} onChange={(r) => go({ view: "address", settings: { ...place.settings, ...r } })} />
      </div>
      {!ip && <p class="quiet pad">An address of IPv4 or IPv6: when it was active, whom it spoke with, what it offers and uses, which alerts name it, what it was called. Every address in a table leads here.</p>}
      {ip && !good && <FaultBox fault={{ code: "invalid", message: `This is no address: ${ip.slice(0, 80)}`, status: 0 }} />}
      {good && <Address key={ip} ip={ip} range={range} theme={theme} onRange={(from, to) => go({ view: "address", settings: { ...place.settings, from: isoTime(from), to: isoTime(to) } })} />}
    </div>
  );
}

function Address({ ip, range, theme, onRange }: { ip: string; range: { from: string; to: string }; theme: string; onRange(from: number, to: number): void }) {
  const Chart = useTimeChart();
  const key = `${ip} ${range.from} ${range.to}`;
  const ask = (text: string) => (signal: AbortSignal) => query(text, { ...range, params: { ip }, signal });
  const now = Date.now();
  const length = (readTime(range.to || "now", now) ?? now) - (readTime(range.from, now) ?? now - 86_400_000);
  const bin = niceBin(Math.max(1, length));
  const sums = useLoad(key, ask(questions.sums));
  const line = useLoad(`${key} ${bin}`, ask(`from flows | where ${mine} | timeseries sent = sumif(bytes, src_ip == $ip), received = sumif(bytes, dst_ip == $ip), flows = count() every ${bin} fill 0`));
  const peers = useLoad(key, ask(questions.peers));
  const offers = useLoad(key, ask(questions.offers));
  const uses = useLoad(key, ask(questions.uses));
  const reporters = useLoad(key, ask(questions.reporters));
  const called = useLoad(key, async (signal) => Promise.all([query(namesOf("src"), { ...range, params: { ip }, signal }), query(namesOf("dst"), { ...range, params: { ip }, signal })]));
  const alerts = useLoad(ip, async (signal) => (await getJson<{ alerts: Alert[] }>("/v1/alerts?limit=5000", signal)).alerts.filter((a) => names(a.key ?? "", ip) || names(a.message, ip) || a.values.some((v) => names(v, ip))).sort((a, b) => (a.ts < b.ts ? 1 : a.ts > b.ts ? -1 : 0)), 15_000);

  const sum = (name: string): Value => {
    const answer = sums.value;
    const at = answer?.columns.findIndex((c) => c.name === name) ?? -1;
    return answer?.rows[0]?.[at] ?? null;
  };
  const chart = useMemo(() => {
    const answer = line.value;
    return answer ? wideData(answer.columns, answer.rows, [answer.columns.findIndex((c) => c.name === "sent"), answer.columns.findIndex((c) => c.name === "received")]) : undefined;
  }, [line.value]);
  // The same questions, to go on from: the address stands in them as it is, for it is one.
  const asQuery = (text: string) => writePlace({ view: "query", settings: { q: text.replaceAll("$ip", ip), ...range } });
  const nameRows = useMemo(() => (called.value ? namesIn(called.value).map((n): Row => [n.kind, n.name, n.flows, n.first, n.last]) : []), [called.value]);
  const toPeer = (v: Value) => (typeof v === "string" && isAddress(v) ? [{ label: "Look into this address", run: () => { location.hash = writePlace({ view: "address", settings: { ip: v, ...range } }); } },
    { label: "The flows between the two", run: () => { location.hash = writePlace({ view: "query", settings: { q: `from flows\n| where ip == ${ip} and ip == ${v}\n| sort ts desc | limit 1000`, ...range } }); } }] : []);
  const flows = Number(sum("flows") ?? 0);

  return (
    <>
      <div class="head-line"><h1>{ip}</h1>{nameRows.slice(0, 3).map((r) => <span class="tag" title={String(r[0])}>{String(r[1])}</span>)}</div>
      {sums.fault && <LoadFault fault={sums.fault} />}
      {sums.value && <div class="boxed"><Warnings warnings={sums.value.warnings} /></div>}
      <div class="tiles">
        <Tile label="flows" value={sums.value ? count(flows) : "…"} />
        <Tile label="sent" value={sums.value ? bytes(Number(sum("sent") ?? 0)) : "…"} />
        <Tile label="received" value={sums.value ? bytes(Number(sum("received") ?? 0)) : "…"} />
        <Tile label="peers" value={peers.value ? (peers.value.rows.length >= 500 ? "500 +" : count(peers.value.rows.length)) : "…"} />
        <Tile label="alerts" value={alerts.value ? count(alerts.value.length) : "…"} tone={alerts.value?.some((a) => a.state === "firing") ? "bad" : ""} />
        <Tile label="first seen in this time" value={sum("first") ? time(String(sum("first"))).slice(0, 16) : "–"} />
        <Tile label="last seen in this time" value={sum("last") ? time(String(sum("last"))).slice(0, 16) : "–"} />
      </div>
      <div class="panels">
        <Panel title="Over time" wide aside={<a href={asQuery(`from flows | where ip == $ip | timeseries bytes = sum(bytes) every ${bin}`)}>as a query</a>}>
          {line.fault ? <FaultBox fault={line.fault} /> : Chart && chart && flows > 0 ? <Chart data={chart} value={{ name: "bytes", type: "uint", unit: "bytes" }} label={`Bytes sent and received by ${ip}`} theme={theme} height={210} onRange={onRange} /> : <p class="quiet pad">{sums.value && flows === 0 ? "It was not active in this time." : "Loading …"}</p>}
        </Panel>
        <Panel title="Peers" wide aside={<a href={asQuery("from flows | where ip == $ip | top 40 src_ip, dst_ip by total = sum(bytes)") + "&as=talkers"}>who talks to whom</a>}>
          <Answered loaded={peers} empty="No peers in this time.">{(a) => <Table {...forPeople({ columns: inBytes(a.columns), rows: a.rows }, peerColumns)} fit label="Peers" height={heightFor(a.rows.length, 10)} actions={(v, c) => (c.name === "peer" ? toPeer(v) : [])} />}</Answered>
        </Panel>
        <Panel title="Ports that it offers" aside={<span class="note">by the lower port; without what was refused</span>}>
          <Answered loaded={offers} empty="It offers nothing that was let through.">{(a) => <Table {...forPeople(a, portColumns)} fit label="Ports that it offers" height={heightFor(a.rows.length, 8)} />}</Answered>
        </Panel>
        <Panel title="Ports that it uses" aside={<span class="note">by the lower port</span>}>
          <Answered loaded={uses} empty="It asked nobody.">{(a) => <Table {...forPeople(a, portColumns)} fit label="Ports that it uses" height={heightFor(a.rows.length, 8)} />}</Answered>
        </Panel>
        <Panel title="Alerts that name it" wide>
          {alerts.fault ? <FaultBox fault={alerts.fault} /> : !alerts.value ? <p class="quiet">Loading …</p> : alerts.value.length === 0 ? <p class="quiet">None.</p> : (
            <Table label="Alerts that name it" fit sortable={false} height={heightFor(alerts.value.length, 8)}
              columns={[{ name: "severity", type: "string" }, { name: "message", type: "string", least: 220 }, { name: "ts", type: "timestamp", label: "began", seconds: true }, { name: "state", type: "string" }, { name: "rule", type: "string" }]}
              rows={alerts.value.map((a): Row => [a.severity, a.message, a.ts, a.state, a.rule])}
              onRow={(_row, i) => { location.hash = writePlace({ view: "alerts", settings: { id: alerts.value![i]!.id } }); }} />
          )}
        </Panel>
        <Panel title="Names over time" wide>
          {called.fault ? <FaultBox fault={called.fault} /> : !called.value ? <p class="quiet">Loading …</p> : nameRows.length === 0 ? <p class="quiet">No source gave it a name in this time.</p> : (
            <Table fit label="Names over time" height={heightFor(nameRows.length, 8)} rows={nameRows}
              columns={[{ name: "kind", type: "string" }, { name: "name", type: "string" }, { name: "flows", type: "uint" }, { name: "first", type: "timestamp", label: "first seen", seconds: true }, { name: "last", type: "timestamp", label: "last seen", seconds: true }]} />
          )}
        </Panel>
        <Panel title="Who reports it" wide>
          <Answered loaded={reporters} empty="Nobody in this time.">{(a) => <Table {...forPeople(a, ["source", "exporter_ip=exporter", "flows", "last=last flow"])} fit label="Who reports it" height={heightFor(a.rows.length, 6)} />}</Answered>
        </Panel>
      </div>
    </>
  );
}

// A sum of sums has no unit of its own.
function inBytes(columns: Answer["columns"]): Answer["columns"] {
  return columns.map((c) => (c.name === "total" ? { ...c, unit: "bytes" } : c));
}

// Of a table that fits its place, or else with room for a bar to scroll by.
export function heightFor(rows: number, most: number, bar = 0): string {
  return `${30 + Math.min(rows, most) * 26 + (rows > most ? 14 : 1) + bar}px`;
}

export function Answered({ loaded, empty, children }: { loaded: Loaded<Answer>; empty: string; children(answer: Answer): preact.ComponentChildren }) {
  // That the server is gone its view says once, above (LoadFault).
  const fault = loaded.fault && loaded.fault.status !== 0 ? <FaultBox fault={loaded.fault} /> : undefined;
  if (!loaded.value) return fault ?? <p class="quiet">{loaded.fault ? "Not loaded." : "Loading …"}</p>;
  return <>{fault}{loaded.value.rows.length === 0 ? <p class="quiet">{empty}</p> : children(loaded.value)}</>;
}
