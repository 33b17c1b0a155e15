import type { DataSource } from '../datasource';
import { bindModel, markers, register, suggestions } from './language';

const kinds = new Proxy({}, { get: (_, name) => String(name) });

function monacoOf() {
  const made: any = { providers: [], markers: [], languages: [] };
  return {
    made,
    monaco: {
      languages: {
        getLanguages: () => made.languages,
        register: (l: unknown) => made.languages.push(l),
        setMonarchTokensProvider: () => undefined,
        setLanguageConfiguration: () => undefined,
        registerCompletionItemProvider: (_: string, p: unknown) => made.providers.push(p),
        CompletionItemKind: kinds,
      },
      editor: { setModelMarkers: (_m: unknown, _o: string, list: unknown[]) => (made.markers = list) },
      MarkerSeverity: { Error: 8 },
    } as any,
  };
}

const modelOf = (text: string, uri = 'm') => ({
  uri: { toString: () => uri },
  getValue: () => text,
  getValueInRange: (r: any) => {
    const lines = text.split('\n').slice(0, r.endLineNumber);
    lines[lines.length - 1] = lines[lines.length - 1].slice(0, r.endColumn - 1);
    return lines.join('\n');
  },
});

test('the language is registered once, however many editors there are', () => {
  const { monaco, made } = monacoOf();
  register(monaco);
  register(monaco);
  expect(made.providers).toHaveLength(1);
});

test('what the server suggests replaces what it says, on the right line', async () => {
  const { monaco } = monacoOf();
  const complete = jest.fn(async () => ({ start: 18, end: 21, items: [{ text: 'src_ip', kind: 'column', detail: '<b>Source</b>' }] }));
  const unbind = bindModel('m', () => ({ datasource: { complete, variableNames: () => [] } as unknown as DataSource }));
  const model = modelOf('from flows\n| where src');
  const list = await suggestions(monaco, model as any, { lineNumber: 2, column: 12 } as any);
  expect(complete).toHaveBeenCalledWith('from flows\n| where src', 22, undefined);
  expect(list.suggestions[0]).toMatchObject({ label: 'src_ip', kind: 'Field', insertText: 'src_ip', detail: '<b>Source</b>', range: { startLineNumber: 2, startColumn: 8, endLineNumber: 2, endColumn: 12 } });
  unbind();
  expect((await suggestions(monaco, model as any, { lineNumber: 1, column: 1 } as any)).suggestions).toEqual([]);
});

test('behind a $ stand the variables of the dashboard too; a server that is away suggests nothing', async () => {
  const { monaco } = monacoOf();
  const model = modelOf('a == $', 'n');
  bindModel('n', () => ({ datasource: { complete: async () => ({ start: 5, end: 6, items: [] }), variableNames: () => ['host'] } as unknown as DataSource }));
  expect((await suggestions(monaco, model as any, { lineNumber: 1, column: 7 } as any)).suggestions.map((s) => s.label)).toEqual(['$host']);
  bindModel('n', () => ({ datasource: { complete: () => Promise.reject(new Error('away')), variableNames: () => [] } as unknown as DataSource }));
  expect((await suggestions(monaco, model as any, { lineNumber: 1, column: 7 } as any)).suggestions).toEqual([]);
});

test('errors are marked where they are', () => {
  const { monaco, made } = monacoOf();
  markers(monaco, modelOf('a\nb == c') as any, [{ start: 2, end: 3, message: 'unknown', hint: 'did you mean x' }]);
  expect(made.markers[0]).toMatchObject({ message: 'unknown: did you mean x', startLineNumber: 2, startColumn: 1, endLineNumber: 2, endColumn: 2 });
});
