// Icons are fetched from a server that is not there in jsdom.
module.exports = { __esModule: true, default: () => null };
