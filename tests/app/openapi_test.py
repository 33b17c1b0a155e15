#!/usr/bin/env python3
"""docs/openapi.json against the real server: its routes, methods and roles, the shape of real answers, and a fuzzer that reads it.
Run: openapi_test.py PATH-OF-SLUICED [FOLDER-FOR-WHAT-IS-FETCHED]. SLUICE_OPENAPI_REQUESTS sets the number of the fuzzer's requests (2,000) and SLUICE_OPENAPI_SECONDS
when it ends at the latest (50); the seed is printed, and SLUICE_OPENAPI_SEED repeats it."""
import collections
import copy
import glob
import gzip
import http.client
import json
import os
import random
import re
import socket
import sys
import tempfile
import time
import unittest
import urllib.parse

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.append(os.path.join(ROOT, "tests", "live"))

import servers  # fetches packages, for the live tests too
import sluiced
from openapi import Document, Maker
from sluiced import Sluiced, aws_lines, ipfix, netflow9, sflow5, wait_until

REQUESTS = int(os.environ.get("SLUICE_OPENAPI_REQUESTS", "2000"))
SECONDS = float(os.environ.get("SLUICE_OPENAPI_SECONDS", "50"))
SEED = int(os.environ.get("SLUICE_OPENAPI_SEED", str(time.time_ns() % 1_000_000)))

DOCUMENT = Document.read(os.path.join(ROOT, "docs", "openapi.json"))
STREAMS = ("/v1/tail", "/v1/alerts/stream")
WAYS_TO_PROVE = ("token", "x-amz-firehose-access-key")  # parameters that carry a token; the fuzzer proves itself by Authorization
MARKED = b"".join(line.replace(b"172.31.0.9", b"203.0.113.77") for line in aws_lines(200).splitlines(keepends=True))

CONFIG = """http = "127.0.0.1:0"
netflow = "127.0.0.1:0"
sflow = "127.0.0.1:0"
query-timeout = "10s"
backup-dir = "FOLDER/backups"

[[exporter]]
address = "10.9.8.7"
name = "switch"
interfaces = "FOLDER/switch.csv"

[[exporter.sampling]]
rate = 512
from = "2025-10-01T00:00:00Z"
to = "2025-11-01T00:00:00Z"

[[feed]]
name = "branch"
kind = "folder"
source = "aws_vpc"
path = "FOLDER/in"

[[target]]
name = "soc"
kind = "file"
path = "FOLDER/alerts.ndjson"
"""


def validator_folder():
    if not servers.CACHE:
        raise servers.Missing("the Python package openapi-spec-validator is not there")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", "FOLDER", "openapi-spec-validator==0.9.0"]
    return servers.fetch("openapi", sys.executable, pip, "openapi_spec_validator/__init__.py")


def route_table():
    """(method, pattern) -> role, from the table that the server is built with, and what its router answers itself."""
    with open(os.path.join(ROOT, "server", "api", "routes.cc"), encoding="utf-8") as file:
        table = {(m, p): role for m, p, role in re.findall(r'\{"([A-Z]+)", "(/[^"]*)", Role::(\w+),', file.read())}
    with open(os.path.join(ROOT, "server", "api", "router.cc"), encoding="utf-8") as file:
        for path in set(re.findall(r'head\.path == "(/\w+)"', file.read())):
            table["GET", path] = None
    return table


class Lively:
    """A server with something of everything, and tokens of each role."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-openapi-")
        folder = self.folder.name
        os.mkdir(folder + "/in")
        os.mkdir(folder + "/backups")
        with open(folder + "/switch.csv", "w") as file:
            file.write("7,uplink,to the core\n")
        with open(folder + "/sluice.toml", "w") as file:
            file.write(CONFIG.replace("FOLDER", folder))
        self.server = s = Sluiced("--config", folder + "/sluice.toml").__enter__()
        self.tokens = {}
        for role in ("admin", "ingest", "read"):
            made = s.post("/v1/admin/tokens", json.dumps({"name": "fuzz-" + role, "role": role}), token=self.tokens.get("admin"))
            assert made.status == 201, made.body
            self.tokens[role] = made.json()["token"]
        s.token = self.tokens["admin"]
        s.send_packet(netflow9())
        s.send_packet(ipfix())
        s.send_packet(b"\0\x0aneither")
        s.send_packet(sflow5(), s.sflow)
        rule = "create rule telnet severity low technique \"T1021\" as dst_port == 23 alert by src_ip;"
        made = [s.post("/v1/rules/apply", rule), s.ask("PUT", "/v1/lists/suspects", "192.0.2.7\n"), s.ask("PUT", "/v1/tables/assets?key=ip", "ip,owner\n10.0.0.0/8,ops\n"),
                s.post("/v1/admin/sampling", '{"exporter":"192.0.2.1","rate":5}'), s.post("/v1/ingest/aws_vpc", MARKED)]
        assert all(a.status in (200, 201) for a in made), [a.body for a in made]
        now = int(time.time())
        s.post("/v1/ingest/aws_vpc", f"2 123456789012 eni-0a 10.0.0.6 172.31.0.9 40001 23 6 1 40 {now} {now} ACCEPT OK\n")
        self.marked = s.count("| where dst_ip == 203.0.113.77")
        assert self.marked == 200, self.marked
        assert wait_until(lambda: s.get("/v1/alerts").json()["alerts"] and len(s.get("/v1/exporters").json()["exporters"]) > 1), "no alert, or no exporter"
        return self

    def __exit__(self, *_):
        self.server.__exit__()
        self.folder.cleanup()


class Request:
    """What is sent, and what it can be told apart by."""

    def __init__(self, operation):
        self.operation = operation
        self.method, self.target, self.headers, self.body = operation.method, operation.path, {}, None
        self.as_role = "admin"
        self.must_fail = None  # why the document says that it cannot go well

    def __str__(self):
        body = "" if self.body is None else f" with {len(self.body)} bytes {self.body[:300]!r}"
        return f"{self.method} {self.target[:500]} as {self.as_role}, {self.headers}{body}"


def media_of(content_type):
    return content_type.split(";")[0].strip()


# How formats that are no text begin and end.
MARKS = {"application/vnd.apache.arrow.stream": (b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\0\0\0\0"), "application/vnd.apache.parquet": (b"PAR1", b"PAR1")}


def problems_of(document, request, status, headers, body):
    """What an answer has that the document does not say."""
    operation = request.operation
    if status not in operation.responses:
        return [f"status {status} is not documented"]
    if status >= 500 and status not in (501, 503):
        return [f"status {status}"]
    if status < 300 and request.must_fail:
        return [f"status {status}, although {request.must_fail}"]
    response = operation.responses[status]
    found = ["no X-Request-Id"] if "x-request-id" not in headers else []
    for name, header in response.get("headers", {}).items():
        if document.resolve(header).get("required") and name.lower() not in headers:
            found.append(f"no header {name}")
    if request.method == "HEAD":
        return found + (["a body"] if body else [])
    media = media_of(headers.get("content-type", ""))
    content = response.get("content", {})
    if media not in content:
        return found + [f"content type {media!r} is not documented"]
    schema = content[media].get("schema", {})
    if media in MARKS:
        begin, end = MARKS[media]
        return found + ([] if body.startswith(begin) and body.endswith(end) else [f"no {media}: {body[:8]!r} … {body[-8:]!r}"])
    try:
        text = body.decode()
        if media == "application/json":
            return found + document.problems(schema, json.loads(text))
        if media == "application/x-ndjson":
            return found + [p for line in text.splitlines() for p in document.problems(schema, json.loads(line))]
        if media == "text/event-stream":
            return found + event_problems(text)
        return found + document.problems(schema, text)
    except ValueError as error:
        return found + [f"the body cannot be read: {error}"]


def event_problems(text):
    found = []
    for event in text.split("\n\n")[:-1]:  # the last may have been cut
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        if not {"event", "data"} <= set(fields) <= {"event", "id", "data"}:
            found.append(f"an event of {sorted(fields)}")
        elif not isinstance(json.loads(fields["data"]), dict):
            found.append("data that is no object")
    return found


class Caller:
    """Sends requests over one connection for as long as it lasts."""

    def __init__(self, server):
        self.server, self.connection = server, None

    def ask(self, request):
        for attempt in (0, 1):
            fresh = self.connection is None
            if fresh:
                self.connection = self.server.connection(timeout=30)
            try:
                return self._ask(request)
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                self.close()
                # A connection that was kept may have ended meanwhile; and a server that refuses a large body may close while it is sent.
                if attempt == 1:
                    raise
            except Exception:
                self.close()
                raise

    def _ask(self, request):
        c = self.connection
        c.putrequest(request.method, request.target, skip_host="Host" in request.headers, skip_accept_encoding=True)
        headers = dict(request.headers)
        if request.body is not None and "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(request.body))
        for name, value in headers.items():
            c.putheader(name, value)
        c.endheaders(request.body if request.body else None)
        r = c.getresponse()
        headers = {k.lower(): v for k, v in r.getheaders()}
        if headers.get("content-type", "").startswith("text/event-stream"):
            text = b""
            while request.method != "HEAD" and b"\n\n" not in text:
                piece = r.read1(65536)
                if not piece:
                    break
                text += piece
            self.close()  # it would go on for ever
            return r.status, headers, text
        body = r.read()
        if r.will_close:
            self.close()
        return r.status, headers, body

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Fuzzer:
    ROLES = {"admin": {"read", "ingest", "admin"}, "read": {"read"}, "ingest": {"ingest"}, "nobody": set(), "a stranger": set()}

    def __init__(self, document, lively, rng):
        self.document, self.lively, self.rng = document, lively, rng
        self.maker = Maker(document, rng)
        # Bytes that have hurt parsers before, whatever route they are meant for.
        self.seeds = []
        for path in sorted(glob.glob(os.path.join(ROOT, "tests", "fuzz", "corpus", "*", "*"))):
            if os.path.getsize(path) < 65536:
                with open(path, "rb") as file:
                    self.seeds.append(file.read())
        # Streams cost a connection each; of the others, those that read much are asked more.
        weights = {"queries": 3, "ingest": 3, "streams": 0.5}
        self.weights = [weights.get(o.item["tags"][0], 1) for o in document.operations]

    def tame(self, operation):
        """One that may well be answered."""
        self.maker.is_tame = True
        request = Request(operation)
        self.fill(request)
        self.maker.is_tame = False
        request.headers["Authorization"] = "Bearer " + self.lively.tokens["admin"]
        return request

    def request(self):
        rng = self.rng
        request = Request(rng.choices(self.document.operations, self.weights)[0])
        self.fill(request)
        if rng.random() < 0.15:
            request.as_role = rng.choice(list(self.ROLES))
        if request.method == "GET" and rng.random() < 0.05:
            request.method = "HEAD"
        if rng.random() < 0.45:
            rng.choice([self.spoil_parameter, self.spoil_body, self.spoil_body, self.spoil_header, self.spoil_target])(request)
        if request.as_role in self.lively.tokens:
            request.headers["Authorization"] = "Bearer " + self.lively.tokens[request.as_role]
        elif request.as_role == "a stranger":
            request.headers["Authorization"] = rng.choice(["Bearer sluice_" + "0" * 64, "Bearer ", "Basic YTpi", "x" * 5000])
        return request

    def fill(self, request, spoiled=None, value=None):
        """Path, query string, headers and body as the document says; the parameter `spoiled` has another value, or is left out."""
        rng, operation = self.rng, request.operation
        pairs = []
        for p in operation.parameters:
            if p["name"].lower() in WAYS_TO_PROVE:
                continue
            wanted = p.get("required") or rng.random() < 0.3
            made = value if p is spoiled else self.maker.make(p["schema"])
            if not wanted and p is not spoiled or made is None:
                continue
            if p["in"] == "path":
                request.target = request.target.replace("{" + p["name"] + "}", urllib.parse.quote(str(made), safe="") or "%20")
            elif p["in"] == "header":
                clean = str(made).encode("latin-1", "replace").decode("latin-1")
                request.headers[p["name"]] = re.sub(r"[\x00-\x1f\x7f]", " ", clean)
            elif isinstance(made, dict):
                pairs += [(k, v) for k, values in made.items() for v in (values if isinstance(values, list) else [values])]
            else:
                pairs.append((p["name"], str(made)))
        request.target = re.sub(r"\{\w+\}", "x", request.target)
        if pairs:
            request.target += "?" + urllib.parse.urlencode(pairs)
        if operation.body:
            kind = rng.choice(list(operation.body["content"]))
            request.headers["Content-Type"] = kind
            schema = operation.body["content"][kind].get("schema", {})
            made = self.maker.make(schema)
            request.body = made.encode("utf-8", "surrogatepass") if isinstance(made, str) and kind != "application/json" else json.dumps(made).encode()
            encoding = request.headers.get("Content-Encoding")
            if encoding == "gzip":
                request.body = gzip.compress(request.body)
            elif encoding in ("deflate", "zstd"):
                del request.headers["Content-Encoding"]
        if any(p["name"] == "format" and "arrow" in p["schema"].get("enum", []) for p in operation.parameters):
            request.headers["Accept"] = rng.choice(["application/json", "application/x-ndjson", "text/csv", *MARKS, "*/*"])

    def spoil_parameter(self, request):
        queries = [p for p in request.operation.parameters if p["in"] == "query" and "type" in self.document.resolve(p["schema"])]
        if not queries:
            return
        p = self.rng.choice(queries)
        schema = self.document.resolve(p["schema"])
        if p.get("required") and self.rng.random() < 0.3:
            value = None
        else:
            value = self.rng.choice([*Maker.TEXTS, *Maker.NUMBERS, "1e9", "0x10", "٣", "9" * 400, "q" * 70_000])
        request.target, request.headers, request.body = request.operation.path, {}, None
        self.fill(request, p, value)
        if value is None:
            request.must_fail = f"the parameter {p['name']} is required"
        elif schema["type"] == "integer" and not re.fullmatch(r"\d+", str(value), re.ASCII):
            request.must_fail = f"the parameter {p['name']} is no whole number"
        elif "enum" in schema and value not in schema["enum"]:
            request.must_fail = f"the parameter {p['name']} is none of {schema['enum']}"

    def spoil_body(self, request):
        rng = self.rng
        if not request.operation.body or request.headers.get("Content-Encoding"):
            return
        content = request.operation.body["content"]
        kind = rng.randint(0, 7)
        if kind == 0:
            request.body = rng.choice(self.seeds)
        elif kind == 1 and request.body:
            at = rng.randrange(len(request.body))
            request.body = request.body[:at]
        elif kind == 2 and request.body:
            changed = bytearray(request.body)
            for _ in range(rng.randint(1, 8)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            request.body = bytes(changed)
        elif kind == 3:
            request.body = rng.choice([b"", b"\0", b"\xff\xfe\x80", b"[" * 50_000, b'{"a":' * 50_000, b'"' + b"\\u0000" * 999 + b'"', b"\x1f\x8b\x08\0" + rng.randbytes(40), b"1e999", b"[[]]", b'"\\ud800"'])
        elif kind == 4:
            request.headers["Content-Type"] = rng.choice(["", "text/html", "application/xml", "application/json; charset=utf-7", "*/*", "a" * 9000])
        elif kind == 5:
            request.headers["Content-Encoding"] = rng.choice(["br", "gzip", "zstd", "deflate", "gzip, gzip", "x" * 200])
        else:
            schema = self.document.resolve(content.get("application/json", {}).get("schema", {}))
            if "properties" not in schema:
                return
            made = {n: self.maker.make(s) for n, s in schema["properties"].items()}
            name = rng.choice(list(made))
            if rng.random() < 0.3:
                del made[name]
            elif rng.random() < 0.3:
                made["un" + name] = 1
            else:
                made[name] = rng.choice([None, True, 1, -1, 1.5, 2**64, 2**70, "", "x" * 3000, [], [[[]]], {}, {"a": {"b": {}}}, *Maker.TEXTS])
            request.body = json.dumps(made).encode()
            request.headers["Content-Type"] = "application/json"
            wrong = self.document.problems(schema, made)
            # Of the clouds' protocols the document says what they send, and less is needed to read it.
            if wrong and not request.operation.path.startswith("/v1/push/"):
                request.must_fail = "the body is none: " + wrong[0]

    def spoil_header(self, request):
        rng = self.rng
        name, value = rng.choice([("Accept", "image/png"), ("Accept", "text/csv;q=0, */*;q=0.1"), ("Accept", "," * 3000), ("X-Request-Id", "a b"), ("X-Request-Id", "x" * 900), ("Expect", "100-continue"),
                                  ("X-Big", "x" * 140_000), ("Connection", "close"), ("Host", "evil.example"), ("Origin", "null"), ("Range", "bytes=0-1"), ("If-None-Match", "*"), ("Upgrade", "h2c"),
                                  ("X-Sluice-Object", "o" * 5000), ("Last-Event-ID", "\xff" * 100), ("X-Sluice-Format", "${version} ${nothing}"), ("Cookie", "a=b")])
        request.headers[name] = value

    def spoil_target(self, request):
        rng = self.rng
        glue = "&" if "?" in request.target else "?"
        request.target += glue + rng.choice(["%", "a=%zz", "a=%00", "=&=&&", "a[]=1", "param.=1", "q=1&q=2", "&".join(f"p{i}=1" for i in range(1500)), "x=" + "y" * 20_000, "a=%ff%fe", "limit=-0", "format=JSON"])


class Pages(unittest.TestCase):
    """The document itself."""

    def test_is_openapi_3_1(self):
        self.assertTrue(DOCUMENT.root["openapi"].startswith("3.1."))
        try:
            import openapi_spec_validator
        except ImportError:
            try:
                sys.path.append(validator_folder())
                import openapi_spec_validator
            except (ImportError, servers.Missing) as why:
                self.skipTest(f"the document was not held against OpenAPI's own schema: {why}")
        openapi_spec_validator.validate(DOCUMENT.root)

    def test_is_the_route_table(self):
        documented = {(o.method, o.path): o.role for o in DOCUMENT.operations}
        self.assertEqual(documented, route_table())

    def test_names_the_parts_of_its_paths(self):
        for o in DOCUMENT.operations:
            with self.subTest(str(o)):
                named = {p["name"] for p in o.parameters if p["in"] == "path"}
                self.assertEqual(named, set(re.findall(r"\{(\w+)\}", o.path)))
        ids = [o.item["operationId"] for o in DOCUMENT.operations]
        self.assertEqual(len(set(ids)), len(ids))

    def test_has_nothing_that_nobody_names(self):
        text = json.dumps(DOCUMENT.root)
        for kind, named in DOCUMENT.root["components"].items():
            for name in named if kind != "securitySchemes" else ():
                self.assertIn(f'"#/components/{kind}/{name}"', text)

    def test_examples_fit_their_schemas(self):
        def walk(node):
            if isinstance(node, dict):
                named = node.get("examples")
                for example in named if isinstance(named, list) else []:  # else it is the name of a member
                    self.assertEqual(DOCUMENT.problems(node, example), [])
                for name, child in node.items():
                    if child is not named or isinstance(child, dict):
                        walk(child)
            elif isinstance(node, list):
                for child in node:
                    walk(child)
        walk(DOCUMENT.root)

    def test_what_is_made_of_a_schema_fits_it(self):
        rng = random.Random(SEED)
        maker = Maker(DOCUMENT, rng)
        for name, schema in DOCUMENT.root["components"]["schemas"].items():
            for _ in range(20):
                made = maker.make(schema)
                self.assertEqual(DOCUMENT.problems(schema, made), [], (name, made, SEED))

    def test_a_keyword_that_is_not_known_is_an_error(self):
        with self.assertRaises(ValueError):
            DOCUMENT.problems({"type": "array", "uniqueItems": True}, [])


class Answers(unittest.TestCase):
    """A real server's answers."""

    @classmethod
    def setUpClass(cls):
        print(f"seed {SEED}, {REQUESTS} requests", flush=True)
        cls.lively = Lively().__enter__()
        cls.addClassCleanup(cls.lively.__exit__)
        cls.s = cls.lively.server

    def ask(self, operation, target=None, body=None, headers=None):
        request = Request(operation)
        request.target, request.body = target or operation.path, body
        request.headers = {"Authorization": "Bearer " + self.lively.tokens["admin"], **(headers or {})}
        caller = Caller(self.s)
        try:
            return request, *caller.ask(request)
        finally:
            caller.close()

    def operation(self, method, path):
        return next(o for o in DOCUMENT.operations if (o.method, o.path) == (method, path))

    def test_the_server_knows_these_methods_and_no_others(self):
        for path in DOCUMENT.root["paths"]:
            refused = self.s.ask("TRACE", re.sub(r"\{\w+\}", "x", path))
            self.assertEqual(refused.status, 405, path)
            self.assertEqual(DOCUMENT.problems({"$ref": "#/components/schemas/Error"}, refused.json()), [])
            documented = {o.method for o in DOCUMENT.operations if o.path == path}
            self.assertEqual(set(refused.headers["allow"].split(", ")) - {"HEAD"}, documented, path)

    def test_the_server_gives_the_document(self):
        self.assertEqual(self.s.get("/openapi.json").json(), DOCUMENT.root)
        self.assertIn('sluice_build_info{version="%s"} 1' % DOCUMENT.root["info"]["version"], self.s.get("/metrics").body.decode())

    def test_everything_that_can_be_looked_at_has_its_shape(self):
        self.assertEqual(self.s.post("/v1/admin/flush").status, 200)
        for o in DOCUMENT.operations:
            if o.method != "GET" or o.path in STREAMS or "{" in o.path or o.path == "/v1/query":
                continue
            with self.subTest(str(o)):
                request, status, headers, body = self.ask(o)
                self.assertEqual(status, 200)
                self.assertEqual(problems_of(DOCUMENT, request, status, headers, body), [])
                if headers["content-type"] == "application/json" and o.path != "/v1/queries":
                    # An empty list has any shape, so there must be something in each; only what never goes wrong here has none.
                    empty = {name for name, value in json.loads(body).items() if value == []} - {"feed_errors", "losses"}
                    self.assertEqual(empty, set())

    def test_queries_in_each_form(self):
        o = self.operation("POST", "/v1/query")
        for text in ("from flows | limit 50", "from flows | stats n = count(), b = sum(bytes), a = avg(bytes) by dst_port | render barchart", "from alerts", "from flows | where src_ip == 1.2.3.4",
                     "from flows | distinct extra, tcp_flags", "nonsense ==", "show rules"):
            for accept in ("application/json", "application/x-ndjson", "text/csv", *MARKS):
                with self.subTest(text, accept=accept):
                    request, status, headers, body = self.ask(o, body=text.encode(), headers={"Accept": accept})
                    if accept in MARKS and status == 501:
                        print("this build writes no Arrow and no Parquet: only its refusal was tried", flush=True)
                        self.assertEqual(json.loads(body)["error"]["code"], "not_built")
                    else:
                        self.assertEqual(status, 400 if "nonsense" in text else 200)
                    self.assertEqual(problems_of(DOCUMENT, request, status, headers, body), [])
            for format in ("ecs", "ocsf"):
                with self.subTest(text, format=format):
                    request, status, headers, body = self.ask(o, target=o.path + "?format=" + format, body=text.encode())
                    self.assertEqual(status, 200 if text.startswith("from flows | limit") or text.startswith("from flows | where") else 400)
                    self.assertEqual(problems_of(DOCUMENT, request, status, headers, body), [])

    def test_only_the_documented_role_may(self):
        rng = random.Random(SEED)
        fuzzer = Fuzzer(DOCUMENT, self.lively, rng)
        for o in DOCUMENT.operations:
            for who, roles in Fuzzer.ROLES.items():
                if o.role is None or o.role in roles:
                    continue
                with self.subTest(str(o), who=who):
                    request = Request(o)
                    fuzzer.fill(request)
                    answer = self.s.ask(request.method, request.target, request.body, {"Content-Type": request.headers.get("Content-Type", "text/plain")},
                                        token=self.lively.tokens.get(who, "sluice_" + "0" * 64))
                    self.assertEqual(answer.status, 403 if who in self.lively.tokens else 401)

    def test_a_wrong_document_is_found_out(self):
        """The test of the test: documents that say too little, or something else, must not pass."""
        def without(path, *keys):
            root = copy.deepcopy(DOCUMENT.root)
            node = root
            for key in path:
                node = node[key]
            for key in keys:
                node.pop(key) if isinstance(node, dict) else node.remove(key)
            return Document(root)

        o = ("GET", "/v1/alerts")
        responses = ("paths", "/v1/alerts", "get", "responses")
        documents = {"a status": (without(responses, "400"), "/v1/alerts?limit=x"),
                     "a status of a name": (without(("paths", "/v1/rules", "get", "responses"), "404"), "/v1/rules?name=none"),
                     "a content type": (without((*responses, "200", "content"), "application/json"), "/v1/alerts"),
                     "a member": (without((*responses, "200", "content", "application/json", "schema", "properties"), "total"), "/v1/alerts"),
                     "a severity": (without(("components", "schemas", "Severity", "enum"), "low"), "/v1/alerts"),
                     "a member of an error": (without(("components", "schemas", "ErrorDetail", "properties"), "message"), "/v1/alerts?limit=x")}
        for what, (document, target) in documents.items():
            with self.subTest(what):
                operation = next(x for x in document.operations if x.method == "GET" and x.path == target.split("?")[0])
                request, status, headers, body = self.ask(operation, target)
                self.assertNotEqual(problems_of(document, request, status, headers, body), [])
                same = next(x for x in DOCUMENT.operations if x.method == "GET" and x.path == operation.path)
                request.operation = same
                self.assertEqual(problems_of(DOCUMENT, request, status, headers, body), [])


class Fuzz(unittest.TestCase):
    # What needs a thing that no random request makes: a query that runs for long.
    UNREACHED = {"DELETE /v1/queries/{id}"}

    def check(self, request, status, headers, body):
        found = problems_of(DOCUMENT, request, status, headers, body)
        role = request.operation.role
        if role and role not in Fuzzer.ROLES[request.as_role] and status not in (401, 403, 400, 431):
            found.append(f"status {status} for {request.as_role}")
        return found

    def test_hostile_and_good_requests(self):
        rng = random.Random(SEED)
        print(f"seed {SEED}, {REQUESTS} requests", flush=True)
        done, wrong, sent = collections.defaultdict(collections.Counter), [], 0
        with Lively() as lively:
            s = lively.server
            fuzzer, caller = Fuzzer(DOCUMENT, lively, rng), Caller(s)
            end = time.time() + SECONDS
            first = 12 * DOCUMENT.operations
            while sent < REQUESTS and time.time() < end and len(wrong) < 5:
                sent += 1
                request = fuzzer.tame(first.pop()) if first else fuzzer.request()
                try:
                    status, headers, body = caller.ask(request)
                except OSError as error:
                    if s.process.poll() is None and len(request.body or b"") > 65536:
                        continue  # refused and closed while the body was on its way: then a client may not see the answer
                    wrong.append(f"request {sent}: {request}\n  no answer: {error!r}")
                    break
                done[str(request.operation)][status] += 1
                for problem in self.check(request, status, headers, body)[:3]:
                    wrong.append(f"request {sent}: {request}\n  {status} {body[:400]!r}\n  {problem}")
            caller.close()
            if not wrong:
                for garbage in self.garbage(rng):
                    self.send_garbage(s, garbage, wrong)
            if wrong:
                wait_until(lambda: s.process.poll() is not None, seconds=1)
                self.fail("\n".join([f"seed {SEED}; the server's exit code is {s.process.poll()}", *wrong, s.stderr()[-3000:]]))
            print(f"{sent} requests; statuses {dict(sum(done.values(), collections.Counter()))}", flush=True)
            self.assertIsNone(s.process.poll(), s.stderr()[-3000:])
            self.assertEqual((s.get("/healthz").body, s.get("/readyz").body), (b"ok\n", b"ready\n"))
            self.assertEqual(s.count("| where dst_ip == 203.0.113.77"), lively.marked)
            self.assertTrue(wait_until(lambda: s.metric("sluice_streams") == 0 and s.metric("sluice_queries_running") == 0), "something still runs for clients that are gone")
            self.assertEqual(s.metric("sluice_ingest_in_flight_bytes"), 0)
            self.assertEqual(s.post("/v1/admin/verify").json()["damaged"], [])
            self.assertGreater(sent, 100)
            if not first:
                unreached = {str(o) for o in DOCUMENT.operations if not any(status < 300 for status in done[str(o)])}
                self.assertLessEqual(unreached, self.UNREACHED, "no request of these went well, so their good answers were not looked at")
            self.assertEqual(s.stop(), 0, s.stderr()[-3000:])

    def garbage(self, rng):
        """What is no request, or two in one: each on a connection of its own."""
        token = b"Authorization: Bearer x\r\n"
        yield from (b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200), b"GET " + b"/" * 200_000 + b" HTTP/1.1\r\n\r\n",
                    b"POST /v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", b"POST /v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                    b"POST /v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", b"GET /v1/query\x00 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /v1/storage HTTP/1.1\r\nHost a\r\n\r\n",
                    b"POST /v1/ingest/aws_vpc HTTP/1.1\r\nHost: a\r\n" + token + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                    b"POST /v1/query HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n")
        for _ in range(40):
            yield rng.choice(["GET /v1/schema HTTP/1.1\r\nHost: a\r\n", "POST /v1/query HTTP/1.1\r\n", ""]).encode() + rng.randbytes(rng.randint(1, 400)) + b"\r\n\r\n"

    def send_garbage(self, s, garbage, wrong):
        with s.raw() as c:
            try:
                c.sendall(garbage)
                c.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := c.recv(65536):
                    answer += piece
            except socket.timeout:
                wrong.append(f"the connection stays open after {garbage[:200]!r}")
                return
            except OSError:
                return  # closed on us, which is an answer too
        if answer and not re.match(rb"HTTP/1\.[01] (400|401|403|404|405|413|431|505) ", answer):
            wrong.append(f"{answer[:200]!r} to {garbage[:200]!r}")


if __name__ == "__main__":
    sluiced.PROGRAM = sys.argv.pop(1)
    if len(sys.argv) > 1 and os.sep in sys.argv[1]:
        servers.CACHE = sys.argv.pop(1)
    unittest.main()
