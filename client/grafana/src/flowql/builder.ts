import { AlertsFilter, Builder, BuilderFilter, QueryType, SluiceQuery } from '../types';
import { count, interval, literal, quoteColumn, variableOf } from './literal';

/** What is measured. `expr` is FlowQL of ours, never of a user. Of a rate there is no sum of all others. */
export const metrics: Array<{ name: string; label: string; expr: string; unit?: string; isRate?: boolean }> = [
  { name: 'bits', label: 'Bits per second', expr: 'bits = 8 * rate(sum(bytes))', unit: 'bps', isRate: true },
  { name: 'bytes', label: 'Bytes', expr: 'bytes = sum(bytes)' },
  { name: 'packets', label: 'Packets', expr: 'packets = sum(packets)' },
  { name: 'packets_rate', label: 'Packets per second', expr: 'packets = rate(sum(packets))', unit: 'pps', isRate: true },
  { name: 'flows', label: 'Flows', expr: 'flows = count()' },
  { name: 'flows_rate', label: 'Flows per second', expr: 'flows = rate(count())', unit: 'cps', isRate: true },
  { name: 'sources', label: 'Different sources', expr: 'sources = dcount(src_ip)' },
  { name: 'destinations', label: 'Different destinations', expr: 'destinations = dcount(dst_ip)' },
  { name: 'ports', label: 'Different destination ports', expr: 'ports = dcount(dst_port)' },
  { name: 'custom', label: 'Aggregate of a column …', expr: '' },
];

/** Aggregates of one column that the builder offers (docs/flowql.md, "Aggregates"). */
export const aggregates = ['sum', 'avg', 'min', 'max', 'p50', 'p90', 'p95', 'p99', 'stdev', 'dcount', 'count_distinct', 'entropy'];

/** Keys that no column holds as it is wanted. Names are none of a column's; `expr` is FlowQL of ours. */
export const computedKeys: Array<{ name: string; doc: string; expr: string }> = [
  { name: 'service', doc: "Name of the lower of a flow's two ports, so that both directions count for it", expr: 'service(if(src_port < dst_port, src_port, dst_port), protocol)' },
];

/** Operators of filter chips; `none` take no value. */
export const operators: Array<{ value: string; label: string; none?: boolean; single?: boolean }> = [
  { value: '==', label: '=' },
  { value: '!=', label: '≠' },
  { value: '<', label: '<', single: true },
  { value: '<=', label: '≤', single: true },
  { value: '>', label: '>', single: true },
  { value: '>=', label: '≥', single: true },
  { value: 'contains', label: 'contains', single: true },
  { value: 'starts_with', label: 'starts with', single: true },
  { value: 'matches', label: 'matches', single: true },
  { value: 'has', label: 'has', single: true },
  { value: 'known', label: 'is known', none: true },
  { value: 'unknown', label: 'is unknown', none: true },
];

export const severities = ['info', 'low', 'medium', 'high', 'critical'];

const TOP_MAX = 1000;

export function defaultBuilder(type: QueryType = 'timeseries'): Builder {
  return {
    filters: [],
    groupBy: type === 'nodegraph' ? ['src_ip', 'dst_ip'] : type === 'geomap' ? ['country'] : [],
    metric: type === 'timeseries' ? 'bits' : 'bytes',
    interval: 'auto',
    top: type === 'nodegraph' ? 50 : 10,
    others: false,
  };
}

/** One chip as a condition; undefined while it is not filled in. */
export function condition(filter: BuilderFilter): string | undefined {
  if (!filter.column) {
    return undefined;
  }
  const column = quoteColumn(filter.column);
  const operator = operators.find((o) => o.value === filter.operator);
  if (!operator) {
    throw new Error(`there is no operator ${JSON.stringify(filter.operator)}`);
  }
  if (operator.none) {
    return `${column} ${operator.value === 'known' ? '!=' : '=='} null`;
  }
  const values = filter.values.filter((v) => v !== '');
  if (values.length === 0) {
    return undefined;
  }
  let text: string;
  if (operator.single) {
    text = `${column} ${operator.value} ${literal(values[0])}`;
  } else if (values.length === 1 && !variableOf(values[0])) {
    text = `${column} ${operator.value} ${literal(values[0])}`;
  } else {
    // A variable may have several values, and addresses may be blocks: `in` takes all of them.
    text = `${column} ${operator.value === '!=' ? 'not in' : 'in'} (${values.map(literal).join(', ')})`;
  }
  // With a variable the chip vanishes while `All` is chosen.
  const name = values.map(variableOf).find(Boolean);
  return name ? `$__conditionalAll(${text}, $${name})` : text;
}

function where(filters: BuilderFilter[]): string {
  const conditions = filters.map(condition).filter(Boolean);
  return conditions.length > 0 ? `\n| where ${conditions.join(' and ')}` : '';
}

function key(name: string): string {
  const computed = computedKeys.find((k) => k.name === name);
  return computed ? `${computed.name} = ${computed.expr}` : quoteColumn(name);
}

function metric(builder: Builder): string {
  if (builder.metric === 'custom') {
    const aggregate = builder.aggregate ?? 'sum';
    if (!aggregates.includes(aggregate)) {
      throw new Error(`there is no aggregate ${JSON.stringify(aggregate)}`);
    }
    return `${aggregate}(${quoteColumn(builder.column || 'bytes')})`;
  }
  return (metrics.find((m) => m.name === builder.metric) ?? metrics[0]).expr;
}

/** The unit of the builder's metric where the server cannot know it. */
export function unitOf(builder?: Builder): string | undefined {
  return metrics.find((m) => m.name === builder?.metric)?.unit;
}

export function isRate(builder: Builder): boolean {
  return metrics.find((m) => m.name === builder.metric)?.isRate ?? false;
}

/** FlowQL for what the builder says. Throws where a name is none. */
export function write(type: QueryType, builder: Builder, limit?: number): string {
  const head = 'from flows' + where(builder.filters);
  const keys = builder.groupBy.map(key).join(', ');
  const top = count(builder.top, 10, TOP_MAX);
  switch (type) {
    case 'logs':
    case 'logsVolume':
    case 'tail':
      return head;
    case 'timeseries':
      return `${head}\n| timeseries ${metric(builder)} every ${interval(builder.interval)}${keys ? ` by ${keys} limit ${top}` : ''}`;
    case 'nodegraph':
      return `${head}\n| top ${top} ${keys || '`src_ip`, `dst_ip`'} by ${metric(builder)}, flows_all = count()`;
    case 'geomap':
      return `${head}\n| top ${top} ${keys || '`country`'} by ${metric(builder)}`;
    default:
      return keys ? `${head}\n| top ${top} ${keys} by ${metric(builder)}${builder.others && !isRate(builder) ? ' with others' : ''}` : `${head}\n| stats ${metric(builder)}`;
  }
}

/** FlowQL for the alerts that are asked for. */
export function writeAlerts(filter?: AlertsFilter): string {
  const conditions: string[] = [];
  const oneOf = (column: string, values: string[]) => {
    const text = condition({ column, operator: '==', values });
    if (text) {
      conditions.push(text);
    }
  };
  oneOf('rule', filter?.rules ?? []);
  oneOf('severity', filter?.severities ?? []);
  oneOf('state', filter?.state ? [filter.state] : []);
  return 'from alerts' + (conditions.length > 0 ? `\n| where ${conditions.join(' and ')}` : '');
}

/** The text of a query, whichever way it was made. A query that was provisioned with a builder alone is written here. */
export function textOf(query: SluiceQuery): string {
  if (query.mode === 'code' || (!query.builder && !query.alerts)) {
    return query.expr ?? '';
  }
  try {
    return query.queryType === 'alerts' ? writeAlerts(query.alerts) : write(query.queryType ?? 'timeseries', query.builder ?? defaultBuilder(query.queryType), query.limit);
  } catch {
    return query.expr ?? ''; // names that are none were told in the editor
  }
}

/** The same query with another filter: a chip in the builder, a stage in the code. */
export function addFilter(query: SluiceQuery, column: string, operator: '==' | '!=', value: string): SluiceQuery {
  const filter: BuilderFilter = { column, operator, values: [value] };
  if (query.mode !== 'code' && query.builder) {
    const builder = { ...query.builder, filters: [...query.builder.filters, filter] };
    return { ...query, builder, expr: write(query.queryType ?? 'timeseries', builder, query.limit) };
  }
  const text = (query.expr ?? '').replace(/;\s*$/, '') || 'from flows';
  return { ...query, mode: 'code', expr: `${text}\n| where ${condition(filter)}` };
}

export function hasFilter(query: SluiceQuery, column: string, value: string): boolean {
  if (query.mode !== 'code' && query.builder) {
    return query.builder.filters.some((f) => f.column === column && f.operator === '==' && f.values.includes(value));
  }
  return (query.expr ?? '').includes(`| where ${condition({ column, operator: '==', values: [value] })}`);
}

export function removeFilter(query: SluiceQuery, column: string, value: string): SluiceQuery {
  if (query.mode !== 'code' && query.builder) {
    const filters = query.builder.filters.filter((f) => !(f.column === column && f.operator === '==' && f.values.includes(value)));
    const builder = { ...query.builder, filters };
    return { ...query, builder, expr: write(query.queryType ?? 'timeseries', builder, query.limit) };
  }
  return { ...query, expr: (query.expr ?? '').replace(`\n| where ${condition({ column, operator: '==', values: [value] })}`, '') };
}
