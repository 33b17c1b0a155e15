import { firstValueFrom, lastValueFrom, of, toArray } from 'rxjs';
import { CoreApp, DataQueryRequest, dateTime, FieldType, LoadingState, LogRowContextQueryDirection, LogRowModel, SupplementaryQueryType, toDataFrame } from '@grafana/data';
import { setBackendSrv, setGrafanaLiveSrv, setTemplateSrv } from '@grafana/runtime';
import { DataSource, digest } from './datasource';
import { SluiceQuery, SluiceVariableQuery } from './types';
import { toValues } from './variableSupport';

const range = { from: dateTime('2026-11-20T10:00:00Z'), to: dateTime('2026-11-20T11:00:00Z'), raw: { from: 'now-1h', to: 'now' } };
const sent: Array<{ url: string; data: any }> = [];
const streams: any[] = [];
let answers: Record<string, unknown> = {};

function datasource() {
  return new DataSource({ id: 1, uid: 'sluice', type: 'sluice-flowql-datasource', name: 'Sluice', jsonData: {}, access: 'proxy', readOnly: false, meta: {} } as never);
}

function request(targets: Array<Partial<SluiceQuery>>, more = {}): DataQueryRequest<SluiceQuery> {
  return { requestId: 'Q1', app: CoreApp.Dashboard, range, interval: '1m', intervalMs: 60000, scopedVars: {}, timezone: 'utc', startTime: 0, ...more, targets: targets.map((t) => ({ refId: 'A', ...t })) } as never;
}

beforeEach(() => {
  sent.length = 0;
  streams.length = 0;
  answers = {};
  setBackendSrv({
    fetch: (r: any) => {
      sent.push({ url: r.url, data: r.data });
      const name = Object.keys(answers).find((k) => r.url.includes(k));
      return of({ data: name ? answers[name] : { results: {} }, status: 200 });
    },
  } as never);
  setTemplateSrv({
    getVariables: () => [{ name: 'host', type: 'query', current: { value: 'x' } }] as never,
    replace: (t = '', _s: unknown, f: any) => t.replace('${host}', () => (typeof f === 'function' ? f('" or true', {}) : 'x')),
    containsTemplate: () => true,
    updateTimeRange: () => undefined,
  });
  setGrafanaLiveSrv({
    getDataStream: (options: any) => {
      streams.push(options);
      return of({ state: LoadingState.Streaming, data: [toDataFrame({ fields: [{ name: 'body', type: FieldType.string, values: ['x'] }] })] });
    },
  } as never);
});

test('values and filters go beside the text', async () => {
  const filters = [{ key: 'app', operator: '=', value: '"; drop' }];
  await lastValueFrom(datasource().query(request([{ expr: 'src_ip == $host', mode: 'code', queryType: 'table' }], { filters })));
  const [query] = sent[0].data.queries;
  expect(query).toMatchObject({ expr: 'src_ip == $host', variables: { host: { values: ['" or true'] } }, adHocFilters: [{ key: 'app', operator: '=', value: '"; drop' }] });
});

test('a query that came with its values keeps them where there are no variables', () => {
  const query = datasource().applyTemplateVariables({ refId: 'A', mode: 'code', expr: '$gone', variables: { gone: { values: ['1'] } }, adHocFilters: [{ key: 'a', operator: '=', value: '1' }] });
  expect(query.variables).toEqual({ gone: { values: ['1'] } });
  expect(query.adHocFilters).toHaveLength(1);
});

test('a query that nobody touched has its text', () => {
  for (const app of [CoreApp.Dashboard, CoreApp.UnifiedAlerting, CoreApp.Explore]) {
    const query = datasource().getDefaultQuery(app);
    expect(query.expr).toMatch(/^from flows/);
    expect(query.unit).toBe(app === CoreApp.Explore ? undefined : 'bps');
  }
});

test('the same panel asks the same, byte for byte', async () => {
  const ask = async () => {
    await lastValueFrom(datasource().query(request([{ expr: 'src_ip == $host', mode: 'code', queryType: 'table' }], { requestId: String(Math.random()), startTime: Date.now() })));
    return JSON.stringify(sent.at(-1)!.data);
  };
  expect(await ask()).toBe(await ask());
});

test('a variable follows the time range, and has one where nobody says which', async () => {
  answers = { 'tag-values': [] };
  const support = datasource().variables as unknown as { query: (r: DataQueryRequest<SluiceVariableQuery>) => ReturnType<DataSource['query']> };
  const later = { from: dateTime('2026-11-21T10:00:00Z'), to: dateTime('2026-11-21T11:00:00Z'), raw: { from: 'now-1h', to: 'now' } };
  /** Queries go with milliseconds, questions of lists with times as they are written. */
  const ms = (at: string) => Number(at) || Date.parse(at);
  for (const asked of [{ refId: 'variable', expr: 'top 5 src_ip by count()' }, { refId: 'variable', column: 'src_ip' }]) {
    await lastValueFrom(support.query(request([asked as never], { range: later })));
    expect([ms(sent.at(-1)!.data.from), ms(sent.at(-1)!.data.to)]).toEqual([later.from.valueOf(), later.to.valueOf()]);
    await lastValueFrom(support.query(request([asked as never], { range: undefined })));
    expect(ms(sent.at(-1)!.data.to) - ms(sent.at(-1)!.data.from)).toBe(6 * 3600 * 1000);
  }
});

test('hidden and empty queries are not asked', async () => {
  const ds = datasource();
  expect(await lastValueFrom(ds.query(request([{ expr: 'x', hide: true, mode: 'code' }, { expr: ' ', mode: 'code' }])))).toEqual({ data: [] });
  expect(sent).toHaveLength(0);
  expect(ds.filterQuery({ refId: 'A', queryType: 'alerts' })).toBe(true);
});

test('a tail is a stream beside the other queries', async () => {
  const responses = await lastValueFrom(
    datasource()
      .query(request([{ expr: 'dst_port == 53', mode: 'code', queryType: 'tail' }, { refId: 'B', expr: 'stats count()', mode: 'code', queryType: 'table' }]))
      .pipe(toArray())
  );
  expect(sent[0].data.queries).toHaveLength(1);
  expect(streams[0].addr).toMatchObject({ scope: 'ds', stream: 'sluice', data: { expr: 'dst_port == 53', queryType: 'tail' } });
  expect(streams[0].addr.path).toMatch(/^tail\/[0-9a-f]{16}$/);
  expect(responses.map((r) => r.state)).toContain(LoadingState.Streaming);
  // Explore's live button makes a stream of a log.
  await firstValueFrom(datasource().query(request([{ queryType: 'logs', mode: 'code', expr: '' }], { liveStreaming: true })));
  expect(streams).toHaveLength(2);
});

test('channels are called by what they ask', () => {
  expect(digest('a')).toBe(digest('a'));
  expect(new Set(['a', 'b', 'ab', 'ba', ''].map(digest)).size).toBe(5);
});

test('keys and values of filters', async () => {
  answers = { columns: [{ name: 'src_ip', kind: 'stored', type: 'ip' }, { name: 'ip', kind: 'either side', type: 'ip' }], 'tag-values': ['10.0.0.1'] };
  const ds = datasource();
  expect(await ds.getTagKeys()).toEqual([{ text: 'src_ip', value: 'src_ip', group: undefined }, { text: 'ip', value: 'ip', group: 'Either side' }]);
  await ds.getTagKeys();
  expect(sent.filter((s) => s.url.includes('columns'))).toHaveLength(1);
  expect(await ds.getTagValues({ key: 'src_ip', timeRange: range, filters: [{ key: 'src_ip', operator: '=', value: 'self' }, { key: 'app', operator: '=', value: 'x' }] })).toEqual([{ text: '10.0.0.1', value: '10.0.0.1' }]);
  expect(sent.at(-1)!.data).toEqual({ key: 'src_ip', from: '2026-11-20T10:00:00.000Z', to: '2026-11-20T11:00:00.000Z', adHocFilters: [{ key: 'app', operator: '=', value: 'x' }] });
});

test('variables are asked in the time range, and their values are texts', async () => {
  const frame = { schema: { refId: 'variable', fields: [{ name: 'value', type: 'string' }, { name: 'text', type: 'string' }] }, data: { values: [['b', 'a', 'b', null], ['B', 'A', 'B', 'N']] } };
  answers = { 'ds/query': { results: { variable: { frames: [frame] } } } };
  const ds = datasource();
  const support = ds.variables as unknown as { query: (r: DataQueryRequest<SluiceVariableQuery>) => ReturnType<DataSource['query']> };
  const response = await lastValueFrom(support.query(request([{ refId: 'variable', expr: 'show columns' } as never])));
  expect(response.data).toEqual([{ text: 'B', value: 'b' }, { text: 'A', value: 'a' }]);
  expect(sent[0].data).toMatchObject({ from: String(range.from.valueOf()), queries: [{ queryType: 'table', limit: 1000, expr: 'show columns' }] });
  expect(toValues([toDataFrame({ fields: [{ name: 'dst_port', type: FieldType.number, values: [443, 80] }] })])).toEqual([{ text: '443', value: '443' }, { text: '80', value: '80' }]);
});

test('a variable of a column takes the list that filters have', async () => {
  answers = { 'tag-values': ['443', '80'] };
  const support = datasource().variables as unknown as { query: (r: DataQueryRequest<SluiceVariableQuery>) => ReturnType<DataSource['query']> };
  const response = await lastValueFrom(support.query(request([{ refId: 'variable', column: 'dst_port' } as never], { filters: [{ key: 'app', operator: '=', value: 'x' }] })));
  expect(response.data).toEqual([{ text: '443', value: '443' }, { text: '80', value: '80' }]);
  expect(sent).toHaveLength(1);
  expect(sent[0].data).toEqual({
    key: 'dst_port',
    max: 1000,
    seen: true,
    from: '2026-11-20T10:00:00.000Z',
    to: '2026-11-20T11:00:00.000Z',
    adHocFilters: [{ key: 'app', operator: '=', value: 'x' }],
  });
  await expect(lastValueFrom(support.query(request([{ column: 'a` or true' } as never])))).rejects.toThrow('not the name of a column');
  expect(sent).toHaveLength(1);
});

test('what stands around a line', async () => {
  const ds = datasource();
  const row = { uid: 'r', timeEpochMs: range.from.valueOf(), labels: { src_ip: '10.0.0.1', dst_ip: '" or true or "' } } as unknown as LogRowModel;
  await ds.getLogRowContext(row, { direction: LogRowContextQueryDirection.Forward, limit: 7 });
  const { data } = sent[0];
  expect(data.queries[0].expr).toBe(
    'from flows\n| where (`src_ip` == "10.0.0.1" and `dst_ip` == "\\" or true or \\"") or (`src_ip` == "\\" or true or \\"" and `dst_ip` == "10.0.0.1")\n| sort ts asc\n| limit 7'
  );
  expect(data.from).toBe(String(range.from.valueOf()));
  await ds.getLogRowContext(row, { direction: LogRowContextQueryDirection.Backward });
  expect(sent[1].data.to).toBe(String(range.from.valueOf() + 1));
});

test('the volume of a log, and nothing else, has a query of its own', () => {
  const ds = datasource();
  const logs = request([{ queryType: 'logs', mode: 'code', expr: 'dst_port == 53' }, { queryType: 'table', mode: 'code', expr: 'x' }]);
  expect(ds.getSupplementaryRequest(SupplementaryQueryType.LogsVolume, logs)!.targets).toEqual([{ refId: 'volume-A', queryType: 'logsVolume', mode: 'code', expr: 'dst_port == 53' }]);
  expect(ds.getSupplementaryRequest(SupplementaryQueryType.LogsSample, logs)).toBeUndefined();
});

test('a filter out of a line is put in and taken out', () => {
  const ds = datasource();
  const query: SluiceQuery = { refId: 'A', queryType: 'logs', mode: 'code', expr: 'from flows' };
  const options = { key: 'src_ip', value: '10.0.0.1' };
  const one = ds.toggleQueryFilter(query, { type: 'FILTER_FOR', options });
  expect(ds.queryHasFilter(one, options)).toBe(true);
  expect(ds.toggleQueryFilter(one, { type: 'FILTER_FOR', options }).expr).toBe('from flows');
  expect(ds.toggleQueryFilter(one, { type: 'FILTER_OUT', options }).expr).toBe('from flows\n| where `src_ip` != "10.0.0.1"');
});

test('a cell of a table becomes a filter once; what no filter can be changes nothing', () => {
  const ds = datasource();
  const query: SluiceQuery = { refId: 'A', queryType: 'table', mode: 'code', expr: 'from flows' };
  const options = { key: 'src_ip', value: '" or true or "' };
  const one = ds.modifyQuery(query, { type: 'ADD_FILTER', options });
  expect(one.expr).toBe('from flows\n| where `src_ip` == "\\" or true or \\""');
  expect(ds.modifyQuery(one, { type: 'ADD_FILTER', options })).toBe(one);
  expect(ds.modifyQuery(query, { type: 'ADD_FILTER_OUT', options }).expr).toContain('!=');
  expect(ds.modifyQuery(query, { type: 'ADD_STRING_FILTER', options: { value: 'x' } })).toBe(query);
  expect(ds.modifyQuery(query, { type: 'ADD_FILTER' })).toBe(query);
  expect(ds.getSupportedQueryModifications()).toEqual(['ADD_FILTER', 'ADD_FILTER_OUT']);
});

test('annotations are alerts, and their text is escaped by the back end', () => {
  const ds = datasource();
  expect(ds.annotations!.prepareQuery!({ name: 'a', enable: true, iconColor: 'red' } as never)).toMatchObject({ queryType: 'alerts', annotation: true });
});
