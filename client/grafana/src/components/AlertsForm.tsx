import { useCallback } from 'react';
import { Combobox, InlineField, InlineFieldRow, MultiCombobox } from '@grafana/ui';
import type { DataSource } from '../datasource';
import { severities } from '../flowql/builder';
import { AlertsFilter } from '../types';

interface Props {
  datasource: DataSource;
  value?: AlertsFilter;
  onChange: (value: AlertsFilter) => void;
}

const states = [
  { value: '', label: 'all' },
  { value: 'firing', label: 'firing' },
  { value: 'ended', label: 'ended' },
];

/** Which alerts: by rule, severity and state. */
export function AlertsForm({ datasource, value, onChange }: Props) {
  const filter = value ?? { rules: [], severities: [], state: '' };
  const variables = useCallback(async (typed: string) => datasource.variableNames().map((n) => ({ value: '$' + n, label: '$' + n })).filter((o) => o.value.includes(typed)), [datasource]);
  return (
    <InlineFieldRow data-testid="alerts-form">
      <InlineField label="Rules" labelWidth={12}>
        <MultiCombobox
          aria-label="Rules"
          width="auto"
          minWidth={24}
          maxWidth={60}
          createCustomValue
          placeholder="all"
          options={variables}
          value={filter.rules.map((v) => ({ value: v, label: v }))}
          onChange={(chosen) => onChange({ ...filter, rules: chosen.map((o) => o.value) })}
        />
      </InlineField>
      <InlineField label="Severity">
        <MultiCombobox
          aria-label="Severity"
          width="auto"
          minWidth={20}
          maxWidth={60}
          placeholder="all"
          options={severities.map((s) => ({ value: s, label: s }))}
          value={filter.severities}
          onChange={(chosen) => onChange({ ...filter, severities: chosen.map((o) => o.value) })}
        />
      </InlineField>
      <InlineField label="State">
        <Combobox aria-label="State" width={14} options={states} value={filter.state} onChange={(o) => onChange({ ...filter, state: o.value })} />
      </InlineField>
    </InlineFieldRow>
  );
}
