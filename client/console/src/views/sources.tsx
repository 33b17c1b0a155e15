// Where flows come from, and how well: formats, exporters, feeds, and what is known to be missing.
import type { ViewProps } from "../app.tsx";
import { bytes, count } from "../format.ts";
import { FaultBox, Panel, Tile } from "../parts.tsx";
import { type Answer, type Column, query, type Row, type Value } from "../server.ts";
import { columnsFirst } from "../shapes.ts";
import { Table } from "../table.tsx";
import { type Loaded, useLoad } from "../use.ts";
import { Answered, heightFor } from "./address.tsx";

const everyMs = 10_000;

function useTable(what: string): Loaded<Answer> {
  return useLoad(what, (signal) => query(what, { signal }), everyMs);
}
export function column(answer: Answer | undefined, name: string): Value[] {
  const at = answer?.columns.findIndex((c) => c.name === name) ?? -1;
  return at < 0 ? [] : answer!.rows.map((row) => row[at]!);
}
const sum = (values: Value[]) => values.reduce<number>((total, v) => total + Number(v ?? 0), 0);

// What is worth a look: lost, refused, not readable.
function health(value: Value, { name }: Column): string | undefined {
  if (value === null) return undefined;
  if (/^(lost|lost_samples|sample_drops|failed|set_aside|bad|errors|rejected|missing_templates|undecoded)/.test(name) || /(_lost|_errors|_drops|_bad|_failed)$/.test(name)) return Number(value) > 0 ? "bad" : undefined;
  if (/^(skipped_data|unknown)/.test(name)) return Number(value) > 0 ? "warn" : undefined;
  if (/skew/.test(name)) return Math.abs(Number(value)) > 60_000 ? "bad" : Math.abs(Number(value)) > 5_000 ? "warn" : undefined;
  if (name === "state") return value === "waiting" || value === "retrying" || value === "failing" || value === "broken" ? "bad" : undefined;
  if (/^last_error$|^note$/.test(name)) return "warn";
  return undefined;
}

export default function SourcesView(_: ViewProps) {
  const sources = useTable("show sources"), exporters = useTable("show exporters"), feeds = useTable("show feeds"), losses = useTable("show losses");
  const packetErrors = useTable("show exporter_errors"), feedErrors = useTable("show feed_errors"), interfaces = useTable("show interfaces");
  const lost = sum(column(exporters.value, "lost")), rejected = sum(column(sources.value, "rejected"));
  return (
    <div class="view sources">
      {sources.fault && <FaultBox fault={sources.fault} />}
      <div class="tiles">
        <Tile label="flows by HTTP" value={count(sum(column(sources.value, "accepted")))} />
        <Tile label="bytes by HTTP" value={bytes(sum(column(sources.value, "bytes")))} />
        <Tile label="rejected records" value={count(rejected)} tone={rejected > 0 ? "bad" : ""} />
        <Tile label="exporters" value={count(exporters.value?.rows.length ?? 0)} />
        <Tile label="lost by exporters" value={count(lost)} tone={lost > 0 ? "bad" : ""} title="By the gaps in their sequence numbers" />
        <Tile label="feeds" value={count(feeds.value?.rows.length ?? 0)} />
        <Tile label="known losses" value={count(losses.value?.rows.length ?? 0)} tone={losses.value?.rows.length ? "warn" : ""} />
      </div>
      <div class="panels">
        <Shown title="Known losses" loaded={losses} empty="Nothing is known to be missing." note="Answers over these times say so." />
        <Shown title="Exporters" loaded={exporters} empty="No router or switch has sent anything since the start. NetFlow and IPFIX come by UDP port 2055 or 4739, sFlow by 6343." most={12} />
        <Shown title="What came by HTTP, by format" loaded={sources} empty="" active most={14} />
        <Shown title="Feeds" loaded={feeds} empty="None are declared in the configuration file." />
        <Shown title="What feeds could not read" loaded={feedErrors} empty="Nothing." />
        <Shown title="Packets that could not be read" loaded={packetErrors} empty="None." />
        <Shown title="Interfaces" loaded={interfaces} empty="No exporter has named its interfaces." />
      </div>
    </div>
  );
}

function Shown({ title, loaded, empty, note, most = 8, active = false }: { title: string; loaded: Loaded<Answer>; empty: string; note?: string; most?: number; active?: boolean }) {
  return (
    <Panel wide title={title} aside={note && <span class="note">{note}</span>}>
      <Answered loaded={loaded} empty={empty}>
        {(given) => {
          // What tells how it is comes first, and formats that something came in before the others.
          const answer = columnsFirst(given, ["exporter_ip", "name", "state", "formats", "flows", "lost", "lost_unit", "last_seen", "clock_skew", "bad_packets", "bad_records", "bodies", "bytes", "accepted", "rejected"]);
          const bodies = answer.columns.findIndex((c) => c.name === "bodies");
          const rows: Row[] = active && bodies >= 0 ? [...answer.rows].sort((a, b) => Number(Number(b[bodies]) > 0) - Number(Number(a[bodies]) > 0)) : answer.rows;
          return <Table columns={answer.columns} rows={rows} label={title} height={heightFor(rows.length, most)} tone={health} />;
        }}
      </Answered>
    </Panel>
  );
}
