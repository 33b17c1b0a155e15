// The editor of text needs a browser (tests/browser tries it there); in jsdom it is a plain box.
const React = require('react');

const Editor = ({ value, onChange }) => React.createElement('textarea', { value, onChange: (e) => onChange?.(e.target.value) });

module.exports = { __esModule: true, default: Editor, loader: { config() {}, init: () => new Promise(() => {}) }, useMonaco: () => null };
