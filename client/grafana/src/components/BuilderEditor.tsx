import { useCallback, useEffect, useMemo, useState } from 'react';
import { css } from '@emotion/css';
import { GrafanaTheme2, TimeRange } from '@grafana/data';
import { Button, Combobox, ComboboxOption, IconButton, InlineField, InlineFieldRow, InlineSwitch, Input, useStyles2 } from '@grafana/ui';
import type { DataSource } from '../datasource';
import { aggregates, computedKeys, isRate, metrics, operators } from '../flowql/builder';
import { AdHocFilter, Builder, BuilderFilter, ColumnInfo, QueryType } from '../types';
import { MultiChoice } from './MultiChoice';

interface Props {
  datasource: DataSource;
  queryType: QueryType;
  value: Builder;
  range?: TimeRange;
  onChange: (value: Builder) => void;
}

const intervals: Array<ComboboxOption<string>> = ['auto', '10s', '1m', '5m', '15m', '1h', '1d'].map((value) => ({
  value,
  label: value,
  description: value === 'auto' ? 'fits the width of the panel' : undefined,
}));

export function useColumns(datasource: DataSource): ColumnInfo[] {
  const [columns, setColumns] = useState<ColumnInfo[]>([]);
  useEffect(() => {
    let live = true;
    datasource.columns().then(
      (found) => live && setColumns(found),
      () => undefined // the editor works without: names can be typed
    );
    return () => {
      live = false;
    };
  }, [datasource]);
  return columns;
}

export function columnOptions(columns: ColumnInfo[], variables: string[] = []): Array<ComboboxOption<string>> {
  return [
    ...variables.map((name) => ({ value: '$' + name, label: '$' + name, description: 'variable of the dashboard' })),
    ...columns.map((c) => ({ value: c.name, label: c.name, description: c.doc })),
  ];
}

/** Filters as chips, keys, what is measured, and how many. Each change is told at once. */
export function BuilderEditor({ datasource, queryType, value, range, onChange }: Props) {
  const styles = useStyles2(getStyles);
  const columns = useColumns(datasource);
  const names = useMemo(() => columnOptions(columns), [columns]);
  const keys = useMemo(() => [...computedKeys.map(({ name, doc }) => ({ value: name, label: name, description: doc })), ...names], [names]);
  const set = (part: Partial<Builder>) => onChange({ ...value, ...part });
  const setFilter = (at: number, part: Partial<BuilderFilter>) => set({ filters: value.filters.map((f, i) => (i === at ? { ...f, ...part } : f)) });
  const groups = !['logs', 'tail', 'logsVolume'].includes(queryType);
  return (
    <div className={styles.wrap} data-testid="builder">
      <InlineFieldRow>
        <InlineField label="Filter" labelWidth={12} grow shrink>
          <div className={styles.chips}>
            {value.filters.map((filter, i) => (
              <Chip
                key={i}
                filter={filter}
                others={value.filters.filter((_, j) => j !== i)}
                names={names}
                datasource={datasource}
                range={range}
                onChange={(part) => setFilter(i, part)}
                onRemove={() => set({ filters: value.filters.filter((_, j) => j !== i) })}
              />
            ))}
            <Button size="sm" variant="secondary" icon="plus" onClick={() => set({ filters: [...value.filters, { column: '', operator: '==', values: [] }] })}>
              Filter
            </Button>
          </div>
        </InlineField>
      </InlineFieldRow>
      {groups && (
        <InlineFieldRow>
          <InlineField label="Measure" labelWidth={12}>
            <Combobox
              aria-label="Measure"
              width={30}
              options={metrics.map((m) => ({ value: m.name, label: m.label }))}
              value={value.metric}
              onChange={(o) => set({ metric: o.value })}
            />
          </InlineField>
          {value.metric === 'custom' && (
            <>
              <InlineField label="of">
                <Combobox aria-label="Aggregate" width={18} options={aggregates.map((a) => ({ value: a, label: a }))} value={value.aggregate ?? 'sum'} onChange={(o) => set({ aggregate: o.value })} />
              </InlineField>
              <InlineField>
                <Combobox aria-label="Column" width={24} options={names} value={value.column ?? 'bytes'} onChange={(o) => set({ column: o.value })} />
              </InlineField>
            </>
          )}
          <InlineField label="by" tooltip="Keys: one line, row or arrow for each combination of their values">
            <MultiChoice name="Group by" minWidth={20} maxWidth={60} options={keys} values={value.groupBy} placeholder="everything" onChange={(groupBy) => set({ groupBy })} />
          </InlineField>
          {queryType === 'timeseries' && (
            <InlineField label="every">
              <Combobox aria-label="Interval" width={14} createCustomValue options={intervals} value={value.interval} onChange={(o) => set({ interval: o.value })} />
            </InlineField>
          )}
          {value.groupBy.length > 0 && (
            <InlineField label="top" tooltip={queryType === 'timeseries' ? 'The greatest are lines of their own, the rest is one more' : 'The greatest'}>
              <Input
                aria-label="Top"
                type="number"
                min={1}
                max={1000}
                width={10}
                key={value.top}
                defaultValue={value.top}
                onBlur={(e) => set({ top: Math.max(1, Math.floor(Number(e.currentTarget.value)) || 10) })}
              />
            </InlineField>
          )}
          {value.groupBy.length > 0 && queryType === 'table' && !isRate(value) && (
            <InlineField label="others" tooltip="One more row for all the rest">
              <InlineSwitch aria-label="Others" value={value.others} onChange={(e) => set({ others: e.currentTarget.checked })} />
            </InlineField>
          )}
        </InlineFieldRow>
      )}
    </div>
  );
}

interface ChipProps {
  filter: BuilderFilter;
  others: BuilderFilter[];
  names: Array<ComboboxOption<string>>;
  datasource: DataSource;
  range?: TimeRange;
  onChange: (part: Partial<BuilderFilter>) => void;
  onRemove: () => void;
}

function Chip({ filter, others, names, datasource, range, onChange, onRemove }: ChipProps) {
  const styles = useStyles2(getStyles);
  const operator = operators.find((o) => o.value === filter.operator) ?? operators[0];
  const suggest = useCallback(
    async (typed: string): Promise<Array<ComboboxOption<string>>> => {
      const variables = datasource.variableNames().map((name) => ({ value: '$' + name, label: '$' + name, description: 'variable of the dashboard' }));
      let seen: string[] = [];
      if (filter.column) {
        try {
          seen = await datasource.values(filter.column, range, plainFilters(others));
        } catch {
          // values can be typed
        }
      }
      const all = [...variables, ...seen.map((value) => ({ value, label: value }))];
      return typed ? all.filter((o) => o.value.toLowerCase().includes(typed.toLowerCase())) : all;
    },
    [datasource, filter.column, range, others]
  );
  return (
    <div className={styles.chip} data-testid="filter-chip">
      <Combobox aria-label="Filter column" width={22} createCustomValue options={names} value={filter.column || null} placeholder="column" onChange={(o) => onChange({ column: o.value, values: [] })} />
      <Combobox aria-label="Filter operator" width={14} options={operators.map(({ value, label }) => ({ value, label }))} value={filter.operator} onChange={(o) => onChange({ operator: o.value })} />
      {!operator.none && (
        <MultiChoice
          name="Filter value"
          minWidth={16}
          maxWidth={50}
          createCustomValue
          options={suggest}
          values={filter.values}
          placeholder="value"
          onChange={(values) => onChange({ values: operator.single ? values.slice(-1) : values })}
        />
      )}
      <IconButton name="times" tooltip="Remove this filter" aria-label="Remove this filter" onClick={onRemove} />
    </div>
  );
}

/** The other chips as filters for the list of values; those with variables or other operators are left out, and the list is longer. */
export function plainFilters(filters: BuilderFilter[]): AdHocFilter[] {
  return filters
    .filter((f) => f.column && f.operator === '==' && f.values.length > 0 && f.values.every((v) => !v.startsWith('$')))
    .map((f) => ({ key: f.column, operator: '=|', value: f.values[0], values: f.values }));
}

const getStyles = (theme: GrafanaTheme2) => ({
  wrap: css({ display: 'flex', flexDirection: 'column', gap: theme.spacing(0.5) }),
  chips: css({ display: 'flex', flexWrap: 'wrap', minWidth: 0, gap: theme.spacing(1), alignItems: 'center' }),
  // Its border and the space around it are within the height of the label before it.
  chip: css({
    display: 'flex',
    alignItems: 'center',
    gap: theme.spacing(0.5),
    paddingRight: theme.spacing(0.5),
    boxShadow: `0 0 0 1px ${theme.colors.border.weak}`,
    borderRadius: theme.shape.radius.default,
    background: theme.colors.background.secondary,
  }),
});
