// The server, as the console sees it: HTTP only. Every answer is data of strangers and is only ever shown as text.

export interface Column {
  name: string;
  type: string;
  unit?: string;
  // How it is shown; the server says none of these (see known.ts).
  label?: string;     // instead of the name
  seconds?: boolean;  // times to the second
  least?: number;     // pixels that its text wants where the table has to fit
  ranks?: string[];   // its values in the order in which they sort, where that is not the alphabet's
}
export type Value = string | number | bigint | boolean | null | Value[] | { [key: string]: Value };
export type Row = Value[];

export interface Answer {
  columns: Column[];
  rows: Row[];
  range: { from: string | null; to: string | null } | null;
  warnings: string[];
  stats: Record<string, number>;
  render?: string;
}

export interface Fault {
  code: string;
  message: string;
  status: number;
  hint?: string;
  caret?: string;
  line?: number;
  column?: number;
  offset?: number; // bytes
  length?: number;
  retryAfter?: number; // seconds
}
export class ServerError extends Error {
  constructor(readonly fault: Fault) {
    super(fault.message);
  }
}

// --- the token: asked for when the server wants one, kept for this tab only ---------------------------------------------

const tokenKey = "sluice.token";
let token = sessionStorage.getItem(tokenKey);
let asking: Promise<void> | undefined;
let askForToken: (why: string) => Promise<string> = () => Promise.reject(new Error("no token"));

export function onTokenNeeded(ask: (why: string) => Promise<string>): void {
  askForToken = ask;
}
export function hasToken(): boolean {
  return token !== null;
}
export function forgetToken(): void {
  token = null;
  sessionStorage.removeItem(tokenKey);
}
function needToken(refused: string | null): Promise<void> {
  if (refused !== token) return Promise.resolve(); // another request has brought a new one meanwhile
  asking ??= askForToken(refused ? "The server does not take this token." : "This server wants a token.")
    .then((given) => {
      token = given;
      sessionStorage.setItem(tokenKey, given);
    })
    .finally(() => {
      asking = undefined;
    });
  return asking;
}

// --- requests --------------------------------------------------------------------------------------------------------------

export interface Ask {
  method?: string;
  body?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export async function request(path: string, ask: Ask = {}): Promise<Response> {
  for (;;) {
    const used = token;
    const headers = new Headers(ask.headers);
    if (used) headers.set("Authorization", `Bearer ${used}`);
    let response: Response;
    try {
      response = await fetch(path, {
        method: ask.method ?? (ask.body === undefined ? "GET" : "POST"),
        ...(ask.body === undefined ? {} : { body: ask.body }),
        headers,
        ...(ask.signal ? { signal: ask.signal } : {}),
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      if (ask.signal?.aborted) throw error;
      throw new ServerError({ code: "unreachable", message: "The server cannot be reached.", status: 0, hint: "Is it running, and is the network there?" });
    }
    if (response.status !== 401) return response;
    await needToken(used);
  }
}

async function faultOf(response: Response): Promise<Fault> {
  const text = await response.text();
  const retry = Number(response.headers.get("Retry-After"));
  const more = { status: response.status, ...(retry > 0 ? { retryAfter: retry } : {}) };
  try {
    const { error } = JSON.parse(text) as { error: Fault };
    if (error && typeof error.message === "string") return { ...error, ...more };
  } catch {
    // A proxy's page, say.
  }
  return { code: "http", message: `The server answered ${response.status}.`, ...more };
}

export async function ok(response: Response): Promise<Response> {
  if (!response.ok) throw new ServerError(await faultOf(response));
  return response;
}

// JSON with integers beyond 2^53 kept exact, as bigint, where the browser can; such answers are rare, so the slow way is for them only.
export function readJson<T>(text: string): T {
  if (!/[[,:]\s*-?\d{16,}/.test(text)) return JSON.parse(text) as T;
  const exact = (_key: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && context?.source && /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  return JSON.parse(text, exact as (key: string, value: unknown) => unknown) as T;
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return readJson<T>(await (await ok(await request(path, signal ? { signal } : {}))).text());
}
export async function postJson<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const ask: Ask = { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return readJson<T>(await (await ok(await request(path, signal ? { ...ask, signal } : ask))).text());
}

export interface QueryOptions {
  from?: string;
  to?: string;
  limit?: number;
  params?: Record<string, string>;
  signal?: AbortSignal;
  // Not of the reader's own hand, but of a link: asked in the way that cannot change anything on the server.
  readOnly?: boolean;
}

export async function query(text: string, options: QueryOptions = {}): Promise<Answer> {
  const { from, to, limit, params, signal, readOnly } = options;
  const ask: Ask = signal ? { signal } : {};
  let response: Response;
  if (readOnly) {
    const q = new URLSearchParams({ q: text, ...(from ? { from } : {}), ...(to ? { to } : {}), ...(limit ? { limit: String(limit) } : {}) });
    for (const [name, value] of Object.entries(params ?? {})) q.set(`param.${name}`, value);
    response = await request(`/v1/query?${q}`, ask);
  } else {
    const body = { query: text, ...(from ? { from } : {}), ...(to ? { to } : {}), ...(limit ? { limit } : {}), ...(params ? { params } : {}) };
    response = await request("/v1/query", { ...ask, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  }
  const answer = readJson<Answer & { error?: Fault }>(await (await ok(response)).text());
  // An error that came after rows had begun to stream.
  if (answer.error) throw new ServerError({ ...answer.error, status: 200 });
  return answer;
}

export function faultFrom(error: unknown): Fault {
  return error instanceof ServerError ? error.fault : { code: "console", message: String(error), status: 0 };
}

// Places in a text: the server counts bytes of UTF-8, JavaScript units of UTF-16.
export function bytesBefore(text: string, index: number): number {
  return new TextEncoder().encode(text.slice(0, index)).length;
}
export function indexOfByte(text: string, offset: number): number {
  let bytes = 0, index = 0;
  for (const c of text) {
    if (bytes >= offset) break;
    const code = c.codePointAt(0)!;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    index += c.length;
  }
  return index;
}
