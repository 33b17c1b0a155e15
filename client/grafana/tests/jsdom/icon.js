// For unit tests in jsdom: no icon, because Grafana's own are fetched from its server.
module.exports = { __esModule: true, default: () => null };
