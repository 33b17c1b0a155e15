// A whole dashboard as its file says, to be looked at: its grid, titles, units, colours and links, with numbers, charts and tables of @grafana/ui. Core's panels are
// on no registry, so logs, graphs and maps are drawn plainly here: what they hold can be judged, how Grafana draws them cannot.
import * as data from '@grafana/data';
import * as ui from '@grafana/ui';
// Not for plugins, as it says; but what Grafana's table panel itself draws with, so a column that is cut here is cut there.
import { TableNG } from '@grafana/ui/unstable';
import * as React from 'react';

const { useEffect, useRef, useState } = React;
const COLUMNS = 24;
const CELL = 30;
const GAP = 8;

interface Shown {
  state: string;
  frames: data.DataFrame[];
  error?: string;
}

/** What stands in texts of a dashboard: `$name` and `${name}`. */
export type Fill = (text: string) => string;

export function Dashboard({ ds, dashboard, range, width, fill }: { ds: any; dashboard: any; range: data.TimeRange; width: number; fill: Fill }) {
  const cell = (width + GAP) / COLUMNS;
  const bottom = Math.max(...dashboard.panels.map((p: any) => p.gridPos.y + p.gridPos.h));
  const [done, setDone] = useState(0);
  return (
    <div data-testid="dashboard" data-done={done === dashboard.panels.length} style={{ position: 'relative', width, height: bottom * (CELL + GAP) }}>
      {dashboard.panels.map((panel: any) => {
        const { x, y, w, h } = panel.gridPos;
        return (
          <div key={panel.id} style={{ position: 'absolute', left: x * cell, top: y * (CELL + GAP) }}>
            <Panel ds={ds} panel={panel} range={range} width={Math.floor(w * cell - GAP)} height={h * (CELL + GAP) - GAP} fill={fill} onDone={() => setDone((n) => n + 1)} />
          </div>
        );
      })}
    </div>
  );
}

function Panel({ ds, panel, range, width, height, fill, onDone }: any) {
  const theme = ui.useTheme2();
  const [shown, setShown] = useState<Shown>({ state: 'Loading', frames: [] });
  const told = useRef(false);
  useEffect(() => {
    const points = panel.maxDataPoints ?? Math.max(width, 100);
    const intervalMs = data.rangeUtil.calculateInterval(range, points).intervalMs;
    const request: any = {
      requestId: `P${panel.id}`, app: data.CoreApp.Dashboard, range, interval: `${intervalMs}ms`, intervalMs, maxDataPoints: points, scopedVars: {}, timezone: 'utc', startTime: Date.now(), filters: [],
      // "${datasource}" is the one that is asked.
      targets: panel.targets.map(({ datasource: _chosen, ...target }: any) => target),
    };
    const tell = (next: Shown) => {
      setShown(next);
      if (!told.current) {
        told.current = true;
        onDone();
      }
    };
    const subscription = ds.query(request).subscribe({
      next: (response: any) => {
        const frames = (response.data ?? []).map((f: any) => organized(data.toDataFrame(f), panel));
        tell({ state: response.state ?? 'Done', frames: frames.map((f: data.DataFrame) => configured(f, panel, theme, fill)), error: response.errors?.[0]?.message });
      },
      error: (error: any) => tell({ state: 'Error', frames: [], error: String(error?.data?.message ?? error?.message ?? error) }),
    });
    return () => subscription.unsubscribe();
  }, [ds, panel, range, theme, width]); // eslint-disable-line react-hooks/exhaustive-deps -- asked once for each panel
  return (
    <ui.PanelChrome title={fill(panel.title)} description={panel.description || undefined} width={width} height={height}>
      {(innerWidth, innerHeight) => (
        <div data-testid="dashboard-panel" data-type={panel.type} data-title={panel.title} style={{ width: innerWidth, height: innerHeight, overflow: 'hidden' }}>
          {shown.error ? <ui.Alert title={shown.error} severity="error" /> : <Body type={panel.type} panel={panel} frames={shown.frames} width={innerWidth} height={innerHeight} range={range} />}
        </div>
      )}
    </ui.PanelChrome>
  );
}

/** The one transformation that the dashboards have: columns left out, and the order of the others. */
function organized(frame: data.DataFrame, panel: any): data.DataFrame {
  for (const { id, options } of panel.transformations ?? []) {
    if (id !== 'organize') {
      throw new Error(`the page does not know the transformation ${id}`);
    }
    const at = (f: data.Field) => options.indexByName[f.name] ?? frame.fields.length;
    frame = { ...frame, fields: frame.fields.filter((f) => !options.excludeByName[f.name]).sort((a, b) => at(a) - at(b)) };
  }
  return frame;
}

/** Units, names and colours: what the data source says, the panel's where it says nothing, and the overrides by name over both. */
function configured(frame: data.DataFrame, panel: any, theme: data.GrafanaTheme2, fill: Fill): data.DataFrame {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  let numbers = 0;
  const fields = frame.fields.map((field) => {
    const config: any = { ...defaults, ...field.config, custom: { drawStyle: 'line', lineWidth: 1, ...defaults.custom, ...field.config.custom } };
    const name = config.displayName ?? config.displayNameFromDS ?? field.labels?.action ?? field.name;
    for (const { matcher, properties } of overrides) {
      const isMeant = matcher.id === 'byName' ? matcher.options === name || matcher.options === field.name : matcher.id === 'byRegexp' && new RegExp(matcher.options.replace(/^\/|\/$/g, '')).test(name);
      for (const { id, value } of isMeant ? properties : []) {
        if (id.startsWith('custom.')) {
          config.custom[id.slice(7)] = value;
        } else {
          config[id] = value;
        }
      }
    }
    if (field.type === data.FieldType.number && panel.type === 'timeseries') {
      config.color = config.color?.mode === 'fixed' ? config.color : { mode: data.FieldColorModeId.Fixed, fixedColor: theme.visualization.palette[numbers++ % theme.visualization.palette.length] };
    }
    const links = (): any => config.links?.map((l: any) => ({ href: l.internal ? '/explore' : fill(l.url ?? ''), title: l.title, target: '_self', origin: field }));
    const next: data.Field = { ...field, config, state: { ...field.state, displayName: panel.type === 'table' ? (config.displayName ?? field.name) : name }, getLinks: () => links() ?? [] };
    next.display = data.getDisplayProcessor({ field: next, theme, timeZone: 'utc' });
    return next;
  });
  return { ...frame, fields };
}

function Body({ type, panel, frames, width, height, range }: { type: string; panel: any; frames: data.DataFrame[]; width: number; height: number; range: data.TimeRange }) {
  const theme = ui.useTheme2();
  const [first] = frames;
  if (!first || first.length === 0) {
    return <div style={{ textAlign: 'center', color: theme.colors.text.secondary, paddingTop: height / 3 }}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  if (type === 'stat') {
    const field = first.fields.find((f) => f.type === data.FieldType.number) ?? first.fields[0];
    return <ui.BigValue theme={theme} width={width} height={height} value={field.display!(field.values[first.length - 1])} colorMode={ui.BigValueColorMode.Value} graphMode={ui.BigValueGraphMode.None} textMode={ui.BigValueTextMode.Value} />;
  }
  if (type === 'timeseries') {
    return <ui.TimeSeries frames={frames} structureRev={1} width={width} height={height} timeRange={range} timeZone="utc" legend={panel.options.legend} />;
  }
  if (type === 'logs') {
    const field = (name: string) => first.fields.find((f) => f.name === name);
    return (
      <div style={{ fontFamily: 'monospace', fontSize: 12, whiteSpace: 'nowrap' }}>
        {Array.from({ length: Math.min(first.length, 100) }, (_, i) => (
          <div key={i}>
            {new Date(field('timestamp')?.values[i]).toISOString()} {field('body')?.values[i]}
          </div>
        ))}
      </div>
    );
  }
  if (type === 'nodeGraph' && frames.length > 1) {
    return <Graph nodes={frames[0]} edges={frames[1]} width={width} height={height} />;
  }
  return <TableNG data={first} width={width} height={height} cellHeight={panel.options.cellHeight} fieldConfig={panel.fieldConfig} timeRange={range} noValue={panel.fieldConfig.defaults.noValue} enableVirtualization structureRev={1} />;
}

/** Circles on a ring, and arrows between them. */
function Graph({ nodes, edges, width, height }: { nodes: data.DataFrame; edges: data.DataFrame; width: number; height: number }) {
  const theme = ui.useTheme2();
  const values = (frame: data.DataFrame, name: string): any[] => frame.fields.find((f) => f.name === name)?.values ?? [];
  const ids = values(nodes, 'id');
  const at = new Map(ids.map((id, i) => [id, { x: width / 2 + (width / 2 - 120) * Math.cos((2 * Math.PI * i) / ids.length), y: height / 2 + (height / 2 - 90) * Math.sin((2 * Math.PI * i) / ids.length) }]));
  return (
    <svg width={width} height={height}>
      {values(edges, 'source').map((source, i) => {
        const a = at.get(source)!;
        const b = at.get(values(edges, 'target')[i])!;
        return <line key={i} x1={a.x} y1={a.y} x2={b.x} y2={b.y} stroke={theme.colors.border.strong} strokeWidth={values(edges, 'thickness')[i]} />;
      })}
      {ids.map((id, i) => {
        // Names stand outwards, like spokes, and those of the left half are turned to be read from the left.
        const degrees = (360 * i) / ids.length;
        const isLeft = degrees > 90 && degrees < 270;
        return (
          <g key={id} transform={`translate(${at.get(id)!.x} ${at.get(id)!.y})`}>
            <circle r={5} fill={theme.colors.primary.main} />
            <text x={isLeft ? -9 : 9} y={4} fontSize={10} fill={theme.colors.text.primary} textAnchor={isLeft ? 'end' : 'start'} transform={`rotate(${isLeft ? degrees - 180 : degrees})`}>
              {id}
            </text>
          </g>
        );
      })}
    </svg>
  );
}
