// Who talks to whom: sources on the left, destinations on the right, a band between them as wide as what went that way.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { cell } from "./format.ts";
import type { Column, Row } from "./server.ts";
import { talkerData } from "./shapes.ts";

interface Placed {
  name: string;
  value: number;
  y: number;
  height: number;
  used: number;
}

const gap = 9, thinnest = 2, labelHeight = 15;

function placed(ends: { name: string; value: number }[], scale: number): { all: Map<string, Placed>; height: number } {
  const all = new Map<string, Placed>();
  let y = 4;
  for (const { name, value } of ends) {
    const height = Math.max(thinnest, value * scale);
    all.set(name, { name, value, y, height, used: 0 });
    y += Math.max(height, labelHeight - gap + 4) + gap;
  }
  return { all, height: y };
}

export function Talkers({ columns, rows, value, label, addressHref }: { columns: Column[]; rows: Row[]; value: number; label: string; addressHref(ip: string): string }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const holder = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(1000);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => setWidth(Math.max(300, Math.min(1200, holder.current!.clientWidth - 24))));
    observer.observe(holder.current!);
    return () => observer.disconnect();
  }, []);
  const data = useMemo(() => talkerData(columns, rows, value), [columns, rows, value]);
  const column: Column = value < 0 ? { name: "rows", type: "uint" } : columns[value]!;
  if (data.talks.length === 0) return <figure class="chart" ref={holder}><p class="quiet">No pair of ends has an amount above zero.</p></figure>;

  const total = data.talks.reduce((sum, t) => sum + t.value, 0);
  const most = Math.max(data.sources.length, data.targets.length);
  const scale = Math.max(180, Math.min(400, most * 22)) / total;
  const left = placed(data.sources, scale), right = placed(data.targets, scale);
  const height = Math.max(left.height, right.height);
  const x0 = Math.min(300, Math.round(width * 0.35)), x1 = width - x0;
  // Of a window as narrow as a telephone's names come before amounts.
  const isNarrow = width < 580;
  const letters = Math.floor((x0 - (isNarrow ? 8 : 86)) / 7.3);  // that a name has room for
  const is = (side: string, name: string) => `${side}:${name}`;
  const lit = (t: { source: string; target: string }) => chosen === null || chosen === is("s", t.source) || chosen === is("t", t.target);

  const bands = data.talks.map((t, i) => {
    const a = left.all.get(t.source)!, b = right.all.get(t.target)!;
    const w = Math.max(1, t.value * scale);
    const ya = a.y + a.used + w / 2, yb = b.y + b.used + w / 2;
    a.used += w;
    b.used += w;
    const middle = (x0 + x1) / 2;
    return (
      <path key={i} class={`band${lit(t) ? "" : " dim"}`} d={`M${x0 + 6},${ya}C${middle},${ya} ${middle},${yb} ${x1 - 6},${yb}`} stroke-width={w} style={{ stroke: `var(--series-${([...left.all.keys()].indexOf(t.source) % 8) + 1})` }}>
        <title>{`${t.source} → ${t.target}: ${cell(t.value, column)}`}</title>
      </path>
    );
  });
  const end = (side: "s" | "t", p: Placed, isIp: boolean) => {
    const isLeft = side === "s";
    const text = (
      <text x={isLeft ? x0 - 8 : x1 + 8} y={p.y + p.height / 2} dominant-baseline="middle" text-anchor={isLeft ? "end" : "start"}>
        <title>{`${p.name} ${cell(p.value, column)}`}</title>
        {p.name.length > letters ? `${p.name.slice(0, letters - 1)}…` : p.name}
        {!isNarrow && <tspan class="amount"> {cell(p.value, column)}</tspan>}
      </text>
    );
    return (
      <g key={is(side, p.name)} class="end" onMouseEnter={() => setChosen(is(side, p.name))} onMouseLeave={() => setChosen(null)}>
        <rect x={isLeft ? x0 - 4 : x1 - 4} y={p.y} width="9" height={p.height} rx="2" style={isLeft ? { fill: `var(--series-${([...left.all.keys()].indexOf(p.name) % 8) + 1})` } : {}} />
        {isIp ? (
          <a href={addressHref(p.name)} aria-label={`${p.name} ${cell(p.value, column)}, ${isLeft ? "as source" : "as destination"}`} onFocus={() => setChosen(is(side, p.name))} onBlur={() => setChosen(null)}>
            {text}
          </a>
        ) : (
          text
        )}
      </g>
    );
  };
  return (
    <figure class="chart talkers" ref={holder}>
      <svg viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="group" aria-label={label}>
        <g fill="none">{bands}</g>
        {[...left.all.values()].map((p) => end("s", p, data.isIp[0] && p.name !== "(not known)"))}
        {[...right.all.values()].map((p) => end("t", p, data.isIp[1] && p.name !== "(not known)"))}
      </svg>
      {data.left > 0 && <figcaption class="note">The {data.talks.length} greatest pairs of {data.talks.length + data.left} are drawn; the table has all.</figcaption>}
    </figure>
  );
}
