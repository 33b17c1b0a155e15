// Jest does not require .mjs files. Packages that offer Node nothing else have the same as a script beside it.
const { existsSync } = require('node:fs');

module.exports = (request, options) => {
  const found = options.defaultResolver(request, options);
  if (!found.endsWith('.mjs')) {
    return found;
  }
  return ['.cjs', '.js'].map((end) => found.replace(/\.mjs$/, end)).find(existsSync) ?? found;
};
