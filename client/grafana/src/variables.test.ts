import { ScopedVars } from '@grafana/data';
import { TemplateSrv } from '@grafana/runtime';
import { namesIn, valuesOf } from './variables';

interface Known {
  value: unknown;
  current?: unknown;
  allValue?: string;
}

/** Behaves as Grafana's does: a format that is a function gets the raw value, a custom value of All comes as it is written. */
function service(variables: Record<string, Known>): TemplateSrv {
  return {
    getVariables: () => Object.entries(variables).map(([name, v]) => ({ name, type: 'query', current: { value: v.current ?? v.value } })) as never,
    replace: (target = '', scoped: ScopedVars = {}, format?: string | Function) =>
      target.replace(/\$\{([\w.]+)\}/g, (whole, name) => {
        const found = scoped[name] ?? variables[name];
        if (!found) {
          return whole;
        }
        if (variables[name]?.allValue && !scoped[name]) {
          return variables[name].allValue!;
        }
        return typeof format === 'function' ? format(found.value, { name }) : String(found.value);
      }),
    containsTemplate: () => true,
    updateTimeRange: () => undefined,
  };
}

test('names of variables are found wherever they stand', () => {
  expect(namesIn('a == $one and b in ${two:regex} or [[three]] -- ${__user.login} $__interval ${__from:date} $__timeFilter(x)\n"$one"')).toEqual(['one', 'two', 'three', '__user.login']);
});

test('values are told as they are, and nothing is replaced', () => {
  const srv = service({
    one: { value: '" or true' },
    many: { value: ['a', 'b'] },
    all: { value: ['a', 'b'], current: ['$__all'] },
    custom: { value: 'x', current: '$__all', allValue: '.*' },
    number: { value: 5 },
    '__user.login': { value: 'me' },
  });
  expect(valuesOf('$one $many ${all} $custom $number ${__user.login} $unknown', srv)).toEqual({
    one: { values: ['" or true'] },
    many: { values: ['a', 'b'] },
    all: { values: ['a', 'b'], all: true },
    custom: { values: ['.*'], all: true },
    number: { values: ['5'] },
    '__user.login': { values: ['me'] },
  });
  // A repeated panel has one of the values, whatever is chosen above.
  expect(valuesOf('$all', srv, { all: { value: 'b', text: 'b' } })).toEqual({ all: { values: ['b'] } });
});
