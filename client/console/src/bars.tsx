// Bars: one row of the answer each, in the answer's order.
import { cell } from "./format.ts";
import type { Column, Row } from "./server.ts";
import { barData } from "./shapes.ts";

export function Bars({ columns, rows, value, label, href }: { columns: Column[]; rows: Row[]; value: number; label: string; href?: (row: Row) => string | undefined }) {
  const { bars, left } = barData(columns, rows, value);
  const column = columns[value]!;
  const most = Math.max(...bars.map((b) => Math.abs(b.value ?? 0)), 0) || 1;
  return (
    <figure class="chart">
      <ol class="bars" aria-label={label}>
        {bars.map((bar, i) => {
          const link = href?.(bar.row);
          return (
            <li key={i}>
              <span class="bar-label" title={bar.label}>{link ? <a href={link}>{bar.label}</a> : bar.label}</span>
              <span class="bar-track" aria-hidden="true">
                <span class={(bar.value ?? 0) < 0 ? "bar-fill below" : "bar-fill"} style={{ width: `${(Math.abs(bar.value ?? 0) / most) * 100}%` }} />
              </span>
              <span class="bar-value">{bar.value === null ? "–" : cell(bar.value, column)}</span>
            </li>
          );
        })}
      </ol>
      {left > 0 && <figcaption class="note">{left} more rows are not drawn; the table has them.</figcaption>}
    </figure>
  );
}
