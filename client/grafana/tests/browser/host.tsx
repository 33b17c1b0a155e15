// A page that stands where Grafana's would: it gives the built plugin the real @grafana/ui, @grafana/runtime and @grafana/data over SystemJS, renders
// its editors, and sends its questions to the stand-in for Grafana's HTTP side (tests/grafanahost/serve). What is played here is what core alone has: the
// page around a panel, the choice of variables and filters, and the socket of Grafana Live.
import * as emotion from '@emotion/css';
import * as data from '@grafana/data';
import * as runtime from '@grafana/runtime';
import * as ui from '@grafana/ui';
import * as React from 'react';
import * as jsxRuntime from 'react/jsx-runtime';
import * as ReactDOM from 'react-dom';
import { createRoot } from 'react-dom/client';
import * as rxjs from 'rxjs';
import { Dashboard } from './dashboard';

declare const System: { set(id: string, module: unknown): void; import(id: string): Promise<any> };

const { useEffect, useMemo, useState } = React;
for (const [name, module] of Object.entries({
  react: React,
  'react-dom': ReactDOM,
  'react/jsx-runtime': jsxRuntime,
  rxjs,
  '@emotion/css': emotion,
  '@grafana/data': data,
  '@grafana/runtime': runtime,
  '@grafana/ui': ui,
})) {
  System.set(`host:${name}`, { __useDefault: true, default: module });
}

// Services.

const settings = { id: 1, uid: 'sluice', type: 'sluice-flowql-datasource', name: 'Sluice', access: 'proxy', readOnly: false, jsonData: {}, meta: { id: 'sluice-flowql-datasource', info: {} } } as any;

runtime.setBackendSrv({
  fetch: (request: any) =>
    rxjs.from(
      fetch(request.url + (request.params ? '?' + new URLSearchParams(request.params) : ''), {
        method: request.method ?? 'GET',
        headers: { 'Content-Type': 'application/json' },
        body: request.data === undefined ? undefined : JSON.stringify(request.data),
      }).then(async (response) => {
        const answer = { data: await response.json(), status: response.status, statusText: response.statusText, ok: response.ok, config: request };
        if (!response.ok) {
          throw answer;
        }
        return answer;
      })
    ),
  get: (url: string) => fetch(url).then((r) => r.json()),
} as any);

interface Chosen {
  values: string[];
  all: boolean;
}
const variables: Record<string, Chosen & { options: string[] }> = {};
runtime.setTemplateSrv({
  getVariables: () => Object.entries(variables).map(([name, v]) => ({ name, type: 'query', multi: true, includeAll: true, current: { value: v.all ? ['$__all'] : v.values } })) as any,
  replace: (target = '', scoped: any = {}, format?: any) =>
    target.replace(/\$\{(\w+)\}/g, (whole, name) => {
      const value = scoped[name]?.value ?? (variables[name] ? (variables[name].all ? variables[name].options : variables[name].values) : undefined);
      return value === undefined ? whole : typeof format === 'function' ? format(value, { name }) : String(value);
    }),
  containsTemplate: () => true,
  updateTimeRange: () => undefined,
});
runtime.setDataSourceSrv({ getInstanceSettings: () => settings, getList: () => [settings], get: async () => undefined } as any);

// Grafana Live: frames come over its socket; here over events. They are gathered as Grafana gathers them.
runtime.setGrafanaLiveSrv({
  getDataStream: ({ addr, buffer, key }: any) =>
    new rxjs.Observable<data.DataQueryResponse>((subscriber) => {
      const source = new EventSource(`/live?path=${encodeURIComponent(addr.path)}&data=${encodeURIComponent(JSON.stringify(addr.data))}`);
      let frame: data.StreamingDataFrame | undefined;
      source.onmessage = (e) => {
        const json = JSON.parse(e.data);
        frame ? frame.push(json) : (frame = data.StreamingDataFrame.fromDataFrameJSON(json, buffer));
        subscriber.next({ key, state: data.LoadingState.Streaming, data: [frame] });
      };
      source.onerror = () => {
        if (source.readyState === EventSource.CLOSED) {
          subscriber.error(new Error('the channel was refused'));
        }
      };
      return () => source.close();
    }),
} as any);

// The page.

const range = (from: string, to: string): data.TimeRange => ({ from: data.dateTime(from), to: data.dateTime(to), raw: { from, to } });

interface Opened {
  what: 'query' | 'config' | 'variable' | 'annotation' | 'help' | 'dashboard';
  query: any;
  dashboard?: any;
  from: string;
  to: string;
}

function Page({ plugin, ds }: { plugin: any; ds: any }) {
  const [opened, setOpened] = useState<Opened>({ what: 'query', query: { refId: 'A' }, from: '2026-01-01', to: '2026-01-02' });
  const [query, setQuery] = useState<any>(opened.query);
  const [options, setOptions] = useState<any>({ ...settings, url: '', secureJsonFields: {} });
  const [panel, setPanel] = useState<any>({ state: data.LoadingState.NotStarted, series: [] });
  const [asked, setAsked] = useState(0);
  const [filters, setFilters] = useState<any[]>([]);
  const [, redraw] = useState(0);
  const time = useMemo(() => range(opened.from, opened.to), [opened.from, opened.to]);
  const latest = React.useRef<any>(null);
  latest.current = { query, filters };

  useEffect(() => {
    (window as any).host = {
      open: (next: Opened) => {
        setOpened(next);
        setQuery(next.query);
        setPanel({ state: data.LoadingState.NotStarted, series: [] });
        setAsked(0);
      },
      query: () => latest.current.query,
      options: () => options,
      choose: (name: string, values: string[], all = false) => {
        variables[name] = { ...(variables[name] ?? { options: values }), values, all };
        redraw((n) => n + 1);
      },
      filter: setFilters,
      run: () => setAsked((n) => n + 1),
      datasource: ds,
      plugin,
      range: time,
    };
  });

  useEffect(() => {
    if (asked === 0) {
      return;
    }
    setPanel({ state: data.LoadingState.Loading, series: [] });
    const request: any = {
      requestId: `Q${asked}`, app: data.CoreApp.Dashboard, range: time, interval: '10m', intervalMs: Math.max(Math.round((time.to.valueOf() - time.from.valueOf()) / 60), 1000), maxDataPoints: 600,
      scopedVars: {}, timezone: 'utc', startTime: Date.now(), targets: [latest.current.query], filters: latest.current.filters,
    };
    const subscription = ds.query(request).subscribe({
      next: (response: any) =>
        setPanel({ state: response.state ?? data.LoadingState.Done, series: (response.data ?? []).map((f: any) => (f instanceof data.StreamingDataFrame ? Object.assign(Object.create(Object.getPrototypeOf(f)), f) : data.toDataFrame(f))), error: response.error ?? response.errors?.[0], errors: response.errors }),
      error: (error: any) => setPanel({ state: data.LoadingState.Error, series: [], error: { message: error.message ?? String(error) } }),
    });
    return () => subscription.unsubscribe();
  }, [asked, ds, time]);

  const { QueryEditor, ConfigEditor, QueryEditorHelp } = plugin.components;
  const Editor = opened.what === 'variable' ? ds.variables.editor : opened.what === 'annotation' ? ds.annotations.QueryEditor : QueryEditor;
  return (
    <div style={{ padding: 16, maxWidth: 1250 }}>
      {opened.what === 'dashboard' ? (
        <Dashboard key={opened.dashboard.uid} ds={ds} dashboard={opened.dashboard} range={time} width={1248} fill={fill} />
      ) : opened.what === 'config' ? (
        <ConfigEditor options={options} onOptionsChange={setOptions} />
      ) : opened.what === 'help' ? (
        <QueryEditorHelp datasource={ds} query={query} onClickExample={setQuery} />
      ) : (
        <>
          <Bar ds={ds} range={time} filters={filters} setFilters={setFilters} run={() => setAsked((n) => n + 1)} />
          <Panel panel={panel} range={time} />
          <div style={{ padding: 8 }}>
            <Editor key={JSON.stringify(opened)} datasource={ds} query={query} range={time} data={panel} onChange={setQuery} onRunQuery={() => setAsked((n) => n + 1)} app={data.CoreApp.PanelEditor} />
          </div>
        </>
      )}
    </div>
  );
}

const fill = (text: string) => text.replace(/\$\{?(\w+)\}?/g, (whole, name) => (variables[name] ? (variables[name].all ? 'All' : variables[name].values.join(' + ')) : whole));

/** What stands above a dashboard: one variable and the filters. */
function Bar({ ds, range, filters, setFilters, run }: any) {
  const [keys, setKeys] = useState<any[]>([]);
  const [key, setKey] = useState('');
  const [values, setValues] = useState<any[]>([]);
  const [value, setValue] = useState('');
  useEffect(() => void ds.getTagKeys({ filters }).then(setKeys), [ds]);
  useEffect(() => void (key && ds.getTagValues({ key, filters, timeRange: range }).then(setValues)), [ds, key]);
  return (
    <div data-testid="bar" style={{ display: 'flex', gap: 8, marginBottom: 8, alignItems: 'center' }}>
      {Object.entries(variables).map(([name, v]) => (
        <span key={name} data-testid={`variable-${name}`}>
          {name}: {v.all ? 'All' : v.values.join(' + ')}
        </span>
      ))}
      {filters.map((f: any, i: number) => (
        <span key={i} data-testid="adhoc">
          {f.key} {f.operator} {f.value}
        </span>
      ))}
      <select data-testid="adhoc-key" style={{ height: 28, width: 220 }} value={key} onChange={(e) => setKey(e.target.value)}>
        <option value="">filter …</option>
        {keys.map((k) => (
          <option key={k.text}>{k.text}</option>
        ))}
      </select>
      <select data-testid="adhoc-value" style={{ height: 28, width: 220 }} value={value} onChange={(e) => setValue(e.target.value)}>
        <option value="">value …</option>
        {values.map((v) => (
          <option key={v.text}>{v.text}</option>
        ))}
      </select>
      <button
        data-testid="adhoc-add"
        onClick={() => {
          setFilters([...filters, { key, operator: '=', value }]);
          setTimeout(run);
        }}
      >
        add
      </button>
    </div>
  );
}

function Panel({ panel, range }: { panel: any; range: data.TimeRange }) {
  const theme = ui.useTheme2();
  const frames: data.DataFrame[] = data.applyFieldOverrides({
    data: panel.series, fieldConfig: { defaults: { color: { mode: data.FieldColorModeId.PaletteClassic }, custom: { drawStyle: 'line', lineWidth: 1, fillOpacity: 10 } }, overrides: [] } as any, replaceVariables: (v: string) => v, theme, timeZone: 'utc',
    fieldConfigRegistry: new data.FieldConfigOptionsRegistry(),
  });
  // A panel's own registry would give lines their colours.
  frames.forEach((frame) =>
    frame.fields.filter((f) => f.type === data.FieldType.number).forEach((f, i) => {
      f.config.color = { mode: data.FieldColorModeId.Fixed, fixedColor: theme.visualization.palette[i % theme.visualization.palette.length] };
    })
  );
  const first = frames[0];
  const kind = first?.meta?.preferredVisualisationType;
  const over = first?.fields.find((f) => f.type === data.FieldType.time);
  let body: React.ReactNode = <div data-testid="nothing">{panel.state}</div>;
  if (panel.error) {
    body = <div data-testid="failed">The panel failed</div>;
  } else if (kind === 'graph' && over && first.length > 0) {
    body = <ui.TimeSeries frames={frames} structureRev={1} width={1190} height={260} timeRange={range} timeZone="utc" legend={{ showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] } as any} />;
  } else if (kind === 'logs' && first) {
    const field = (name: string) => first.fields.find((f) => f.name === name);
    body = (
      <div data-testid="logs" style={{ maxHeight: 260, overflow: 'auto', fontFamily: 'monospace', fontSize: 12 }}>
        {Array.from({ length: Math.min(first.length, 200) }, (_, i) => (
          <div key={i} data-level={field('severity')?.values[i]}>
            {new Date(field('timestamp')?.values[i]).toISOString()} {field('body')?.values[i]}
          </div>
        ))}
      </div>
    );
  } else if (first) {
    body = frames.map((frame, i) => <Rows key={i} frame={frame} />);
  }
  return (
    <ui.PanelChrome title={`Panel (${panel.state})`} width={1220} height={310}>
      {() => <div data-testid="panel">{body}</div>}
    </ui.PanelChrome>
  );
}

/** Values as Grafana writes them, with units. Its table panel is core's and not on npm. */
function Rows({ frame }: { frame: data.DataFrame }) {
  return (
    <div style={{ maxHeight: 260, overflow: 'auto' }}>
      <table style={{ width: '100%', fontSize: 13 }}>
        <thead>
          <tr>
            {frame.fields.map((f) => (
              <th key={f.name} style={{ textAlign: 'left' }}>
                {f.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {Array.from({ length: Math.min(frame.length, 100) }, (_, i) => (
            <tr key={i}>
              {frame.fields.map((f) => (
                <td key={f.name}>{f.display ? data.formattedValueToString(f.display(f.values[i])) : String(f.values[i])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

async function main() {
  const theme = data.createTheme({ colors: { mode: new URLSearchParams(location.search).get('theme') === 'light' ? 'light' : 'dark' } });
  (runtime.config as any).theme2 = theme;
  const { plugin } = await System.import('/public/plugins/sluice-flowql-datasource/module.js');
  const ds = new plugin.DataSourceClass(settings);
  ds.meta = settings.meta;
  createRoot(document.getElementById('root')!).render(
    <data.ThemeContext.Provider value={theme}>
      <ui.GlobalStyles />
      <ui.PortalContainer />
      <ui.ErrorBoundaryAlert>
        <Page plugin={plugin} ds={ds} />
      </ui.ErrorBoundaryAlert>
    </data.ThemeContext.Provider>
  );
}

main().catch((error) => {
  document.body.innerHTML = '<pre id="broken"></pre>';
  document.getElementById('broken')!.textContent = String(error?.stack ?? error);
});
