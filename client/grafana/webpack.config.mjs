// Builds module.js as Grafana loads it: an AMD module in which everything that Grafana itself has (React, its own packages, RxJS) stays
// outside. Writes into SLUICE_GRAFANA_OUT, or build/grafana/dist of the repository.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import CopyPlugin from 'copy-webpack-plugin';

const here = path.dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(readFileSync(path.join(here, 'package.json'), 'utf8'));
// The day of the commit where it is given, so that the same source builds the same bytes.
const today = new Date((Number(process.env.SOURCE_DATE_EPOCH) || Date.now() / 1000) * 1000).toISOString().slice(0, 10);

export default (_env, { mode = 'production' }) => ({
  mode,
  context: path.join(here, 'src'),
  entry: { module: './module.ts' },
  devtool: 'source-map',
  target: ['web', 'es2021'],
  output: {
    path: process.env.SLUICE_GRAFANA_OUT ?? path.join(here, '../../build/grafana/dist'),
    clean: { keep: /gpx_|go_plugin_build_manifest/ },
    filename: '[name].js',
    library: { type: 'amd' },
    publicPath: 'public/plugins/sluice-flowql-datasource/',
    uniqueName: 'sluice-flowql-datasource',
  },
  externals: [
    'react',
    'react-dom',
    'react/jsx-runtime',
    'react/jsx-dev-runtime',
    'rxjs',
    'lodash',
    'moment',
    '@emotion/css',
    '@emotion/react',
    /^@grafana\/(ui|runtime|data)$/,
  ],
  externalsType: 'amd',
  resolve: { extensions: ['.ts', '.tsx', '.js', '.jsx'] },
  module: {
    rules: [
      {
        test: /\.tsx?$/,
        exclude: /node_modules/,
        use: {
          loader: 'swc-loader',
          options: { jsc: { target: 'es2021', parser: { syntax: 'typescript', tsx: true }, transform: { react: { runtime: 'automatic' } } } },
        },
      },
    ],
  },
  plugins: [
    new CopyPlugin({
      patterns: [
        { from: 'plugin.json', transform: (text) => text.toString().replace('%VERSION%', version).replace('%TODAY%', today) },
        { from: 'img', to: 'img' },
        { from: 'dashboards', to: 'dashboards' },
        // What the plugin's page in Grafana shows, beside the pictures of plugin.json.
        { from: 'README.md', to: 'README.md' },
        { from: '../CHANGELOG.md', to: 'CHANGELOG.md' },
        { from: '../../../LICENSE', to: 'LICENSE', toType: 'file' },
      ],
    }),
  ],
  performance: { maxAssetSize: 300_000, maxEntrypointSize: 300_000, hints: 'error' },
});
