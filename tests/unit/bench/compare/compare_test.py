import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[4] / "bench" / "compare"))

import measure  # noqa: E402
import nfdump  # noqa: E402
import queries  # noqa: E402
import report  # noqa: E402
import sluice  # noqa: E402

TRUTH = {
    "start": "2026-11-20T08:00:00Z",
    "dns_block": "10.17.0.0/16",
    "needles": {
        "median": {"ip": "2.0.0.1", "flows": 4, "bytes": 10, "packets": 5},
        "rare": {"ip": "2.0.0.2", "flows": 20, "bytes": 100, "packets": 50},
        "common": {"ip": "2.0.0.3", "flows": 1000, "bytes": 5000, "packets": 2500},
        "heavy": {"ip": "2.0.0.4", "flows": 100000, "bytes": 500000, "packets": 250000},
    },
}


def query(name):
    return next(q for q in queries.queries(TRUTH) if q.name == name)


class Normal(unittest.TestCase):
    def test_the_same_row_from_three_systems(self):
        types = ["time", "ip", "protocol", "int"]
        expected = [(1795132800357, "10.16.3.205", 6, 1200)]
        self.assertEqual(queries.normal([["1795132800357", "168821709", "6", "1200"]], types), expected)  # DuckDB
        self.assertEqual(queries.normal([["2026-11-20 00:00:00.357", "10.16.3.205", "6   ", "1200"]], types), expected)  # nfdump
        self.assertEqual(queries.normal([["2026-11-20T00:00:00.357Z", "10.16.3.205", "tcp", 1200]], types), expected)  # Sluice
        self.assertEqual(queries.to_ms("2026-11-20T00:00:00Z"), 1795132800000)

    def test_comparison(self):
        q = query("sources")
        rows = [("10.0.0.1", 5), ("10.0.0.2", 3)]
        self.assertEqual(queries.compare(q, rows, rows[::-1]), "equal")
        self.assertEqual(queries.compare(q, rows, [("10.0.0.1", 5), ("10.0.0.9", 3)]), "equal but for ties")
        self.assertIn("DIFFERENT", queries.compare(q, rows, [("10.0.0.1", 5), ("10.0.0.2", 4)]))
        self.assertIn("DIFFERENT", queries.compare(q, rows, rows[:1]))
        p95 = query("p95")
        self.assertEqual(queries.compare(p95, [(6, 1000)], [(6, 1030)]), "within 5%")
        self.assertIn("DIFFERENT", queries.compare(p95, [(6, 1000)], [(6, 1100)]))


class Queries(unittest.TestCase):
    def test_the_last_five_minutes(self):
        q = query("last_minutes")
        self.assertIn("between 2026-11-20T09:02:00Z and 2026-11-20T09:07:00Z", q.flowql)
        self.assertIn("flow_end >= 1795165320000 and flow_end < 1795165620000", q.sql)
        self.assertIn("2026/11/20.09:02:00-2026/11/20.09:07:00", q.nfdump)

    def test_every_query_is_complete(self):
        for q in queries.queries(TRUTH):
            self.assertEqual(len(q.types), len(q.columns), q.name)
            self.assertEqual(q.nfdump is None, q.nfdump_shape == "", q.name)
        self.assertEqual(len({q.name for q in queries.queries(TRUTH)}), 11)


class Parsing(unittest.TestCase):
    def test_nfdump_statistics(self):
        text = (
            "ts,te,td,pr,val,fl,flP,pkt,pktP,byt,bytP,pps,bps,bpp\n"
            "2026-11-20 07:59:26,2026-11-20 09:06:57,4051.509,TCP,6,5020,99.8,240146,100.0,164143818,100.0,59,324113,683\n"
            "2026-11-20 08:46:31,2026-11-20 09:00:09,817.568,ICMP,1,12,0.2,34,0.0,2856,0.0,0,27,84\n\n"
            "Summary\nflows,bytes,packets,avg_bps,avg_pps,avg_bpp\n5032,164146674,240180,324119,59,683\n"
        )
        self.assertEqual(nfdump.parse(text, query("address")), [[5032, 164146674]])
        self.assertEqual(nfdump.parse(text, query("dns")), [["6", "5020", "164143818"], ["1", "12", "2856"]])

    def test_nfdump_lines(self):
        self.assertEqual(nfdump.parse("  114.148.212.24|      10.16.0.10|254584347\n\n", query("pairs")), [["114.148.212.24", "10.16.0.10", "254584347"]])

    def test_sluice_columns_by_name(self):
        answer = {"columns": [{"name": "sum(bytes)"}, {"name": "dst_ip"}, {"name": "src_ip"}], "rows": [[7, "10.0.0.2", "10.0.0.1"]]}
        self.assertEqual(sluice.pick(answer, query("pairs")), [["10.0.0.1", "10.0.0.2", 7]])
        with self.assertRaises(measure.MeasureError):
            sluice.pick({"columns": [{"name": "src_ip"}], "rows": []}, query("sources"))


class Report(unittest.TestCase):
    def results(self, total):
        one = {"answer": [[1000, total]], "median_ms": 4.0}
        return {
            "duckdb": {"version": "1", "ingest": {"rate": 2e6, "stored": 20, "lost": 0}, "bytes_per_flow": {"table": 26.0}, "queries": {"address": one}},
            "sluice": {"version": "1", "ingest": {"rate": 1e6, "stored": 20, "lost": 0}, "bytes_per_flow": {"flushed": 13.0},
                       "queries": {"address": {"answer": [[1000, 5000]], "median_ms": 0.5}}},
        }

    RUN = {"flows": 20_000_000, "seed": 1, "date": "2026-11-21", "commit": "abc", "machine": "m", "command": "c", "load": "0.0", "left_out": {"nfdump": "why"}}

    def test_ratios_and_agreement(self):
        text = report.table(self.RUN, queries.queries(TRUTH), self.results(5000), TRUTH)
        row = next(line for line in text.splitlines() if line.startswith("| count, sum(bytes) of one address"))
        self.assertIn("| 4.0 ms | 0.50 ms | ≤ 2 ms | 8.0 | equal |", row)
        self.assertIn("| bytes per flow on disk | 26.0 table | 13.0 flushed | ≤ 12, indexes included | 2.0 |", text)
        self.assertIn("| ingest | 2.00 M/s from CSV | 1.00 M/s no loss | ≥ 1.5 M/s, no loss, durable | 0.5 |", text)
        self.assertIn("Left out: nfdump: why.", text)
        self.assertNotIn("WRONG", text)

    def test_a_wrong_answer_is_said(self):
        text = report.table(self.RUN, queries.queries(TRUTH), self.results(4999), TRUTH)
        self.assertIn("DIFFERENT", text)
        self.assertIn("WRONG ANSWER: duckdb", text)

    def test_answers_after_a_loss_are_not_compared(self):
        results = self.results(5000)
        results["sluice"]["ingest"]["lost"] = 7
        results["sluice"]["queries"]["address"]["answer"] = [[993, 4000]]
        results["sluice"].update(folder_bytes=1, journal_bytes=1, memory_mb=1, flush_seconds=1)
        text = report.table(self.RUN, queries.queries(TRUTH), results, TRUTH)
        self.assertIn("LOST 7", text)
        self.assertIn("sluice: 7 flows were lost", text)
        self.assertNotIn("DIFFERENT", text)
        self.assertNotIn("WRONG", text)

    def test_the_section_is_replaced_and_the_rest_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "RESULTS.md"
            report.write_section(path, "one\n")
            path.write_text(path.read_text() + "\nkept\n")
            report.write_section(path, "two\n")
            text = path.read_text()
            self.assertIn("two", text)
            self.assertNotIn("one\n", text)
            self.assertIn("kept", text)
            self.assertEqual(text.count(report.BEGIN), 1)


# A server and a generator that keep the contract and nothing else: `ready …`, UDP in, count and errors out, SIGTERM.
FAKE_SERVER = """#!{python}
import http.server, json, os, signal, socket, struct, threading, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
flows = 0
def receive():
    global flows
    while True:
        packet = udp.recv(2048)
        flows += struct.unpack(">HH", packet[:4])[1]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(404 if self.path == "/v1/storage" else 200, {{"path": self.path}})
    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path.startswith("/v1/admin/"):
            self.answer(200, {{}})
        elif text == "from flows | stats flows = count()":
            self.answer(200, {{"columns": [{{"name": "flows", "type": "uint"}}], "rows": [[flows]]}})
        elif "ip ==" in text and "sum(bytes)" in text:
            self.answer(200, {{"columns": [{{"name": "flows"}}, {{"name": "total"}}], "rows": [[1000, 5000]], "stats": {{"rows_scanned": 7}}}})
        else:
            self.answer(400, {{"error": {{"code": "parse", "message": "no"}}}})
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=receive, daemon=True).start()
threading.Thread(target=server.serve_forever, daemon=True).start()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print(f"ready http=127.0.0.1:{{server.server_port}} netflow=127.0.0.1:{{udp.getsockname()[1]}} sflow=- data=x", flush=True)
while True: time.sleep(1)
"""
FAKE_GENERATOR = """#!{python}
import json, socket, struct, sys
host, port = sys.argv[3].rsplit(":", 1)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(20 if int(sys.argv[5]) <= 1000 else 19):  # above 1,000 flows/s one packet is lost
    out.sendto(struct.pack(">HH", 5, 30), (host, int(port)))
print(json.dumps({{"flows": 600, "packets": 20, "seconds": 0.1, "flows_per_second": 6000}}))
"""


class Measuring(unittest.TestCase):
    def setUp(self):
        measure.log = nfdump.log = sluice.log = lambda _: None
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        for name, text in (("server", FAKE_SERVER), ("generator", FAKE_GENERATOR)):
            (self.path / name).write_text(text.format(python=sys.executable))
            (self.path / name).chmod(0o755)

    def tearDown(self):
        self.folder.cleanup()

    def options(self, **other):
        return types.SimpleNamespace(**{"server": self.path / "server", "generator": self.path / "generator", "work": self.path, "runs": 3,
                                        "budget_s": 1, "rates": [5000, 1000], "commit": "abc", **other})

    def test_rates_are_lowered_until_nothing_is_lost(self):
        data = types.SimpleNamespace(flows=600, pcap=self.path / "x.pcap")
        result = sluice.measure(self.options(), data, queries.queries(TRUTH))
        self.assertEqual([a["lost"] for a in result["ingest"]["attempts"]], [30, 0])
        self.assertEqual(result["ingest"]["stored"], 600)
        self.assertEqual(result["queries"]["address"]["answer"], [[1000, 5000]])
        self.assertEqual(result["queries"]["address"]["runs"], 3)
        self.assertIn("400", result["queries"]["pairs"]["error"])
        self.assertIsNone(result["storage"])
        self.assertEqual(result["exporters"], {"path": "/v1/exporters"})
        text = report.table(Report.RUN, queries.queries(TRUTH), {"sluice": result}, TRUTH)
        self.assertIn("no loss", text)
        self.assertIn("| top 10 sources by bytes | ERROR |", text)

    def test_a_server_that_does_not_start_is_an_error(self):
        (self.path / "server").write_text("#!/bin/sh\nexit 3\n")
        data = types.SimpleNamespace(flows=600, pcap=self.path / "x.pcap")
        with self.assertRaises(measure.MeasureError):
            sluice.measure(self.options(), data, [])


if __name__ == "__main__":
    unittest.main()
