import { QueryEditorProps } from '@grafana/data';
import { Combobox, InlineField, InlineFieldRow, RadioButtonGroup } from '@grafana/ui';
import type { DataSource } from '../datasource';
import { SluiceOptions, SluiceQuery, SluiceVariableQuery } from '../types';
import { columnOptions, useColumns } from './BuilderEditor';
import { FlowQLEditor } from './FlowQLEditor';

type Props = QueryEditorProps<DataSource, SluiceQuery, SluiceOptions, SluiceVariableQuery>;

/** Where a variable's values come from: a column of flows, or a query of one's own. */
export function VariableEditor({ datasource, query, range, onChange, onRunQuery }: Props) {
  const columns = useColumns(datasource);
  const asked: SluiceVariableQuery = typeof query === 'string' ? { refId: 'variable', expr: query } : { ...query, refId: query?.refId || 'variable' };
  const kind = asked.column !== undefined || !asked.expr ? 'column' : 'query';
  const tell = (part: Partial<SluiceVariableQuery>) => {
    onChange({ ...asked, mode: 'code', queryType: 'table', ...part });
    onRunQuery?.();
  };
  return (
    <>
      <InlineFieldRow>
        <InlineField label="Values of" labelWidth={14}>
          <RadioButtonGroup
            options={[
              { value: 'column' as const, label: 'a column' },
              { value: 'query' as const, label: 'a query' },
            ]}
            value={kind}
            onChange={(next) => (next === 'column' ? tell({ column: '', expr: undefined }) : tell({ column: undefined, expr: asked.expr || 'from flows\n| top 100 src_ip by count()' }))}
          />
        </InlineField>
        {kind === 'column' && (
          <InlineField label="Column">
            <Combobox aria-label="Column of the variable" width={30} createCustomValue options={columnOptions(columns)} value={asked.column || null} placeholder="column" onChange={(o) => tell({ column: o.value, expr: undefined })} />
          </InlineField>
        )}
      </InlineFieldRow>
      {kind === 'query' && <FlowQLEditor datasource={datasource} value={asked.expr ?? ''} range={range} onChange={(expr) => tell({ expr })} onRun={() => onRunQuery?.()} />}
      <p>
        The first column is the value; columns called <code>text</code> and <code>value</code> say both. Only the dashboard&apos;s time range is asked. In queries, <code>$name</code> is a
        parameter: <code>src_ip in $name</code> takes one value or many, and <code>$__conditionalAll(src_ip in $name, $name)</code> is true while All is chosen.
      </p>
    </>
  );
}
