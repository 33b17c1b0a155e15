#!/usr/bin/env python3
"""Alerts on their way out of the real server, to real receivers: HTTP ones that fail, hang and recover, files, and what packages bring: an SMTP
server (python3-aiosmtpd) and a syslog server (rsyslog, rsyslog-openssl); through kill -9. Run: delivery_test.py PATH-OF-SLUICED"""
import base64
import hashlib
import hmac
import http.server
import json
import email
import email.policy
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import sluiced
from rules_test import flow, push, wait_for
from sluiced import Sluiced

ADDRESSES = ("--http", "127.0.0.1:0", "--netflow", "127.0.0.1:0", "--sflow", "127.0.0.1:0")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def signature(secret, id, at, body):
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    return "v1," + base64.b64encode(hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()).decode()


class Receiver:
    """A webhook's other end. `answer(n)` says what becomes of request n (from 0): a status, or "hang", or "cut" (taken, and no answer comes)."""

    def __init__(self, answer=lambda n: 204, secret=SECRET):
        self.bodies, self.headers, self.bad, self.requests, self.answer = [], [], [], 0, answer
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    n = outer.requests
                    outer.requests += 1
                answer = outer.answer(n)
                if answer == "hang":
                    outer.released.wait(60)
                    self.close_connection = True
                    return
                if answer == "cut" or answer < 300:
                    id, at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
                    if secret and (self.headers["webhook-signature"] != signature(secret, id, at, body) or abs(int(at) - time.time()) > 60):
                        outer.bad.append(dict(self.headers))
                    with outer.lock:
                        outer.bodies.append(body)
                        outer.headers.append(dict(self.headers))
                if answer == "cut":
                    self.close_connection = True
                    return
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alerts/s3cret-path?who=sluice"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def notices(self):
        with self.lock:
            return [notice for body in self.bodies for notice in json.loads(body)["alerts"]]

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class Base(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sluice-delivery-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        with open(f"{self.folder}/secret", "w") as f:
            f.write(SECRET + "\n")

    def receiver(self, *arguments, **named):
        receiver = Receiver(*arguments, **named)
        self.addCleanup(receiver.close)
        return receiver

    def config(self, *tables):
        path = f"{self.folder}/sluice.toml"
        with open(path, "w") as f:
            for table in tables:
                f.write("[[target]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()) + "\n")
        return path

    def hook(self, receiver, **more):
        return {"name": "hook", "kind": "webhook", "url": receiver.url, "secret_file": f"{self.folder}/secret", **more}

    def server(self, *tables, data=None):
        return Sluiced("--config", self.config(*tables), *ADDRESSES, data=data)

    def lines(self, name="alerts.ndjson"):
        with open(f"{self.folder}/{name}") as f:
            return [json.loads(line) for line in f]

    def target(self, s, columns, name="hook"):
        return s.query(f"show targets | where name == '{name}' | select {columns}").rows()[0]


TELNET = "create rule telnet severity high technique 'T1021' tags (policy) as dst_port == 23 alert by src_ip suppress 1h message '{src_ip} uses Telnet'"


class Webhooks(Base):
    def test_webhook_and_file_with_retries_severity_and_a_signature(self):
        receiver = self.receiver(lambda n: 503 if n < 2 else 204)
        with self.server(self.hook(receiver, severity="high"), {"name": "log", "kind": "file", "path": f"{self.folder}/alerts.ndjson"}) as s:
            s.query(TELNET).rows()
            s.query("create rule low severity low as dst_port == 24 alert by src_ip suppress 1h").rows()
            push(s, [flow("10.1.0.1", port=23), flow("10.1.0.1", port=24)])
            wait_for(receiver.notices, 20)
            self.assertEqual(receiver.bad, [])
            notice = receiver.notices()[0]
            alert = notice["alert"]
            self.assertEqual((notice["event"], alert["rule"], alert["severity"], alert["message"]), ("started", "telnet", "high", "10.1.0.1 uses Telnet"))
            self.assertEqual((alert["techniques"], alert["tags"], alert["values"]["src_ip"]), (["T1021"], ["policy"], "10.1.0.1"))
            self.assertEqual(alert["id"], s.query("from alerts | where rule == 'telnet' | select id").rows()[0][0])
            self.assertEqual(s.query(alert["query"] + " | stats n = count()").rows(), [[1]])
            self.assertEqual(receiver.headers[0]["webhook-id"], notice["id"])
            s.query("alter rule telnet disable").rows()
            wait_for(lambda: len(receiver.notices()) == 2)
            self.assertEqual([n["event"] for n in receiver.notices()], ["started", "ended"])
            lines = wait_for(lambda: (lambda all: all if len(all) == 3 else None)(self.lines()))
            self.assertEqual(sorted((n["alert"]["rule"], n["event"]) for n in lines), [("low", "started"), ("telnet", "ended"), ("telnet", "started")])
            wait_for(lambda: self.target(s, "waiting") == [0])
            self.assertEqual(self.target(s, "waiting, delivered, failures, refused, expired, dropped"), [0, 2, 2, 0, 0, 0])
            delivered = 'sluice_target_delivered_total{target="log",kind="file"} 3'
            self.assertTrue(wait_for(lambda: delivered in s.get("/metrics").body.decode()), "the file's third notice is not booked")
            listed = {t["name"]: t for t in s.get("/v1/targets").json()["targets"]}
            self.assertEqual((listed["hook"]["to"], listed["hook"]["tells"]), (receiver.url.split("/alerts")[0], "high and worse"))
            self.assertIn("503", listed["hook"]["last_error"])
            # Neither the secret nor the path, which may be one, is shown anywhere.
            for text in (s.get("/v1/targets").body.decode(), s.get("/metrics").body.decode(), s.stderr()):
                self.assertNotIn("s3cret-path", text)
                self.assertNotIn(SECRET, text)

    def test_a_receiver_that_hangs_holds_up_nobody(self):
        hanging, good = self.receiver(lambda n: "hang"), self.receiver()
        with self.server(self.hook(hanging, name="hanging"), self.hook(good)) as s:
            s.query(TELNET).rows()
            wait_for(lambda: push(s, [flow("10.1.0.1", port=23)]) and hanging.requests, 20)
            began = time.time()
            for i in range(2, 12):
                push(s, [flow(f"10.1.0.{i}", port=23)])
            wait_for(lambda: len(good.notices()) >= 11)
            self.assertEqual(len({n["alert"]["key"] for n in good.notices()}), 11)
            self.assertLess(time.time() - began, 20)
            self.assertEqual(self.target(s, "waiting", "hanging"), [11])
            # It does not hold the server when that stops, either.
            began = time.time()
            self.assertEqual(s.stop(), 0)
            self.assertLess(time.time() - began, 10)

    def test_kills_lose_nothing_and_double_nothing_that_ids_do_not_tell(self):
        data = tempfile.mkdtemp(prefix="sluice-delivery-data-")
        self.addCleanup(shutil.rmtree, data, True)
        # No, then taken without an answer, then well, over and over.
        receiver = self.receiver(lambda n: (503, "cut", 204, 204)[n % 4])
        expected = set()
        for round in range(4):
            with self.server(self.hook(receiver), data=data) as s:
                if round == 0:
                    s.query(TELNET).rows()
                for i in range(10):
                    push(s, [flow(f"10.1.{round}.{i}", port=23)])
                    expected.add(f"src_ip=10.1.{round}.{i}")
                time.sleep(0.3 * round)
                s.process.kill()
                s.process.wait()
        with self.server(self.hook(receiver), data=data) as s:
            wait_for(lambda: {n["alert"]["key"] for n in receiver.notices()} == expected, 60)
            self.assertEqual({n["alert"]["key"] for n in receiver.notices()}, expected)
            wait_for(lambda: self.target(s, "waiting") == [0], 30)
            # An alert is one, whatever was sent again.
            self.assertEqual(len({n["alert"]["id"] for n in receiver.notices()}), len(expected))
            self.assertEqual(len({n["id"] for n in receiver.notices()}), len(expected))
            self.assertEqual(receiver.bad, [])

    def test_what_a_receiver_refuses_for_good_costs_itself_only(self):
        receiver = self.receiver(lambda n: 410 if n == 0 else 204)
        with self.server(self.hook(receiver)) as s:
            s.query(TELNET).rows()
            push(s, [flow("10.1.0.1", port=23)])
            wait_for(lambda: self.target(s, "refused") == [1])
            push(s, [flow("10.1.0.2", port=23)])
            wait_for(receiver.notices)
            self.assertEqual([n["alert"]["key"] for n in receiver.notices()], ["src_ip=10.1.0.2"])

    def test_no_redirect_is_followed_and_nothing_in_a_rule_says_where_to_send(self):
        trap = self.receiver()

        class Away(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(307)
                self.send_header("Location", trap.url)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Away)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        with self.server({"name": "hook", "kind": "webhook", "url": f"http://127.0.0.1:{server.server_address[1]}/"}) as s:
            s.query(TELNET).rows()
            push(s, [flow("10.1.0.1", port=23)])
            wait_for(lambda: self.target(s, "failures")[0] > 0)
            self.assertIn("307", self.target(s, "last_error")[0])
            self.assertEqual(trap.requests, 0)
            refused = s.query(f"create target x webhook '{trap.url}'")
            self.assertEqual(refused.status, 400)
            self.assertIn("[[target]]", refused.error["message"])

    def test_the_test_call_and_who_may_make_it(self):
        receiver = self.receiver(lambda n: 204 if n == 0 else 403)
        with self.server(self.hook(receiver)) as s:
            answer = s.post("/v1/targets/hook/test")
            self.assertEqual((answer.status, answer.json()["delivered"]), (200, True))
            self.assertEqual(receiver.notices()[0]["event"], "test")
            self.assertEqual(receiver.bad, [])
            answer = s.post("/v1/targets/hook/test").json()
            self.assertFalse(answer["delivered"])
            self.assertIn("403", answer["error"])
            self.assertEqual(s.post("/v1/targets/nobody/test").status, 404)
            client = os.path.join(os.path.dirname(sluiced.PROGRAM), "sluice")
            if os.path.exists(client):
                ran = subprocess.run([client, "--server", f"http://{s.http}", "alerts", "test", "hook"], capture_output=True, text=True)
                self.assertEqual(ran.returncode, 1)
                self.assertIn("403", ran.stderr)
                ran = subprocess.run([client, "--server", f"http://{s.http}", "alerts", "targets", "--format", "json"], capture_output=True, text=True)
                self.assertEqual(ran.returncode, 0, ran.stderr)
                self.assertIn("hook", ran.stdout)
            reader = s.post("/v1/admin/tokens", json.dumps({"name": "admin", "role": "admin"}), headers={"Content-Type": "application/json"})
            self.assertEqual(reader.status, 201, reader.body)
            admin = reader.json()["token"]
            read = s.post("/v1/admin/tokens", json.dumps({"name": "r", "role": "read"}), headers={"Content-Type": "application/json"}, token=admin).json()["token"]
            self.assertEqual(s.post("/v1/targets/hook/test", token=read).status, 403)
            self.assertEqual(s.get("/v1/targets", token=read).status, 200)

    def test_a_declaration_that_makes_no_sense_is_refused_with_its_place(self):
        for table, words in (({"name": "a", "kind": "pigeon"}, ("sluice.toml:1", "there is no kind 'pigeon'")),
                             ({"name": "a", "kind": "webhook"}, ("url", "is needed")),
                             ({"name": "a", "kind": "webhook", "url": "http://127.0.0.1/", "secret": "x"}, ("does not belong into the configuration",)),
                             ({"name": "a", "kind": "webhook", "url": "file:///etc/passwd"}, ("url",)),
                             ({"name": "a b", "kind": "file", "path": "x"}, ("needs a name",))):
            code, _, error = sluiced.run("--config", self.config(table), "--data", f"{self.folder}/none", *ADDRESSES)
            self.assertNotEqual(code, 0)
            for word in words:
                self.assertIn(word, error)


class Forwarding(Base):
    def config(self, *tables):
        path = f"{self.folder}/sluice.toml"
        with open(path, "w") as f:
            for table in tables:
                kind = "forward" if "filter" in table else "target"
                f.write(f"[[{kind}]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()) + "\n")
        return path

    def forward(self, s, name="out"):
        return s.query(f"show forwards | where name == '{name}' | select matched, delivered, dropped, waiting").rows()[0]

    def test_only_what_matters_goes_to_a_file_a_webhook_and_syslog(self):
        receiver = self.receiver(lambda n: 503 if n == 0 else 204)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            udp.settimeout(10)
            with self.server(self.hook(receiver, rules=["!*"]), {"name": "log", "kind": "file", "path": f"{self.folder}/flows.ndjson", "rules": ["!*"]},
                             {"name": "siem", "kind": "syslog", "address": f"127.0.0.1:{udp.getsockname()[1]}", "rules": ["!*"]},
                             {"name": "out", "filter": "action == reject", "target": "log"},
                             {"name": "ecs", "filter": "dst_port == 25 // mail", "target": "hook", "shape": "ecs"},
                             {"name": "ocsf", "filter": "dst_port == 25", "target": "siem", "shape": "ocsf"}) as s:
                s.query(TELNET).rows()
                push(s, [flow("10.1.0.1", port=23, action="REJECT"), flow("10.1.0.2", port=25), flow("10.1.0.3", port=443)])
                wait_for(lambda: self.forward(s) == [1, 1, 0, 0] and self.forward(s, "ecs") == [1, 1, 0, 0] and self.forward(s, "ocsf") == [1, 1, 0, 0], 20)
                self.assertEqual([self.forward(s, n) for n in ("out", "ecs", "ocsf")], [[1, 1, 0, 0]] * 3)
                native = self.lines("flows.ndjson")
                self.assertEqual([(f["src_ip"], f["action"], f["dst_port"]) for f in native], [("10.1.0.1", "reject", 23)])
                self.assertEqual(receiver.bad, [])
                ecs = [json.loads(line) for line in receiver.bodies[0].splitlines()]
                self.assertEqual([(f["source"]["ip"], f["destination"]["port"], f["event"]["type"]) for f in ecs], [("10.1.0.2", 25, ["connection", "allowed"])])
                fields = udp.recv(65536).decode().split(" ", 7)
                self.assertEqual((fields[0], fields[3:7]), ("<134>1", ["sluice", "-", "flow", "-"]))
                self.assertEqual(json.loads(fields[7])["class_uid"], 4001)
                wait_for(lambda: s.query("from alerts | stats n = count()").rows() == [[1]])
                self.assertEqual(receiver.requests, 2, "no alert goes to a target of flows")
                metrics = s.get("/metrics").body.decode()
                self.assertIn('sluice_forward_delivered_total{forward="ecs",target="hook"} 1', metrics)

    def test_ipfix_over_udp_and_tcp_to_another_server(self):
        with Sluiced("--ipfix-tcp", "127.0.0.1:0") as collector:
            udp, tcp = "%s:%d" % collector.netflow, collector.ready["ipfix-tcp"]
            with self.server({"name": "udp", "kind": "ipfix", "address": udp, "domain": 1}, {"name": "tcp", "kind": "ipfix", "address": tcp, "transport": "tcp", "domain": 2},
                             {"name": "u", "filter": "dst_port == 25", "target": "udp"}, {"name": "t", "filter": "dst_port == 25", "target": "tcp"}) as s:
                push(s, [flow(f"10.1.{i // 250}.{i % 250}", port=25, at=1_700_000_000 + i, size=100 + i) for i in range(1_000)] + [flow("10.9.9.9", port=26)])
                self.assertEqual(collector.wait_count(2_000, seconds=20), 2_000)
                columns = "src_ip, dst_ip, src_port, dst_port, proto, bytes, packets, flow_end"
                sent = s.query(f"from flows | where dst_port == 25 | sort flow_end | select {columns}").rows()
                for domain in (1, 2):
                    got = collector.query(f"from flows | where observation_domain == {domain} | sort flow_end | select {columns}").rows()
                    self.assertEqual(got, sent)
                lost = lambda: collector.query("show exporters | stats n = count(), lost = sum(lost)").rows()  # booked once a second
                wait_for(lambda: lost() == [[2, 0]], 10)
                self.assertEqual(lost(), [[2, 0]])
                self.assertEqual([self.forward(s, n) for n in ("u", "t")], [[1000, 1000, 0, 0]] * 2)
                self.assertEqual(s.post("/v1/targets/tcp/test").json()["delivered"], True)
                self.assertEqual(s.query("show targets | select name, waiting").rows(), [["udp", 0], ["tcp", 0]])

    def test_a_kill_costs_a_forward_nothing(self):
        data = tempfile.mkdtemp(prefix="sluice-forward-data-")
        self.addCleanup(shutil.rmtree, data, True)
        receiver = self.receiver(lambda n: 503)
        tables = (self.hook(receiver), {"name": "out", "filter": "dst_port == 25", "target": "hook"})
        with self.server(*tables, data=data) as s:
            push(s, [flow(f"10.1.0.{i}", port=25) for i in range(10)])
            wait_for(lambda: self.forward(s) == [10, 0, 0, 10])
            self.assertEqual(s.post("/v1/admin/flush").status, 200)  # out of the journal: what waits is kept by then
            push(s, [flow(f"10.1.0.{i}", port=25) for i in range(10, 20)])
            s.process.kill()  # whether these were looked at or not: the journal has them
            s.process.wait()
        receiver.answer = lambda n: 204
        with self.server(*tables, data=data) as s:
            wait_for(lambda: self.forward(s)[3] == 0)
            push(s, [flow("10.1.0.99", port=25)])
            wait_for(lambda: self.forward(s)[0] >= 21 and self.forward(s)[3] == 0)
            matched, delivered, dropped, _ = self.forward(s)
            self.assertEqual((matched, dropped), (delivered, 0))
            got = {json.loads(line)["src_ip"] for body in receiver.bodies for line in body.splitlines()}
            self.assertEqual(got, {f"10.1.0.{i}" for i in range(20)} | {"10.1.0.99"})

    def test_a_forward_that_makes_no_sense_is_refused_with_its_place(self):
        log = {"name": "log", "kind": "file", "path": f"{self.folder}/x"}
        for table, word in (({"name": "f", "filter": "src_prt == 1", "target": "log"}, "did you mean 'src_port'"),
                            ({"name": "f", "filter": "src_port == 1", "target": "nobody"}, "there is no target 'nobody'")):
            code, _, error = sluiced.run("--config", self.config(log, table), "--data", f"{self.folder}/data", *ADDRESSES)
            self.assertNotEqual(code, 0)
            self.assertIn(word, error)
            self.assertIn("sluice.toml:", error)


# Hostile from end to end: what a rule's author writes comes out of every format as text.
HOSTILE = ("create rule hostile severity critical tags ('a|b') as dst_port == 25 alert by src_ip suppress 1h "
           r"message '{src_ip} \"q\" a|b c=d <!channel> [x](http://h)\r\nBcc: x@example.net\r\n.\r\nend'")


class Chats(Base):
    def test_slack_and_teams_gather_and_show_plain_text(self):
        slack, teams = self.receiver(secret=None), self.receiver(lambda n: 429 if n == 0 else 202, secret=None)
        tables = []
        for kind, receiver in (("slack", slack), ("teams", teams)):
            with open(f"{self.folder}/{kind}-url", "w") as f:
                f.write(receiver.url)
            tables.append({"name": kind, "kind": kind, "url_file": f"{self.folder}/{kind}-url", "group": "1s"})
        with self.server(*tables) as s:
            s.query(HOSTILE).rows()
            push(s, [flow("10.1.0.1", port=25), flow("10.1.0.2", port=25)])
            wait_for(lambda: slack.bodies and teams.bodies, 20)
            body = json.loads(slack.bodies[0])
            self.assertEqual(len(slack.bodies), 1)
            self.assertTrue(body["text"].startswith("2 alerts, the worst critical"))
            self.assertEqual([b["type"] for b in body["blocks"]], ["header", "section", "context"] * 2)
            self.assertIn("<!channel>", body["blocks"][1]["text"]["text"])
            self.assertEqual(body["blocks"][1]["text"]["type"], "plain_text")
            card = json.loads(teams.bodies[0])["attachments"][0]["content"]
            self.assertEqual(card["type"], "AdaptiveCard")
            self.assertIn("[x](http://h)", card["body"][1]["inlines"][0]["text"])
            for text in (s.get("/v1/targets").body.decode(), s.stderr()):
                self.assertNotIn("s3cret-path", text)


def certificate(folder):
    cert, key = f"{folder}/cert.pem", f"{folder}/cert.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Mail(Base):
    """aiosmtpd, in a process of its own: its package may belong to another Python than the one that runs this."""

    def smtp_server(self, *arguments):
        python = next((p for p in (sys.executable, "/usr/bin/python3") if subprocess.run([p, "-c", "import aiosmtpd.smtp"], capture_output=True).returncode == 0), None)
        if not python:
            self.skipTest("no SMTP server to test with: the package python3-aiosmtpd is not there")
        self.box = f"{self.folder}/mail"
        os.makedirs(self.box, exist_ok=True)
        process = subprocess.Popen([python, os.path.join(os.path.dirname(os.path.abspath(__file__)), "smtp_server.py"), self.box, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def end():
            process.kill()
            process.wait()
            process.stdout.close()
        self.addCleanup(end)
        return int(process.stdout.readline())

    def mails(self):
        out = []
        for name in sorted(glob.glob(f"{self.box}/*.json")):
            with open(name) as f:
                out.append(json.load(f))
        return out

    def test_mails_with_starttls_and_a_password(self):
        if not shutil.which("openssl"):
            self.skipTest("no openssl command to make a certificate with")
        cert, key = certificate(self.folder)
        port = self.smtp_server(cert, key, "sluice", "hush hush")
        with open(f"{self.folder}/password", "w") as f:
            f.write("wrong\n")
        table = {"name": "noc", "kind": "smtp", "server": f"127.0.0.1:{port}", "from": "sluice@example.net", "to": ["noc@example.net", "me@example.org"], "user": "sluice",
                 "password_file": f"{self.folder}/password", "ca_file": cert, "group": "0", "events": ["started"]}
        with self.server(table, {**table, "name": "distrusts", "ca_file": ""}) as s:
            s.query(HOSTILE).rows()
            push(s, [flow("10.1.0.1", port=25)])
            wait_for(lambda: self.target(s, "failures", "noc")[0] > 0)
            self.assertEqual(self.mails(), [])
            with open(f"{self.folder}/password", "w") as f:  # put right while the server runs
                f.write("hush hush\n")
            got = wait_for(self.mails, 30)
            self.assertEqual(len(got), 1)
            self.assertEqual((got[0]["from"], got[0]["to"], got[0]["tls"], got[0]["user"]), ("sluice@example.net", ["noc@example.net", "me@example.org"], True, "sluice"))
            message = email.message_from_string(got[0]["message"], policy=email.policy.default)
            self.assertEqual(message.defects, [])
            self.assertEqual(sorted(message.keys()), sorted(["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"]))
            self.assertTrue(message["Subject"].startswith("[critical] hostile: 10.1.0.1 \"q\" a|b"))
            self.assertIn("Severity: critical", message.get_content())
            self.assertIn("\\r\\nBcc: x@example.net", message.get_content())
            # Without the authority that signed the server's certificate nothing is sent to it.
            wait_for(lambda: self.target(s, "failures", "distrusts")[0] > 0)
            self.assertRegex(self.target(s, "last_error", "distrusts")[0], "(?i)certificate|SSL")
            self.assertNotIn("hush hush", s.get("/v1/targets").body.decode() + s.stderr())

    def test_a_server_that_says_later_and_one_that_says_never(self):
        port = self.smtp_server()
        table = {"name": "noc", "kind": "smtp", "server": f"127.0.0.1:{port}", "tls": "none", "from": "sluice@example.net", "to": "noc@example.net", "group": "0", "events": ["started"]}
        with self.server(table) as s:
            s.query(TELNET).rows()
            with open(f"{self.box}/refuse", "w") as f:
                f.write("451 4.3.0 later")
            push(s, [flow("10.1.0.1", port=23)])
            wait_for(lambda: self.target(s, "failures", "noc")[0] > 0)
            self.assertIn("451", self.target(s, "last_error", "noc")[0])
            os.unlink(f"{self.box}/refuse")
            self.assertEqual(len(wait_for(self.mails, 30)), 1)
            with open(f"{self.box}/refuse", "w") as f:
                f.write("554 5.7.1 never")
            push(s, [flow("10.1.0.2", port=23)])
            wait_for(lambda: self.target(s, "refused", "noc") == [1])
            os.unlink(f"{self.box}/refuse")
            push(s, [flow("10.1.0.3", port=23)])
            self.assertEqual(len(wait_for(lambda: (lambda m: m if len(m) == 2 else None)(self.mails()), 30)), 2)
            # A server without STARTTLS gets nothing where TLS is asked for.
            answer = Sluiced("--config", self.config({**table, "tls": "starttls"}), *ADDRESSES)
            with answer as other:
                tried = other.post("/v1/targets/noc/test").json()
                self.assertFalse(tried["delivered"])
            self.assertEqual(len(self.mails()), 2)


class Syslog(Base):
    """rsyslog, without privileges, on ports of its own."""

    def syslog_server(self, *inputs):
        program = shutil.which("rsyslogd") or (os.path.exists("/usr/sbin/rsyslogd") and "/usr/sbin/rsyslogd")
        if not program:
            self.skipTest("no syslog server to test with: the package rsyslog is not there")
        if not shutil.which("openssl"):
            self.skipTest("no openssl command to make a certificate with")
        if not glob.glob("/usr/lib/*/rsyslog/lmnsd_ossl.so"):
            self.skipTest("the syslog server has no TLS: the package rsyslog-openssl is not there")
        cert, key = certificate(self.folder)
        self.cert = cert
        self.ports = {"udp": free_port(socket.SOCK_DGRAM), "tcp": free_port(), "tls": free_port()}
        self.out = f"{self.folder}/syslog.ndjson"
        self.conf = f"{self.folder}/rsyslog.conf"
        with open(self.conf, "w") as f:
            f.write(f"""global(workDirectory="{self.folder}" maxMessageSize="128k" defaultNetstreamDriverCAFile="{cert}" defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imtcp")
template(name="fields" type="list") {{
  constant(value="{{\\"pri\\":\\"") property(name="pri") constant(value="\\",\\"host\\":\\"") property(name="hostname" format="json")
  constant(value="\\",\\"app\\":\\"") property(name="app-name" format="json") constant(value="\\",\\"msgid\\":\\"") property(name="msgid" format="json")
  constant(value="\\",\\"by\\":\\"") property(name="inputname" format="json")
  constant(value="\\",\\"msg\\":\\"") property(name="msg" format="json") constant(value="\\"}}\\n")
}}
ruleset(name="all") {{ action(type="omfile" file="{self.out}" template="fields") }}
input(type="imudp" address="127.0.0.1" port="{self.ports['udp']}" ruleset="all" name="udp")
input(type="imtcp" address="127.0.0.1" port="{self.ports['tcp']}" ruleset="all" name="tcp")
input(type="imtcp" address="127.0.0.1" port="{self.ports['tls']}" ruleset="all" name="tls" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
""")
        self.program = program
        self.start_syslog()

    def start_syslog(self):
        self.daemon = subprocess.Popen([self.program, "-n", "-i", f"{self.folder}/pid", "-f", self.conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.stop_syslog)

        def listens():
            try:
                socket.create_connection(("127.0.0.1", self.ports["tls"]), timeout=1).close()
                return True
            except OSError:
                return False
        self.assertTrue(wait_for(listens))

    def stop_syslog(self):
        if self.daemon.poll() is None:
            self.daemon.kill()
        self.daemon.wait()

    def messages(self, by=None):
        if not os.path.exists(self.out):
            return []
        with open(self.out) as f:
            all = [json.loads(line) for line in f if line.endswith("\n")]
        return [m for m in all if m["msgid"] == "alert" and by in (None, m["by"])]

    def test_every_way_and_shape(self):
        self.syslog_server()
        tables = [{"name": f"{way}-{shape}", "kind": "syslog", "address": f"127.0.0.1:{self.ports[way.split('-')[0]]}", "transport": way.split("-")[0], "shape": shape,
                   "events": ["started"], "hostname": f"{way}-{shape}", **({"framing": "lines"} if way == "tcp-lines" else {}), **({"ca_file": self.cert} if way == "tls" else {})}
                  for way in ("udp", "tcp", "tcp-lines", "tls") for shape in ("plain", "cef", "ecs", "ocsf")]
        with self.server(*tables, {"name": "distrusts", "kind": "syslog", "address": f"127.0.0.1:{self.ports['tls']}", "transport": "tls"}) as s:
            s.query(HOSTILE).rows()
            push(s, [flow("10.1.0.1", port=25), flow("10.1.0.2", port=25)])
            wait_for(lambda: len(self.messages()) >= 2 * len(tables), 20)
            by_host = {}
            for m in self.messages():
                by_host.setdefault(m["host"], []).append(m)
            self.assertEqual({host: len(all) for host, all in by_host.items()}, {t["name"]: 2 for t in tables})
            for host, all in by_host.items():
                way, shape = host.rsplit("-", 1)
                self.assertEqual({m["by"] for m in all}, {way.split("-")[0]})
                for m in all:
                    self.assertEqual((m["pri"], m["app"]), (str(16 * 8 + 2), "sluice"))
                    text = m["msg"].lstrip("\ufeff")
                    if shape == "cef":
                        self.assertTrue(text.startswith("CEF:0|Sluice|Sluice|"), text)
                        self.assertIn("|hostile|hostile|10|", text)
                        self.assertIn("src=10.1.0.", text)
                        self.assertIn("c\\=d", text)
                    elif shape == "plain":
                        self.assertIn("\\r\\nBcc: x@example.net", text)
                    else:
                        body = json.loads(text)
                        self.assertIn("\r\nBcc: x@example.net", body["message"])
                        self.assertEqual(body["class_uid"] if shape == "ocsf" else body["event"]["kind"], 2004 if shape == "ocsf" else "alert")
            wait_for(lambda: self.target(s, "failures", "distrusts")[0] > 0)
            self.assertRegex(self.target(s, "last_error", "distrusts")[0], "(?i)certificate|SSL")
            self.assertEqual(self.target(s, "delivered", "distrusts"), [0])

    def test_a_syslog_server_that_goes_and_comes_back(self):
        self.syslog_server()
        table = {"name": "siem", "kind": "syslog", "address": f"127.0.0.1:{self.ports['tls']}", "transport": "tls", "ca_file": self.cert, "events": ["started"]}
        with self.server(table) as s:
            s.query(TELNET).rows()
            push(s, [flow("10.1.0.1", port=23)])
            wait_for(lambda: len(self.messages()) == 1)
            self.stop_syslog()
            push(s, [flow("10.1.0.2", port=23)])
            wait_for(lambda: self.target(s, "failures", "siem")[0] > 0)
            self.start_syslog()
            wait_for(lambda: len(self.messages()) == 2, 30)
            self.assertEqual(sorted(m["msg"].split(" uses")[0].lstrip("\ufeff") for m in self.messages()), ["10.1.0.1", "10.1.0.2"])


if __name__ == "__main__":
    sluiced.PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
