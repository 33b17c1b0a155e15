import { QueryEditorHelpProps } from '@grafana/data';
import { Button } from '@grafana/ui';
import { samples } from '../flowql/samples';
import { SluiceQuery } from '../types';

const macros: Array<[string, string]> = [
  ['$__interval', 'a length of time that fits the width of the panel; $__interval_ms'],
  ['$__range', 'the length of the time range; $__range_s, $__range_ms'],
  ['$__from, $__to', 'its ends, as timestamps'],
  ['$__timeFilter', 'ts within it; $__timeFilter(column) for another column'],
  ['$__timeRange', 'it as a query’s own: between … and …'],
  ['$__conditionalAll(condition, $variable)', 'the condition; true while the variable is All or empty'],
  ['$__adHocFilters', 'the dashboard’s filters, where they do not belong right behind the source'],
  ['$variable', 'a parameter: one value or a list, and never syntax'],
  ['${variable:column}', 'names of columns, checked to be such'],
  ['${variable:regex}', 'a regular expression that means the values themselves'],
];

/** What one needs to know to begin; docs/flowql.md says the rest. */
export function Help({ onClickExample }: QueryEditorHelpProps<SluiceQuery>) {
  return (
    <div>
      <h2>FlowQL</h2>
      <p>
        A query is a source and stages: <code>from flows | where dst_port == https | top 10 src_ip by sum(bytes)</code>. The dashboard&apos;s time range is put in by itself, and so are its
        filters.
      </p>
      <h3>Samples</h3>
      {samples.map((s) => (
        <div key={s.title}>
          <Button size="sm" fill="text" onClick={() => onClickExample({ refId: 'A', queryType: s.type, mode: 'code', expr: s.expr })}>
            {s.title}
          </Button>
          <pre>{s.expr}</pre>
        </div>
      ))}
      <h3>Macros and variables</h3>
      <table>
        <tbody>
          {macros.map(([name, doc]) => (
            <tr key={name}>
              <td>
                <code>{name}</code>
              </td>
              <td>{doc}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
