// Series over time, by uPlot. Dragging over the chart chooses that range of time.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { bytes, isBytes, milliseconds, per, shortCount } from "./format.ts";
import type { Column } from "./server.ts";
import type { TimeData } from "./shapes.ts";

interface Props {
  data: TimeData;
  value: Column;
  label: string;
  height?: number;
  theme: string; // drawn anew when it changes
  onRange?: (fromMs: number, toMs: number) => void;
}

function shown(v: number | null | undefined, column: Column): string {
  if (v === null || v === undefined) return "–";
  if (isBytes(column)) return bytes(v) + per(column);
  if (column.type === "duration") return milliseconds(v);
  return shortCount(v) + per(column);
}

// The clock of 24 hours, and the date where a day begins. uPlot: seconds of a step at least, the form, and forms by what changes.
const hours = [
  [86400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [0.001, ":{ss}.{fff}", "\n{YYYY}-{MM}-{DD} {HH}:{mm}", null, "\n{MM}-{DD} {HH}:{mm}", null, "\n{HH}:{mm}", null, 1],
] as unknown as uPlot.Axis.Values;

export default function TimeChart({ data, value, label, height = 300, theme, onRange }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const chosen = useRef(onRange);
  chosen.current = onRange;

  useLayoutEffect(() => {
    const element = holder.current!;
    const styles = getComputedStyle(element);
    const colour = (name: string) => styles.getPropertyValue(name).trim();
    const utc = (seconds: number) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC");
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), width: 1 }, font: `11px ${colour("--sans")}` };
    // Eight colours, then the same again as dashes; what sums up the rest is no series among others.
    const looks = data.series.filter((s) => !s.isRest).map((_, i) => ({ stroke: colour(`--series-${(i % 8) + 1}`), dash: i >= 8 ? [6, 4] : [] }));
    let next = 0;
    const options: uPlot.Options = {
      width: Math.max(200, element.clientWidth),
      height,
      tzDate: utc,
      // Amounts are compared by their height, so the axis begins at nothing.
      scales: { y: { range: (_u, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high! * 1.08 : 1] } },
      axes: [
        { ...axis, values: hours },
        { ...axis, size: 74, values: (_u, ticks) => ticks.map((t) => (isBytes(value) ? bytes(t, 4) + per(value) : shown(t, value))) },
      ],
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      legend: { live: true },
      series: [
        { value: (_u, v) => (v === null || v === undefined ? "–" : new Date(v * 1e3).toISOString().slice(0, 19).replace("T", " ")), label: "UTC" },
        ...data.series.map((s) => ({
          label: s.label,
          ...(s.isRest ? { stroke: colour("--quiet"), dash: [2, 3] } : looks[next++]!),
          width: 1.6,
          fill: data.series.length === 1 ? colour("--series-fill") : "",
          points: { size: 5, fill: colour("--panel") },
          spanGaps: false,
          value: (_u: uPlot, v: number | null) => shown(v, value),
        })),
      ],
      hooks: {
        setSelect: [
          (u) => {
            const { left, width } = u.select;
            if (width < 4) return;
            const from = u.posToVal(left, "x") * 1e3, to = u.posToVal(left + width, "x") * 1e3;
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            chosen.current?.(Math.floor(from), Math.ceil(to));
          },
        ],
      },
    };
    plot.current = new uPlot(options, [data.times, ...data.series.map((s) => s.points)] as uPlot.AlignedData, element);
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(200, element.clientWidth), height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [data, value, height, theme]);

  // What a picture says to those who do not see it.
  const summary = `${label}. ${data.series.length} series over ${data.times.length} points in time${data.series[0] ? `; the greatest is ${data.series[0].label}` : ""}. The table shows the same values.`;
  useEffect(() => {
    holder.current?.querySelector("canvas")?.setAttribute("aria-hidden", "true");
  });
  return (
    <figure class="chart" aria-label={summary}>
      <div ref={holder} />
      {data.left > 0 && <figcaption class="note">{data.left} more series are not drawn; the table has them. “timeseries … limit N” sums up the rest.</figcaption>}
    </figure>
  );
}
