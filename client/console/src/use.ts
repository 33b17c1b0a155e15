// Hooks that several views use.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type Place, readPlace, type Settings, writePlace } from "./place.ts";
import { type Fault, faultFrom } from "./server.ts";

export type Go = (settings: Settings, how?: { replace?: boolean }) => void;

export function usePlace(): [Place, (place: Place, how?: { replace?: boolean }) => void] {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    addEventListener("popstate", changed);
    return () => {
      removeEventListener("hashchange", changed);
      removeEventListener("popstate", changed);
    };
  }, []);
  const go = useCallback((place: Place, how?: { replace?: boolean }) => {
    const to = writePlace(place);
    if (to === location.hash) return;
    if (how?.replace) history.replaceState(null, "", to);
    else history.pushState(null, "", to);
    setHash(to);
  }, []);
  return [readPlace(hash), go];
}

export interface Loaded<T> {
  value?: T;
  fault?: Fault;
  isLoading: boolean;
  again(): void;
}

// What `load` gives, loaded anew when `key` changes, and every `everyMs` while the page is looked at. The last value stays in sight meanwhile.
// When the server can't be reached, it is tried again, later and later.
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs = 0): Loaded<T> {
  const [state, setState] = useState<{ key: string; value?: T; fault?: Fault; isLoading: boolean }>({ key, isLoading: true });
  const [turn, setTurn] = useState(0);
  const loader = useRef(load);
  loader.current = load;
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;
    const once = async () => {
      try {
        const value = await loader.current(stop.signal);
        if (stop.signal.aborted) return;
        failures = 0;
        setState({ key, value, isLoading: false });
        if (everyMs) timer = setTimeout(visible, everyMs);
      } catch (error) {
        if (stop.signal.aborted) return;
        const fault = faultFrom(error);
        setState((was) => ({ key, fault, isLoading: false, ...(was.key === key && was.value !== undefined ? { value: was.value } : {}) }));
        if (fault.status === 0 || fault.status === 503) timer = setTimeout(visible, Math.min(30_000, 1000 * 2 ** failures++));
      }
    };
    const visible = () => {
      if (document.hidden) document.addEventListener("visibilitychange", visible, { once: true });
      else void once();
    };
    setState((was) => ({ ...was, key, isLoading: true, ...(was.key === key ? {} : { value: undefined, fault: undefined }) }) as typeof was);
    void once();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", visible);
    };
  }, [key, turn, everyMs]);
  return { ...(state.key === key ? state : { isLoading: true }), again: useCallback(() => setTurn((t) => t + 1), []) };
}
