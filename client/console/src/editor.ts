// The query editor: CodeMirror with FlowQL's colours, and completion and errors by the server.
//
// It lives in a shadow root, where its styles are style sheets made by script: the page's policy allows no style elements.
import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, forceLinting, linter, lintKeymap } from "@codemirror/lint";
import { EditorState, Prec } from "@codemirror/state";
import { drawSelection, EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { flowql } from "./language.ts";
import { bytesBefore, type Fault, indexOfByte, postJson } from "./server.ts";

export interface EditorOptions {
  text: string;
  label: string;
  hint: string;
  onChange(text: string): void;
  onRun(text: string): void;
}
export interface Editor {
  text(): string;
  setText(text: string): void;
  focus(): void;
  // Puts the cursor there; `offset` in bytes.
  goTo(offset: number, length: number): void;
  destroy(): void;
}

interface Completions {
  replace: { offset: number; length: number };
  items: { text: string; kind: string; detail: string }[];
}
const completionTypes: Record<string, string> = { column: "variable", stage: "keyword", function: "function", aggregate: "function", keyword: "keyword", value: "constant" };

async function complete(context: CompletionContext): Promise<CompletionResult | null> {
  const text = context.state.doc.toString();
  const before = context.state.sliceDoc(Math.max(0, context.pos - 1), context.pos);
  if (!context.explicit && !/[\w|.@$"'/:-]/.test(before) && !/\s/.test(before)) return null;
  if (!context.explicit && text.trim() === "") return null;
  const stop = new AbortController();
  context.addEventListener("abort", () => stop.abort());
  try {
    const { replace, items } = await postJson<Completions>("/v1/query/complete", { query: text, cursor: bytesBefore(text, context.pos) }, stop.signal);
    if (items.length === 0) return null;
    return {
      from: indexOfByte(text, replace.offset),
      to: indexOfByte(text, replace.offset + replace.length),
      filter: false, // the server has chosen, and put the likeliest first
      options: items.map(({ text: label, kind, detail }) => ({ label, type: completionTypes[kind] ?? "text", detail })),
    };
  } catch {
    return null; // a query can be written without help
  }
}

async function lint(view: EditorView): Promise<Diagnostic[]> {
  const text = view.state.doc.toString();
  if (text.trim() === "") return [];
  const { errors } = await postJson<{ errors: Fault[] }>("/v1/query/validate", { query: text });
  return errors.map((e) => {
    const from = indexOfByte(text, e.offset ?? 0);
    const to = Math.max(indexOfByte(text, (e.offset ?? 0) + (e.length ?? 0)), Math.min(from + 1, text.length));
    return { from: Math.min(from, Math.max(0, to - 1)), to, severity: "error" as const, message: e.hint ? `${e.message} – ${e.hint}` : e.message };
  });
}

// Text that takes a selection's place. Left to the browser, it would keep the old text's looks in a style attribute, which the page's policy
// refuses (and says so in the log of every such page).
const replaceByTyping = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main;
    const text = event.data;
    if (event.inputType !== "insertText" || !text || event.isComposing || empty) return false;
    const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type", scrollIntoView: true });
    if (!view.state.facet(EditorView.inputHandler).some((handler) => handler(view, from, to, text, insert))) view.dispatch(insert());
    event.preventDefault();
    return true;
  },
});

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--code-stage)", fontWeight: "600" },
  { tag: tags.operatorKeyword, color: "var(--code-word)" },
  { tag: [tags.string, tags.regexp], color: "var(--code-text)" },
  { tag: tags.number, color: "var(--code-number)" },
  { tag: tags.function(tags.variableName), color: "var(--code-function)" },
  { tag: tags.special(tags.variableName), color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
  { tag: tags.operator, color: "var(--code-word)" },
]);

const looks = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "transparent", fontSize: "14px" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { fontFamily: "var(--mono)", padding: "9px 0", caretColor: "var(--text)", minHeight: "60px" },
  ".cm-line": { padding: "0 12px" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-placeholder": { color: "var(--quiet)" },
  ".cm-scroller": { maxHeight: "38vh", overflow: "auto", lineHeight: "1.5" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selected) !important" },
  ".cm-matchingBracket": { backgroundColor: "var(--selected)", outline: "none" },
  ".cm-tooltip": { backgroundColor: "var(--panel)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "6px", boxShadow: "var(--shadow)", maxWidth: "min(560px, 92vw)" },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "13px", maxHeight: "18.2em" },
  ".cm-tooltip-autocomplete > ul > li": { padding: "2px 8px", display: "flex", gap: "10px" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { fontFamily: "var(--sans)", fontStyle: "normal", opacity: "0.75", marginLeft: "auto", overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "3px" },
});

export function makeEditor(parent: HTMLElement, options: EditorOptions): Editor {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" });
  root.replaceChildren();
  const run = (view: EditorView) => {
    options.onRun(view.state.doc.toString());
    return true;
  };
  const extensions = [
    Prec.highest(keymap.of([{ key: "Mod-Enter", run }])),
    // Tab takes a proposal that is shown; else it moves on, as on every page.
    keymap.of([{ key: "Tab", run: acceptCompletion }, ...closeBracketsKeymap, ...completionKeymap, ...defaultKeymap, ...historyKeymap, ...lintKeymap]),
    history(),
    drawSelection(),
    bracketMatching(),
    closeBrackets(),
    autocompletion({ override: [complete], icons: false, maxRenderedOptions: 50 }),
    linter(lint, { delay: 350 }),
    flowql,
    syntaxHighlighting(colours),
    looks,
    replaceByTyping,
    placeholder(options.hint),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": options.label, spellcheck: "false", autocapitalize: "off" }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) options.onChange(update.state.doc.toString());
    }),
  ];
  const view = new EditorView({ state: EditorState.create({ doc: options.text, selection: { anchor: options.text.length }, extensions }), parent: root as unknown as HTMLElement, root });
  return {
    text: () => view.state.doc.toString(),
    setText(text) {
      if (text === view.state.doc.toString()) return;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, selection: { anchor: text.length } });
    },
    focus: () => view.focus(),
    goTo(offset, length) {
      const text = view.state.doc.toString();
      view.dispatch({ selection: { anchor: indexOfByte(text, offset), head: indexOfByte(text, offset + length) }, scrollIntoView: true });
      view.focus();
      forceLinting(view);
    },
    destroy: () => view.destroy(),
  };
}
