#!/usr/bin/env python3
"""Answers as Arrow and Parquet, read with pyarrow, pandas and DuckDB and held against NDJSON of the same query, value by value; flows as ECS
and OCSF. Run: frames_test.py PATH-OF-SLUICED [FOLDER-FOR-PACKAGES]
What no package is needed for is tried without them, too; the rest is skipped then, each with the reason."""
import collections
import datetime
import decimal
import functools
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import shutil
import unittest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))
import clients_test
import servers
import sluiced
from sluiced import Sluiced, aws_lines, ipfix, netflow5, netflow9, sflow5, wait_until

PACKAGES = ["pyarrow==26.0.1", "pandas==3.1.1", "duckdb==2.0.1"]
MISSING = None  # why there are no packages to read with
STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
START = 1763625600
MANY = 300_000


def load_packages():
    """Where one is missing, all come from a folder of their own, so that they fit each other."""
    global pa, pq, duckdb
    try:
        import duckdb, pandas, pyarrow
    except ImportError:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:", "--target", "FOLDER", *PACKAGES]
        folder = servers.fetch("frames", sys.executable, pip, "duckdb/__init__.py")
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq


def needs_packages(test):
    @functools.wraps(test)
    def tried(self):
        if MISSING:
            self.skipTest(MISSING)
        test(self)
    return tried


def nanoseconds(text):
    """RFC 3339 as nanoseconds since 1970."""
    seconds, _, digits = text.rstrip("Z").partition(".")
    at = datetime.datetime.fromisoformat(seconds + "+00:00") - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (at.days * 86400 + at.seconds) * 10**9 + int(digits.ljust(9, "0") or 0)


def said(type_, value):
    """A value of JSON as a reader of columns has it."""
    if value is None:
        return None
    if type_ == "timestamp":
        return nanoseconds(value)
    if type_ == "duration":
        return int(decimal.Decimal(value) * 10**6)
    if type_ == "float":
        return float(value)
    if type_ == "map<string>":
        return sorted(value.items())
    return value


def read(table):
    """Rows of an Arrow table, times and durations as nanoseconds."""
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
            column = column.cast(pa.int64())
        is_map = pa.types.is_map(column.type)
        columns.append([sorted(v) if is_map and v is not None else v for v in column.to_pylist()])
    return [list(row) for row in zip(*columns)]


def in_order(rows):
    return sorted(rows, key=repr)


class Frames(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Sluiced("--query-timeout", "120s").__enter__()
        cls.addClassCleanup(cls.s.__exit__)
        s = cls.s
        now = START
        # A counter that fits no signed integer, one line without addresses, an action that is not accept.
        s.post("/v1/ingest/aws_vpc", b"".join([
            aws_lines(200),
            b"2 123456789012 eni-0b 10.1.0.1 172.31.0.9 40000 22 6 10 18446744073709551615 %d %d REJECT OK\n" % (now, now + 7),
            b"2 123456789012 eni-0b 2001:db8::1 2001:db8::2 40000 22 6 10 40 %d %d ACCEPT OK\n" % (now, now + 7)]))
        s.post("/v1/ingest/zeek", json.dumps({"ts": now + 0.123456, "uid": "CHhAvVGS1DHFjwGM9", "id.orig_h": "10.3.0.1", "id.orig_p": 50000, "id.resp_h": "192.0.2.9", "id.resp_p": 443, "proto": "tcp",
                                               "service": "ssl", "duration": 1.25, "orig_bytes": 100, "resp_bytes": 2000, "conn_state": "SF", "orig_pkts": 3, "resp_pkts": 4, "history": "ShADadFf",
                                               "tunnel_parents": ["a", "b"], "local_orig": True, "odd": "=x\"\u00fc\n;", "missed_bytes": 0}) + "\n")
        for packet in (netflow5(flows=30), netflow9(), ipfix(), sflow5()):
            s.send_packet(packet, s.sflow if packet[:4] == b"\0\0\0\5" else None)
        assert wait_until(lambda: s.count("| where source == sflow5") >= 1 and s.count("| where source == ipfix") == 1 and s.count("| where source == netflow9") == 1
                          and s.count("| where source == netflow5") == 30), s.stderr()
        refused = s.post("/v1/query", "from flows", headers={"Accept": STREAM})
        cls.is_built = refused.status != 501
        if not cls.is_built:
            print("this build writes no Arrow and no Parquet: only its refusal was tried", file=sys.stderr)

    def setUp(self):
        if not self.is_built and "refus" not in self.id() and "ecs" not in self.id():
            self.skipTest("this build is without Apache Arrow")

    def stream(self, query, path="/v1/query", **members):
        """(table, summary) of an answer as Arrow."""
        answer = self.s.post(path, json.dumps({"query": query, **members}), headers={"Content-Type": "application/json", "Accept": STREAM})
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, STREAM), answer.body[:300])
        return self.table_of(answer.body)

    def table_of(self, body):
        reader = pa.ipc.open_stream(body)
        batches, summaries = [], []
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            batch.validate(full=True)
            if metadata is not None:
                self.assertEqual(batch.num_rows, 0)
                summaries.append(json.loads(metadata[b"sluice.summary"]))
            else:
                self.assertGreater(batch.num_rows, 0)
                self.assertEqual(summaries, [], "the summary comes last")
            batches.append(batch)
        self.assertEqual(len(summaries), 1)
        return pa.Table.from_batches(batches, reader.schema), summaries[0]

    def file(self, query, **members):
        answer = self.s.post("/v1/query", json.dumps({"query": query, **members}), headers={"Content-Type": "application/json", "Accept": FILE})
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, FILE), answer.body[:300])
        return answer.body

    @needs_packages
    def test_every_value_is_what_ndjson_says(self):
        seen, arrow_types = set(), set()
        for query in ("from flows", "from flows | extend span = duration, rate = bytes / 7, none = 0 / 0, minus = 0 - 5, ok = src_port == 22 | select span, rate, none, minus, ok, src_ip, src_mac, tcp_flags, extra",
                      "from flows | stats n = count(), b = sum(bytes), a = avg(bytes), d = max(duration), ports = values(dst_port), names = values(src_ip, 3), first = min(flow_start) by action",
                      "from flows | where dst_port != 22 | limit 50 | stats b = sum(bytes), c = count() by dst_port", "dst_port != 22 | top 3 src_ip by sum(bytes) with others",
                      "dst_port == 443 and source == aws_vpc | timeseries b = sum(bytes) every 1h by protocol | render timechart", "from flows | where src_ip == 203.0.113.200", "from flows | where src_ip == 10.3.0.1",
                      "show sources", "show functions", "show segments", "from alerts", "explain from flows", "from flows | where bytes > 18446744073709551614"):
            with self.subTest(query):
                asked = self.s.query(query)
                self.assertEqual(asked.status, 200, asked.body)
                document = json.loads(asked.body, parse_float=decimal.Decimal)
                types = [c["type"] for c in document["columns"]]
                lines = self.s.post("/v1/query?format=ndjson", query).body.decode().splitlines()
                names = [c["name"] for c in document["columns"]]
                expected = in_order([[said(t, json.loads(line, parse_float=decimal.Decimal)[name]) for t, name in zip(types, names)] for line in lines])
                table, summary = self.stream(query)
                self.assertEqual(table.column_names, names)
                metadata = [{k.decode(): v.decode() for k, v in field.metadata.items()} for field in table.schema]
                self.assertEqual([m["sluice.type"] for m in metadata], types)
                self.assertEqual([m.get("sluice.unit", "ms" if t == "duration" else None) for m, t in zip(metadata, types)], [c.get("unit") for c in document["columns"]])
                lively = {"show sources", "show segments"}  # tables of the server's, which may change between two looks
                if query not in lively:
                    self.assertEqual(in_order(read(table)), expected)
                else:
                    self.assertEqual(table.num_rows, len(expected))
                for member in ("warnings", "keys", "render"):  # the range ends with now
                    self.assertEqual(summary.get(member), document.get(member), member)
                self.assertEqual(set(summary["stats"]), set(document["stats"]))
                self.assertEqual(summary["stats"]["rows"], len(lines))
                body = self.file(query)
                again = pq.read_table(io.BytesIO(body))
                self.assertEqual(again.schema.remove_metadata(), table.schema.remove_metadata())
                if query not in lively:
                    self.assertEqual(in_order(read(again)), expected)
                kept = json.loads(pq.read_metadata(io.BytesIO(body)).metadata[b"sluice.summary"])
                self.assertEqual(kept["warnings"], document["warnings"])
                seen |= set(types)
                arrow_types |= {str(field.type) for field in table.schema}
        self.assertEqual(seen, {"timestamp", "string", "ip", "uint", "bool", "mac", "flags", "duration", "float", "int", "list<string>", "map<string>"})
        self.assertLessEqual({"timestamp[ns, tz=UTC]", "duration[ns]", "uint8", "uint16", "uint32", "uint64", "int64", "double", "bool", "string", "list<item: string>", "map<string, string>",
                              "dictionary<values=string, indices=int8, ordered=0>"}, arrow_types)

    @needs_packages
    def test_large_counters_keep_all_bits(self):
        table, _ = self.stream("from flows | where dst_port == 22 | select bytes | sort bytes desc")
        self.assertEqual((table.schema.field("bytes").type, table["bytes"].to_pylist()), (pa.uint64(), [2**64 - 1, 40]))

    @needs_packages
    def test_an_empty_answer_has_its_columns(self):
        for query in ("from flows | where src_ip == 203.0.113.200", "from alerts"):
            table, summary = self.stream(query)
            self.assertEqual((table.num_rows, summary["stats"]["rows"]), (0, 0))
            self.assertGreater(table.num_columns, 3)
            self.assertEqual(pq.read_table(io.BytesIO(self.file(query))).column_names, table.column_names)

    @needs_packages
    def test_limits_are_told(self):
        table, summary = self.stream("from flows", limit=7)
        self.assertEqual(table.num_rows, 7)
        self.assertEqual(summary["warnings"][-1], "the answer is cut at 7 rows, as the request's limit says")
        body = self.file("from flows", limit=7)
        self.assertEqual(pq.read_table(io.BytesIO(body)).num_rows, 7)

    def test_a_short_answer_has_its_length_and_summary(self):
        for accept in (STREAM, FILE):
            answer = self.s.post("/v1/query", "from flows | stats n = count()", headers={"Accept": accept})
            self.assertEqual(int(answer.headers["content-length"]), len(answer.body))
            self.assertEqual(json.loads(answer.headers["x-sluice-summary"])["stats"]["rows"], 1)

    def test_what_is_accepted(self):
        for accept, expected in ((f"{STREAM};q=0.5, application/json", "application/json"), (f"application/json;q=0.1, {STREAM}", STREAM), (f"{FILE}, {STREAM}", STREAM), ("*/*", "application/json"),
                                 ("application/*", "application/json"), (f"text/csv;q=0.2, {FILE};q=0.4", FILE)):
            with self.subTest(accept):
                self.assertEqual(self.s.post("/v1/query", "from flows | limit 1", headers={"Accept": accept}).headers["content-type"], expected)

    def test_errors_and_refusals_are_json(self):
        for format in ("arrow", "parquet"):
            answer = self.s.post("/v1/query?format=" + format, "from flows | where nothing == 1")
            self.assertEqual((answer.status, answer.headers["content-type"]), (400 if self.is_built else 501, "application/json"))
        self.assertIn("arrow or parquet", self.s.post("/v1/query?format=feather", "from flows").error["message"])
        if self.is_built:
            return
        for accept in (STREAM, FILE):
            refused = self.s.post("/v1/query", "from flows", headers={"Accept": accept})
            self.assertEqual((refused.status, refused.error["code"]), (501, "not_built"))
            self.assertIn("scripts/arrow", refused.error["message"])
            other = self.s.post("/v1/query", "from flows | limit 1", headers={"Accept": accept + ", text/csv;q=0.1"})
            self.assertEqual((other.status, other.headers["content-type"].split(";")[0]), (200, "text/csv"), "what else is accepted is given")

    def test_flows_as_ecs_and_ocsf(self):
        query = "from flows | where src_ip == 10.3.0.1"
        for format in ("ecs", "ocsf"):
            answer = self.s.post("/v1/query?format=" + format, query)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/x-ndjson; profile=" + format))
            self.assertEqual(json.loads(answer.headers["x-sluice-summary"])["stats"]["rows"], 1)
            [line] = answer.body.decode().splitlines()
            document = json.loads(line)
            if format == "ecs":
                self.assertEqual((document["source"]["ip"], document["destination"]["port"], document["network"]["transport"], document["event"]["start"]),
                                 ("10.3.0.1", 443, "tcp", "2025-11-20T08:00:00.123456Z"))
            else:
                self.assertEqual((document["class_uid"], document["src_endpoint"]["ip"], document["dst_endpoint"]["port"], document["traffic"]["bytes_in"]), (4001, "10.3.0.1", 443, 2000))
            self.assertEqual(len(self.s.post(f"/v1/query?format={format}&limit=150", "from flows").body.splitlines()), 150)
            self.assertEqual(len(self.s.post("/v1/query?format=" + format, "from flows").body.splitlines()), self.s.count())
            for wrong, says in (("from flows | stats n = count()", "flow_end"), ("from flows | extend src_ip = 'a'", "src_ip"), ("from flows | drop flow_end", "flow_end"), ("show sources", "takes flows")):
                refused = self.s.post("/v1/query?format=" + format, wrong)
                self.assertEqual((refused.status, refused.error["code"]), (400, "invalid_argument"), wrong)
                self.assertIn(says, refused.error["message"])

    @needs_packages
    def test_parquet_is_read_by_duckdb(self):
        with tempfile.NamedTemporaryFile(suffix=".parquet") as f:
            f.write(self.file("from flows"))
            f.flush()
            [[rows, volume, hosts, last]] = duckdb.sql(f"select count(*), sum(bytes), count(distinct src_ip), max(epoch_ns(flow_end)) from '{f.name}'").fetchall()
            expected = self.s.query("from flows | stats n = count(), b = sum(bytes - bytes % 2), h = count_distinct(src_ip), e = max(flow_end)").rows()[0]
            self.assertEqual((rows, hosts, last), (expected[0], expected[2], nanoseconds(expected[3])))
            self.assertGreater(volume, 2**64)
            self.assertEqual(duckdb.sql(f"select action, count(*) from '{f.name}' where action is not null group by all order by all").fetchall(),
                             [tuple(r) for r in self.s.query("from flows | where action != null | stats n = count() by action | sort action").rows()])
        with tempfile.NamedTemporaryFile(suffix=".parquet") as f:
            f.write(self.file("from flows | stats ports = values(dst_port), d = max(duration) by src_ip"))
            f.flush()
            found = duckdb.sql(f"select src_ip, ports, d from '{f.name}' where src_ip = '10.1.0.1'").fetchall()
            self.assertEqual(found, [("10.1.0.1", ["22"], 7 * 10**9)])

    @needs_packages
    def test_the_documented_frame(self):
        fence, program = clients_test.programs()["Python", clients_test.FRAME]
        self.assertEqual(fence, "python")
        with Sluiced() as s:
            now = int(datetime.datetime.now().timestamp())
            for source, volume, port in (("10.0.0.5", 840, 443), ("10.0.0.6", 2**53 + 1, 443), ("10.0.0.6", 1, 443), ("10.0.0.7", 5, 22)):
                s.post("/v1/ingest/aws_vpc", f"2 123456789012 eni-0a {source} 172.31.0.9 40000 {port} 6 10 {volume} {now - 60} {now} ACCEPT OK\n")
            environment = {**os.environ, "SLUICE_SERVER": "http://" + s.http, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
            done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            self.assertEqual([line.split() for line in done.stdout.strip().splitlines()], [["10.0.0.6", "2", str(2**53 + 2)], ["10.0.0.5", "1", "840"]])
            self.assertEqual(s.post("/v1/admin/tokens", b'{"name":"ops","role":"admin"}').status, 201)
            refused = subprocess.run([sys.executable, "-c", program], env={**environment, "SLUICE_TOKEN": "sluice_" + "0" * 64}, capture_output=True, text=True, timeout=120)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("token", refused.stderr)


class LongAnswers(unittest.TestCase):
    """Answers that stream for a while: held back by their reader, cancelled, given up, bounded in memory."""

    @classmethod
    def setUpClass(cls):
        cls.s = Sluiced("--query-timeout", "120s").__enter__()
        cls.addClassCleanup(cls.s.__exit__)
        for first in range(0, MANY, 50_000):
            cls.s.post("/v1/ingest/aws_vpc", aws_lines(50_000, first=first))
        cls.s.post("/v1/admin/flush")
        assert cls.s.count() == MANY
        if cls.s.post("/v1/query", "from flows | limit 1", headers={"Accept": STREAM}).status == 501:
            raise unittest.SkipTest("this build is without Apache Arrow")

    def open(self, accept, id, query="from flows"):
        c = self.s.connection()
        c.request("POST", "/v1/query", query, {"Accept": accept, "X-Request-Id": id})
        self.addCleanup(c.close)
        return c, c.getresponse()

    def is_running(self, id):
        return id in [q["id"] for q in self.s.running()]

    @needs_packages
    def test_whole_answers(self):
        truth = self.s.query("from flows | stats n = count(), b = sum(bytes), h = count_distinct(src_ip), e = max(flow_end)").rows()[0]
        for accept in (STREAM, FILE):
            with self.subTest(accept):
                _, answer = self.open(accept, "whole")
                if accept == STREAM:
                    reader = pa.ipc.open_stream(io.BufferedReader(answer, 1 << 20))
                    batches = list(reader)
                    self.assertEqual(batches.pop().num_rows, 0)
                    self.assertGreater(len(batches), 10)
                    self.assertLess(max(b.nbytes for b in batches), 4 << 20)
                    table = pa.Table.from_batches(batches)
                else:
                    body = answer.read()
                    metadata = pq.read_metadata(io.BytesIO(body))
                    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
                    self.assertGreater(len(groups), 1)
                    self.assertEqual({g.column(0).compression for g in groups}, {"ZSTD"})
                    table = pq.read_table(io.BytesIO(body))
                self.assertIn("X-Sluice-Summary", answer.headers["Trailer"])
                self.assertEqual([table.num_rows, sum(v for v in table["bytes"].to_pylist()), len(set(table["src_ip"].to_pylist()))], truth[:3])
                self.assertEqual(max(table["flow_end"].cast(pa.int64()).to_pylist()), nanoseconds(truth[3]))

    def test_a_cancelled_query_breaks_the_answer_off(self):
        _, answer = self.open(STREAM, "cancel-me")
        start = answer.read(65536)
        self.assertEqual(start[:4], b"\xff\xff\xff\xff")
        self.assertTrue(self.is_running("cancel-me"), "it is held back: 39 MB fit nowhere on the way")
        self.assertEqual(self.s.ask("DELETE", "/v1/queries/cancel-me").status // 100, 2)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            while answer.read(1 << 20):
                pass
        self.assertTrue(wait_until(lambda: not self.is_running("cancel-me")))

    @needs_packages
    def test_a_query_out_of_time_breaks_the_answer_off(self):
        c = self.s.connection()
        self.addCleanup(c.close)
        c.request("POST", "/v1/query?timeout_ms=1500", "from flows", {"Accept": STREAM, "X-Request-Id": "late"})
        answer = c.getresponse()
        answer.read(65536)
        self.assertTrue(wait_until(lambda: not self.is_running("late"), seconds=30), "its time is up, though nobody reads")
        with self.assertRaises((http.client.IncompleteRead, ConnectionError, pa.ArrowInvalid, OSError)):
            reader = pa.ipc.open_stream(io.BufferedReader(answer, 1 << 20))
            for _ in reader:
                pass

    def test_a_reader_that_goes_away_ends_its_query(self):
        for accept, id in ((STREAM, "gone-stream"), (FILE, "gone-file")):
            s = self.s.slow_query("from flows | sort bytes, src_ip, flow_end", id, accept)
            self.assertTrue(wait_until(lambda: self.is_running(id)))
            s.close()
            self.assertTrue(wait_until(lambda: not self.is_running(id), seconds=30))
        self.assertEqual(self.s.count(), MANY, "the server goes on")

    @needs_packages
    def test_export(self):
        program = os.path.join(os.path.dirname(sluiced.PROGRAM), "sluice")
        if not os.path.exists(program):
            self.skipTest("there is no sluice beside sluiced")
        folder = tempfile.mkdtemp(prefix="sluice-frames-")
        self.addCleanup(shutil.rmtree, folder)
        environment = {**os.environ, "SLUICE_SERVER": "http://" + self.s.http}

        def export(*arguments):
            return subprocess.run([program, "export", *arguments], env=environment, capture_output=True, text=True, timeout=120)

        for name in ("x.parquet", "x.arrows"):
            done = export("from flows", "-o", f"{folder}/{name}")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("300,000 rows", done.stdout)
        self.assertEqual(sorted(os.listdir(folder)), ["x.arrows", "x.parquet"])
        self.assertEqual(pq.read_metadata(f"{folder}/x.parquet").num_rows, MANY)
        with pa.OSFile(f"{folder}/x.arrows") as f:
            self.assertEqual(pa.ipc.open_stream(f).read_all().num_rows, MANY)
        self.assertEqual(duckdb.sql(f"select count(*) from '{folder}/x.parquet'").fetchall(), [(MANY,)])
        for format in ("ecs", "ocsf"):
            done = export("from flows | limit 1000", "-o", f"{folder}/{format}.ndjson", "--format", format)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            with open(f"{folder}/{format}.ndjson") as f:
                self.assertEqual(collections.Counter(("ecs" if "ecs" in json.loads(line) else "ocsf") for line in f), {format: 1000})
        wrong = export("from flows | stats n = count()", "-o", f"{folder}/no.ndjson", "--format", "ecs")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("flow_end", wrong.stderr)
        self.assertFalse(os.path.exists(f"{folder}/no.ndjson") or os.path.exists(f"{folder}/no.ndjson.part"))

        # What breaks off keeps the file that was there: into a pipe that is not read, so that it is surely in the middle.
        os.mkfifo(f"{folder}/pipe.arrows")
        child = subprocess.Popen([program, "export", "from flows", "-o", f"{folder}/pipe.arrows"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with open(f"{folder}/pipe.arrows", "rb", buffering=0) as pipe:
            self.assertTrue(pipe.read(1000))
            [id] = [q["id"] for q in self.s.running()]
            self.assertEqual(self.s.ask("DELETE", "/v1/queries/" + id).status // 100, 2)
            while pipe.read(1 << 16):
                pass
        _, err = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 3, err)
        self.assertIn("broke off", err)
        self.assertIn("--format ndjson tells", err)

    def test_memory_is_bounded(self):
        if sluiced.sanitized():
            self.skipTest("a sanitizer's memory is not a user's")

        def peak_mib():
            with open(f"/proc/{self.s.process.pid}/status") as f:
                return int(next(line for line in f if line.startswith("VmHWM:")).split()[1]) >> 10

        def ask(accept):
            _, answer = self.open(accept, "peak")
            size = 0
            while piece := answer.read(1 << 20):
                size += len(piece)
            return size

        ask("application/x-ndjson")
        before = peak_mib()
        # 39 MB, which would all be here if they waited for their end.
        self.assertGreater(ask(STREAM), 35 << 20)
        self.assertLess(peak_mib() - before, 25)
        ask(FILE)
        self.assertLess(peak_mib() - before, 100, "a row group is 32 MiB as columns")


if __name__ == "__main__":
    sluiced.PROGRAM = os.path.abspath(sys.argv.pop(1))
    servers.CACHE = sys.argv.pop(1) if len(sys.argv) > 1 and os.sep in sys.argv[1] else tempfile.gettempdir()
    try:
        load_packages()
    except (ImportError, servers.Missing) as why:
        MISSING = f"pyarrow, pandas and DuckDB cannot be had here: {why}"
    unittest.main(verbosity=2)
