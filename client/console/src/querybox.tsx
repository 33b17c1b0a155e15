// The editor in a view. It comes a moment after the page; until then its text is shown.
import { useEffect, useImperativeHandle, useRef } from "preact/hooks";
import type { Ref } from "preact";
import type { Editor } from "./editor.ts";
import type { ViewProps } from "./app.tsx";

export interface QueryBoxProps {
  editorSoon: ViewProps["editorSoon"];
  text: string; // when it changes, the editor's does
  label: string;
  hint: string;
  onChange(text: string): void;
  onRun(text: string): void;
  handle: Ref<Editor | null>;
}

export function QueryBox({ editorSoon, text, label, hint, onChange, onRun, handle }: QueryBoxProps) {
  const holder = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  const now = useRef({ text, onChange, onRun });
  now.current = { text, onChange, onRun };
  useEffect(() => {
    let gone = false;
    void editorSoon.then(({ makeEditor }) => {
      if (gone || !holder.current) return;
      editor.current = makeEditor(holder.current, { text: now.current.text, label, hint, onChange: (t) => now.current.onChange(t), onRun: (t) => now.current.onRun(t) });
      if (!matchMedia("(pointer: coarse)").matches && (document.activeElement === document.body || document.activeElement?.id === "main")) editor.current.focus();
    });
    const focus = () => editor.current?.focus();
    addEventListener("sluice-focus", focus);
    return () => {
      gone = true;
      removeEventListener("sluice-focus", focus);
      editor.current?.destroy();
      editor.current = null;
    };
  }, []);
  useEffect(() => editor.current?.setText(text), [text]);
  useImperativeHandle(handle, () => ({
    text: () => editor.current?.text() ?? now.current.text,
    setText: (t) => editor.current?.setText(t),
    focus: () => editor.current?.focus(),
    goTo: (offset, length) => editor.current?.goTo(offset, length),
    destroy: () => undefined,
  }), []);
  return <div class="editor" ref={holder}><pre class="editor-soon">{text || " "}</pre></div>;
}
