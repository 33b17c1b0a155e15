// Where in the console one is: a view and its settings, kept in the part of the URL behind '#', which no server and no log ever sees. So a
// link shares a view, and "back" goes back.

export const views = ["query", "alerts", "address", "sources", "storage"] as const;
export type View = (typeof views)[number];
export type Settings = Record<string, string>;

export interface Place {
  view: View;
  settings: Settings;
}

// Strangers write links too: an unknown view is the first one, and a setting is only ever text.
export function readPlace(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const view = views.find((v) => v === path) ?? "query";
  const settings: Settings = {};
  for (const [name, value] of new URLSearchParams(query)) settings[name] = value;
  return { view, settings };
}

export function writePlace({ view, settings }: Place): string {
  const query = new URLSearchParams();
  for (const name of Object.keys(settings).sort()) if (settings[name]) query.set(name, settings[name]);
  const text = query.toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

// A place with some settings changed; empty ones leave.
export function changed(place: Place, settings: Settings): Place {
  return { view: place.view, settings: { ...place.settings, ...settings } };
}
