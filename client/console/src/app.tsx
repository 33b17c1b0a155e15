// The frame: where one can go, the view one is at, the token, and keys that work everywhere.
import { Component, type ComponentChildren, type ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { FaultBox } from "./parts.tsx";
import { type Place, type View, views, writePlace } from "./place.ts";
import { forgetToken, hasToken, onTokenNeeded } from "./server.ts";
import { moved } from "./timerange.ts";
import { usePlace } from "./use.ts";
import QueryView from "./views/query.tsx";

export interface ViewProps {
  place: Place;
  go(place: Place, how?: { replace?: boolean }): void;
  theme: string;
  editorSoon: Promise<typeof import("./editor.ts")>;
}

const titles: Record<View, string> = { query: "Query", tail: "Tail", alerts: "Alerts", address: "Address", sources: "Sources", storage: "Storage" };
const loaders: Record<View, () => Promise<ComponentType<ViewProps>>> = {
  query: () => Promise.resolve(QueryView),
  tail: () => import("./views/tail.tsx").then((m) => m.default),
  alerts: () => import("./views/alerts.tsx").then((m) => m.default),
  address: () => import("./views/address.tsx").then((m) => m.default),
  sources: () => import("./views/sources.tsx").then((m) => m.default),
  storage: () => import("./views/storage.tsx").then((m) => m.default),
};
const keys: [string, string][] = [
  ["/", "to the query"],
  ["Ctrl Enter", "run it (in the editor)"],
  ["Ctrl Space", "propose what could stand here (in the editor)"],
  ["g then q t a d s o", "go to Query, Tail, Alerts, aDdress, Sources, stOrage"],
  ["[ and ]", "move the range of time back and forth by its length"],
  ["arrows, Page, Home, End", "move in a table; with Ctrl to its ends"],
  ["Enter", "in a table: what can be done with this cell"],
  ["s", "in a table: sort by this column"],
  ["Ctrl c", "in a table: copy the cell"],
  ["?", "these keys"],
];
const goKeys: Record<string, View> = { q: "query", t: "tail", a: "alerts", d: "address", s: "sources", o: "storage" };

function useTheme(): [string, () => void] {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const [chosen, setChosen] = useState(localStorage.getItem("sluice.theme") ?? "");
  const [dark, setDark] = useState(system.matches);
  useEffect(() => {
    const changed = () => setDark(system.matches);
    system.addEventListener("change", changed);
    return () => system.removeEventListener("change", changed);
  }, []);
  const theme = chosen === "dark" || chosen === "light" ? chosen : dark ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  const toggle = () => {
    const next = theme === "dark" ? "light" : "dark";
    localStorage.setItem("sluice.theme", next);
    setChosen(next);
  };
  return [theme, toggle];
}

export function App({ editorSoon }: { editorSoon: ViewProps["editorSoon"] }) {
  const [place, go] = usePlace();
  const [theme, toggleTheme] = useTheme();
  const [loaded, setLoaded] = useState<{ view: View; Shown: ComponentType<ViewProps> }>();
  const [token, setToken] = useState<{ why: string; give(token: string): void }>();
  const help = useRef<HTMLDialogElement>(null);

  // Before the view's first request, and so not in an effect.
  useState(() => onTokenNeeded((why) => new Promise((give) => setToken({ why, give: (given) => { setToken(undefined); give(given); } }))));
  useEffect(() => {
    let gone = false;
    void loaders[place.view]().then((Shown) => {
      if (!gone) setLoaded({ view: place.view, Shown });
    });
    document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    document.title = `${titles[place.view]}${place.settings.ip ? ` ${place.settings.ip}` : ""} – Sluice`;
    return () => {
      gone = true;
    };
  }, [place.view, place.settings.ip]);

  const now = useRef({ place, go });
  now.current = { place, go };
  useEffect(() => {
    let isGoing = 0;
    const onKey = (event: KeyboardEvent) => {
      const target = event.composedPath()[0] as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) return;
      if (document.querySelector("dialog[open]")) return;
      const { place: at, go: to } = now.current;
      if (isGoing && Date.now() - isGoing < 1500 && goKeys[event.key]) {
        isGoing = 0;
        to({ view: goKeys[event.key]!, settings: {} });
      } else if (event.key === "g") {
        isGoing = Date.now();
        return;
      } else if (event.key === "/") {
        if (document.querySelector(".editor")) dispatchEvent(new Event("sluice-focus"));
        else to({ view: "query", settings: {} });
      } else if (event.key === "?") {
        help.current?.showModal();
      } else if (event.key === "[" || event.key === "]") {
        const range = moved({ from: at.settings.from ?? "", to: at.settings.to ?? "" }, event.key === "[" ? -1 : 1, Date.now());
        if (range) to({ view: at.view, settings: { ...at.settings, ...range } });
      } else {
        return;
      }
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const Current = loaded?.view === place.view ? loaded.Shown : undefined;
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <header class="bar">
        <a class="brand" href="#/query">Sluice</a>
        <nav aria-label="Views">
          {views.map((v) => (
            <a key={v} href={writePlace({ view: v, settings: {} })} aria-current={v === place.view ? "page" : undefined}>{titles[v]}</a>
          ))}
        </nav>
        <div class="bar-end">
          {hasToken() && <button class="icon" title="Forget the token" onClick={() => { forgetToken(); location.reload(); }}>Sign out</button>}
          <button class="icon" title="Keys" aria-label="Keys" onClick={() => help.current?.showModal()}>?</button>
          <button class="icon" title={theme === "dark" ? "Light colours" : "Dark colours"} aria-label={theme === "dark" ? "Light colours" : "Dark colours"} onClick={toggleTheme}>{theme === "dark" ? "☀" : "☾"}</button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {!(place.view === "address" && place.settings.ip) && <h1 class="offscreen">{titles[place.view]}</h1>}
        {Current ? <Safe key={place.view}><Current place={place} go={go} theme={theme} editorSoon={editorSoon} /></Safe> : <p class="quiet pad">Loading …</p>}
      </main>
      {token && <TokenDialog why={token.why} give={token.give} />}
      <dialog ref={help} class="help" aria-label="Keys">
        <h2>Keys</h2>
        <dl>{keys.map(([key, what]) => <div key={key}><dt>{key.split(" ").map((k, i) => (/^(then|and)$/.test(k) ? ` ${k} ` : <kbd key={i}>{k.replace(",", "")}</kbd>))}</dt><dd>{what}</dd></div>)}</dl>
        <p class="quiet">What the page is made of: <a href="/console/licenses.txt" target="_blank" rel="noreferrer">licences</a>.</p>
        <form method="dialog"><button class="primary" autofocus>Close</button></form>
      </dialog>
    </>
  );
}

// A mistake of ours in one view leaves the others.
class Safe extends Component<{ children: ComponentChildren }, { error?: unknown }> {
  override state: { error?: unknown } = {};
  static override getDerivedStateFromError(error: unknown) {
    return { error };
  }
  override render() {
    if (!this.state.error) return this.props.children;
    return <div class="view"><FaultBox fault={{ code: "console", message: `This view has failed: ${String(this.state.error)}`, status: 0, hint: "The others still work. What led here is worth a report." }} /></div>;
  }
}

function TokenDialog({ why, give }: { why: string; give(token: string): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="token" aria-labelledby="token-title" onCancel={(e) => e.preventDefault()}>
      <form onSubmit={(e) => { e.preventDefault(); if (text.trim()) { dialog.current?.close(); give(text.trim()); } }}>
        <h2 id="token-title">{why}</h2>
        <p>An administrator makes one with <code>sluiced token add --role read --name …</code>. It is kept in this tab only, and gone when the tab is closed.</p>
        <input type="password" autocomplete="off" aria-label="Token" value={text} onInput={(e) => setText((e.target as HTMLInputElement).value)} placeholder="sluice_…" />
        <button class="primary" type="submit" disabled={!text.trim()}>Go on</button>
      </form>
    </dialog>
  );
}
