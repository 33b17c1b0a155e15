// A table of any number of rows. Only the cells in sight are in the page: rows are of one height, so which ones that are is a division.
//
// It is a grid for keyboards and screen readers: one stop for Tab, arrows move within, Enter opens what can be done with a cell.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { copyText } from "./clipboard.ts";
import { cell, exact, isNumeric, numberOf } from "./format.ts";
import type { Column, Row, Value } from "./server.ts";

export interface CellAction {
  label: string;
  run(): void;
}
export interface TableProps {
  columns: Column[];
  rows: Row[];
  label: string;
  // What can be done with a cell; copying is always there.
  actions?: (value: Value, column: Column, row: Row) => CellAction[];
  // What Enter and a click on a row do, where a row is one thing. Then cells have no actions.
  onRow?: (row: Row, index: number) => void;
  isChosen?: (row: Row) => boolean;
  // Rows to be told from the others at every width, also where the column that says why has left.
  isMarked?: (row: Row) => boolean;
  // Class names for a cell, by its value.
  tone?: (value: Value, column: Column) => string | undefined;
  height?: string;
  sortable?: boolean;
  // Never wider than its place: texts are cut, and the last columns leave where even that does not help. What they say then stands in the menu of
  // a cell, where a row does not open to all that it says.
  fit?: boolean;
  // Which columns are shown and in which order, by their places in `columns`; without it all of them. Rows stay as they are.
  order?: number[] | undefined;
  // By which column rows are sorted, "bytes" or "-bytes" (the greatest first), where the caller keeps that; else the table does.
  sorting?: string;
  onSort?: (sorting: string) => void;
}

export const rowHeight = 26;
const headHeight = 30;
// An element can't be as tall as one likes (browsers stop at some 17 to 33 million pixels); more rows than this are cut off by no answer.
const rowsMax = 600_000;
const widthMin = 56, widthMax = 420, padding = 24;
const fitLeast = 112; // of a text that is cut so that the table fits

// How wide a letter of the table's font is here.
let letterWidth = 0;
function letter(): number {
  if (letterWidth) return letterWidth;
  const context = document.createElement("canvas").getContext("2d");
  if (!context) return 7.6;
  context.font = `12.5px ${getComputedStyle(document.documentElement).getPropertyValue("--mono")}`;
  return (letterWidth = context.measureText("0".repeat(100)).width / 100);
}

// By the longest text among some rows of each part of the table. What is cut gets the room that is left.
function widthsOf(columns: Column[], rows: Row[], at: number[], room: number, fit: boolean): number[] {
  const step = Math.max(1, Math.floor(rows.length / 150));
  const wanted = columns.map((column, c) => {
    let longest = (column.label ?? column.name).length + 2.4;
    for (let r = 0; r < rows.length; r += step) longest = Math.max(longest, cell(rows[r]![at[c]!]!, column).length);
    return Math.round(Math.max(widthMin, longest * letter() + padding));
  });
  if (fit) return fitted(columns, wanted, room);
  const widths = wanted.map((w) => Math.min(widthMax, w));
  let left = room - widths.reduce((sum, w) => sum + w, 0);
  for (const [c, w] of wanted.entries()) {
    const more = Math.min(w - widths[c]!, Math.max(0, left));
    widths[c]! += more;
    left -= more;
  }
  return widths;
}

// Widths of the first columns, as many as have room with their texts cut; what is left goes to texts by what they lack. Pure.
export function fitted(columns: Column[], wanted: number[], room: number): number[] {
  const isText = (c: Column) => c.type === "string" || c.type.startsWith("list<") || c.type.startsWith("map<");
  const widths = columns.map((column, c) => (isText(column) ? Math.min(wanted[c]!, column.least ?? fitLeast) : wanted[c]!));
  const sum = () => widths.reduce((total, w) => total + w, 0);
  while (widths.length > 2 && sum() > room) widths.pop();
  // Of a window as narrow as a telephone's.
  columns.slice(0, widths.length).forEach((column, c) => {
    if (isText(column)) widths[c] = Math.max(Math.min(widths[c]!, fitLeast), widths[c]! - Math.max(0, sum() - room));
  });
  const lack = widths.map((w, c) => wanted[c]! - w);
  const lacking = lack.reduce((total, n) => total + n, 0);
  const share = lacking > 0 ? Math.min(1, Math.max(0, room - sum()) / lacking) : 0;
  return widths.map((w, c) => w + Math.floor(lack[c]! * share));
}

function compare(a: Value, b: Value): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1; // nulls last, both ways
  if (typeof a === "number" && typeof b === "number") return a - b;
  const x = numberOf(a), y = numberOf(b);
  if (x !== null && y !== null) return x - y;
  const s = exact(a), t = exact(b);
  return s < t ? -1 : s > t ? 1 : 0;
}
// Addresses in the order of their numbers.
function ipKey(text: string): string {
  return text.includes(":") ? `6${text}` : `4${text.split(".").map((part) => part.padStart(3, "0")).join(".")}`;
}

export function sortedBy(rows: Row[], columns: Column[], at: number, down: boolean): Row[] {
  const isIp = columns[at]?.type === "ip", ranks = columns[at]?.ranks;
  const keyOf = (value: Value): Value => (typeof value !== "string" ? value : isIp ? ipKey(value) : ranks ? ranks.indexOf(value) : value);
  const keyed = rows.map((row, i) => ({ row, i, key: keyOf(row[at]!) }));
  keyed.sort((a, b) => {
    const order = compare(a.key, b.key);
    return (a.key === null || b.key === null ? order : down ? -order : order) || a.i - b.i;
  });
  return keyed.map((k) => k.row);
}

export function Table({ columns: asked, rows: given, label, actions, onRow, isChosen, isMarked, tone, height, sortable = true, fit = false, order, sorting, onSort }: TableProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, left: 0, height: 400, width: 800 });
  const [active, setActive] = useState({ row: 0, column: 0 });
  const [ownSort, setOwnSort] = useState("");
  const [menu, setMenu] = useState<{ row: number; column: number } | null>(null);

  const at = useMemo(() => order ?? asked.map((_, i) => i), [order, asked]);
  const all = useMemo(() => at.map((i) => asked[i]!), [at, asked]);
  const names = all.map((c) => `${c.name}:${c.type}`).join();
  const sortedWith = sorting ?? ownSort, sortedAt = sortedWith ? all.findIndex((c) => c.name === sortedWith.replace(/^-/, "")) : -1;
  const sort = useMemo(() => (sortedAt < 0 ? null : { at: sortedAt, down: sortedWith.startsWith("-") }), [sortedAt, sortedWith]);
  // The greatest first, then the least, then as they came.
  const sortBy = (c: number) => {
    const { name } = all[c]!;
    const next = sort?.at !== c ? `-${name}` : sort.down ? name : "";
    onSort ? onSort(next) : setOwnSort(next);
  };
  useEffect(() => {
    setOwnSort("");
    setMenu(null);
    setActive({ row: 0, column: 0 });
    scroller.current?.scrollTo(0, 0);
  }, [names]);
  useEffect(() => setMenu(null), [given]);

  const rows = useMemo(() => {
    const some = given.length > rowsMax ? given.slice(0, rowsMax) : given;
    return sort && sort.at < all.length ? sortedBy(some, asked, at[sort.at]!, sort.down) : some;
  }, [given, sort, names]);
  // Widths stay while rows keep coming (a tail), so that nothing jumps.
  const measured = Math.min(rows.length, 200) >= 200 || rows.length === 0 ? Math.min(rows.length, 200) : Math.ceil(rows.length / 40);
  const widths = useMemo(() => widthsOf(all, given, at, view.width, fit), [names, measured, view.width, fit]);
  const columns = widths.length < all.length ? all.slice(0, widths.length) : all;
  const edges = useMemo(() => {
    const out = [0];
    for (const w of widths) out.push(out[out.length - 1]! + w);
    return out;
  }, [widths]);
  const total = edges[edges.length - 1]!;

  useLayoutEffect(() => {
    const element = scroller.current!;
    const measure = () => setView({ top: element.scrollTop, left: element.scrollLeft, height: element.clientHeight, width: element.clientWidth });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    let frame = 0;
    const scrolled = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        measure();
      });
    };
    element.addEventListener("scroll", scrolled, { passive: true });
    measure();
    return () => {
      observer.disconnect();
      cancelAnimationFrame(frame);
      element.removeEventListener("scroll", scrolled);
    };
  }, []);

  const activeColumn = Math.max(0, Math.min(active.column, columns.length - 1)); // of a window that became narrower
  const bodyTop = Math.max(0, view.top);
  const first = Math.max(0, Math.floor(bodyTop / rowHeight) - 6);
  const last = Math.min(rows.length, Math.ceil((bodyTop + view.height) / rowHeight) + 6);
  let firstColumn = 0;
  while (firstColumn < columns.length - 1 && edges[firstColumn + 1]! < view.left) ++firstColumn;
  let lastColumn = firstColumn + 1;
  while (lastColumn < columns.length && edges[lastColumn]! < view.left + view.width) ++lastColumn;

  const show = (row: number, column: number) => {
    const element = scroller.current!;
    const top = row * rowHeight, bottom = top + rowHeight;
    const inSight = element.clientHeight - headHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (bottom > element.scrollTop + inSight) element.scrollTop = bottom - inSight;
    if (edges[column]! < element.scrollLeft) element.scrollLeft = edges[column]!;
    else if (edges[column + 1]! > element.scrollLeft + element.clientWidth) element.scrollLeft = edges[column + 1]! - element.clientWidth;
  };
  const goTo = (row: number, column: number) => {
    const to = { row: Math.max(0, Math.min(rows.length - 1, row)), column: Math.max(0, Math.min(columns.length - 1, column)) };
    setActive(to);
    setMenu(null);
    show(to.row, to.column);
  };
  const act = (row: number, column: number) => {
    const r = rows[row];
    if (!r) return;
    if (onRow) onRow(r, row);
    else setMenu({ row, column });
  };

  const onKey = (event: KeyboardEvent) => {
    if (menu) {
      if (event.key === "Escape") {
        setMenu(null);
        scroller.current?.focus();
        event.preventDefault();
      }
      return;
    }
    const page = Math.max(1, Math.floor((view.height - headHeight) / rowHeight) - 1);
    const row = active.row, column = activeColumn;
    const far = event.ctrlKey || event.metaKey;
    switch (event.key) {
      case "ArrowDown": goTo(far ? rows.length - 1 : row + 1, column); break;
      case "ArrowUp": goTo(far ? 0 : row - 1, column); break;
      case "ArrowRight": goTo(row, far ? columns.length - 1 : column + 1); break;
      case "ArrowLeft": goTo(row, far ? 0 : column - 1); break;
      case "PageDown": goTo(row + page, column); break;
      case "PageUp": goTo(row - page, column); break;
      case "Home": goTo(far ? 0 : row, 0); break;
      case "End": goTo(far ? rows.length - 1 : row, columns.length - 1); break;
      case "Enter": case " ": act(row, column); break;
      case "c":
        if (!far || String(getSelection())) return;
        copyText(exact(rows[row]?.[at[column]!] ?? null));
        break;
      case "s":
        if (far || !sortable) return;
        sortBy(column);
        break;
      default: return;
    }
    event.preventDefault();
  };

  const cellId = (row: number, column: number) => `${label.replace(/\W+/g, "-")}-${row}-${column}`;
  const columnTypes = useMemo(() => all.map((c) => (isNumeric(c) ? "number" : "text")), [names]);
  const body = [];
  for (let r = first; r < last; ++r) {
    const row = rows[r]!;
    const cells = [];
    for (let c = firstColumn; c < lastColumn; ++c) {
      const value = row[at[c]!]!, column = columns[c]!;
      const text = cell(value, column);
      const isActive = active.row === r && activeColumn === c;
      const looks = `cell ${columnTypes[c]}${value === null ? " null" : ""}${isActive ? " active" : ""} ${tone?.(value, column) ?? ""}`;
      cells.push(
        <div key={c} id={isActive ? cellId(r, c) : undefined} role="gridcell" aria-colindex={c + 1} class={looks} style={{ left: `${edges[c]}px`, width: `${widths[c]}px` }}
          title={text.length * letter() > widths[c]! - padding || typeof value === "number" || column.type === "timestamp" ? exact(value) : undefined} data-c={c}>
          {value === null ? "–" : text}
        </div>,
      );
    }
    body.push(
      <div key={r} role="row" aria-rowindex={r + 2} class={`row${r % 2 ? " odd" : ""}${isChosen?.(row) ? " chosen" : ""}${isMarked?.(row) ? " marked" : ""}`} style={{ transform: `translateY(${r * rowHeight}px)` }} data-r={r}>
        {cells}
      </div>,
    );
  }
  const placeOf = (event: Event) => {
    const target = event.target as HTMLElement;
    const c = target.closest<HTMLElement>("[data-c]"), r = target.closest<HTMLElement>("[data-r]");
    return c && r ? { row: Number(r.dataset.r), column: Number(c.dataset.c) } : null;
  };

  return (
    <div class={`table${total > view.left + view.width + 1 ? " more" : ""}`} style={height ? { height } : { height: `min(${headHeight + Math.max(rows.length, 1) * rowHeight + (total > view.width + 1 ? 18 : 1)}px, var(--table-height))` }}>
      <div ref={scroller} class="scroll" role="grid" tabIndex={0} aria-label={label} aria-rowcount={rows.length + 1} aria-colcount={all.length}
        aria-activedescendant={rows.length ? cellId(active.row, activeColumn) : undefined} onKeyDown={onKey}
        onClick={(event) => {
          const place = placeOf(event);
          if (!place) return;
          setActive(place);
          if (onRow) act(place.row, place.column);
          else if (!String(getSelection())) setMenu(menu?.row === place.row && menu.column === place.column ? null : place);
        }}>
        <div class="head" role="row" aria-rowindex={1} style={{ width: `${total}px` }}>
          {columns.slice(firstColumn, lastColumn).map((column, i) => {
            const c = firstColumn + i;
            const sorted = sort?.at === c ? (sort.down ? "descending" : "ascending") : undefined;
            return (
              <div key={c} role="columnheader" aria-colindex={c + 1} aria-sort={sorted} class={`cell ${columnTypes[c]}`} style={{ left: `${edges[c]}px`, width: `${widths[c]}px` }}
                title={`${column.name}: ${column.type}${column.unit ? `, ${column.unit}` : ""}${sortable ? " – click to sort these rows" : ""}`}
                onClick={() => sortable && sortBy(c)}>
                {column.label ?? column.name}
                <span class="sort" aria-hidden="true">{sorted === "descending" ? "▾" : sorted === "ascending" ? "▴" : ""}</span>
              </div>
            );
          })}
        </div>
        <div class="body" role="presentation" style={{ height: `${rows.length * rowHeight}px`, width: `${total}px` }}>
          {body}
        </div>
      </div>
      <div class="ring" />
      {menu && rows[menu.row] && (
        <CellMenu
          left={Math.max(4, Math.min(edges[menu.column]! - view.left, view.width - 230))}
          top={Math.min(headHeight + (menu.row + 1) * rowHeight - view.top, Math.max(headHeight, view.height - 40))}
          title={`${columns[menu.column]!.name} = ${exact(rows[menu.row]![at[menu.column]!]!)}`}
          more={all.slice(columns.length).map((column, i) => [column.label ?? column.name, cell(rows[menu.row]![at[columns.length + i]!]!, column) || "–"])}
          actions={[
            ...(actions?.(rows[menu.row]![at[menu.column]!]!, columns[menu.column]!, rows[menu.row]!) ?? []),
            { label: "Copy the value", run: () => copyText(exact(rows[menu.row]![at[menu.column]!]!)) },
            { label: "Copy the row as JSON", run: () => copyText(rowJson(asked, rows[menu.row]!)) },
          ]}
          close={() => {
            setMenu(null);
            scroller.current?.focus();
          }}
        />
      )}
      {given.length > rowsMax && <p class="note">The first {rowsMax.toLocaleString("en")} rows are shown.</p>}
    </div>
  );
}

function rowJson(columns: Column[], row: Row): string {
  return JSON.stringify(Object.fromEntries(columns.map((c, i) => [c.name, typeof row[i] === "bigint" ? String(row[i]) : row[i]])));
}

// `more`: names and texts of columns that have left.
function CellMenu({ left, top, title, more, actions, close }: { left: number; top: number; title: string; more: [string, string][]; actions: CellAction[]; close(): void }) {
  const list = useRef<HTMLDivElement>(null);
  // Before anything is painted: the next key is for the menu.
  useLayoutEffect(() => {
    const menu = list.current!;
    menu.style.top = `${top}px`;
    const below = menu.getBoundingClientRect().bottom + 8 - document.documentElement.clientHeight;
    if (below > 0) menu.style.top = `${top - below}px`; // where the window ends, and not below it
    menu.querySelector("button")?.focus();
  }, [title, top]);
  const onKey = (event: KeyboardEvent) => {
    const buttons = [...list.current!.querySelectorAll("button")];
    const at = buttons.indexOf(event.target as HTMLButtonElement);
    const to = event.key === "ArrowDown" ? at + 1 : event.key === "ArrowUp" ? at - 1 : event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : -9;
    if (event.key === "Escape") close();
    else if (to !== -9) buttons[(to + buttons.length) % buttons.length]!.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div ref={list} class="menu" role="menu" aria-label={title} style={{ left: `${left}px`, top: `${top}px` }} onKeyDown={onKey}
      onFocusOut={(event) => {
        if (!list.current?.contains(event.relatedTarget as Node)) close();
      }}>
      <div class="menu-title" title={title}>{title}{more.map(([name, text]) => <div key={name}>{name}: {text}</div>)}</div>
      {actions.map((action) => (
        <button key={action.label} role="menuitem" onClick={() => { close(); action.run(); }}>{action.label}</button>
      ))}
    </div>
  );
}
