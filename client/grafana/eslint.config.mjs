// Grafana's own rules for plugins, over all that is JavaScript or TypeScript here. A warning fails as an error does (scripts/grafana).
import grafana from '@grafana/eslint-config';
import { defineConfig } from 'eslint/config';

export default defineConfig([
  { ignores: ['node_modules/', 'dist/'] },
  ...grafana,
  {
    rules: {
      // Types say what a component takes, and the compiler brings what JSX needs.
      'react/prop-types': 'off',
      'react/react-in-jsx-scope': 'off',
    },
  },
  {
    files: ['src/**/*.{ts,tsx}'],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: { '@typescript-eslint/no-deprecated': 'error' },
  },
]);
