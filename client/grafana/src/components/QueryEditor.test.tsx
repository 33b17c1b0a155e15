import { useState } from 'react';
import { act, fireEvent, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { DataSource } from '../datasource';
import { SluiceQuery, VariableValue } from '../types';
import { QueryEditor } from './QueryEditor';

// The editor of text needs a browser: tests/browser tries it there.
jest.mock('@grafana/ui', () => ({
  ...jest.requireActual('@grafana/ui'),
  CodeEditor: ({ value, onBlur }: { value: string; onBlur: (text: string) => void }) => <textarea aria-label="FlowQL" defaultValue={value} onBlur={(e) => onBlur(e.target.value)} />,
}));

const values: Record<string, VariableValue> = {};
const plain = Object.create(DataSource.prototype);
plain.templateSrv = {
  getVariables: () => Object.entries(values).map(([name, v]) => ({ name, type: 'query', current: { value: v.all ? ['$__all'] : v.values } })),
  replace: (text: string, _scoped: unknown, format: (value: unknown) => string) => text.replace(/\$\{(\w+)\}/g, (whole, name) => (values[name] ? format(values[name].values) : whole)),
};
const datasource = {
  saved: (query: SluiceQuery) => DataSource.prototype.saved.call(plain, query),
  columns: async () => [
    { name: 'src_ip', kind: 'stored', type: 'ip', doc: 'Source address' },
    { name: 'action', kind: 'stored', type: 'string', values: ['accept', 'reject'] },
  ],
  values: async () => ['10.0.0.1', '<b>bold</b>'],
  variableNames: () => ['host'],
  rules: async () => [],
  validate: async () => ({ valid: true, errors: [] }),
} as unknown as DataSource;

function Page({ first, runs, error }: { first: Partial<SluiceQuery>; runs: () => void; error?: string }) {
  const [query, setQuery] = useState<SluiceQuery>({ refId: 'A', ...first });
  return (
    <>
      <QueryEditor datasource={datasource} query={query} onChange={setQuery} onRunQuery={runs} data={error ? ({ errors: [{ message: error, refId: 'A' }] } as never) : undefined} />
      <output>{JSON.stringify(query)}</output>
    </>
  );
}

const saved = (): SluiceQuery => JSON.parse(screen.getByRole('status').textContent!);

test('a new query is a form, and the text that it makes is shown and saved', async () => {
  const runs = jest.fn();
  render(<Page first={{}} runs={runs} />);
  await act(async () => undefined);
  expect(screen.getByTestId('written')).toHaveTextContent('from flows | timeseries bits = 8 * rate(sum(bytes)) every $__interval');
  await userEvent.click(screen.getByRole('button', { name: 'Filter' }));
  expect(screen.getAllByTestId('filter-chip')).toHaveLength(1);
  expect(saved().builder!.filters).toHaveLength(1);
  expect(saved().expr).toContain('timeseries');
  await userEvent.click(screen.getByRole('button', { name: 'Remove this filter' }));
  expect(saved().builder!.filters).toHaveLength(0);
  expect(runs).toHaveBeenCalled();
});

test('the form becomes text, and text that was written by hand is not lost without a word', async () => {
  render(<Page first={{ queryType: 'table', mode: 'builder', builder: { filters: [], groupBy: ['src_ip'], metric: 'bytes', interval: 'auto', top: 5, others: false } }} runs={() => undefined} />);
  await userEvent.click(screen.getByRole('radio', { name: 'Code' }));
  expect(saved()).toMatchObject({ mode: 'code', expr: 'from flows\n| top 5 `src_ip` by bytes = sum(bytes)' });
  const text = screen.getByRole('textbox', { name: 'FlowQL' });
  await userEvent.type(text, ' -- x');
  fireEvent.blur(text);
  expect(saved().expr).toBe('from flows\n| top 5 `src_ip` by bytes = sum(bytes) -- x');
});

test('leaving a text asks first', async () => {
  render(<Page first={{ queryType: 'table', mode: 'code', expr: 'dst_port == 53' }} runs={() => undefined} />);
  await userEvent.click(screen.getByRole('radio', { name: 'Builder' }));
  expect(saved().mode).toBe('code');
  await userEvent.click(await screen.findByRole('button', { name: 'Use the builder' }));
  await waitFor(() => expect(saved().mode).toBe('builder'));
});

test('an error stands as it is told, and is no markup', () => {
  const { container } = render(<Page first={{ mode: 'code', expr: 'x' }} runs={() => undefined} error={"unknown column '<img src=x>'\nx\n^"} />);
  expect(screen.getByText(/unknown column '<img src=x>'/)).toBeInTheDocument();
  expect(container.querySelector('img[src="x"]')).toBeNull();
});

test('a limit is a whole number or none', async () => {
  render(<Page first={{ queryType: 'table', mode: 'code', expr: 'x' }} runs={() => undefined} />);
  const input = screen.getByRole('spinbutton', { name: 'Rows at most' });
  fireEvent.change(input, { target: { value: '12.7' } });
  fireEvent.blur(input);
  expect(saved().limit).toBe(12);
});

test('alerts have a form of their own', async () => {
  render(<Page first={{ queryType: 'alerts', alerts: { rules: ['port_scan'], severities: ['high'], state: '' } }} runs={() => undefined} />);
  expect(screen.getByTestId('alerts-form')).toBeInTheDocument();
  expect(screen.getByTestId('written')).toHaveTextContent('from alerts | where `rule` == "port_scan" and `severity` == "high"');
});

test('what is saved can be asked without a page: text, unit, and the values that variables have', async () => {
  values.host = { values: ['10.0.0.1', '10.0.0.2'] };
  values.all = { values: ['a', 'b'], all: true };
  render(<Page first={{ queryType: 'timeseries', mode: 'builder', builder: { filters: [{ column: 'src_ip', operator: '==', values: ['$host'] }], groupBy: [], metric: 'bits', interval: 'auto', top: 5, others: false } }} runs={() => undefined} />);
  await userEvent.click(screen.getByRole('button', { name: 'Run' }));
  expect(saved()).toMatchObject({ unit: 'bps', variables: { host: { values: ['10.0.0.1', '10.0.0.2'] } } });
  expect(saved().expr).toContain('$__conditionalAll(`src_ip` in ($host), $host)');
  delete values.host;
  delete values.all;
});

test('values that a query came with stay while its text asks for them', async () => {
  render(<Page first={{ queryType: 'table', mode: 'code', expr: 'src_ip == $gone', variables: { gone: { values: ['1'] }, older: { values: ['2'] } }, unit: 'ms' }} runs={() => undefined} />);
  await userEvent.click(screen.getByRole('button', { name: 'Run' }));
  expect(saved()).toMatchObject({ variables: { gone: { values: ['1'] } }, unit: 'ms' });
  expect(saved().variables).not.toHaveProperty('older');
});
