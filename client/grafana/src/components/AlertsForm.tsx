import { useCallback } from 'react';
import { Combobox, InlineField, InlineFieldRow } from '@grafana/ui';
import type { DataSource } from '../datasource';
import { severities } from '../flowql/builder';
import { AlertsFilter } from '../types';
import { MultiChoice } from './MultiChoice';

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
  const suggest = useCallback(
    async (typed: string) => {
      const known = await datasource.rules().catch(() => []); // names can be typed
      const all = [...datasource.variableNames().map((name) => '$' + name), ...known];
      return all.filter((name) => name.toLowerCase().includes(typed.toLowerCase())).map((name) => ({ value: name, label: name }));
    },
    [datasource]
  );
  return (
    <InlineFieldRow data-testid="alerts-form">
      <InlineField label="Rules" labelWidth={12}>
        <MultiChoice name="Rules" minWidth={24} maxWidth={60} createCustomValue placeholder="all" options={suggest} values={filter.rules} onChange={(rules) => onChange({ ...filter, rules })} />
      </InlineField>
      <InlineField label="Severity">
        <MultiChoice name="Severity" minWidth={20} maxWidth={60} placeholder="all" options={severities.map((s) => ({ value: s, label: s }))} values={filter.severities} onChange={(chosen) => onChange({ ...filter, severities: chosen })} />
      </InlineField>
      <InlineField label="State">
        <Combobox aria-label="State" width={14} options={states} value={filter.state} onChange={(o) => onChange({ ...filter, state: o.value })} />
      </InlineField>
    </InlineFieldRow>
  );
}
