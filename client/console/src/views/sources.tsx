// Where flows come from, and how well: formats, exporters, feeds, and what is known to be missing.
import { useMemo } from "preact/hooks";
import type { ViewProps } from "../app.tsx";
import { bytes, count } from "../format.ts";
import { type Chosen, exporterColumns, feedColumns, feedErrorColumns, forPeople, interfaceColumns, lossColumns, packetErrorColumns, sourceColumns } from "../known.ts";
import { LoadFault, Panel, RowFacts, Tile } from "../parts.tsx";
import { type Answer, type Column, query, type Row, type Value } from "../server.ts";
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
  if (/^(lost|lost_samples|sample_drops|failed|set_aside|bad|errors|rejected|missing_templates|undecoded|pending_dropped|unsupported_packets)/.test(name) && name !== "lost_unit") return Number(value) > 0 ? "bad" : undefined;
  if (/^(skipped_data|unknown|warned)/.test(name)) return Number(value) > 0 ? "warn" : undefined;
  if (/skew/.test(name)) return Math.abs(Number(value)) > 60_000 ? "bad" : Math.abs(Number(value)) > 5_000 ? "warn" : undefined;
  if (name === "state") return value === "waiting" || value === "retrying" || value === "failing" || value === "broken" ? "bad" : undefined;
  if (/^last_error$|^note$|^warning$/.test(name)) return "warn";
  return undefined;
}

export default function SourcesView({ place, go }: ViewProps) {
  const sources = useTable("show sources"), exporters = useTable("show exporters"), feeds = useTable("show feeds"), losses = useTable("show losses");
  const packetErrors = useTable("show exporter_errors"), feedErrors = useTable("show feed_errors"), interfaces = useTable("show interfaces");
  const lost = sum(column(exporters.value, "lost")), rejected = sum(column(sources.value, "rejected"));
  // The row that is open, as "exporters:192.0.2.1 …".
  const opened = place.settings.row ?? "";
  const shown = { opened, open: (row: string) => go({ view: "sources", settings: { row } }) };
  return (
    <div class="view sources">
      {sources.fault && <LoadFault fault={sources.fault} />}
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
        <Shown {...shown} id="losses" title="Known losses" loaded={losses} chosen={lossColumns} keys={["who", "how", "from", "unit"]} empty="Nothing is known to be missing." note="Answers over these times say so." />
        <Shown {...shown} id="exporters" title="Exporters" loaded={exporters} chosen={exporterColumns} keys={["exporter_ip", "exporter_port", "transport", "origin"]} empty="No router or switch has sent anything since the start. NetFlow and IPFIX come by UDP port 2055 or 4739, sFlow by 6343." most={12} />
        <Shown {...shown} id="sources" title="What came by HTTP, by format" loaded={sources} chosen={sourceColumns} keys={["name"]} empty="" active most={14} />
        <Shown {...shown} id="feeds" title="Feeds" loaded={feeds} chosen={feedColumns} keys={["name"]} empty="None are declared in the configuration file." />
        <Shown {...shown} id="feed_errors" title="What feeds could not read" loaded={feedErrors} chosen={feedErrorColumns} keys={["feed", "object", "at"]} empty="Nothing." />
        <Shown {...shown} id="exporter_errors" title="Packets that could not be read" loaded={packetErrors} chosen={packetErrorColumns} keys={["exporter_ip", "domain", "template_id", "reason"]} empty="None." />
        <Shown {...shown} id="interfaces" title="Interfaces" loaded={interfaces} chosen={interfaceColumns} keys={["exporter", "interface"]} empty="No exporter has named its interfaces." />
      </div>
    </div>
  );
}

interface ShownProps {
  id: string;
  title: string;
  loaded: Loaded<Answer>;
  chosen: Chosen;
  keys: string[]; // what tells its rows apart
  empty: string;
  note?: string;
  most?: number;
  active?: boolean;
  opened: string;
  open(row: string): void;
}

function Shown({ id, title, loaded, chosen, keys, empty, note, most = 8, active = false, opened, open }: ShownProps) {
  const given = loaded.value;
  const table = useMemo(() => {
    if (!given) return undefined;
    // Formats that something came in come before the others.
    const bodies = active ? given.columns.findIndex((c) => c.name === "bodies") : -1;
    const rows: Row[] = bodies < 0 ? given.rows : [...given.rows].sort((a, b) => Number(Number(b[bodies]) > 0) - Number(Number(a[bodies]) > 0));
    const at = keys.map((name) => given.columns.findIndex((c) => c.name === name));
    return { ...forPeople({ columns: given.columns, rows }, chosen), whole: rows, names: rows.map((row) => `${id}:${at.map((i) => String(row[i] ?? "")).join(" ").trim()}`) };
  }, [given]);
  const at = table?.names.indexOf(opened) ?? -1;
  const close = () => open("");
  return (
    <Panel wide title={title} aside={at >= 0 ? <button onClick={close}>Close</button> : note && <span class="note">{note}</span>}>
      <Answered loaded={loaded} empty={empty}>
        {() => table && (
          <>
            <Table fit columns={table.columns} rows={table.rows} label={title} height={heightFor(table.rows.length, most)} tone={health}
              isChosen={(row) => at >= 0 && row === table.rows[at]} onRow={(row) => { const name = table.names[table.rows.indexOf(row)]!; open(name === opened ? "" : name); }} />
            {at >= 0 && <RowFacts columns={given!.columns} row={table.whole[at]!} />}
          </>
        )}
      </Answered>
    </Panel>
  );
}
