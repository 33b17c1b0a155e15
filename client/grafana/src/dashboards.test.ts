import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { colorManipulator, createTheme } from '@grafana/data';

const folder = path.join(__dirname, 'dashboards');
const dashboards = readdirSync(folder).map((file) => ({ file, text: readFileSync(path.join(folder, file), 'utf8') }));

/** Colours of words and numbers: of values that mean something, and of steps. Lines and bars have names beside them. */
function colorsOfTexts(text: string): string[] {
  const found = new Set<string>();
  const look = (part: unknown) => {
    if (part && typeof part === 'object') {
      const { type, options, steps } = part as { type?: string; options?: Record<string, { color?: string }>; steps?: Array<{ color: string }> };
      if (type === 'value' && options) {
        Object.values(options).forEach((o) => o.color && found.add(o.color));
      }
      steps?.forEach((s) => found.add(s.color));
      Object.values(part).forEach(look);
    }
  };
  look(JSON.parse(text));
  return [...found];
}

test.each(['light', 'dark'] as const)('what is coloured can be read in the %s theme', (mode) => {
  const theme = createTheme({ colors: { mode } });
  const pale: string[] = [];
  let looked = 0;
  for (const { file, text } of dashboards) {
    for (const color of colorsOfTexts(text)) {
      looked++;
      const ratio = colorManipulator.getContrastRatio(theme.visualization.getColorByName(color), theme.colors.background.primary);
      if (ratio < 3) {
        pale.push(`${file}: ${color} ${ratio.toFixed(1)}`);
      }
    }
  }
  expect(looked).toBeGreaterThan(10);
  expect(pale).toEqual([]);
});

test('a variable of a dashboard has a value in every query that asks for it, for where there is no page', () => {
  for (const { file, text } of dashboards) {
    const dashboard = JSON.parse(text);
    const names: string[] = dashboard.templating.list.filter((v: { type: string }) => v.type === 'query' || v.type === 'textbox').map((v: { name: string }) => v.name);
    for (const panel of dashboard.panels) {
      for (const target of panel.targets) {
        const asked = names.filter((name) => new RegExp('\\$\\{?' + name + '\\b').test(target.expr));
        expect({ file, panel: panel.title, named: Object.keys(target.variables ?? {}).sort() }).toEqual({ file, panel: panel.title, named: asked.sort() });
      }
    }
  }
});
