// Server-sent events by fetch, which unlike EventSource can carry the token. A stream that breaks is asked for again where it was, later and
// later; what could not be caught up with is the server's to say (events `gap` and `lost`).
import { type Fault, faultFrom, ok, request } from "./server.ts";

export interface StreamEvent {
  name: string;
  data: string;
  id: string;
}

// Reads events out of text as it comes (WHATWG HTML, 9.2.6). Pure.
export class EventReader {
  private rest = "";
  private name = "";
  private data: string[] = [];
  private id = "";

  read(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    this.rest += text;
    for (;;) {
      const end = /\r\n|\n|\r(?=[^\n])/.exec(this.rest);
      if (!end) return events;
      const line = this.rest.slice(0, end.index);
      this.rest = this.rest.slice(end.index + end[0].length);
      if (line === "") {
        if (this.data.length > 0) events.push({ name: this.name || "message", data: this.data.join("\n"), id: this.id });
        this.name = "";
        this.data = [];
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") this.name = value;
      else if (field === "data") this.data.push(value);
      else if (field === "id" && !value.includes("\0")) this.id = value;
    }
  }
}

export type StreamState = { kind: "connecting" } | { kind: "live" } | { kind: "waiting"; seconds: number; why: string } | { kind: "refused"; fault: Fault };

// The server says at least every 15 s that it lives.
const silenceMs = 40_000;

// Returns what ends it.
export function follow(path: string, onEvent: (event: StreamEvent) => void, onState: (state: StreamState) => void): () => void {
  const stop = new AbortController();
  let lastId = "", failures = 0;

  const once = async (): Promise<string> => {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    stop.signal.addEventListener("abort", end);
    let watch: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(end, silenceMs);
    };
    try {
      heard();
      const response = await ok(await request(path, { signal: attempt.signal, headers: { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) } }));
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      const events = new EventReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "the server ended it";
        heard();
        for (const event of events.read(value)) {
          if (event.id) lastId = event.id;
          if (failures >= 0) onState({ kind: "live" });
          failures = -1;
          onEvent(event);
        }
      }
    } finally {
      clearTimeout(watch);
      stop.signal.removeEventListener("abort", end);
    }
  };

  void (async () => {
    onState({ kind: "connecting" });
    while (!stop.signal.aborted) {
      let why = "";
      try {
        why = await once();
      } catch (error) {
        if (stop.signal.aborted) return;
        const fault = faultFrom(error);
        if (fault.status >= 400 && fault.status < 500 && fault.status !== 408 && fault.status !== 429) return onState({ kind: "refused", fault });
        why = error instanceof DOMException ? "nothing was heard of the server" : fault.status === 0 ? "the connection broke" : fault.message;
      }
      if (stop.signal.aborted) return;
      failures = Math.max(0, failures) + 1;
      const seconds = Math.min(30, 2 ** (failures - 1));
      onState({ kind: "waiting", seconds, why });
      await new Promise((done) => {
        const timer = setTimeout(done, seconds * 1000 * (0.75 + Math.random() / 2));
        stop.signal.addEventListener("abort", () => (clearTimeout(timer), done(undefined)));
      });
    }
  })();
  return () => stop.abort();
}
