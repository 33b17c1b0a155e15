import { useCallback, useEffect, useRef, useState } from 'react';
import { css } from '@emotion/css';
import { GrafanaTheme2, TimeRange } from '@grafana/data';
import { CodeEditor, Monaco, MonacoEditor, useStyles2 } from '@grafana/ui';
import type { DataSource } from '../datasource';
import { bindModel, languageId, markers, register } from '../flowql/language';
import { Validation } from '../types';

interface Props {
  datasource: DataSource;
  value: string;
  range?: TimeRange;
  onChange: (value: string) => void;
  onRun: () => void;
  minLines?: number;
}

/** How long the hand must rest before a text is checked. */
const CHECK_AFTER_MS = 400;
const LINE_HEIGHT = 20;

/** FlowQL with colours, completion and squiggles. Ctrl-Enter and Ctrl-S run it, and so does leaving it after a change. */
export function FlowQLEditor({ datasource, value, range, onChange, onRun, minLines = 3 }: Props) {
  const styles = useStyles2(getStyles);
  const mounted = useRef<{ editor: MonacoEditor; monaco: Monaco; unbind: () => void }>(undefined);
  const [text, setText] = useState(value);
  const [problems, setProblems] = useState<Validation['errors']>([]);
  // What callbacks of the editor see: they are made once and must not see the first render for ever.
  const latest = useRef({ datasource, range, onChange, onRun, value });
  useEffect(() => {
    latest.current = { datasource, range, onChange, onRun, value };
  });

  // A text that was set from outside (a sample, the builder) takes the place of what stood here.
  const [given, setGiven] = useState(value);
  if (given !== value) {
    setGiven(value);
    setText(value);
  }

  const asked = useRef(0);
  const check = useCallback(async (now: string) => {
    const mine = ++asked.current;
    let errors: Validation['errors'] = [];
    if (now.trim()) {
      try {
        errors = (await latest.current.datasource.validate(now, latest.current.range)).errors;
      } catch (error) {
        const message = messageOf(error);
        errors = message ? [{ start: 0, end: 0, message }] : [];
      }
    }
    if (mine !== asked.current) {
      return; // the text went on meanwhile
    }
    setProblems(errors);
    const model = mounted.current?.editor.getModel();
    if (model && mounted.current) {
      markers(mounted.current.monaco, model, errors.filter((e) => e.end > 0));
    }
  }, []);

  useEffect(() => {
    const timer = setTimeout(() => check(text), CHECK_AFTER_MS);
    return () => clearTimeout(timer);
  }, [text, check]);

  useEffect(
    () => () => {
      asked.current = -1;
      mounted.current?.unbind();
    },
    []
  );

  const commit = useCallback((now: string, run: boolean) => {
    const changed = now !== latest.current.value;
    if (changed) {
      latest.current.onChange(now);
    }
    if (run || changed) {
      latest.current.onRun();
    }
  }, []);

  const didMount = useCallback(
    (editor: MonacoEditor, monaco: Monaco) => {
      const model = editor.getModel();
      const unbind = model ? bindModel(model.uri.toString(), () => latest.current) : () => undefined;
      mounted.current = { editor, monaco, unbind };
      editor.addCommand(monaco.KeyMod.CtrlCmd | monaco.KeyCode.Enter, () => commit(editor.getValue(), true));
      editor.onDidChangeModelContent(() => setText(editor.getValue()));
      check(editor.getValue());
    },
    [check, commit]
  );

  const lines = Math.min(Math.max(text.split('\n').length, minLines), 20);
  return (
    <div className={styles.wrap} data-testid="flowql-editor">
      <CodeEditor
        value={value}
        language={languageId}
        height={lines * LINE_HEIGHT + 12}
        showMiniMap={false}
        showLineNumbers={false}
        onBeforeEditorMount={register}
        onEditorDidMount={didMount}
        onBlur={(now) => commit(now, false)}
        onSave={(now) => commit(now, true)}
        monacoOptions={{
          fontSize: 13,
          lineHeight: LINE_HEIGHT,
          folding: false,
          lineDecorationsWidth: 4,
          lineNumbersMinChars: 0,
          overviewRulerLanes: 0,
          renderLineHighlight: 'none',
          scrollBeyondLastLine: false,
          fixedOverflowWidgets: true,
          wordWrap: 'on',
          padding: { top: 6, bottom: 6 },
          quickSuggestions: { other: true, strings: true, comments: false },
          suggest: { showWords: false },
          scrollbar: { alwaysConsumeMouseWheel: false },
        }}
      />
      {problems.map((problem, i) => (
        <div key={i} className={styles.problem} role="alert">
          <span>{problem.message}</span>
          {problem.hint && <span className={styles.hint}> — {problem.hint}</span>}
        </div>
      ))}
    </div>
  );
}

function messageOf(error: unknown): string {
  const data = (error as { data?: { message?: string } })?.data;
  return data?.message ?? '';
}

const getStyles = (theme: GrafanaTheme2) => ({
  wrap: css({ width: '100%', border: `1px solid ${theme.colors.border.medium}`, borderRadius: theme.shape.radius.default }),
  problem: css({
    padding: theme.spacing(0.5, 1),
    color: theme.colors.error.text,
    fontSize: theme.typography.bodySmall.fontSize,
    borderTop: `1px solid ${theme.colors.border.weak}`,
    whiteSpace: 'pre-wrap',
    overflowWrap: 'anywhere',
  }),
  hint: css({ color: theme.colors.text.secondary }),
});
