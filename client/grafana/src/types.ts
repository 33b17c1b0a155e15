import { DataQuery } from '@grafana/schema';
import { DataSourceJsonData } from '@grafana/data';

/** What a query is drawn as. The back end has the same names (pkg/plugin/query.go). */
export type QueryType = 'timeseries' | 'table' | 'logs' | 'logsVolume' | 'nodegraph' | 'geomap' | 'alerts' | 'tail';

/** One chip of the builder. Several values are "one of"; none is no filter. */
export interface BuilderFilter {
  column: string;
  operator: string;
  values: string[];
}

/** What the builder writes FlowQL from. */
export interface Builder {
  filters: BuilderFilter[];
  groupBy: string[];
  /** A name of `metrics`, or `custom` with an aggregate and a column of its own. */
  metric: string;
  aggregate?: string;
  column?: string;
  /** `auto` fits the panel's width. */
  interval: string;
  top: number;
  others: boolean;
}

/** Which alerts are asked for, in the builder. */
export interface AlertsFilter {
  rules: string[];
  severities: string[];
  state: string;
}

/** Values of a variable as they are chosen, which travel beside the text. */
export interface VariableValue {
  values: string[];
  all?: boolean;
}

export interface AdHocFilter {
  key: string;
  operator: string;
  value: string;
  values?: string[];
}

export interface SluiceQuery extends DataQuery {
  queryType?: QueryType;
  mode?: 'builder' | 'code';
  expr?: string;
  builder?: Builder;
  alerts?: AlertsFilter;
  legend?: string;
  unit?: string;
  limit?: number;
  ownRange?: boolean;
  annotation?: boolean;
  variables?: Record<string, VariableValue>;
  adHocFilters?: AdHocFilter[];
}

/** A query variable: values of one column, or the first column of any query. */
export interface SluiceVariableQuery extends SluiceQuery {
  column?: string;
}

export interface SluiceOptions extends DataSourceJsonData {
  tenant?: string;
  tenantHeader?: string;
  queryTimeoutSeconds?: number;
  maxRows?: number;
  customQueryParameters?: string;
  // Under Grafana's own names, as its SDK reads them.
  tlsAuth?: boolean;
  tlsAuthWithCACert?: boolean;
  tlsSkipVerify?: boolean;
  serverName?: string;
  oauthPassThru?: boolean;
  keepCookies?: string[];
}

export interface SluiceSecrets {
  token?: string;
  basicAuthPassword?: string;
  tlsCACert?: string;
  tlsClientCert?: string;
  tlsClientKey?: string;
}

/** One column of flows, as the back end tells it. */
export interface ColumnInfo {
  name: string;
  kind: string;
  type: string;
  unit?: string;
  doc?: string;
  values?: string[];
}

export interface Completions {
  start: number;
  end: number;
  items: Array<{ text: string; kind: string; detail: string }>;
}

export interface Validation {
  valid: boolean;
  errors: Array<{ start: number; end: number; message: string; hint?: string }>;
}
