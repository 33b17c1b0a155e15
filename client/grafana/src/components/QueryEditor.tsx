import { useEffect, useState } from 'react';
import { css } from '@emotion/css';
import { GrafanaTheme2, QueryEditorProps } from '@grafana/data';
import { Alert, Button, Combobox, ConfirmModal, Dropdown, InlineField, InlineFieldRow, InlineSwitch, Input, Menu, RadioButtonGroup, useStyles2 } from '@grafana/ui';
import type { DataSource } from '../datasource';
import { defaultBuilder, textOf } from '../flowql/builder';
import { samples } from '../flowql/samples';
import { QueryType, SluiceOptions, SluiceQuery } from '../types';
import { AlertsForm } from './AlertsForm';
import { BuilderEditor } from './BuilderEditor';
import { FlowQLEditor } from './FlowQLEditor';

export type Props = QueryEditorProps<DataSource, SluiceQuery, SluiceOptions>;

export const queryTypes: Array<{ value: QueryType; label: string; description: string }> = [
  { value: 'timeseries', label: 'Time series', description: 'Lines over time' },
  { value: 'table', label: 'Table', description: 'Rows as they are' },
  { value: 'logs', label: 'Logs', description: 'Flows as lines' },
  { value: 'nodegraph', label: 'Node graph', description: 'Who talks to whom' },
  { value: 'geomap', label: 'Map', description: 'By country or cloud region' },
  { value: 'alerts', label: 'Alerts', description: 'What rules found' },
  { value: 'tail', label: 'Live tail', description: 'Flows as they come' },
];

/** One query: what it is drawn as, and a builder or the text. */
export function QueryEditor({ datasource, query, range, data, onChange, onRunQuery }: Props) {
  const styles = useStyles2(getStyles);
  const [asksToLeave, setAsksToLeave] = useState(false);
  const type = query.queryType ?? 'timeseries';
  const mode = query.mode ?? (query.expr && !query.builder ? 'code' : 'builder');
  const builder = query.builder ?? defaultBuilder(type);

  /** The text is kept beside the form, with the values that its variables have, so that alert rules and public dashboards need no page to write it. */
  const change = (part: Partial<SluiceQuery>, run = true) => {
    const next: SluiceQuery = { ...query, queryType: type, mode, ...part };
    if (next.mode === 'builder' && next.queryType !== 'alerts') {
      next.builder ??= builder;
    }
    const asForm = next.mode === 'builder' && next.queryType === 'alerts' ? { ...next, alerts: next.alerts ?? { rules: [], severities: [], state: '' } } : next;
    onChange({ ...next, ...datasource.saved(asForm) });
    if (run) {
      onRunQuery();
    }
  };

  // A query that says nothing yet is what the form shows.
  const isNew = !query.builder && !query.alerts && !query.expr;
  useEffect(() => {
    if (isNew && mode === 'builder') {
      change({}, false);
    }
    // eslint-disable-next-line react-hooks/exhaustive-deps -- once, for a query that is new
  }, [isNew]);

  const changeType = (next: QueryType) => {
    const fresh = query.builder && (type === 'nodegraph' || type === 'geomap' || next === 'nodegraph' || next === 'geomap') ? { ...defaultBuilder(next), filters: builder.filters } : builder;
    change({ queryType: next, builder: fresh });
  };

  const changeMode = (next: 'builder' | 'code') => {
    if (next === 'code') {
      change({ mode: 'code', expr: textOf({ ...query, queryType: type, mode: 'builder', builder }) }, false);
      return;
    }
    // What was written by hand cannot become a form: ask before it is lost.
    const written = textOf({ ...query, queryType: type, mode: 'builder', builder, alerts: query.alerts });
    if ((query.expr ?? '').trim() && query.expr !== written) {
      setAsksToLeave(true);
    } else {
      change({ mode: 'builder' });
    }
  };

  // eslint-disable-next-line @typescript-eslint/no-deprecated -- where a request fails as a whole, Grafana 12 tells it here alone
  const error = data?.error ?? data?.errors?.find((e) => !e.refId || e.refId === query.refId);
  const stored = textOf({ ...query, queryType: type, mode, builder: mode === 'builder' && type !== 'alerts' ? builder : query.builder });
  return (
    <div className={styles.wrap}>
      <InlineFieldRow>
        <InlineField label="Show" labelWidth={12}>
          <Combobox aria-label="Show as" width={20} options={queryTypes} value={type} onChange={(o) => changeType(o.value)} />
        </InlineField>
        {type === 'timeseries' && (
          <InlineField label="Legend" tooltip="{{key}} is the value of a key; empty: all keys">
            <Input
              aria-label="Legend"
              width={24}
              placeholder="keys"
              key={query.legend ?? ''}
              defaultValue={query.legend ?? ''}
              onBlur={(e) => e.currentTarget.value !== (query.legend ?? '') && change({ legend: e.currentTarget.value || undefined })}
            />
          </InlineField>
        )}
        {type !== 'tail' && (
          <InlineField label="Rows at most" tooltip="The answer is cut there, and says so">
            <Input
              aria-label="Rows at most"
              type="number"
              min={1}
              max={100000}
              width={14}
              placeholder="auto"
              key={query.limit ?? 0}
              defaultValue={query.limit ?? ''}
              onBlur={(e) => {
                const limit = Math.floor(Number(e.currentTarget.value)) || undefined;
                if (limit !== query.limit) {
                  change({ limit });
                }
              }}
            />
          </InlineField>
        )}
        {mode === 'code' && type !== 'tail' && (
          <InlineField label="Own time range" tooltip="The dashboard's time range does not narrow the query's own: last 30d on a dashboard of an hour">
            <InlineSwitch aria-label="Own time range" value={query.ownRange ?? false} onChange={(e) => change({ ownRange: e.currentTarget.checked || undefined })} />
          </InlineField>
        )}
        <div className={styles.right}>
          <Dropdown
            overlay={
              <Menu>
                {samples.map((s) => (
                  <Menu.Item key={s.title} label={s.title} onClick={() => change({ queryType: s.type, mode: 'code', expr: s.expr, builder: undefined, alerts: undefined })} />
                ))}
              </Menu>
            }
          >
            <Button size="sm" variant="secondary" icon="question-circle">
              Samples
            </Button>
          </Dropdown>
          <Button size="sm" variant="secondary" icon="play" onClick={() => change({})}>
            Run
          </Button>
          <RadioButtonGroup
            size="sm"
            options={[
              { value: 'builder' as const, label: 'Builder' },
              { value: 'code' as const, label: 'Code' },
            ]}
            value={mode}
            onChange={changeMode}
          />
        </div>
      </InlineFieldRow>
      {mode === 'code' && <FlowQLEditor datasource={datasource} value={query.expr ?? ''} range={range} onChange={(expr) => change({ expr, mode: 'code' }, false)} onRun={onRunQuery} />}
      {mode === 'builder' && type === 'alerts' && <AlertsForm datasource={datasource} value={query.alerts} onChange={(alerts) => change({ alerts })} />}
      {mode === 'builder' && type !== 'alerts' && <BuilderEditor datasource={datasource} queryType={type} value={builder} range={range} onChange={(next) => change({ builder: next })} />}
      {mode === 'builder' && stored && (
        <pre className={styles.text} data-testid="written">
          {stored}
        </pre>
      )}
      {error && (
        <Alert title="The query failed" severity="error" className={styles.error}>
          <pre className={styles.caret}>{error.message ?? error.data?.message ?? 'The server did not say why.'}</pre>
        </Alert>
      )}
      <ConfirmModal
        isOpen={asksToLeave}
        title="Leave the text?"
        body="The builder cannot read FlowQL that was written by hand. Its own query will take the place of the text."
        confirmText="Use the builder"
        onConfirm={() => {
          setAsksToLeave(false);
          change({ mode: 'builder' });
        }}
        onDismiss={() => setAsksToLeave(false)}
      />
    </div>
  );
}

const getStyles = (theme: GrafanaTheme2) => ({
  wrap: css({ display: 'flex', flexDirection: 'column', gap: theme.spacing(1) }),
  right: css({ marginLeft: 'auto', display: 'flex', gap: theme.spacing(1), alignItems: 'center' }),
  text: css({ margin: 0, padding: theme.spacing(0.5, 1), fontSize: theme.typography.bodySmall.fontSize, color: theme.colors.text.secondary, whiteSpace: 'pre-wrap' }),
  error: css({ marginBottom: 0 }),
  caret: css({ margin: 0, padding: 0, border: 'none', background: 'none', whiteSpace: 'pre', overflowX: 'auto', fontSize: theme.typography.bodySmall.fontSize }),
});
