// The queries that were run here before, for this browser only.
const key = "sluice.recent";
const most = 40;

export function recall(): string[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(list) ? list.filter((t): t is string => typeof t === "string").slice(0, most) : [];
  } catch {
    return [];
  }
}

export function remember(text: string): void {
  const list = [text, ...recall().filter((t) => t !== text)].slice(0, most);
  try {
    localStorage.setItem(key, JSON.stringify(list));
  } catch {
    // Full, or forbidden: then there is no memory.
  }
}
