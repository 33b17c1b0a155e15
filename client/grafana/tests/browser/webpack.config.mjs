// Builds the host page with everything that Grafana would have. For tests alone: large, and not for users.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import CopyPlugin from 'copy-webpack-plugin';

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = path.join(here, '../../node_modules');

export default {
  mode: 'development',
  devtool: false,
  context: here,
  entry: { host: './host.tsx' },
  output: { path: process.env.SLUICE_GRAFANA_HOST ?? path.join(here, '../../../../build/grafana/host'), filename: '[name].js', publicPath: '/' },
  resolve: { extensions: ['.tsx', '.ts', '.mjs', '.js'], fallback: { stream: false, fs: false, path: false, crypto: false, buffer: false } },
  module: {
    rules: [
      { test: /\.tsx?$/, exclude: /node_modules/, use: { loader: 'swc-loader', options: { jsc: { target: 'es2022', parser: { syntax: 'typescript', tsx: true }, transform: { react: { runtime: 'automatic' } } } } } },
      { test: /\.css$/, use: ['style-loader', 'css-loader'] },
      { test: /\.(ttf|woff2?|svg|png)$/, type: 'asset/resource' },
      { test: /\.m?js$/, resolve: { fullySpecified: false } },
    ],
  },
  plugins: [
    new CopyPlugin({
      patterns: [
        { from: 'index.html' },
        { from: path.join(modules, 'systemjs/dist/system.min.js') },
        { from: path.join(modules, 'systemjs/dist/extras/amd.min.js') },
        { from: path.join(modules, '@grafana/ui/dist/public'), to: 'public/build', noErrorOnMissing: true },
      ],
    }),
  ],
  performance: { hints: false },
  ignoreWarnings: [/.*/],
};
