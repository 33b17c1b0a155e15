#!/usr/bin/env python3
"""Alerts on their way out of the real server, to real receivers: HTTP ones that fail, hang and recover, and files;
through kill -9. Run: delivery_test.py PATH-OF-SLUICED"""
import base64
import hashlib
import hmac
import http.server
import json
import os
import shutil
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
            self.assertIn('sluice_target_delivered_total{target="log",kind="file"} 3', s.get("/metrics").body.decode())
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
            self.assertEqual(s.query(f"create target x webhook '{trap.url}'").status, 400)

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
                import subprocess
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


if __name__ == "__main__":
    sluiced.PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
