import { defer, from, map, Observable } from 'rxjs';
import { CustomVariableSupport, DataFrame, DataQueryRequest, DataQueryResponse, getDefaultTimeRange, MetricFindValue } from '@grafana/data';
import { VariableEditor } from './components/VariableEditor';
import type { DataSource } from './datasource';
import { quoteColumn } from './flowql/literal';
import { SluiceVariableQuery } from './types';

/** Values of a variable at most. Beyond, a list is no help and a text box is. */
export const VARIABLE_VALUES = 1000;

/** Columns called `text` and `value`, or else the first is the value and the second, if it is text, what is shown. */
export function toValues(frames: DataFrame[]): MetricFindValue[] {
  const out: MetricFindValue[] = [];
  const seen = new Set<string>();
  for (const frame of frames) {
    const value = frame.fields.find((f) => f.name === 'value') ?? frame.fields[0];
    const text = frame.fields.find((f) => f.name === 'text') ?? value;
    for (let i = 0; i < frame.length; i++) {
      const v = value.values[i];
      if (v === null || v === undefined || seen.has(String(v))) {
        continue;
      }
      seen.add(String(v));
      out.push({ text: String(text.values[i] ?? v), value: String(v) });
    }
  }
  return out;
}

export class VariableSupport extends CustomVariableSupport<DataSource, SluiceVariableQuery> {
  editor = VariableEditor;

  constructor(private readonly datasource: DataSource) {
    super();
  }

  /** Bound in time: the dashboard's range where the variable follows it, and else the last hours. Never all that is kept. */
  query(request: DataQueryRequest<SluiceVariableQuery>): Observable<DataQueryResponse> {
    const [asked] = request.targets;
    // Provisioned variables may be a text alone.
    const query: SluiceVariableQuery = typeof asked === 'string' ? { refId: 'variable', expr: asked } : asked;
    if (query.column) {
      // A list as filters have it, which is there at once whatever the range holds.
      const { column } = query;
      return defer(() => {
        quoteColumn(column); // throws where it is no name: an error of the query, not of the page
        return from(this.datasource.seenValues(column, VARIABLE_VALUES, request.range, request.filters));
      }).pipe(map((values) => ({ data: values.map((value) => ({ text: value, value })) })));
    }
    return defer(() => {
      const target: SluiceVariableQuery = { ...query, refId: query.refId || 'variable', column: undefined, queryType: 'table', mode: 'code', expr: query.expr ?? '', limit: query.limit ?? VARIABLE_VALUES };
      return this.datasource.query({ ...request, range: request.range ?? getDefaultTimeRange(), targets: [target] });
    }).pipe(map((response) => ({ ...response, data: response.errors?.length ? [] : toValues(response.data) })));
  }
}
