import { ScopedVars } from '@grafana/data';
import { TemplateSrv } from '@grafana/runtime';
import { VariableValue } from './types';

const asked = /\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*(?:\.\w+)*)(?::[^}]*)?\}|\[\[([A-Za-z_]\w*)(?::\w+)?\]\]/g;
// Grafana's own that are about who asks; all others that begin so are macros of the back end.
const own = /^__(user|org|dashboard)(\.|$)/;

/** Names of variables that a text asks for. Too many do no harm: what is in a comment is not put in. */
export function namesIn(text: string): string[] {
  const names = new Set<string>();
  for (const found of text.matchAll(asked)) {
    const name = found[1] ?? found[2] ?? found[3];
    if (!name.startsWith('__') || own.test(name)) {
      names.add(name);
    }
  }
  return [...names];
}

/**
 * Values of the variables in a text. They are told to the back end beside the text, which puts them in as parameters; nothing is replaced here, so
 * no value can become a query.
 */
export function valuesOf(text: string, templateSrv: TemplateSrv, scopedVars: ScopedVars = {}): Record<string, VariableValue> {
  const out: Record<string, VariableValue> = {};
  for (const name of namesIn(text)) {
    const expression = '${' + name + '}';
    let found: unknown;
    let isFound = false;
    const replaced = templateSrv.replace(expression, scopedVars, (value: unknown) => {
      found = value;
      isFound = true;
      return '';
    });
    if (!isFound) {
      if (replaced === expression) {
        continue; // no such variable: a parameter that nobody gave, which the server will say
      }
      found = replaced; // a custom value of All comes as it is written
    }
    const values = (Array.isArray(found) ? found : [found]).filter((v) => v !== undefined && v !== null).map(String);
    const variable = templateSrv.getVariables().find((v) => v.name === name);
    const current: unknown = variable && 'current' in variable ? (variable.current as { value?: unknown } | undefined)?.value : undefined;
    const all = !(name in scopedVars) && (Array.isArray(current) ? current.includes('$__all') : current === '$__all');
    out[name] = all ? { values, all } : { values };
  }
  return out;
}
