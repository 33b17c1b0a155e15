#!/usr/bin/env python3
"""The whole server from outside: every route, what it refuses, and what survives. Run: app_test.py PATH-OF-SLUICED [TEST…]"""
import gzip
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../live"))
import capture
import sluiced
from sluiced import Sluiced, aws_lines, ipfix, netflow5, netflow9, run, sflow5, wait_until

AWS = "/v1/ingest/aws_vpc"


class Routes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Sluiced()
        assert cls.s.post(AWS, aws_lines(100)).json()["accepted"] == 100

    @classmethod
    def tearDownClass(cls):
        cls.s.__exit__()

    def test_ready_line_names_what_listens(self):
        self.assertEqual(set(self.s.ready), {"http", "netflow", "sflow", "data"})

    def test_health(self):
        self.assertEqual(self.s.get("/healthz").body, b"ok\n")
        self.assertEqual(self.s.get("/readyz").body, b"ready\n")
        self.assertEqual(self.s.post("/healthz").status, 405)

    def test_every_get_route_of_the_openapi_page_answers(self):
        page = self.s.get("/openapi.json").json()
        self.assertGreater(len(page["paths"]), 15)
        for path, methods in page["paths"].items():
            if "get" in methods and "{" not in path and path not in ("/v1/tail", "/v1/alerts/stream"):  # they go on for ever: see stream_test.py
                answer = self.s.get(path + ("?q=from+flows+%7C+limit+1" if path == "/v1/query" else ""))
                self.assertEqual(answer.status, 200, path)
                if answer.headers["content-type"] == "application/json":
                    answer.json()
            for method in ("get", "post", "put", "delete", "patch"):
                if method not in methods:
                    refused = self.s.ask(method.upper(), path.replace("{", "").replace("}", ""))
                    self.assertEqual(refused.status, 405, (method, path))
                    self.assertIn("allow", refused.headers)

    def test_heads_that_nobody_has_room_for_cost_only_themselves(self):
        for headers, status in (({"Authorization": "Bearer " + "x" * 100_000}, 200), ({"A": "a" * 200_000}, 431), ({f"A{i}": "a" * 1_000 for i in range(90)}, 200)):
            self.assertEqual(self.s.get("/v1/queries", headers=headers).status, status, str(headers)[:60])
        refused = self.s.post("/v1/query", b"limit 1", headers={"Transfer-Encoding": "gzip"})
        self.assertEqual((refused.status, refused.error["code"]), (400, "bad_request"))
        self.assertEqual(self.s.get("/healthz").status, 200)

    def test_unknown_route_names_the_nearest(self):
        answer = self.s.post("/v1/qurey")
        self.assertEqual(answer.status, 404)
        self.assertIn("/v1/query", answer.error["hint"])

    def test_schema_sources_storage_segments(self):
        schema = self.s.get("/v1/schema").json()
        self.assertIn("src_ip", [c["name"] for c in schema["columns"]])
        self.assertIn("sourceIPv4Address", next(c for c in schema["columns"] if c["name"] == "src_ip")["ipfix"])
        sources = {x["name"]: x for x in self.s.get("/v1/sources").json()["sources"]}
        self.assertTrue(sources["aws_vpc"]["lines"])
        self.assertGreaterEqual(sources["aws_vpc"]["accepted"], 100)
        self.assertIn("netflow", sources)
        self.assertIn("sflow", sources)
        self.assertEqual(self.s.post("/v1/admin/flush").status, 200)
        storage = self.s.get("/v1/storage").json()
        self.assertGreaterEqual(storage["flows"], 100)
        self.assertGreater(storage["bytes_per_flow"], 0)
        self.assertIn("src_ip", [c["column"] for c in storage["columns"]])
        self.assertGreaterEqual(len(self.s.get("/v1/segments").json()["segments"]), 1)
        self.assertEqual(self.s.post("/v1/admin/verify").json()["damaged"], [])
        self.assertIn("merges", self.s.post("/v1/admin/compact").json())

    def test_metrics_are_prometheus_text(self):
        answer = self.s.get("/metrics")
        self.assertTrue(answer.headers["content-type"].startswith("text/plain; version=0.0.4"))
        sample = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (NaN|[-+0-9.e]+)$')
        for line in answer.body.decode().splitlines():
            self.assertTrue(line.startswith("# ") or sample.match(line), line)
        self.assertGreaterEqual(self.s.metric("sluice_ingest_accepted_total"), 100)

    def test_query_in_every_format(self):
        text = "from flows | where dst_port == 443 | stats n = count() by dst_ip"
        answer = self.s.post("/v1/query", text)
        self.assertEqual(answer.json()["columns"][0]["name"], "dst_ip")
        self.assertEqual(answer.json()["rows"], [["172.31.0.9", 100]])
        for key in ("range", "warnings", "stats"):
            self.assertIn(key, answer.json())
        lines = self.s.post("/v1/query", text, headers={"Accept": "application/x-ndjson"})
        self.assertEqual([json.loads(x) for x in lines.body.splitlines()], [{"dst_ip": "172.31.0.9", "n": 100}])
        self.assertIn("stats", json.loads(lines.headers["x-sluice-summary"]))
        csv = self.s.post("/v1/query", text, headers={"Accept": "text/csv"})
        self.assertEqual(csv.body, b"dst_ip,n\r\n172.31.0.9,100\r\n")
        got = self.s.get("/v1/query?q=dst_port+%3D%3D+443+%7C+stats+n+%3D+count()&format=csv")
        self.assertEqual(got.body, b"n\r\n100\r\n")
        self.assertEqual(self.s.post("/v1/query", text, headers={"Accept": "image/png"}).status, 415)

    def test_the_row_of_the_rest_in_every_format(self):
        text = "dst_ip == 172.31.0.9 | top 1 src_port by n = count() with others"
        answer = self.s.post("/v1/query", text).json()
        self.assertEqual([(c["name"], c["type"]) for c in answer["columns"]], [("src_port", "uint"), ("n", "uint"), ("others", "bool")])
        (port, n, marked), rest = answer["rows"]
        self.assertIs(marked, False)
        self.assertEqual(rest, [None, 100 - n, True])
        lines = self.s.post("/v1/query", text, headers={"Accept": "application/x-ndjson"}).body.decode().splitlines()
        self.assertEqual(json.loads(lines[1]), {"src_port": None, "n": 100 - n, "others": True})
        csv = self.s.post("/v1/query", text, headers={"Accept": "text/csv"}).body.decode()
        self.assertEqual(csv, f"src_port,n,others\r\n{port},{n},false\r\n,{100 - n},true\r\n")

    def test_query_parameters_range_and_limit(self):
        text = "from flows | where dst_port == $port | stats n = count()"
        self.assertEqual(self.s.query(text, params={"port": 443}).rows(), [[100]])
        named = self.s.post("/v1/query", json.dumps({"query": text, "params": {"port": 443}}), headers={"Content-Type": "Application/JSON; charset=UTF-8"})
        self.assertEqual(named.rows(), [[100]])
        self.assertEqual(self.s.query(text, params={"port": "443"}).rows(), [[100]])
        self.assertEqual(self.s.query(text).status, 400)
        self.assertEqual(self.s.query(text, params={"port": 443}, **{"from": "2026-01-01T00:00:00Z"}).rows(), [[0]])
        cut = self.s.query("from flows", limit=7).json()
        self.assertEqual(len(cut["rows"]), 7)
        self.assertEqual(cut["warnings"][-1], "the answer is cut at 7 rows, as the request's limit says")
        self.assertEqual(cut["stats"]["rows"], 7)

    def test_a_cut_answer_says_all_that_it_would_say_whole(self):
        text = "between 2020-01-01 and 2030-01-01 | stats n = count() by src_port"
        whole = self.s.query(text, params={"prot": "tcp"}).json()
        self.assertGreater(len(whole["rows"]), 1)
        self.assertEqual(whole["warnings"], ["the parameter 'prot' is not used: the query has no $prot"])
        cut = self.s.query(text, params={"prot": "tcp"}, limit=1).json()
        self.assertEqual(cut["warnings"], whole["warnings"] + ["the answer is cut at 1 row, as the request's limit says"])
        self.assertEqual((cut["range"], cut["rows"]), (whole["range"], whole["rows"][:1]))
        self.assertEqual(self.s.query(text, limit=len(whole["rows"])).json()["warnings"], [])
        csv = self.s.post("/v1/query?format=csv", json.dumps({"query": text, "limit": 1}), headers={"Content-Type": "application/json"})
        summary = json.loads(csv.headers["x-sluice-summary"])
        self.assertEqual((summary["range"], summary["warnings"]), (whole["range"], cut["warnings"][-1:]))
        self.assertEqual(len(self.s.query("show columns", limit=3).rows()), 3)

    def test_context_tables(self):
        csv = "ip,owner,rack\n10.20.0.0/16,ops,7\n10.20.1.1,db,\n"
        made = self.s.ask("PUT", "/v1/tables/Assets?key=ip", csv, {"Content-Type": "text/csv"})
        self.assertEqual((made.status, made.json()), (201, {"name": "Assets", "key": "ip", "rows": 2, "version": 1}))
        again = self.s.ask("PUT", "/v1/tables/assets", '{"ip":"10.0.0.1","owner":"x, y"}\n{"ip":"10.0.0.2","rack":"07"}', {"Content-Type": "application/x-ndjson"})
        self.assertEqual((again.status, again.json()["version"]), (200, 2))
        kept = self.s.get("/v1/tables/ASSETS")
        self.assertEqual(kept.headers["content-type"].split(";")[0], "text/csv")
        self.assertEqual(kept.body.decode(), 'ip,owner,rack:string\n10.0.0.1,"x, y",\n10.0.0.2,,07\n')
        listed = {t["name"]: t for t in self.s.get("/v1/tables").json()["tables"]}
        self.assertEqual(listed["assets"]["columns"], "owner:string, rack:string")
        self.assertEqual(self.s.query('show tables | where name == "assets" | select rows').rows(), [[2]])
        bad = self.s.ask("PUT", "/v1/tables/odd", "ip,owner\n10.0.0.1\n", {"Content-Type": "text/csv"})
        self.assertEqual((bad.status, bad.error["message"]), (400, "line 2 of the CSV: 1 field, and the first line has 2"))
        self.assertEqual(self.s.ask("PUT", "/v1/tables/odd", "<x/>", {"Content-Type": "text/xml"}).status, 415)
        self.assertEqual(self.s.ask("PUT", "/v1/tables/odd", "x", {"Content-Type": "text/csv", "Content-Encoding": "gzip"}).status, 415)
        self.assertEqual(self.s.get("/v1/tables/odd").status, 404)
        self.assertEqual(self.s.ask("DELETE", "/v1/tables/assets").json(), {"removed": True})
        self.assertEqual(self.s.ask("DELETE", "/v1/tables/assets").status, 404)

    def test_lists_and_tables_that_make_no_sense_cost_only_themselves(self):
        put = lambda path, body, **headers: self.s.ask("PUT", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        self.assertEqual(put("/v1/lists/odd", gzip.compress(b"10.0.0.1\n"), Content_Encoding="gzip").status, 415)
        for body in (b"[" * 10_000_000, b'{"objects":[' + b"{}," * 5_000_000 + b"{}]}"):
            refused = put("/v1/lists/odd", body, Content_Type="application/json")
            self.assertEqual((refused.status, refused.error["code"]), (413, "too_large"))
        self.assertEqual(self.s.get("/v1/lists/odd").status, 404)
        many = b'{"k":1' + b"".join(b',"m%d":1' % i for i in range(1_000_000)) + b"}"
        self.assertEqual(put("/v1/tables/odd", many, Content_Type="application/x-ndjson").status, 413)

    def test_places_without_a_database(self):
        answer = self.s.query("limit 1 | select c = country(10.0.0.1), n = asn(10.0.0.1), o = as_name(10.0.0.1) | render table").json()
        self.assertEqual(answer["render"], "table")
        self.assertEqual(answer["warnings"], ["country() is null everywhere: the server has no database of countries (geo-country)",
                                              "asn() is null everywhere: the server has no database of autonomous systems (geo-asn)",
                                              "as_name() is null everywhere: the server has no database of autonomous systems (geo-asn)"])

    def test_query_errors_have_a_place(self):
        answer = self.s.post("/v1/query", "from flows\n| where src_prt == 5")
        self.assertEqual(answer.status, 400)
        self.assertEqual((answer.error["line"], answer.error["column"]), (2, 9))
        self.assertIn("src_port", answer.error["hint"] + answer.error["message"])
        for body, headers, status in ((b"{", {"Content-Type": "application/json"}, 400), (b"x", {"Content-Type": "image/png"}, 415),
                                      (b"", {}, 400), (b"x" * (3 << 20), {}, 413)):
            self.assertEqual(self.s.post("/v1/query", body, headers=headers).status, status, headers)

    def test_explain_validate_complete(self):
        self.assertIn("plan", self.s.post("/v1/query/explain", "from flows | where dst_port == 53").json())
        self.assertEqual(self.s.post("/v1/query/validate", "from flows").json(), {"valid": True, "errors": []})
        bad = self.s.post("/v1/query/validate", "from flows | whre x").json()
        self.assertFalse(bad["valid"])
        self.assertEqual(bad["errors"][0]["line"], 1)
        done = self.s.post("/v1/query/complete", json.dumps({"query": "from flows | where src_p", "cursor": 24})).json()
        self.assertIn("src_port", [i["text"] for i in done["items"]])

    def test_system_tables(self):
        for table in ("sources", "exporters", "queries"):
            self.assertEqual(self.s.query("show " + table).status, 200, table)
        self.assertIn("aws_vpc", [r[0] for r in self.s.query("show sources").rows()])


class Ingest(unittest.TestCase):
    def test_counts_errors_and_idempotency(self):
        with Sluiced() as s:
            body = aws_lines(3) + b"2 broken\n" + aws_lines(1)
            first = s.post(AWS, body, headers={"X-Sluice-Object": "a"}).json()
            self.assertEqual((first["accepted"], first["rejected"], first["duplicate"]), (4, 1, False))
            self.assertEqual(first["errors"][0]["record"], 4)
            again = s.post(AWS, body, headers={"X-Sluice-Object": "a"}).json()
            self.assertEqual((again["accepted"], again["duplicate"]), (0, True))
            self.assertEqual(s.count(), 4)
            self.assertEqual(s.post(AWS, body).json()["accepted"], 4)

    def test_an_object_sent_again_counts_as_nothing_but_a_duplicate(self):
        with Sluiced() as s:
            none = b"2 123456789012 eni-1 - - - - - - - 1763625600 1763625660 - %s\n"
            body = aws_lines(3) + none % b"NODATA" + none % b"SKIPDATA" + b"2 broken\n"
            for _ in range(3):
                answer = s.post(AWS, body, headers={"X-Sluice-Object": "a"}).json()
            self.assertEqual((answer["duplicate"], answer["accepted"]), (True, 0))
            counts = {x["name"]: x for x in s.get("/v1/sources").json()["sources"]}["aws_vpc"]
            self.assertEqual([counts[k] for k in ("bodies", "duplicates", "accepted", "rejected", "no_data", "skipped_data")], [3, 2, 3, 1, 1, 1])
            self.assertEqual(s.metric("sluice_ingest_no_data_total"), 1)

    def test_encodings(self):
        with Sluiced() as s:
            body = aws_lines(1000)
            packed = gzip.compress(body)
            self.assertEqual(s.post(AWS, packed, headers={"Content-Encoding": "gzip"}).json()["accepted"], 1000)
            self.assertEqual(s.post(AWS, packed).json()["accepted"], 1000)  # known by its first bytes
            if shutil.which("zstd"):
                z = subprocess.run(["zstd", "-c"], input=body, capture_output=True).stdout
                self.assertEqual(s.post(AWS, z, headers={"Content-Encoding": "zstd"}).json()["accepted"], 1000)
            self.assertEqual(s.post(AWS, packed[:-20], headers={"Content-Encoding": "gzip"}).status, 422)
            self.assertEqual(s.post(AWS, body, headers={"Content-Encoding": "br"}).status, 415)
            before = s.count()
            bomb = gzip.compress(b"2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 1 1763625600 1763625660 ACCEPT OK\n" * 7_000_000, 1)
            self.assertEqual(s.post(AWS, bomb, headers={"Content-Encoding": "gzip"}).status, 413)
            self.assertEqual(s.count(), before, "a refused body must leave nothing")

    def test_parquet_is_read_or_said_to_be_left_out(self):
        corpus = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fuzz/corpus/parquet")
        folder = tempfile.mkdtemp(prefix="sluice-parquet-")
        try:
            os.mkdir(folder + "/in")
            with open(folder + "/sluice.toml", "w") as f:
                f.write(f"""http = "127.0.0.1:0"
netflow = "none"
sflow = "none"
[[feed]]
name = "logs"
kind = "folder"
source = "aws_vpc"
path = "{folder}/in"
period = "20ms"
settle = "200ms"
""")
            with Sluiced("--config", folder + "/sluice.toml") as s:
                with open(corpus + "/groups", "rb") as f:
                    body = f.read()
                answer = s.post(AWS, body)
                # One that grows at its end, and one of lines, so that the folder's own way of telling them apart is seen.
                for name, content in (("a.log.parquet", body), ("b.log", aws_lines(3))):
                    with open(folder + "/in/" + name, "wb") as f:
                        f.write(content)
                if answer.status == 501:
                    print("this build reads no Parquet: only its refusal was tried", file=sys.stderr)
                    self.assertEqual(answer.error["code"], "not_built")
                    self.assertIn("Parquet", answer.error["message"])
                    self.assertEqual(s.wait_count(3), 3, "what stands behind it is not blocked")
                    self.assertTrue(wait_until(lambda: s.metric("sluice_ingest_not_built_total") == 2))
                    self.assertTrue(wait_until(lambda: s.metric("sluice_feed_set_aside_total") == 1))
                    return
                self.assertEqual((answer.json()["accepted"], answer.json()["no_data"]), (1, 1))
                self.assertEqual(s.wait_count(5), 5)
                damaged = s.post(AWS, body[:-30])
                self.assertEqual((damaged.status, damaged.error["code"]), (422, "corrupt"))
                self.assertEqual(s.post(AWS, gzip.compress(body)).json()["accepted"], 1, "packed once more on its way")
                self.assertEqual(s.metric("sluice_ingest_not_built_total"), 0)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def test_field_lists(self):
        with Sluiced() as s:
            body = b"10.1.1.1 10.2.2.2 1763625600 1763625660\n"
            fields = "${srcaddr} ${dstaddr} ${start} ${end}"
            self.assertEqual(s.post(AWS, body, headers={"X-Sluice-Format": fields}).json()["accepted"], 1)
            self.assertEqual(s.wait_count(1, "| where src_ip == 10.1.1.1"), 1)

    def test_refusals(self):
        with Sluiced("--ingest-body-bytes", "100KB") as s:
            unknown = s.post("/v1/ingest/aws_vcp", b"x")
            self.assertEqual(unknown.status, 404)
            self.assertIn("aws_vpc", unknown.error["hint"])
            parameter = s.post(AWS + "?fromat=x", b"x")
            self.assertEqual(parameter.status, 400)
            self.assertIn("fromat", parameter.error["message"])
            self.assertEqual(s.post(AWS, b"x" * 100_001).status, 413)
            self.assertEqual(s.post("/v1/ingest/netflow", b"nonsense").status, 422)
            self.assertEqual(s.post(AWS, b"", headers={"X-Sluice-Object": "o" * 2000}).status, 422)
            self.assertEqual(s.post("/v1/ingest/netflow", netflow5(flows=3)).json()["accepted"], 3)

    def test_full_answers_503_and_recovers(self):
        with Sluiced("--open-bytes", "2MB", "--seal-age", "1h") as s:
            statuses = set()
            for i in range(60):
                answer = s.post(AWS, aws_lines(2000, start=1763625600 + 3600 * i))
                statuses.add(answer.status)
                if answer.status == 503:
                    self.assertIn("retry-after", answer.headers)
                    break
            self.assertTrue(statuses <= {200, 503}, statuses)
            s.post("/v1/admin/flush")
            self.assertEqual(s.post(AWS, aws_lines(10)).status, 200)

    def test_inflated_bodies_share_the_budget(self):
        body = gzip.compress(aws_lines(1) + b"2 - " + b"x" * (300 << 20), 1)
        with Sluiced() as s:
            statuses = []
            threads = [threading.Thread(target=lambda: statuses.append(s.post(AWS, body).status)) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertTrue(set(statuses) <= {200, 413, 422, 503}, statuses)
            with open(f"/proc/{s.process.pid}/status") as f:
                peak = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))
            self.assertLess(peak, 2.5 * (1 << 20))
            self.assertEqual(s.post(AWS, aws_lines(10)).json()["accepted"], 10)

    def test_one_rule_for_bodies_of_which_nothing_is_recognized(self):
        with Sluiced() as s:
            sources = [x["name"] for x in s.get("/v1/sources").json()["sources"]]
            for source in sources:
                for body in (b"hello world\n", b"[[[[", b"{", b"}", b"{}", b"null", b'{"a":1}\n{"b":2}\n'):
                    answer = s.post("/v1/ingest/" + source, body)
                    self.assertEqual(answer.status, 422, (source, body, answer.body))
                    self.assertTrue(answer.error["message"], (source, body))
                for body in (b"", b" \n"):
                    self.assertEqual(s.post("/v1/ingest/" + source, body).json()["accepted"], 0, (source, body))
            self.assertEqual(s.metric("sluice_ingest_failed_total"), 7 * len(sources))
            self.assertGreater(s.metric("sluice_ingest_rejected_total"), 0)
            self.assertIn("record 1: ", s.post("/v1/ingest/hubble", b"{}").error["message"])
            self.assertIn("byte 5", s.post("/v1/ingest/gcp_vpc", b"[[[[").error["message"])
            self.assertEqual(s.post("/v1/ingest/azure_vnet", b'{"records":[]}').status, 200)

    def test_a_column_that_nobody_knows_is_told(self):
        with Sluiced() as s:
            answer = s.post(AWS, b"srcadr dstaddr start end\n10.1.1.1 10.2.2.2 1763625600 1763625660\n").json()
            self.assertEqual(answer["accepted"], 1)
            self.assertEqual(len(answer["warnings"]), 1, answer)
            self.assertIn("did you mean 'srcaddr'?", answer["warnings"][0])
            self.assertEqual(s.wait_count(1, '| where extra.srcadr == "10.1.1.1"'), 1)
            self.assertEqual(s.post(AWS, aws_lines(1)).json()["warnings"], [])
            row = {x["name"]: x for x in s.get("/v1/sources").json()["sources"]}["aws_vpc"]
            self.assertEqual((row["warned"], row["warning"]), (1, answer["warnings"][0]))
            shown = {row[0]: row for row in s.query("show sources").rows()}["aws_vpc"]
            self.assertIn(answer["warnings"][0], shown)

    def test_known_loss_is_told(self):
        with Sluiced() as s:
            s.post(AWS, aws_lines(5) + b"2 123456789012 eni-1 - - - - - - - 1763625600 1763625660 - SKIPDATA\n")
            warnings = s.query("from flows | stats n = count()").json()["warnings"]
            self.assertTrue(any("aws_vpc" in w for w in warnings), warnings)
            # Told where it concerns the answer, and only there.
            for query, told in (("source == aws_vpc", True), ("source == netflow9", False), ("exporter_ip == 192.0.2.1", False), ("dst_port == 443", True),
                                ("source in (aws_vpc, ipfix) or dst_port == 1", True), ("not source == aws_vpc", False),
                                ("between 2025-11-20T07:00Z and 2025-11-20T08:00Z", False), ("between 2025-11-20T08:00:30Z and 2025-11-20T09:00Z", True)):
                warnings = s.query(query + " | stats n = count()").json()["warnings"]
                self.assertEqual(any("known loss" in w for w in warnings), told, (query, warnings))
            self.assertEqual(len(s.get("/v1/sources").json()["losses"]), 1)


class Queries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Sluiced("--query-concurrency", "2", "--query-waiting", "0")
        for i in range(10):
            assert cls.s.post(AWS, aws_lines(60_000, first=i * 60_000)).status == 200

    @classmethod
    def tearDownClass(cls):
        cls.s.__exit__()

    def test_a_slow_reader_holds_its_query_and_bounds_memory(self):
        self.s.count()
        before = self.s.metric("process_resident_memory_bytes")
        c = self.s.slow_query("from flows", "slow-1")
        self.assertTrue(wait_until(lambda: self.s.running()))
        time.sleep(1)
        self.assertEqual([q["id"] for q in self.s.running()], ["slow-1"])
        self.assertLess(self.s.metric("process_resident_memory_bytes") - before, 150e6)
        self.assertEqual(self.s.ask("DELETE", "/v1/queries/slow-1").status, 200)
        tail = b""
        while piece := c.recv(1 << 20):
            tail = (tail + piece)[-3000:]
            if tail.endswith(b"0\r\n\r\n"):
                break
        line = [x for x in tail.split(b"\n") if b'"error"' in x][-1]
        self.assertEqual(json.loads(line)["error"]["code"], "cancelled")
        c.close()
        self.assertTrue(wait_until(lambda: not self.s.running()))
        self.assertEqual(self.s.ask("DELETE", "/v1/queries/slow-1").status, 404)

    def test_memory_of_a_query_is_bounded_by_its_limit(self):
        limit = 64 << 20
        with Sluiced("--query-memory", str(limit)) as s:
            s.post(AWS, aws_lines(40_000))
            s.post("/v1/flush")
            s.post(AWS, aws_lines(5_000, first=40_000))
            long = '"' + "x" * 2_000 + '"'
            texts = "extend a0 = concat(src_port, %s), " % long + ", ".join("a%d = concat(a0, %d)" % (i, i) for i in range(1, 900))
            numbers = "extend a0 = src_port + 1, " + ", ".join("a%d = a%d + 1" % (i, i - 1) for i in range(1, 900))
            one = "extend a = concat(src_port, %s) | " % long
            pid = s.process.pid

            def peak():
                with open(f"/proc/{pid}/status") as status:
                    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))

            self.assertEqual(s.query("stats n = count()").rows(), [[45_000]])
            for text in (texts + " | select a1, a899", texts + " | where a1 == a899", texts + " | stats n = count(a899)",
                         one + "sort a desc", one + "distinct a", one + "stats n = count() by a", one + "top 5 a by sum(bytes)",
                         one + "stats v = values(a, 10000) by dst_ip", one + "stats v = max(a), w = arg_min(a, bytes) by src_port",
                         one + "stats v = count_distinct(a)", one + "tail 40000",
                         one + "timeseries n = count() every 1m by a"):
                with open(f"/proc/{pid}/clear_refs", "w") as f:
                    f.write("5")  # the peak begins anew
                before = peak()
                answer = s.query(text)
                self.assertEqual(answer.status, 413, text[-60:])
                self.assertEqual(answer.error["message"], f"the query needs more memory than its limit: memory_bytes = {limit}")
                # Above the limit: the allocator's own ways (arenas of threads, which differ from run to run), and what a growing column has twice for
                # a moment. Unbounded it would be gigabytes. A sanitizer keeps what is freed.
                if not sluiced.sanitized():
                    self.assertLess(peak() - before, 4 * limit, text[-60:])
            # Many columns alone are no reason to refuse.
            self.assertEqual(s.query(numbers + " | stats n = count(a899)").rows(), [[45_000]])
            self.assertEqual(s.query("stats n = count()").rows(), [[45_000]])

    def test_a_client_that_goes_away_cancels_its_query(self):
        before = self.s.metric("sluice_queries_cancelled_total")
        c = self.s.slow_query("from flows", "gone-1")
        self.assertTrue(wait_until(lambda: self.s.running()))
        c.close()
        self.assertTrue(wait_until(lambda: not self.s.running()), self.s.running())
        self.assertEqual(self.s.metric("sluice_queries_cancelled_total"), before + 1)

    def test_a_client_that_does_not_read_is_reached_by_the_deadline(self):
        with Sluiced("--query-timeout", "2s", "--query-concurrency", "1", "--query-waiting", "0", "--http", "127.0.0.1:0") as s:
            for i in range(4):
                s.post(AWS, aws_lines(60_000, first=i * 60_000))
            for accept, end in (("application/x-ndjson", b"0\r\n\r\n"), ("application/json", b"0\r\n\r\n"), ("text/csv", None)):
                c = s.slow_query("from flows", "stuck", accept)
                self.assertTrue(wait_until(lambda: s.running()))
                started = time.time()
                self.assertTrue(wait_until(lambda: not s.running(), 10), accept)
                self.assertGreater(time.time() - started, 0.5)
                self.assertEqual(s.post("/v1/query", "from flows | limit 1").status, 200)  # the only lane is free
                tail, whole = b"", b""
                while piece := c.recv(1 << 20):
                    whole += piece
                    if end and whole.endswith(end):
                        break
                tail = whole[-3000:]
                if accept == "text/csv":
                    self.assertFalse(tail.endswith(b"0\r\n\r\n"))  # cut, which is all that CSV can say
                else:
                    self.assertIn(b'"code":"deadline"', tail)
                c.close()

    def test_a_cancel_reaches_a_query_whose_client_does_not_read(self):
        c = self.s.slow_query("from flows", "deaf-1")
        self.assertTrue(wait_until(lambda: self.s.running()))
        time.sleep(0.5)
        self.assertEqual(self.s.ask("DELETE", "/v1/queries/deaf-1").status, 200)
        self.assertTrue(wait_until(lambda: not self.s.running(), 5), self.s.running())
        c.close()

    def test_too_many_queries_are_refused_and_health_still_answers(self):
        held = [self.s.slow_query("from flows", f"held-{i}") for i in range(2)]
        self.assertTrue(wait_until(lambda: len(self.s.running()) == 2))
        answer = self.s.post("/v1/query", "from flows | limit 1")
        self.assertEqual(answer.status, 503)
        self.assertIn("retry-after", answer.headers)
        self.assertEqual(self.s.get("/healthz").status, 200)
        for c in held:
            c.close()
        self.assertTrue(wait_until(lambda: not self.s.running()))
        self.assertEqual(self.s.post("/v1/query", "from flows | limit 1").status, 200)

    def test_streamed_json_and_csv_are_whole(self):
        answer = self.s.post("/v1/query", "from flows | select src_ip, bytes").json()
        self.assertEqual(len(answer["rows"]), 600_000)
        csv = self.s.post("/v1/query", "from flows | select src_ip", headers={"Accept": "text/csv"})
        self.assertEqual(csv.body.count(b"\r\n"), 600_001)


class Access(unittest.TestCase):
    def test_pages_of_other_sites_are_refused_without_tokens(self):
        with Sluiced() as s:
            token = b'{"name":"x","role":"admin"}'
            for headers in ({"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Host": "127.evil.com.x"},
                            {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
                answer = s.post("/v1/admin/tokens", token, headers=headers)
                self.assertEqual(answer.status, 403, headers)
                self.assertIn("localhost", answer.error["hint"])
                self.assertEqual(s.get("/metrics", headers=headers).status, 403, headers)
            for headers in ({"Host": "localhost:1"}, {"Host": "LOCALHOST"}, {"Host": "[::1]:80"}, {"Host": "127.1.2.3"},
                            {"Origin": "http://" + s.http, "Sec-Fetch-Site": "same-origin"}):
                self.assertEqual(s.get("/metrics", headers=headers).status, 200, headers)

    def test_the_console_is_everyones_and_says_nothing_of_the_data(self):
        with Sluiced() as s:
            s.post("/v1/admin/tokens", b'{"name":"boss","role":"admin"}')
            page = s.get("/", headers={"Host": "sluice.example", "Sec-Fetch-Site": "cross-site"})
            self.assertEqual((page.status, page.headers["content-type"]), (200, "text/html; charset=utf-8"))
            for word in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
                self.assertIn(word, page.headers["content-security-policy"])
            self.assertEqual(page.headers["x-content-type-options"], "nosniff")
            self.assertEqual(page.headers["cache-control"], "no-cache")
            tag = page.headers["etag"]
            for sent, status in ((tag, 304), ('"a", W/' + tag, 304), ("*", 304), ('"a"', 200), (tag[:-2] + '"', 200)):
                self.assertEqual(s.get("/", headers={"If-None-Match": sent}).status, status, sent)
            kept = s.get("/", headers={"If-None-Match": tag})
            self.assertEqual((kept.body, "content-length" in kept.headers, kept.headers["etag"]), (b"", False, tag))
            head = s.ask("HEAD", "/")
            self.assertEqual((head.status, head.body, head.headers["content-length"]), (200, b"", str(len(page.body))))
            files = set(re.findall(rb'"(/console/[^"]+)"', page.body))
            self.assertGreater(len(files), 2)
            for path in files:
                plain = s.get(path.decode())
                self.assertEqual(plain.status, 200, path)
                packed = s.get(path.decode(), headers={"Accept-Encoding": "br, gzip"})
                self.assertEqual(packed.headers["content-encoding"], "gzip")
                self.assertEqual(gzip.decompress(packed.body), plain.body)
                self.assertNotIn("content-encoding", s.get(path.decode(), headers={"Accept-Encoding": "gzip;q=0"}).headers)
            self.assertEqual(s.post("/").status, 401)
            self.assertEqual(s.get("/console/nothing").status, 401)

    def test_roles(self):
        with Sluiced() as s:
            self.assertEqual(s.post("/v1/admin/tokens", b'{"name":"r","role":"read"}').status, 409)
            admin = s.post("/v1/admin/tokens", b'{"name":"boss","role":"admin"}')
            self.assertEqual(admin.status, 201)
            boss = admin.json()["token"]
            make = lambda role: s.post("/v1/admin/tokens", json.dumps({"name": role, "role": role}), token=boss).json()["token"]
            read, ingest = make("read"), make("ingest")
            self.assertEqual(s.get("/healthz").status, 200)
            for path in ("/v1/sources", "/metrics", "/openapi.json", "/nowhere"):
                refused = s.get(path)
                self.assertEqual(refused.status, 401, path)
                self.assertIn("Bearer", refused.headers["www-authenticate"])
            self.assertEqual(s.get("/v1/sources", token="sluice_" + "0" * 64).status, 401)
            self.assertEqual(s.post(AWS, aws_lines(2), token=ingest).status, 200)
            self.assertEqual(s.post(AWS, aws_lines(2), token=read).status, 403)
            self.assertEqual(s.post("/v1/query", "from flows | limit 1", token=ingest).status, 403)
            self.assertEqual(s.post("/v1/query", "from flows | limit 1", token=read).status, 200)
            self.assertEqual(s.post("/v1/admin/flush", token=read).status, 403)
            self.assertEqual(s.post("/v1/admin/flush", token=boss).status, 200)
            self.assertEqual(len(s.get("/v1/admin/tokens", token=boss).json()["tokens"]), 3)
            self.assertNotIn(boss, s.stderr())
            self.assertEqual(s.ask("DELETE", "/v1/admin/tokens/read", token=boss).status, 200)
            self.assertEqual(s.post("/v1/query", "from flows | limit 1", token=read).status, 401)

    def test_token_command(self):
        data = tempfile.mkdtemp()
        try:
            # Where there is no data directory nothing is asked for, and what is made is said.
            for command in (("list",), ("remove", "--name", "x")):
                code, out, error = run("token", *command, "--data", data + "/none")
                self.assertEqual((code, out), (1, ""))
                self.assertIn("there is no data directory at " + data + "/none", error)
            self.assertEqual(run("token", "add", "--role", "king", "--name", "y", "--data", data + "/none")[0], 2)
            self.assertFalse(os.path.exists(data + "/none"))
            code, token, error = run("token", "add", "--role", "read", "--name", "x", "--data", data)
            self.assertEqual(code, 0)
            self.assertIn("There was no data directory at " + data, error)
            self.assertEqual(token.count("\n"), 1)
            self.assertNotIn("no data directory", run("token", "add", "--role", "read", "--name", "x2", "--data", data)[2])
            self.assertEqual(run("token", "remove", "--name", "x2", "--data", data)[0], 0)
            self.assertEqual(run("token", "add", "--role", "king", "--name", "y", "--data", data)[0], 2)
            self.assertEqual(run("token", "add", "--role", "read", "--name", "x", "--data", data)[0], 1)
            self.assertIn("x\tread", run("token", "list", "--data", data)[1])
            with Sluiced(data=data) as s:
                self.assertEqual(s.get("/v1/sources").status, 401)
                self.assertEqual(s.get("/v1/sources", token=token.strip()).status, 200)
                code, _, error = run("token", "add", "--role", "read", "--name", "z", "--data", data)
                self.assertEqual(code, 1)
                self.assertIn("/v1/admin/tokens", error)
            self.assertEqual(run("token", "remove", "--name", "x", "--data", data)[0], 0)
            self.assertEqual(run("token", "list", "--data", data)[1], "")
        finally:
            shutil.rmtree(data)

    def test_beyond_loopback_needs_tokens_and_tls(self):
        data = tempfile.mkdtemp()
        try:
            for flags in (["--http", "0.0.0.0:0", "--netflow", "none"], ["--http", "127.0.0.1:0", "--netflow", "0.0.0.0:0"],
                          ["--http", "127.0.0.1:0", "--netflow", "none", "--sflow", "0.0.0.0:0"]):
                code, _, error = run("--data", data, *flags)
                self.assertEqual(code, 1)
                self.assertIn("refusing", error)
            if not shutil.which("openssl"):
                self.skipTest("no openssl command to make a certificate with")
            cert, key = data + "/c.pem", data + "/k.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
            flags = ["--http", "0.0.0.0:0", "--tls-cert", cert, "--tls-key", key]
            code, _, error = run("--data", data + "/d", "--netflow", "none", *flags)
            self.assertEqual((code, "token" in error), (1, True))
            token = run("token", "add", "--role", "admin", "--name", "a", "--data", data + "/d")[1].strip()
            with Sluiced(*flags, data=data + "/d", tls=cert, token=token) as s:
                self.assertEqual(s.post(AWS, aws_lines(5)).json()["accepted"], 5)
                self.assertEqual(s.count(), 5)
                self.assertEqual(s.get("/v1/sources", token="nope").status, 401)
                self.assertEqual(s.ask("DELETE", "/v1/admin/tokens/a").status, 409)  # the last one
                plain = s.raw()
                plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
                try:
                    self.assertNotIn(b"HTTP/1.1 2", plain.recv(100))
                except OSError:
                    pass  # cut without a word, as TLS does
                plain.close()
                old = subprocess.run(["openssl", "s_client", "-connect", s.http, "-tls1_1"], input=b"", capture_output=True)
                self.assertNotIn(b"Cipher is ECDHE", old.stdout)
                self.assertEqual(s.stop(), 0)
        finally:
            shutil.rmtree(data)


def certificate(folder, name, signed_by=None):
    """A key and a certificate, signed by itself or by another of ours: (certificate, key), PEM files."""
    cert, key = f"{folder}/{name}.pem", f"{folder}/{name}.key"
    signer = ["-CA", signed_by[0], "-CAkey", signed_by[1]] if signed_by else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1", *signer], check=True, capture_output=True)
    return cert, key


class IpfixStreams(unittest.TestCase):
    def address(self, s, name):
        host, port = s.ready[name].rsplit(":", 1)
        return host, int(port)

    def test_tcp_alone_without_a_udp_socket(self):
        with Sluiced("--netflow", "none", "--sflow", "none", "--ipfix-tcp", "127.0.0.1:0") as s:
            self.assertEqual(set(s.ready), {"http", "ipfix-tcp", "data"})
            with socket.create_connection(self.address(s, "ipfix-tcp")) as c:
                for i in range(20):
                    c.sendall(ipfix(template=i == 0, sequence=i))
                self.assertEqual(s.wait_count(20, "| where dst_port == 8443"), 20)
                self.assertTrue(wait_until(lambda: s.query("show exporters | select flows").json()["rows"] == [[20]]))
                self.assertEqual(s.metric("sluice_ipfix_connections"), 1)
                self.assertEqual(s.metric("sluice_ipfix_flows_total"), 20)
                # Another connection that makes no sense ends; this one goes on.
                with socket.create_connection(self.address(s, "ipfix-tcp"), timeout=20) as bad:
                    bad.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    self.assertEqual(bad.recv(1), b"")
                c.sendall(ipfix(template=False, sequence=20))
                self.assertEqual(s.wait_count(21), 21)
                self.assertTrue(wait_until(lambda: s.query("show exporter_errors | where reason contains 'not IPFIX'").json()["rows"]))
                self.assertEqual(s.metric("sluice_ipfix_malformed_total"), 1)
                # What came right before the end is kept.
                c.sendall(ipfix(template=False, sequence=21))
                self.assertTrue(wait_until(lambda: s.metric("sluice_ipfix_flows_total") == 22))
            self.assertEqual(s.stop(), 0)
            with Sluiced("--netflow", "none", data=s.data) as again:
                self.assertEqual(again.count(), 22)

    def test_tls_with_and_without_certificates_of_exporters(self):
        if not shutil.which("openssl"):
            self.skipTest("no openssl command to make a certificate with")
        folder = tempfile.mkdtemp()
        try:
            server, ca = certificate(folder, "server"), certificate(folder, "ca")
            exporter, stranger = certificate(folder, "exporter", ca), certificate(folder, "stranger")
            flags = ["--tls-cert", server[0], "--tls-key", server[1], "--ipfix-tls", "127.0.0.1:0"]

            def send(s, who=None):
                context = ssl.create_default_context(cafile=server[0])
                if who:
                    context.load_cert_chain(*who)
                with socket.create_connection(self.address(s, "ipfix-tls"), timeout=20) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as c:
                    c.sendall(ipfix())
                    time.sleep(0.3)  # a refused certificate is told after the handshake

            with Sluiced(*flags, tls=server[0]) as s:
                send(s)
                self.assertEqual(s.wait_count(1), 1)
                # No TLS at all: closed, counted.
                with socket.create_connection(self.address(s, "ipfix-tls"), timeout=20) as c:
                    c.sendall(ipfix())
                    while c.recv(100):
                        pass
                self.assertTrue(wait_until(lambda: s.metric("sluice_ipfix_tls_failures_total") == 1))
                self.assertEqual(s.count(), 1)
            with Sluiced(*flags, "--ipfix-tls-ca", ca[0], tls=server[0]) as s:
                send(s, exporter)
                self.assertEqual(s.wait_count(1), 1)
                for who in (None, stranger):
                    try:
                        send(s, who)
                    except OSError:
                        pass  # ssl.SSLError, or reset
                self.assertTrue(wait_until(lambda: s.metric("sluice_ipfix_tls_failures_total") == 2))
                self.assertEqual(s.count(), 1)
        finally:
            shutil.rmtree(folder)

    def test_what_may_not_listen(self):
        for flags, word in ((["--ipfix-tcp", "0.0.0.0:0"], "netflow-allow"), (["--ipfix-tls", "127.0.0.1:0"], "tls-cert"),
                            (["--ipfix-tls-ca", "/x.pem"], "--ipfix-tls"), (["--ipfix-tcp", "nowhere"], "not an address")):
            code, _, error = run("--data", tempfile.gettempdir() + "/never", "--http", "127.0.0.1:0", "--netflow", "none", *flags)
            self.assertNotEqual(code, 0)
            self.assertIn(word, error)


class Exporters(unittest.TestCase):
    CONFIG = """
netflow = "127.0.0.1:0"
http = "127.0.0.1:0"
[[exporter]]
address = "127.0.0.0/8"
name = "edge-1"
interfaces = "%s"
[[exporter.sampling]]
rate = 3
from = "2020-01-01T00:00:00Z"
to = "2020-02-01T00:00:00Z"
"""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        with open(self.folder + "/interfaces.csv", "w") as f:
            f.write("index,name,description\n1,Te0/0/1,to the core\n")
        with open(self.folder + "/sluice.toml", "w") as f:
            f.write(self.CONFIG % (self.folder + "/interfaces.csv"))
        self.flags = ["--config", self.folder + "/sluice.toml"]

    def tearDown(self):
        shutil.rmtree(self.folder)

    def sampling(self, s, **members):
        return s.post("/v1/admin/sampling", json.dumps(members), headers={"Content-Type": "application/json"})

    def test_a_rate_that_is_none_is_refused(self):
        with Sluiced(*self.flags, data=self.folder + "/data") as s:
            for rate in (0, -1, 1.5, "x", 2**32):
                answer = self.sampling(s, exporter="127.0.0.1", rate=rate)
                self.assertEqual(answer.status, 400)
                self.assertIn("'rate' is a whole number from 1", answer.error["message"])

    def test_a_wrong_rate_is_put_right_for_stored_flows(self):
        total = "from flows | stats b = sum(bytes), r = sum(raw_bytes)"
        with Sluiced(*self.flags, data=self.folder + "/data") as s:
            s.send_packet(netflow5(flows=10))  # 5 packets, 500..509 bytes each, sampling 1
            self.assertEqual(s.wait_count(10), 10)
            raw = s.query(total).rows()[0][1]
            self.assertEqual(s.query(total).rows()[0][0], raw)
            self.assertEqual(s.post("/v1/admin/flush").status, 200)
            # Only where nothing is known; then over what is stored.
            added = self.sampling(s, exporter="127.0.0.1", rate=100, comment="nothing to fill")
            self.assertEqual(added.status, 201)
            self.assertEqual(s.query(total).rows()[0], [raw, raw])
            forced = self.sampling(s, exporter="127.0.0.0/8", rate=1000, force=True, **{"from": "2025-01-01T00:00:00Z"})
            self.assertEqual(s.query(total).rows()[0], [raw * 1000, raw])
            self.assertEqual(s.query("from flows | stats sum(packets)").rows(), [[50 * 1000]])
            shown = s.query("show sampling | select id, exporter, rate, force, comment").json()["rows"]
            self.assertEqual(shown, [[None, "127.0.0.0/8", 3, False, "configuration"], [1, "127.0.0.1/32", 100, False, "nothing to fill"],
                                     [2, "127.0.0.0/8", 1000, True, ""]])
            self.assertEqual(s.stop(), 0)
        with Sluiced(*self.flags, data=self.folder + "/data") as s:
            self.assertEqual(s.query(total).rows()[0], [raw * 1000, raw])
            self.assertEqual(len(s.get("/v1/admin/sampling").json()["rules"]), 3)
            self.assertEqual(s.ask("DELETE", f"/v1/admin/sampling/{forced.json()['id']}").status, 200)
            self.assertEqual(s.query(total).rows()[0], [raw, raw])
            self.assertEqual(s.ask("DELETE", f"/v1/admin/sampling/{forced.json()['id']}").status, 404)
            self.assertEqual(s.ask("DELETE", "/v1/admin/sampling/x").status, 404)
            for members in ({}, {"exporter": "x", "rate": 1}, {"exporter": "10.0.0.1"}, {"exporter": "10.0.0.1", "rate": 0}, {"exporter": "10.0.0.1", "rate": -1},
                            {"exporter": "10.0.0.1", "rate": 1.5}, {"exporter": "10.0.0.1", "rate": 1, "frm": "x"}, {"exporter": "10.0.0.1", "rate": 5_000_000_000},
                            {"exporter": "10.0.0.1", "rate": 1, "from": "2026-01-02", "to": "2026-01-01"}, {"exporter": "10.0.0.1", "rate": 1, "from": "x"}):
                self.assertEqual(self.sampling(s, **members).status, 400, members)

    def test_names_of_exporters_and_interfaces(self):
        with Sluiced(*self.flags) as s:
            s.send_packet(netflow5(flows=2))  # in by interface 1, out by 2
            # NetFlow v9 options: the name of interface 2, in the scope of an interface.
            options = struct.pack(">HHHHHHHH", 257, 4, 4, 2, 4, 82, 8, 0)[:-2]
            data = struct.pack(">I8s", 2, b"eth2")
            s.send_packet(struct.pack(">HHIIII", 9, 2, 100_000, int(time.time()), 1, 0) + struct.pack(">HH", 1, 4 + len(options) + 2) + options + b"\0\0" +
                          struct.pack(">HH", 257, 4 + len(data)) + data)
            self.assertEqual(s.wait_count(2), 2)
            names = "show interfaces | select exporter_name, interface, name, told_by"
            self.assertTrue(wait_until(lambda: len(s.query(names).json()["rows"]) == 2), s.query(names).body)
            self.assertEqual(sorted(s.query(names).json()["rows"]), [["edge-1", 1, "Te0/0/1", "file"], ["edge-1", 2, "eth2", "options"]])
            exporters = "show exporters | select name, transport"
            self.assertTrue(wait_until(lambda: s.query(exporters).json()["rows"] == [["edge-1", "datagrams"]]), s.query(exporters).body)
            by_name = "from flows | stats n = count() by i = if_name(exporter_ip, input_if), o = if_name(exporter_ip, output_if), e = exporter_name(exporter_ip)"
            self.assertTrue(wait_until(lambda: s.query(by_name).rows() == [["Te0/0/1", "eth2", "edge-1", 2]]), s.query(by_name).body)
            self.assertTrue(wait_until(lambda: len(s.get("/v1/exporters").json()["interfaces"]) == 2))


class Libraries(unittest.TestCase):
    def test_arrow_is_apart(self):
        """Arrow's libraries show symbols of simdjson and of a libcrypto: in a server that has not read Parquet they must not be there at all."""
        with Sluiced() as s:
            self.assertEqual(s.count(), 0)
            with open(f"/proc/{s.process.pid}/maps") as f:
                loaded = f.read()
        self.assertIn("libsimdjson", loaded)
        self.assertNotIn("libparquet", loaded)
        self.assertNotIn("libarrow", loaded)


class Packets(unittest.TestCase):
    def test_netflow5_v9_and_ipfix_are_seen_soon(self):
        with Sluiced() as s:
            s.send_packet(netflow5(flows=30))
            self.assertEqual(s.wait_count(30, "| where dst_port == 53"), 30)
            s.send_packet(netflow9())
            self.assertEqual(s.wait_count(1, "| where dst_port == 5353"), 1)
            s.send_packet(ipfix())
            self.assertEqual(s.wait_count(1, "| where dst_port == 8443"), 1)
            s.send_packet(b"\x00\x63junk")
            self.assertEqual(s.query("from flows | where source == ipfix | select src_ip, dst_ip, bytes").rows()[0][0], "203.0.113.6")
            exporters = lambda: s.get("/v1/exporters").json()["exporters"]
            self.assertTrue(wait_until(lambda: sum(e["flows"] for e in exporters()) == 32), exporters())
            self.assertEqual({e["exporter_ip"] for e in exporters()}, {"127.0.0.1"})
            self.assertEqual(s.metric("sluice_netflow_appended_flows_total"), 32)

    def test_a_domain_of_two_formats_is_listed_once(self):
        with Sluiced() as s:
            s.send_packet(netflow9(source=9))
            s.send_packet(ipfix(domain=9))
            self.assertEqual(s.wait_count(2), 2)
            listed = lambda: [e["domains"] for e in s.get("/v1/exporters").json()["exporters"]]
            self.assertTrue(wait_until(lambda: listed() == [["9"]]), listed())

    def test_templates_survive_a_restart(self):
        data = tempfile.mkdtemp()
        try:
            with Sluiced(data=data) as s:
                s.send_packet(netflow9(data=False))
                s.send_packet(ipfix(data=False))
                time.sleep(3)  # templates are written within a second
                s.process.kill()
                s.process.wait()
            with Sluiced(data=data) as s:
                s.send_packet(netflow9(template=False, sequence=2))
                s.send_packet(ipfix(template=False))
                self.assertEqual(s.wait_count(2), 2)
        finally:
            shutil.rmtree(data)

    def test_exporters_are_known_after_a_restart(self):
        data = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, data, True)
        shown = "show exporters | select exporter_ip, flows, lost"
        with Sluiced(data=data) as s:
            s.send_packet(netflow5(sequence=0, flows=2))
            s.send_packet(netflow5(sequence=12, flows=2))
            self.assertTrue(wait_until(lambda: s.query(shown).json()["rows"] == [["127.0.0.1", 4, 10]]), s.query(shown).body)
            last_seen = s.get("/v1/exporters").json()["exporters"][0]["last_seen"]
            self.assertEqual(s.stop(), 0)
        with Sluiced(data=data) as s:
            self.assertEqual(s.query(shown).json()["rows"], [["127.0.0.1", 4, 10]], "it is silent, and seen to be")
            self.assertEqual(s.get("/v1/exporters").json()["exporters"][0]["last_seen"], last_seen)
            s.send_packet(netflow5(sequence=14, flows=3))
            self.assertTrue(wait_until(lambda: s.query(shown).json()["rows"] == [["127.0.0.1", 7, 10]]), s.query(shown).body)

    def test_exporters_of_a_capture_are_listed_with_their_origin(self):
        with Sluiced() as s:
            path = tempfile.mkdtemp(prefix="sluice-capture-")
            try:
                capture.wrap_datagrams(path + "/c.pcap", [("192.0.2.77", 4000, netflow5(flows=3)), ("192.0.2.78", 4000, netflow5(flows=2))])
                with open(path + "/c.pcap", "rb") as f:
                    body = f.read()
            finally:
                shutil.rmtree(path)
            for _ in range(2):  # the same object counts once
                self.assertEqual(s.post("/v1/ingest/netflow", body, headers={"X-Sluice-Object": "c"}).status, 200)
            s.send_packet(netflow5(flows=1))
            listed = lambda: {(e["exporter_ip"], e["origin"]): e["flows"] for e in s.get("/v1/exporters").json()["exporters"]}
            expected = {("192.0.2.77", "upload"): 3, ("192.0.2.78", "upload"): 2, ("127.0.0.1", None): 1}
            self.assertTrue(wait_until(lambda: listed() == expected), listed())
            self.assertEqual(s.metric("sluice_exporter_flows_total"), 1)  # nobody is to be woken for what a capture lacks
            s.stop()
            with Sluiced(data=s.data) as again:
                listed = lambda: {(e["exporter_ip"], e["origin"]): e["flows"] for e in again.get("/v1/exporters").json()["exporters"]}
                self.assertEqual(listed(), expected)

    def test_running_totals_go_on_after_a_restart(self):
        template = struct.pack(">HHHHHHHHHH", 2, 20, 301, 3, 8, 4, 85, 8, 86, 8)
        record = lambda octets, packets: struct.pack(">HH", 301, 24) + sluiced.ip("10.1.1.1") + struct.pack(">QQ", octets, packets)
        message = lambda sets, sequence: struct.pack(">HHIII", 10, 16 + len(sets), int(time.time()), sequence, 5) + sets
        with Sluiced() as s:
            s.send_packet(message(template + record(1_000, 10), 0))
            self.assertEqual(s.wait_count(1), 1)
            s.stop()
            with Sluiced(data=s.data) as again:
                again.send_packet(message(record(1_600, 13), 1))
                self.assertEqual(again.wait_count(2), 2)
                self.assertEqual(again.query("from flows | stats b = sum(raw_bytes), p = sum(raw_packets)").rows(), [[1_600, 13]])

    def test_data_before_its_template_waits(self):
        with Sluiced() as s:
            s.send_packet(ipfix(template=False))
            time.sleep(0.3)
            self.assertEqual(s.count(), 0)
            s.send_packet(ipfix(data=False, sequence=1))
            self.assertEqual(s.wait_count(1), 1)

    def test_lost_sequence_numbers_are_told(self):
        with Sluiced() as s:
            s.send_packet(netflow5(sequence=0, flows=2))
            time.sleep(0.2)
            s.send_packet(netflow5(sequence=12, flows=2))
            self.assertEqual(s.wait_count(4), 4)
            warned = lambda: any("10 flows" in w for w in s.query("from flows | stats n = count()").json()["warnings"])
            self.assertTrue(wait_until(warned), s.get("/v1/exporters").body)
            lost = lambda: s.get("/v1/exporters").json()["exporters"][0]["lost"]
            self.assertTrue(wait_until(lambda: lost() == 10), lost())

    def test_only_allowed_exporters(self):
        with Sluiced("--netflow-allow", "10.0.0.0/8") as s:
            s.send_packet(netflow5(flows=5))
            self.assertTrue(wait_until(lambda: s.metric("sluice_netflow_refused_senders_total") == 1))
            self.assertEqual(s.count(), 0)


    def test_sflow_over_udp_and_http(self):
        with Sluiced() as s:
            s.send_packet(sflow5(samples=5, discards=2), to=s.sflow)
            self.assertEqual(s.wait_count(7), 7)
            row = s.query("from flows | stats b = sum(bytes), p = sum(packets), d = sum(dropped_packets)").rows()[0]
            self.assertEqual(row, [5 * 1_018 * 100, 500, 2])
            self.assertEqual(s.count("| where action == 'drop' and reject_reason == 'acl'"), 2)
            answer = s.post("/v1/ingest/sflow", sflow5(sequence=9, samples=3)).json()
            self.assertEqual((answer["accepted"], answer["ignored"], answer["rejected"]), (3, 1, 0))
            self.assertEqual(s.count("| where exporter_ip == 10.9.8.7 and dst_port == 443"), 10)
            self.assertTrue(wait_until(lambda: s.metric("sluice_sflow_flows_total") == 7))
            self.assertEqual(s.metric("sluice_sflow_counter_samples_total"), 1)
            self.assertEqual(s.metric("sluice_netflow_flows_total"), 0)
            booked = lambda: [(e["exporter_ip"], e["sender_ip"], e["discards"]) for e in s.get("/v1/exporters").json()["exporters"] if not e["origin"]]
            self.assertTrue(wait_until(lambda: booked() == [("10.9.8.7", "127.0.0.1", 2)]), booked())

    def test_interfaces_that_counters_tell_of(self):
        with Sluiced() as s:
            s.send_packet(sflow5(), to=s.sflow)
            shown = "show interfaces | select exporter, interface, name, told_by, speed, admin_up, oper_up"
            self.assertTrue(wait_until(lambda: s.query(shown).json()["rows"] == [["10.9.8.7", 7, "", "counters", 10**9, True, True]]), s.query(shown).body)
            self.assertEqual(s.query("from flows | stats n = count() by i = if_name(exporter_ip, input_if)").rows()[0][0], None, "it has no name")

    def test_either_socket_takes_either_kind(self):
        with Sluiced() as s:
            s.send_packet(sflow5(samples=2), to=s.netflow)
            s.send_packet(netflow5(flows=3), to=s.sflow)
            self.assertEqual(s.wait_count(5), 5)
            self.assertEqual((s.count("| where source == 'sflow5'"), s.count("| where source == 'netflow5'")), (2, 3))
            s.send_packet(b"what is this", to=s.sflow)
            self.assertTrue(wait_until(lambda: any("sFlow" in e["reason"] for e in s.get("/v1/exporters").json()["errors"])))

    def test_sflow_losses_are_told(self):
        with Sluiced() as s:
            s.send_packet(sflow5(sequence=1, drops=1_000), to=s.sflow)
            time.sleep(0.2)
            s.send_packet(sflow5(sequence=5, first_sample=2, drops=1_007), to=s.sflow)
            self.assertEqual(s.wait_count(2), 2)
            warnings = lambda: " ".join(s.query("from flows | stats n = count()").json()["warnings"])
            self.assertTrue(wait_until(lambda: "3 packets" in warnings() and "7 samples" in warnings()), warnings())

    def test_only_sflow(self):
        with Sluiced("--netflow", "none", "--netflow-allow", "10.0.0.0/8") as s:
            self.assertEqual(set(s.ready), {"http", "sflow", "data"})
            s.send_packet(sflow5(agent="10.1.1.1"), to=s.sflow)  # the agent would be allowed, its sender is not
            self.assertTrue(wait_until(lambda: s.metric("sluice_netflow_refused_senders_total") == 1))
            self.assertEqual(s.count(), 0)


class SameTraffic(unittest.TestCase):
    """Flows that several reporters tell of: marked where the configuration says that they look at the same traffic."""

    CONFIG = """
http = "127.0.0.1:0"
netflow = "127.0.0.1:0"
sflow = "none"

[[same-traffic]]
name = "path"
exporters = ["127.0.0.0/24"]

[[same-traffic]]
name = "vpc"
sources = ["aws_vpc"]
"""
    SHOWN = "from flows | stats n = count() by exporter_ip, marked = duplicate == true | sort exporter_ip, marked"

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sluice-same-")
        with open(self.folder + "/sluice.toml", "w") as f:
            f.write(self.CONFIG)

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def server(self, *flags):
        return Sluiced("--config", self.folder + "/sluice.toml", *flags, data=self.folder + "/data")

    def send(self, s, exporter, seconds, sequence=0):
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.bind((exporter, 0))
        out.sendto(netflow5(flows=10, seconds=seconds, sequence=sequence), s.netflow)
        out.close()

    def test_two_exporters_on_one_path(self):
        now = int(time.time()) - 60
        with self.server() as s:
            self.send(s, "127.0.0.1", now)
            self.assertEqual(s.wait_count(10), 10)
            self.send(s, "127.0.0.2", now + 1)
            self.send(s, "127.0.1.1", now + 1)  # of no group
            self.assertEqual(s.wait_count(30), 30)
            self.assertEqual(s.query(self.SHOWN).rows(), [["127.0.0.1", False, 10], ["127.0.0.2", True, 10], ["127.0.1.1", False, 10]])
            self.assertEqual(s.count("| where not duplicate"), 20)
            self.assertEqual(s.metric("sluice_same_traffic_marked_total"), 10)
            self.assertEqual(s.metric("sluice_same_traffic_compared_total"), 20)
            s.process.kill()  # the rows are in the journal
            s.process.wait()
        for kind in ("open", "sealed"):
            # Who counts is known again: the other's rows of the same flows are still the duplicates.
            with self.server() as s:
                before = s.count()
                self.send(s, "127.0.0.2", now + 2, 10)
                self.assertEqual(s.wait_count(before + 10), before + 10)
                self.send(s, "127.0.0.1", now + 3, 10)
                self.assertEqual(s.wait_count(before + 20), before + 20)
                rows = s.query(self.SHOWN).rows()
                self.assertEqual([r[:2] for r in rows], [["127.0.0.1", False], ["127.0.0.2", True], ["127.0.1.1", False]], kind)
                self.assertEqual(s.stop(), 0)

    def test_both_ends_in_a_cloud(self):
        with self.server() as s:
            fields = "${version} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status} ${flow-direction}"
            def record(eni, direction, action="ACCEPT"):
                return f"5 {eni} 10.0.0.1 10.0.1.1 40000 443 6 5 500 1763625600 1763625660 {action} OK {direction}\n"
            body = record("eni-a", "egress") + record("eni-b", "ingress") + record("eni-b", "ingress", "REJECT")
            for object in ("1", "1", "2"):  # sent again it is the same object; under another name the same reporters repeat themselves
                self.assertEqual(s.post("/v1/ingest/aws_vpc", body, headers={"X-Sluice-Object": object, "X-Sluice-Format": fields}).status, 200)
            self.assertEqual(s.query("from flows | stats n = count() by src_interface_id, dst_interface_id, action, marked = duplicate == true | sort action, marked").rows(),
                             [["eni-a", None, "accept", False, 2], [None, "eni-b", "accept", True, 2], [None, "eni-b", "reject", False, 2]])


class Lives(unittest.TestCase):
    def setUp(self):
        self.data = tempfile.mkdtemp(prefix="sluice-app-")

    def tearDown(self):
        shutil.rmtree(self.data, ignore_errors=True)

    def test_sigterm_seals_and_everything_is_there_again(self):
        with Sluiced(data=self.data) as s:
            s.post(AWS, aws_lines(500), headers={"X-Sluice-Object": "o"})
            s.send_packet(netflow5(flows=3))
            idle = s.raw()
            self.assertEqual(s.wait_count(503), 503)
            self.assertEqual(s.stop(), 0)
            idle.close()
        with Sluiced(data=self.data) as s:
            self.assertEqual(s.count(), 503)
            self.assertEqual(s.metric("sluice_replayed_flows"), 0)
            self.assertTrue(s.post(AWS, aws_lines(500), headers={"X-Sluice-Object": "o"}).json()["duplicate"])

    def test_counters_of_sources_go_on_after_a_restart(self):
        row = lambda s: {x["name"]: x for x in s.get("/v1/sources").json()["sources"]}["aws_vpc"]
        with Sluiced(data=self.data) as s:
            s.post(AWS, aws_lines(5) + b"2 broken\n")
            first = row(s)
            self.assertEqual(s.stop(), 0)
        with Sluiced(data=self.data) as s:
            self.assertEqual(row(s), first)
            s.post(AWS, aws_lines(7))
            again = row(s)
            self.assertEqual((again["bodies"], again["accepted"], again["rejected"], again["since"]), (2, 12, 1, first["since"]))
            shown = s.query("show sources | where name == 'aws_vpc' | select accepted, since").rows()
            self.assertEqual(shown, [[12, first["since"]]])

    def test_sigterm_finishes_a_request_that_is_being_read(self):
        with Sluiced(data=self.data) as s:
            s.post(AWS, aws_lines(60_000))
            c = s.slow_query("from flows", "last")
            self.assertTrue(wait_until(lambda: s.running()))
            s.process.send_signal(signal.SIGTERM)
            got = b""
            while piece := c.recv(1 << 20):
                got = (got + piece)[-2000:]
            self.assertTrue(got.endswith(b"\r\n\r\n"), got[-100:])
            self.assertNotIn(b'"error"', got)
            self.assertEqual(s.process.wait(20), 0)

    def test_a_second_signal_leaves_at_once(self):
        with Sluiced(data=self.data) as s:
            for _ in range(3):
                s.post(AWS, aws_lines(60_000))
            c = s.slow_query("from flows", "never")
            self.assertTrue(wait_until(lambda: s.running()))
            s.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            started = time.time()
            self.assertEqual(s.stop(), 1)
            self.assertLess(time.time() - started, 2)
            c.close()

    def test_kill_under_ingest_loses_nothing_acknowledged(self):
        acknowledged, sent = 0, 0
        for round in range(3):
            with Sluiced("--seal-age", "1s", data=self.data) as s:
                self.assertIn(s.count(), range(acknowledged, sent + 1))
                acknowledged = sent = s.count()
                state = {"ok": 0, "sent": 0}

                def push():
                    try:
                        while True:
                            state["sent"] += 1
                            if s.post(AWS, aws_lines(500, first=state["sent"])).status == 200:
                                state["ok"] += 1
                    except Exception:
                        pass
                t = threading.Thread(target=push)
                t.start()
                time.sleep(1.5)
                s.process.kill()
                s.process.wait()
                t.join()
                acknowledged += 500 * state["ok"]
                sent += 500 * state["sent"]
                self.assertGreater(state["ok"], 0)
        with Sluiced(data=self.data) as s:
            self.assertEqual(s.count() % 500, 0, "a body is there whole or not at all")
            self.assertIn(s.count(), range(acknowledged, sent + 1))

    def test_a_damaged_segment_leaves_the_rest(self):
        with Sluiced(data=self.data) as s:
            s.post(AWS, aws_lines(20_000, start=1763625600))
            s.post(AWS, aws_lines(30_000, start=1763625600 + 7200, source="10.9"))
            s.post("/v1/admin/flush")
            segments = s.get("/v1/segments").json()["segments"]
            self.assertEqual(sum(x["rows"] for x in segments), 50_000)
            s.stop()
        files = sorted((os.path.getsize(p), p) for p in (os.path.join(d, f) for d, _, fs in os.walk(self.data) for f in fs) if "catalog" not in p and p.endswith(".slc"))
        self.assertGreaterEqual(len(files), 2, files)
        with open(files[0][1], "r+b") as f:
            f.seek(files[0][0] // 3)
            f.write(bytes(b ^ 0xFF for b in os.urandom(64)) * 8)
        with Sluiced(data=self.data) as s:
            answer = s.query("from flows | stats n = count(), b = sum(bytes), p = dcount(src_port), i = dcount(src_ip), s = min(flow_start)").json()
            verify = s.post("/v1/admin/verify").json()
            self.assertEqual(len(verify["damaged"]), 1, verify)
            self.assertIn(files[0][1].split("/")[-1], verify["damaged"][0]["path"] + verify["damaged"][0]["reason"])
            answer = s.query("from flows | stats n = count()").json()
            self.assertEqual(answer["rows"][0][0], 50_000 - verify["damaged"][0]["rows"])
            self.assertTrue(answer["warnings"])
            cut = s.query("from flows | select src_ip", limit=1).json()
            self.assertEqual([w for w in cut["warnings"] if "is damaged" in w], [w for w in answer["warnings"] if "is damaged" in w])
            self.assertEqual(cut["range"], answer["range"])
            self.assertEqual(s.metric("sluice_damaged_segments"), 1)
            listed = s.get("/v1/segments").json()["segments"]
            self.assertEqual(sorted(x["damaged"] for x in listed), [False] * (len(listed) - 1) + [True])
            self.assertEqual([x["reason"] is not None for x in listed], [x["damaged"] for x in listed])

    def test_segments_are_told_alike_by_route_and_query(self):
        with Sluiced(data=self.data) as s:
            s.post(AWS, aws_lines(10))
            s.post("/v1/admin/flush")
            listed = s.get("/v1/segments").json()["segments"]
            shown = s.query("show segments").json()
            self.assertEqual([dict(zip([c["name"] for c in shown["columns"]], row)) for row in shown["rows"]], listed)
            self.assertEqual(listed[0]["partition_start"], "2025-11-20T08:00:00Z")
            self.assertEqual([round(x["bytes_per_flow"] * 10) for x in listed], [x["bytes"] for x in listed])
            columns = s.query("show storage").json()
            self.assertEqual([dict(zip([c["name"] for c in columns["columns"]], row)) for row in columns["rows"]], s.get("/v1/storage").json()["columns"])

    def test_a_segment_cut_short_while_it_is_open_leaves_the_rest(self):
        for cut in (8192, 9001):
            with Sluiced() as s:
                s.post(AWS, aws_lines(20_000, start=1763625600))
                s.post(AWS, aws_lines(30_000, start=1763625600 + 7200, source="10.9"))
                s.post("/v1/admin/flush")
                segments = s.get("/v1/segments").json()["segments"]
                victim = min(segments, key=lambda x: x["rows"])
                self.assertEqual(s.query("from flows | stats n = count(), i = count_distinct(src_ip)").rows(), [[50_000, 50_000]])
                path = next(os.path.join(d, f) for d, _, fs in os.walk(s.data) for f in fs if f.endswith(f"seg-{victim['id']}.slc"))
                os.truncate(path, cut)
                # The first query that meets it runs again without it, since nothing was sent yet.
                for _ in range(2):
                    answer = s.query("from flows | stats n = count(), i = count_distinct(src_ip), b = sum(bytes) by dst_port | stats n = sum(n)").json()
                    self.assertEqual(answer["rows"], [[50_000 - victim["rows"]]], answer)
                    self.assertTrue([w for w in answer["warnings"] if f"segment {victim['id']} " in w], answer["warnings"])
                self.assertEqual(s.query("from flows | select src_ip | sort src_ip | limit 3").status, 200)
                self.assertEqual(s.metric("sluice_damaged_segments"), 1)
                self.assertIn(path.split("/")[-1], s.stderr())
                self.assertEqual(s.post(AWS, aws_lines(5)).status, 200)
                self.assertEqual(s.stop(), 0)


class Backups(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sluice-backup-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def test_a_server_on_the_backup_answers_as_the_other_did(self):
        data, backups = self.folder + "/data", self.folder + "/backups"
        os.mkdir(backups)
        question = "from flows | stats n = count(), b = sum(bytes), e = count_distinct(src_ip) by dst_port"
        with Sluiced("--backup-dir", backups, data=data) as s:
            for part in range(3):
                s.post("/v1/ingest/aws_vpc", aws_lines(500), headers={"X-Sluice-Object": f"part-{part}"})
                if part < 2:
                    s.post("/v1/admin/flush")
            s.post("/v1/admin/compact")
            s.query("create list watched (192.0.2.0/24)").rows()
            s.query("create rule telnet as dst_port == 23 and dst_ip in @watched alert by src_ip").rows()
            token = s.post("/v1/admin/tokens", '{"name":"ops","role":"admin"}').json()["token"]
            s.token = token
            answers = [s.query(q).rows() for q in (question, "show lists", "show rules | select name, text", "from flows | stats n = count()")]
            # While flows come in: the backup is one moment of them.
            stop, sent = threading.Event(), []

            def push():
                while not stop.is_set():
                    s.post("/v1/ingest/aws_vpc", aws_lines(50, source="10.99"), headers={"X-Sluice-Object": f"more-{len(sent)}"})
                    sent.append(50)

            made = s.post("/v1/admin/backup", '{"name":"quiet"}')
            self.assertEqual(made.status, 201, made.body)
            self.assertEqual(made.json()["path"], backups + "/quiet")
            self.assertGreaterEqual(made.json()["segments"], 1)
            thread = threading.Thread(target=push)
            thread.start()
            try:
                for number in range(3):
                    before = len(sent)
                    self.assertEqual(s.post("/v1/admin/backup", json.dumps({"name": f"busy-{number}"})).status, 201)
                    acknowledged = 1500 + 50 * before
            finally:
                stop.set()
                thread.join()
            self.assertEqual(s.post("/v1/admin/backup", '{"name":"quiet"}').status, 409)
            for wrong in ("{}", '{"name":"../x"}', '{"name":".x"}', '{"name":""}', '{"name":7}', "quiet", json.dumps({"name": "x" * 65})):
                self.assertEqual(s.post("/v1/admin/backup", wrong).status, 400, wrong)
            self.assertEqual(s.post("/v1/admin/verify").json()["damaged"], [])
            s.post("/v1/ingest/aws_vpc", aws_lines(100), headers={"X-Sluice-Object": "later"})
        self.assertEqual(sorted(os.listdir(backups)), ["busy-0", "busy-1", "busy-2", "quiet"])
        self.assertEqual(os.stat(backups + "/quiet").st_mode & 0o077, 0)
        shutil.copytree(backups + "/quiet", self.folder + "/restored")
        with Sluiced(data=self.folder + "/restored") as s:
            self.assertEqual(s.query(question).status, 401)
            s.token = token
            self.assertEqual([s.query(q).rows() for q in (question, "show lists", "show rules | select name, text", "from flows | stats n = count()")], answers)
            self.assertEqual(s.post("/v1/admin/verify").json()["damaged"], [])
            # It goes on from there: an object that it knows is a duplicate, one that came later is new.
            self.assertTrue(s.post("/v1/ingest/aws_vpc", aws_lines(500), headers={"X-Sluice-Object": "part-0"}).json()["duplicate"])
            self.assertEqual(s.post("/v1/ingest/aws_vpc", aws_lines(100), headers={"X-Sluice-Object": "later"}).json()["accepted"], 100)
            s.post("/v1/admin/flush")
        with Sluiced(data=backups + "/busy-2") as s:
            s.token = token
            count = s.query("from flows | stats n = count()").rows()[0][0]
            self.assertGreaterEqual(count, acknowledged)
            self.assertEqual(count % 50, 0)
        # What was done to a copy, or to a backup, is not done to the data.
        with Sluiced(data=data) as s:
            s.token = token
            self.assertEqual(s.query("from flows | stats n = count()").rows(), [[1600 + sum(sent)]])
            self.assertEqual(s.post("/v1/admin/verify").json()["damaged"], [])

    def test_without_a_folder_for_them_there_are_none(self):
        with Sluiced() as s:
            refused = s.post("/v1/admin/backup", '{"name":"x"}')
            self.assertEqual(refused.status, 409)
            self.assertIn("--backup-dir", refused.error["hint"])
        with Sluiced("--backup-dir", self.folder + "/nowhere") as s:
            refused = s.post("/v1/admin/backup", '{"name":"x"}')
            self.assertEqual(refused.status, 500)
            self.assertIn("nowhere/x.partial", refused.error["message"])
            self.assertIn("folder for backups is not there", s.stderr())


class Starts(unittest.TestCase):
    def setUp(self):
        self.data = tempfile.mkdtemp(prefix="sluice-app-")

    def tearDown(self):
        shutil.rmtree(self.data, ignore_errors=True)

    def fails(self, code, needle, *flags):
        got, out, error = run(*flags)
        self.assertEqual(got, code, error)
        self.assertIn(needle, error)
        self.assertEqual(out, "")
        if code == 1:
            self.assertEqual(len([l for l in error.splitlines() if l.startswith("sluiced: ")]), 1, error)

    def test_what_stops_a_start_is_said_in_one_line(self):
        free = ["--http", "127.0.0.1:0", "--netflow", "127.0.0.1:0", "--sflow", "127.0.0.1:0"]
        with Sluiced(data=self.data + "/a") as s:
            self.fails(1, "in use", "--data", self.data + "/b", "--http", s.http, "--netflow", "none", "--sflow", "none")
            self.fails(1, "in use", "--data", self.data + "/b", "--http", "127.0.0.1:0", "--sflow", "none", "--netflow", "%s:%d" % s.netflow)
            self.fails(1, "in use", "--data", self.data + "/b", "--http", "127.0.0.1:0", "--netflow", "none", "--sflow", "%s:%d" % s.sflow)
            self.fails(1, "in use", "--data", self.data + "/a", *free)
        with open(self.data + "/file", "w") as f:
            f.write("x")
        self.fails(1, self.data + "/file", "--data", self.data + "/file/d", *free)
        self.fails(1, "certificate", "--data", self.data + "/b", "--tls-cert", "/no.pem", "--tls-key", "/no.key", *free)
        self.fails(1, "go together", "--data", self.data + "/b", "--tls-cert", "/no.pem", *free)
        self.fails(1, "/no.mmdb", "--data", self.data + "/b", "--geo-country", "/no.mmdb", *free)
        if shutil.which("openssl"):  # on a terminal, OpenSSL would ask for its password
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:secret", "-keyout", self.data + "/k.pem", "-out", self.data + "/c.pem",
                            "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
            self.fails(1, "k.pem has a password", "--data", self.data + "/b", "--tls-cert", self.data + "/c.pem", "--tls-key", self.data + "/k.pem", *free)
        self.fails(1, "it is a folder", "--config", self.data)
        self.fails(2, "--htttp", "--htttp", "x")
        self.fails(2, "retain-age", "--retain-age", "soon")
        with open(self.data + "/bad.toml", "w") as f:
            f.write("data = 'x'\nhtttp = 'y'\n")
        self.fails(1, "bad.toml:2", "--config", self.data + "/bad.toml")
        self.assertEqual(run("--version")[0], 0)

    def test_a_data_directory_of_another_version_is_refused_and_left_alone(self):
        flags = ["--data", self.data + "/d", "--http", "127.0.0.1:0", "--netflow", "none", "--sflow", "none"]
        with Sluiced(data=self.data + "/d") as s:
            self.assertEqual(s.post(AWS, aws_lines(10)).json()["accepted"], 10)
            s.process.kill()
            s.process.wait()
        sluiced.rewrite_format(self.data + "/d", b"9")
        for _ in range(2):
            self.fails(1, "written by Sluice format 9, this program knows 1: " + self.data + "/d", *flags)
        self.assertEqual(run("token", "list", "--data", self.data + "/d")[0], 1)
        sluiced.rewrite_format(self.data + "/d", b"1")
        with Sluiced(data=self.data + "/d") as s:
            self.assertEqual(s.count(), 10)

    def test_a_catalogue_that_is_gone_or_damaged_is_said_and_nothing_is_deleted(self):
        flags = ["--data", self.data + "/d", "--http", "127.0.0.1:0", "--netflow", "none", "--sflow", "none"]
        with Sluiced(data=self.data + "/d") as s:
            for hour in range(24):
                s.post(AWS, aws_lines(10, start=1763600400 + 3600 * hour))
            s.post("/v1/admin/flush")
            self.assertGreater(len(s.get("/v1/segments").json()["segments"]), 20)
            self.assertEqual(s.stop(), 0)
        segments = lambda: sorted(f for _, _, fs in os.walk(self.data + "/d/segments") for f in fs)
        before = segments()
        catalog = self.data + "/d/catalog"
        # One file, the whole folder: tried again and again, as a supervisor would.
        with open(catalog + "/CURRENT") as f:
            current = f.read()
        os.unlink(catalog + "/CURRENT")
        for _ in range(3):
            self.fails(1, "echo " + current.strip() + " > " + catalog + "/CURRENT", *flags)
            self.assertEqual(segments(), before)
        os.rename(catalog, self.data + "/away")
        for _ in range(3):
            self.fails(1, "there is no catalogue beside it that names them", *flags)
            self.assertEqual(segments(), before)
        os.rename(self.data + "/away", catalog)
        with open(catalog + "/CURRENT", "w") as f:
            f.write(current)
        with Sluiced(data=self.data + "/d") as s:
            self.assertEqual(s.count(), 240)
            self.assertEqual(segments(), before)

    def test_a_full_disk_is_said_at_the_start(self):
        with sluiced.SmallDisk("24m") as disk:
            if not disk.usable:
                self.skipTest("may not mount a small file system here; a start on a full disk is not tested")
            flags = ["--data", disk.path + "/d", "--http", "127.0.0.1:0", "--netflow", "none"]
            disk.fill()
            self.fails(1, "the disk is full", *flags)
            disk.free()
            with Sluiced(*flags[2:], data=disk.path + "/d") as s:
                self.assertEqual(s.post(AWS, aws_lines(10)).json()["accepted"], 10)
                s.process.kill()
                s.process.wait()
            for leave in (0, 100_000, 4_000_000):
                disk.fill(leave)
                self.fails(1, "the disk is full", *flags)
                disk.free()
            with Sluiced(*flags[2:], data=disk.path + "/d") as s:
                self.assertEqual(s.count(), 10)
                self.assertEqual(s.stop(), 0)

    def test_a_disk_that_fills_is_told_and_recovers(self):
        with sluiced.SmallDisk("64m") as disk:
            if not disk.usable:
                self.skipTest("may not mount a small file system here; a disk that fills is not tested")
            with Sluiced(data=disk.path + "/d") as s:
                self.assertEqual(s.post(AWS, aws_lines(10)).status, 200)
                self.assertEqual(s.get("/readyz").status, 200)
                disk.fill()
                self.assertTrue(wait_until(lambda: s.get("/readyz").status == 503))
                self.assertIn(b"the disk is full", s.get("/readyz").body)
                self.assertEqual(s.get("/healthz").status, 200)
                for i in range(50):
                    refused = s.post(AWS, aws_lines(10, first=10))
                    self.assertEqual((refused.status, refused.error["code"]), (503, "full"))
                    self.assertIn("retry-after", refused.headers)
                    s.send_packet(netflow5(flows=1, sequence=i))
                self.assertEqual(s.count(), 10)  # what is there can be asked for
                time.sleep(2.5)
                disk.free()
                self.assertTrue(wait_until(lambda: s.get("/readyz").status == 200))
                self.assertEqual(s.post(AWS, aws_lines(10, first=10)).status, 200)
                self.assertEqual(s.wait_count(70), 70)  # with the packets, which waited
                full = [l for l in s.stderr().splitlines() if "full" in l]
                self.assertLessEqual(len(full), 3, full)  # of rows, of exporters' state, of sealing: once each
                self.assertEqual(len([l for l in full if "flows are refused until" in l]), 1, full)
                self.assertIn("flows are taken again", s.stderr())
                self.assertEqual(s.stop(), 0)

    def test_the_ready_line_names_every_socket(self):
        with Sluiced("--netflow", "127.0.0.1:0,127.0.0.1:0,127.0.0.1:0", data=self.data + "/x") as s:
            self.assertEqual(set(s.ready), {"http", "netflow", "netflow-also", "sflow", "data"})
            also = s.ready["netflow-also"].split(",")
            self.assertEqual(len({s.ready["netflow"], *also}), 3)
            for address in (s.ready["netflow"], *also):
                host, port = address.split(":")
                s.netflow = (host, int(port))
                s.send_packet(netflow5(flows=2))
            self.assertEqual(s.wait_count(6), 6)

    def test_configuration_file(self):
        with open(self.data + "/s.toml", "w") as f:
            f.write(f"data = '{self.data}/x'\nhttp = '127.0.0.1:0'\nnetflow = 'none'\nsflow = 'none'\nlog-format = 'json'\n")
        with Sluiced("--config", self.data + "/s.toml", data=self.data + "/x") as s:
            self.assertEqual(set(s.ready), {"http", "data"})
            self.assertEqual(s.stop(), 0)
            for line in s.stderr().splitlines():
                self.assertIn("level", json.loads(line))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: app_test.py PATH-OF-SLUICED [TEST…]")
    sluiced.PROGRAM = os.path.abspath(sys.argv.pop(1))
    sys.dont_write_bytecode = True
    unittest.main(verbosity=2)
