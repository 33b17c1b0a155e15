// For unit tests in jsdom, which draws nothing: the text box that stands for Monaco. The real editor is tried in Chromium by tests/browser.
const React = require('react');

const Editor = ({ value, onChange }) => React.createElement('textarea', { value, onChange: (e) => onChange?.(e.target.value) });

module.exports = { __esModule: true, default: Editor, loader: { config() {}, init: () => new Promise(() => {}) }, useMonaco: () => null };
