/**
 * Writing values as FlowQL. Whatever comes in, what goes out is one value and nothing else: text stands in quotes with everything escaped
 * that the language or a dashboard's variables would read, and the few forms without quotes are matched whole.
 */

/** Text in quotes. `$` and `[` are written as numbers, so that a value that looks like a variable stays what it is. */
export function quoteText(value: string): string {
  let out = '"';
  for (const c of value) {
    const code = c.codePointAt(0)!;
    if (c === '"' || c === '\\') {
      out += '\\' + c;
    } else if (c === '\n') {
      out += '\\n';
    } else if (c === '\t') {
      out += '\\t';
    } else if (c === '\r') {
      out += '\\r';
    } else if (code < 0x20 || code === 0x7f || c === '$' || c === '[') {
      out += '\\x' + code.toString(16).padStart(2, '0');
    } else if (code >= 0xd800 && code <= 0xdfff) {
      out += '\ufffd'; // half of a pair is no character
    } else {
      out += c;
    }
  }
  return out + '"';
}

const plainName = /^@?[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/;

/** Is this what a column may be called? */
export function isColumn(name: string): boolean {
  return plainName.test(name);
}

/** A column's name in back-quotes, so that it is one whatever else the language calls so. */
export function quoteColumn(name: string): string {
  if (!isColumn(name)) {
    throw new Error(`${JSON.stringify(name)} is not the name of a column`);
  }
  return name.startsWith('extra.') ? 'extra.`' + name.slice(6) + '`' : '`' + name + '`';
}

const wholeVariable = /^(?:\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)\})$/;

/** The name of the variable that a value is, if it is one and nothing else. */
export function variableOf(value: string): string | undefined {
  const found = wholeVariable.exec(value.trim());
  return found ? found[1] ?? found[2] : undefined;
}

const size = /^\d{1,15}(\.\d{1,6})?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB|bps|Kbps|Mbps|Gbps)$/;
const integer = /^\d{1,20}$/;

/** A value as a literal. The server reads text as the type that its place wants, so nearly all stands in quotes. */
export function literal(value: string): string {
  const name = variableOf(value);
  if (name) {
    return '$' + name;
  }
  const text = value.trim();
  return size.test(text) || integer.test(text) ? text : quoteText(value);
}

const duration = /^\d{1,9}(ms|s|m|h|d|w)$/;

/** A length of time, or a variable that is one; anything else is `auto`. */
export function interval(value: string): string {
  const name = variableOf(value);
  if (name) {
    return '$' + name;
  }
  return duration.test(value.trim()) ? value.trim() : '$__interval';
}

/** A number of rows: whole, from 1 to `max`. */
export function count(value: unknown, fallback: number, max: number): number {
  const n = Math.floor(Number(value));
  return Number.isFinite(n) && n >= 1 ? Math.min(n, max) : fallback;
}
