import type { Monaco, monacoTypes } from '@grafana/ui';
import type { DataSource } from '../datasource';
import type { TimeRange } from '@grafana/data';

export const languageId = 'flowql';

const stages =
  'where extend select drop rename stats top timeseries sort limit tail sample distinct render dedup join first_seen compare absent stitch sequence reach beacons baseline lookup sessions'.split(' ');
const words = 'from by every with others fill spread as asc desc nulls first last since between at active and or not in is has contains starts_with ends_with matches true false null explain analyze show replay over window slide gap then within min lookback for expected to on inner left semi anti seasonal'.split(' ');

/** Colours for what stands in the editor. What a text means is the server's to say: this only paints. */
const tokens: monacoTypes.languages.IMonarchLanguage = {
  ignoreCase: true,
  stages,
  words,
  tokenizer: {
    root: [
      [/--.*$|\/\/.*$/, 'comment'],
      [/\/\*/, 'comment', '@comment'],
      [/\$__\w+|\$\{__[\w.]+(?::[\w:-]+)?\}/, 'predefined'],
      [/\$\w+|\$\{[\w.]+(?::[\w:-]+)?\}|\[\[\w+(?::\w+)?\]\]/, 'variable'],
      [/"/, 'string', '@double'],
      [/'/, 'string', '@single'],
      [/`[^`]*`/, 'identifier'],
      [/@[\w.]+/, 'type'],
      [/\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?/, 'number'],
      [/\d+\.\d+\.\d+\.\d+(\/\d+|-\d+\.\d+\.\d+\.\d+)?/, 'number'],
      [/[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*(\/\d+)?/, 'number'],
      [/\d[\d_]*(\.\d+)?([a-z]+)?/, 'number'],
      [/(\|)(\s*)([a-z_]\w*)/, [{ token: 'delimiter' }, { token: 'white' }, { cases: { '$3@stages': 'keyword', '@default': 'identifier' } }]],
      [/[a-z_]\w*(?=\s*\()/, { cases: { '@words': 'keyword', '@stages': 'keyword', '@default': 'predefined' } }],
      [/[a-z_@][\w.]*/, { cases: { '@stages': 'keyword', '@words': 'keyword', '@default': 'identifier' } }],
      // Not `operator`: Grafana's light theme paints that in a yellow that can hardly be read.
      [/[=!<>~|&+*%-]+/, 'delimiter'],
      [/[()[\]]/, '@brackets'],
      [/[,;/]/, 'delimiter'],
    ],
    comment: [
      [/\*\//, 'comment', '@pop'],
      [/./, 'comment'],
    ],
    double: [
      [/\\./, 'string.escape'],
      [/"/, 'string', '@pop'],
      [/[^\\"]+/, 'string'],
    ],
    single: [
      [/\\./, 'string.escape'],
      [/'/, 'string', '@pop'],
      [/[^\\']+/, 'string'],
    ],
  },
};

/** Which data source and time range an editor on the page asks; editors come and go, the language is registered once. */
const asked = new Map<string, () => { datasource: DataSource; range?: TimeRange }>();

export function bindModel(uri: string, get: () => { datasource: DataSource; range?: TimeRange }): () => void {
  asked.set(uri, get);
  return () => asked.delete(uri);
}

export function register(monaco: Monaco): void {
  if (monaco.languages.getLanguages().some((l) => l.id === languageId)) {
    return;
  }
  monaco.languages.register({ id: languageId });
  monaco.languages.setMonarchTokensProvider(languageId, tokens);
  monaco.languages.setLanguageConfiguration(languageId, {
    comments: { lineComment: '--', blockComment: ['/*', '*/'] },
    brackets: [
      ['(', ')'],
      ['[', ']'],
    ],
    autoClosingPairs: [
      { open: '(', close: ')' },
      { open: '[', close: ']' },
      { open: '"', close: '"', notIn: ['string'] },
    ],
    wordPattern: /[$@]?[A-Za-z_][\w.]*|[\d.:]+/,
  });
  monaco.languages.registerCompletionItemProvider(languageId, {
    triggerCharacters: ['|', ' ', '$', '(', ',', '=', '.', '"'],
    provideCompletionItems: (model, position) => suggestions(monaco, model, position),
  });
}

export async function suggestions(
  monaco: Monaco,
  model: monacoTypes.editor.ITextModel,
  position: monacoTypes.Position
): Promise<monacoTypes.languages.CompletionList> {
  const get = asked.get(model.uri.toString());
  if (!get) {
    return { suggestions: [] };
  }
  const { datasource, range } = get();
  // Line ends count as one, as in the text that is asked about.
  const text = model.getValue(1 /* LF */);
  const cursor = model.getValueInRange({ startLineNumber: 1, startColumn: 1, endLineNumber: position.lineNumber, endColumn: position.column }, 1 /* LF */).length;
  let found;
  try {
    found = await datasource.complete(text, cursor, range);
  } catch {
    return { suggestions: [] }; // validation says what is wrong with the server
  }
  const at = (offset: number) => {
    const before = text.slice(0, offset).split('\n');
    return { lineNumber: before.length, column: before[before.length - 1].length + 1 };
  };
  const start = at(found.start);
  const end = at(Math.max(found.end, cursor));
  const range1 = { startLineNumber: start.lineNumber, startColumn: start.column, endLineNumber: end.lineNumber, endColumn: end.column };
  const items = [...found.items];
  if (text[found.start] === '$') {
    for (const name of datasource.variableNames()) {
      items.push({ text: '$' + name, kind: 'variable', detail: 'variable of the dashboard' });
    }
  }
  const kinds = monaco.languages.CompletionItemKind;
  const kindOf: Record<string, monacoTypes.languages.CompletionItemKind> = {
    column: kinds.Field,
    value: kinds.EnumMember,
    stored: kinds.Value,
    aggregate: kinds.Function,
    function: kinds.Function,
    stage: kinds.Keyword,
    keyword: kinds.Keyword,
    list: kinds.Reference,
    macro: kinds.Constant,
    variable: kinds.Variable,
  };
  return {
    incomplete: true, // the server knows better with each letter
    suggestions: items.map((item, i) => ({
      label: item.text,
      kind: kindOf[item.kind] ?? kinds.Text,
      detail: item.detail, // shown as text, never as Markdown
      insertText: item.text,
      filterText: text.slice(found.start, cursor) + item.text,
      sortText: String(i).padStart(4, '0'),
      range: range1,
    })),
  };
}

/** Errors of a text as squiggles. */
export function markers(monaco: Monaco, model: monacoTypes.editor.ITextModel, errors: Array<{ start: number; end: number; message: string; hint?: string }>): void {
  const text = model.getValue(1 /* LF */);
  const at = (offset: number) => {
    const before = text.slice(0, offset).split('\n');
    return { line: before.length, column: before[before.length - 1].length + 1 };
  };
  monaco.editor.setModelMarkers(
    model,
    languageId,
    errors.map((e) => {
      const start = at(e.start);
      const end = at(Math.max(e.end, e.start + 1));
      return {
        severity: monaco.MarkerSeverity.Error,
        message: e.hint ? `${e.message}: ${e.hint}` : e.message,
        startLineNumber: start.line,
        startColumn: start.column,
        endLineNumber: end.line,
        endColumn: end.column,
      };
    })
  );
}
