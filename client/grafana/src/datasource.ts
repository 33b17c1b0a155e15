import { catchError, map, merge, Observable, of } from 'rxjs';
import {
  AdHocVariableFilter,
  AnnotationQuery,
  CoreApp,
  DataFrame,
  DataQueryRequest,
  DataQueryResponse,
  DataSourceGetTagKeysOptions,
  DataSourceGetTagValuesOptions,
  DataSourceInstanceSettings,
  DataSourceWithLogsContextSupport,
  DataSourceWithQueryModificationSupport,
  DataSourceWithSupplementaryQueriesSupport,
  DataSourceWithToggleableQueryFiltersSupport,
  dateTime,
  getDefaultTimeRange,
  LiveChannelScope,
  LoadingState,
  LogRowContextOptions,
  LogRowContextQueryDirection,
  LogRowModel,
  MetricFindValue,
  QueryFilterOptions,
  QueryFixAction,
  QueryFixType,
  ScopedVars,
  StreamingFrameAction,
  SupplementaryQueryOptions,
  SupplementaryQueryType,
  TimeRange,
  ToggleFilterAction,
} from '@grafana/data';
import { DataSourceWithBackend, getGrafanaLiveSrv, getTemplateSrv, TemplateSrv } from '@grafana/runtime';
import { AnnotationEditor } from './components/AnnotationEditor';
import { addFilter, defaultBuilder, hasFilter, removeFilter, textOf, unitOf } from './flowql/builder';
import { quoteText } from './flowql/literal';
import { AdHocFilter, ColumnInfo, Completions, SluiceOptions, SluiceQuery, Validation } from './types';
import { namesIn, valuesOf } from './variables';
import { VariableSupport } from './variableSupport';

/** Lines that a live tail keeps in the page. */
const TAIL_LINES = 1000;

export class DataSource
  extends DataSourceWithBackend<SluiceQuery, SluiceOptions>
  implements
    DataSourceWithSupplementaryQueriesSupport<SluiceQuery>,
    DataSourceWithLogsContextSupport<SluiceQuery>,
    DataSourceWithQueryModificationSupport<SluiceQuery>,
    DataSourceWithToggleableQueryFiltersSupport<SluiceQuery>
{
  private columnsAsked?: Promise<ColumnInfo[]>;

  constructor(
    instanceSettings: DataSourceInstanceSettings<SluiceOptions>,
    private readonly templateSrv: TemplateSrv = getTemplateSrv()
  ) {
    super(instanceSettings);
    this.variables = new VariableSupport(this);
    this.annotations = {
      QueryEditor: AnnotationEditor,
      prepareAnnotation: (json: AnnotationQuery<SluiceQuery>) => ({ ...json, target: json.target ?? { refId: 'Anno', queryType: 'alerts' } }),
      prepareQuery: (anno: AnnotationQuery<SluiceQuery>) => ({
        ...(anno.target ?? {}),
        refId: anno.target?.refId ?? 'Anno',
        queryType: anno.target?.queryType ?? 'alerts',
        annotation: true,
      }),
    };
  }

  getDefaultQuery(app: CoreApp): Partial<SluiceQuery> {
    const queryType = app === CoreApp.Explore ? 'logs' : 'timeseries';
    const query: Partial<SluiceQuery> = { queryType, mode: 'builder', builder: defaultBuilder(queryType) };
    // With its text: a rule or a panel that is saved as it comes is asked by the back end alone.
    return { ...query, ...this.saved({ refId: '', ...query }) };
  }

  filterQuery(query: SluiceQuery): boolean {
    return !query.hide && (textOf(query).trim() !== '' || ['alerts', 'logs', 'tail'].includes(query.queryType ?? ''));
  }

  getQueryDisplayText(query: SluiceQuery): string {
    return textOf(query).replace(/\s+/g, ' ');
  }

  /** What a query has to carry that is asked without a page, by alert rules and public dashboards: its text, the unit of what it measures, and the values that its variables have now. */
  saved(query: SluiceQuery): Pick<SluiceQuery, 'expr' | 'unit' | 'variables'> {
    const expr = textOf(query);
    const text = expr + (query.legend ?? '');
    // Those of a query that came with its own stay, where there are no variables.
    const kept = Object.entries(query.variables ?? {}).filter(([name]) => namesIn(text).includes(name));
    const variables = { ...Object.fromEntries(kept), ...valuesOf(text, this.templateSrv) };
    return {
      expr,
      unit: query.mode === 'builder' && query.queryType !== 'alerts' ? unitOf(query.builder) : query.unit,
      variables: Object.keys(variables).length > 0 ? variables : undefined,
    };
  }

  /** The text stays as it is written; what Grafana knows goes beside it (pkg/flowql puts it in). */
  applyTemplateVariables(query: SluiceQuery, scopedVars: ScopedVars = {}, filters?: AdHocVariableFilter[]): SluiceQuery {
    const expr = textOf(query);
    return {
      ...query,
      expr,
      unit: query.unit ?? (query.mode === 'code' ? undefined : unitOf(query.builder)),
      variables: { ...query.variables, ...valuesOf(expr + (query.legend ?? ''), this.templateSrv, scopedVars) },
      adHocFilters: filters ? toFilters(filters) : query.adHocFilters,
    };
  }

  query(request: DataQueryRequest<SluiceQuery>): Observable<DataQueryResponse> {
    const isTail = (q: SluiceQuery) => q.queryType === 'tail' || Boolean(request.liveStreaming && q.queryType === 'logs');
    const tails = request.targets.filter((q) => isTail(q) && this.filterQuery(q));
    const rest = request.targets.filter((q) => !isTail(q) && this.filterQuery(q));
    const parts = tails.map((q) => this.tail(q, request));
    if (rest.length > 0 || tails.length === 0) {
      parts.push(super.query({ ...request, targets: rest }));
    }
    return parts.length === 1 ? parts[0] : merge(...parts);
  }

  /** Rows as they come, over Grafana Live. Panels that ask the same listen to one channel. */
  private tail(target: SluiceQuery, request: DataQueryRequest<SluiceQuery>): Observable<DataQueryResponse> {
    const query = this.applyTemplateVariables(target, request.scopedVars, request.filters);
    const data = { expr: query.expr, queryType: 'tail', variables: query.variables, adHocFilters: query.adHocFilters };
    const key = `${this.uid}-tail-${request.requestId}-${target.refId}`;
    return getGrafanaLiveSrv()
      .getDataStream({
        key,
        // eslint-disable-next-line @typescript-eslint/no-deprecated -- Grafana 12 reads the namespace, later ones the stream
        addr: { scope: LiveChannelScope.DataSource, stream: this.uid, namespace: this.uid, path: `tail/${digest(JSON.stringify(data))}`, data },
        buffer: { maxLength: TAIL_LINES, action: StreamingFrameAction.Append },
      })
      .pipe(
        map((response) => ({
          ...response,
          key,
          state: response.state ?? LoadingState.Streaming,
          data: response.data.map((frame: DataFrame) => ({ ...frame, refId: target.refId, meta: { ...frame.meta, preferredVisualisationType: 'logs' as const } })),
        })),
        catchError((error) => of({ key, data: [], state: LoadingState.Error, errors: [{ message: String(error?.message ?? error), refId: target.refId }] }))
      );
  }

  // What the editor asks.

  /** Columns of flows. Asked once; a failure is asked again. */
  columns(): Promise<ColumnInfo[]> {
    this.columnsAsked ??= this.getResource<ColumnInfo[]>('columns').catch((error) => {
      this.columnsAsked = undefined;
      throw error;
    });
    return this.columnsAsked;
  }

  complete(expr: string, cursor: number, range?: TimeRange): Promise<Completions> {
    return this.postResource<Completions>('complete', { expr, cursor, ...bounds(range) }, quiet);
  }

  validate(expr: string, range?: TimeRange): Promise<Validation> {
    return this.postResource<Validation>('validate', { expr, ...bounds(range), variables: valuesOf(expr, this.templateSrv) }, quiet);
  }

  values(key: string, range?: TimeRange, filters: AdHocFilter[] = []): Promise<string[]> {
    return this.postResource<string[]>('tag-values', { key, ...bounds(range), adHocFilters: filters }, quiet);
  }

  /** Values that flows of the range have, also of a column whose possible values are known. */
  seenValues(key: string, max: number, range?: TimeRange, filters: AdHocVariableFilter[] = []): Promise<string[]> {
    return this.postResource<string[]>('tag-values', { key, max, seen: true, ...bounds(range), adHocFilters: toFilters(filters) }, quiet);
  }

  /** Names of the server's rules. */
  rules(): Promise<string[]> {
    return this.getResource<string[]>('rules', undefined, quiet);
  }

  variableNames(): string[] {
    return this.templateSrv.getVariables().map((v) => v.name);
  }

  // The dashboard's filters.

  async getTagKeys(_options?: DataSourceGetTagKeysOptions<SluiceQuery>): Promise<MetricFindValue[]> {
    const columns = await this.columns();
    return columns.map((c) => ({ text: c.name, value: c.name, group: c.kind === 'either side' ? 'Either side' : undefined }));
  }

  async getTagValues(options: DataSourceGetTagValuesOptions<SluiceQuery>): Promise<MetricFindValue[]> {
    const others = toFilters((options.filters ?? []).filter((f) => f.key !== options.key));
    const values = await this.values(options.key, options.timeRange, others);
    return values.map((text) => ({ text, value: text }));
  }

  // Logs: the volume above them, what stands around a line, and filters out of a line.

  getSupportedSupplementaryQueryTypes(): SupplementaryQueryType[] {
    return [SupplementaryQueryType.LogsVolume];
  }

  getSupplementaryQuery(options: SupplementaryQueryOptions, query: SluiceQuery): SluiceQuery | undefined {
    if (options.type !== SupplementaryQueryType.LogsVolume || query.queryType !== 'logs' || query.hide) {
      return undefined;
    }
    return { ...query, mode: 'code', expr: textOf(query), queryType: 'logsVolume', refId: `volume-${query.refId}` };
  }

  getSupplementaryRequest(type: SupplementaryQueryType, request: DataQueryRequest<SluiceQuery>): DataQueryRequest<SluiceQuery> | undefined {
    if (type !== SupplementaryQueryType.LogsVolume) {
      return undefined;
    }
    const targets = request.targets.map((q) => this.getSupplementaryQuery({ type }, q)).filter((q): q is SluiceQuery => q !== undefined);
    return targets.length > 0 ? { ...request, targets } : undefined;
  }

  /** What the same two said to each other shortly before or after. */
  async getLogRowContext(row: LogRowModel, options?: LogRowContextOptions, query?: SluiceQuery): Promise<DataQueryResponse> {
    const context = await this.getLogRowContextQuery(row, options, query);
    const forward = options?.direction === LogRowContextQueryDirection.Forward;
    const windowMs = options?.timeWindowMs ?? 2 * 60 * 60 * 1000;
    const from = dateTime(forward ? row.timeEpochMs : row.timeEpochMs - windowMs);
    const to = dateTime(forward ? row.timeEpochMs + windowMs : row.timeEpochMs + 1);
    const request = {
      requestId: `sluice-context-${row.uid}-${forward}`,
      app: CoreApp.Explore,
      interval: '1s',
      intervalMs: 1000,
      timezone: 'utc',
      startTime: Date.now(),
      scopedVars: options?.scopedVars ?? {},
      range: { from, to, raw: { from, to } },
      targets: [context],
    } as DataQueryRequest<SluiceQuery>;
    return new Promise((resolve, reject) => super.query(request).subscribe({ next: resolve, error: reject }));
  }

  async getLogRowContextQuery(row: LogRowModel, options?: LogRowContextOptions, _query?: SluiceQuery): Promise<SluiceQuery> {
    const side = (name: string) => row.labels[name];
    const two = (a: string, b: string) => `(\`src_ip\` == ${quoteText(a)} and \`dst_ip\` == ${quoteText(b)})`;
    const src = side('src_ip');
    const dst = side('dst_ip');
    let expr = 'from flows';
    if (src && dst) {
      expr += `\n| where ${two(src, dst)} or ${two(dst, src)}`;
    } else if (src || dst) {
      expr += `\n| where \`ip\` == ${quoteText(src || dst)}`;
    }
    const limit = options?.limit ?? 50;
    if (options?.direction === LogRowContextQueryDirection.Forward) {
      expr += `\n| sort ts asc\n| limit ${Math.floor(limit)}`;
    }
    return { refId: 'context', queryType: 'logs', mode: 'code', expr, limit };
  }

  toggleQueryFilter(query: SluiceQuery, filter: ToggleFilterAction): SluiceQuery {
    const { key, value } = filter.options;
    if (filter.type === 'FILTER_FOR') {
      return hasFilter(query, key, value) ? removeFilter(query, key, value) : addFilter(query, key, '==', value);
    }
    return addFilter(hasFilter(query, key, value) ? removeFilter(query, key, value) : query, key, '!=', value);
  }

  /** A cell of a table in Explore as a filter. Lines are made by the back end of what a flow has, so no part of a line can be one. */
  getSupportedQueryModifications(): QueryFixType[] {
    return ['ADD_FILTER', 'ADD_FILTER_OUT'];
  }

  modifyQuery(query: SluiceQuery, action: QueryFixAction): SluiceQuery {
    const { key, value } = action.options ?? {};
    if (!key || value === undefined || !this.getSupportedQueryModifications().some((known) => known === action.type) || hasFilter(query, key, value)) {
      return query;
    }
    return addFilter(query, key, action.type === 'ADD_FILTER' ? '==' : '!=', value);
  }

  queryHasFilter(query: SluiceQuery, filter: QueryFilterOptions): boolean {
    return hasFilter(query, filter.key, filter.value);
  }
}

/** Questions of the editor fail quietly: an answer that does not come is no message on the page. */
const quiet = { showErrorAlert: false };

function bounds(range?: TimeRange) {
  const { from, to } = range ?? getDefaultTimeRange();
  return { from: from.toISOString(), to: to.toISOString() };
}

function toFilters(filters: AdHocVariableFilter[]): AdHocFilter[] {
  return filters.filter((f) => f.key).map(({ key, operator, value, values }) => ({ key, operator, value, values }));
}

/** A short name for what is asked (FNV-1a, twice 32 bits). It names a channel and protects nothing: who may ask one may ask all. */
export function digest(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x1b873593;
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(text.length - 1 - i), 0x01000193);
  }
  return (a >>> 0).toString(16).padStart(8, '0') + (b >>> 0).toString(16).padStart(8, '0');
}
