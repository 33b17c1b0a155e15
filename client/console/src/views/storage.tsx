// What the flows cost: totals, bytes of each column, and the segments that they lie in.
import type { ViewProps } from "../app.tsx";
import { Bars } from "../bars.tsx";
import { ago, bytes, count, time } from "../format.ts";
import { forPeople, segmentColumns, storageColumns } from "../known.ts";
import { LoadFault, Panel, Tile } from "../parts.tsx";
import { getJson, query } from "../server.ts";
import { Table } from "../table.tsx";
import { useLoad } from "../use.ts";
import { Answered, heightFor } from "./address.tsx";

interface Totals {
  flows: number;
  segments: number;
  segment_bytes: number;
  bytes_per_flow: number;
  damaged_segments: number;
  open_rows: number;
  open_bytes: number;
  journal_bytes: number;
  catalog_bytes: number;
  oldest: string | null;
  newest: string | null;
}

export default function StorageView(_: ViewProps) {
  const totals = useLoad("totals", (signal) => getJson<Totals>("/v1/storage", signal), 10_000);
  const columns = useLoad("columns", (signal) => query("show storage | sort bytes desc", { signal }), 10_000);
  const segments = useLoad("segments", (signal) => query("show segments | sort first desc", { signal }), 10_000);
  const t = totals.value;
  return (
    <div class="view storage">
      {totals.fault && <LoadFault fault={totals.fault} />}
      <div class="tiles">
        <Tile label="flows" value={t ? count(t.flows) : "…"} />
        <Tile label="in segments" value={t ? bytes(t.segment_bytes) : "…"} />
        <Tile label="bytes a flow" value={t ? t.bytes_per_flow.toFixed(1) : "…"} title="In segments, all columns together" />
        <Tile label="segments" value={t ? count(t.segments) : "…"} />
        <Tile label="damaged segments" value={t ? count(t.damaged_segments) : "…"} tone={t?.damaged_segments ? "bad" : ""} title="Their flows are left out of answers, which say so" />
        <Tile label="flows not sealed yet" value={t ? count(t.open_rows) : "…"} title={t ? bytes(t.open_bytes) : ""} />
        <Tile label="journal and catalogue" value={t ? bytes(t.journal_bytes + t.catalog_bytes) : "…"} />
        <Tile label="oldest flow" value={t?.oldest ? time(t.oldest).slice(0, 16) : "–"} />
        <Tile label="newest flow" value={t?.newest ? ago(t.newest, Date.now()) : "–"} title={t?.newest ?? ""} />
      </div>
      <div class="panels">
        <Panel title="Bytes by column">
          <Answered loaded={columns} empty="Nothing is sealed yet.">{(a) => {
            const shown = a.rows.filter((r) => Number(r[1]) > 0).slice(0, 24);
            return <Bars columns={a.columns} rows={shown} value={a.columns.findIndex((c) => c.name === "bytes")} label="Bytes by column" />;
          }}</Answered>
        </Panel>
        <Panel title="Columns">
          <Answered loaded={columns} empty="Nothing is sealed yet.">{(a) => <Table {...forPeople(a, storageColumns)} fit label="Columns" height={heightFor(a.rows.length, 20)} />}</Answered>
        </Panel>
        <Panel wide title="Segments">
          <Answered loaded={segments} empty="Nothing is sealed yet.">{(a) => <Table {...forPeople(a, segmentColumns)} fit label="Segments" height={heightFor(a.rows.length, 14)} tone={(v, c) => (c.name === "damaged" && v === true) || (c.name === "reason" && v !== null) ? "bad" : undefined} />}</Answered>
        </Panel>
      </div>
    </div>
  );
}
