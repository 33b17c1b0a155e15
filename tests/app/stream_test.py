#!/usr/bin/env python3
"""Streams of the real server: flows and alerts as they happen. Run: stream_test.py PATH-OF-SLUICED [TEST…]"""
import http.client
import json
import queue
import socket
import sys
import threading
import time
import unittest
import urllib.parse

import sluiced
from sluiced import Sluiced, wait_until


def flow(source, target="10.9.0.1", port=22, size=100):
    at = int(time.time())
    return f"2 123456789010 eni-0a {source} {target} 40000 {port} 6 3 {size} {at} {at} ACCEPT OK\n"


def push(server, lines):
    answer = server.post("/v1/ingest/aws_vpc", "".join(lines))
    assert answer.status == 200, answer.body
    return answer.json()["accepted"]


class Stream:
    """Events as they come, read as the standard says, on a thread of its own."""

    def __init__(self, server, path, last_id=None, token=None):
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        if token:
            headers["Authorization"] = "Bearer " + token
        self.connection = http.client.HTTPConnection(server.http, timeout=60)
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.events, self.id = queue.Queue(), None
        self.body = None
        if self.status != 200:
            self.body = json.loads(self.answer.read())
            self.connection.close()
            return
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        self.columns = None

    def read(self):
        name, data, event_id = "message", [], None
        try:
            for line in self.answer:
                line = line.decode().rstrip("\n")
                if line == "":
                    if data:
                        self.events.put((name, json.loads("\n".join(data)), event_id))
                    name, data, event_id = "message", [], None
                elif line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    data.append(line[6:])
                elif line.startswith("id: "):
                    event_id = line[4:]
                else:
                    raise AssertionError(line)
        except (OSError, ValueError, AttributeError, http.client.HTTPException):  # closed on this side
            pass
        self.events.put(None)

    def next(self, *names, seconds=10):
        """The next event of one of these names; None at the end of the stream."""
        end = time.time() + seconds
        while True:
            event = self.events.get(timeout=max(0.01, end - time.time()))
            if event is None:
                return None
            if event[2]:
                self.id = event[2]
            if event[0] in names:
                return event

    def rows(self, count, seconds=10):
        """That many rows, and what was dropped meanwhile."""
        rows, dropped = [], 0
        while len(rows) + dropped < count:
            event = self.next("rows", "dropped", "lost", seconds=seconds)
            assert event, "the stream ended"
            rows += event[1].get("rows", [])
            dropped += event[1].get("dropped", 0)
            assert event[0] != "lost", event
        return rows, dropped

    def close(self):
        if self.connection.sock:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def tail(server, q, **kw):
    more = kw.pop("more", "")
    stream = Stream(server, "/v1/tail?q=" + urllib.parse.quote(q) + more, **kw)
    if stream.status == 200:
        stream.columns = [c["name"] for c in stream.next("columns")[1]["columns"]]
        stream.next("alive")
    return stream


class Tails(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Sluiced().__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.s.__exit__()

    def test_flows_come_as_they_are_appended(self):
        push(self.s, [flow("10.1.0.1")] * 3)  # before: not shown
        t = tail(self.s, "dst_port == $port | extend kilo = bytes / 1000 | select src_ip, dst_port, kilo", more="&param.port=22")
        self.assertEqual(t.answer.headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(t.columns, ["src_ip", "dst_port", "kilo"])
        push(self.s, [flow("10.1.0.2", port=22), flow("10.1.0.3", port=443), flow("10.1.0.4", port=22, size=2500)])
        rows, dropped = t.rows(2)
        self.assertEqual((rows, dropped), ([["10.1.0.2", 22, 0.1], ["10.1.0.4", 22, 2.5]], 0))
        push(self.s, [flow("10.1.0.5", port=22)])
        self.assertEqual(t.rows(1)[0], [["10.1.0.5", 22, 0.1]])
        t.close()
        plain = tail(self.s, "from flows")
        self.assertIn("src_ip", plain.columns)
        self.assertLess(len(plain.columns), 15)
        plain.close()

    def test_a_broken_connection_goes_on_where_it_was(self):
        t = tail(self.s, "src_ip in 10.2.0.0/16 | select src_ip")
        push(self.s, [flow("10.2.0.1"), flow("10.9.9.9")])
        self.assertEqual(t.rows(1)[0], [["10.2.0.1"]])
        place = t.id
        t.close()
        push(self.s, [flow("10.2.0.2")])
        push(self.s, [flow("10.9.9.9"), flow("10.2.0.3")])
        again = tail(self.s, "src_ip in 10.2.0.0/16 | select src_ip", last_id=place)
        self.assertEqual(again.rows(2)[0], [["10.2.0.2"], ["10.2.0.3"]])
        again.close()
        # The same by the query string, for those who cannot send the header; and never a row twice.
        third = tail(self.s, "src_ip in 10.2.0.0/16 | select src_ip", more="&last_event_id=" + again.id)
        push(self.s, [flow("10.2.0.4")])
        self.assertEqual(third.rows(1)[0], [["10.2.0.4"]])
        third.close()
        # A place of another life of the server is not known, and that is said.
        for strange in ("0123456789abcdef-3-9", "nonsense", place + "9999"):
            other = Stream(self.s, "/v1/tail?q=from+flows", last_id=strange)
            self.assertIn("started anew", other.next("gap")[1]["reason"])
            other.close()

    def test_what_is_more_than_anybody_reads_is_counted(self):
        t = tail(self.s, "src_ip in 10.3.0.0/16 | select src_ip, src_port")
        push(self.s, [flow(f"10.3.{i >> 8}.{i & 255}") for i in range(5_000)])
        rows, dropped = t.rows(5_000)
        self.assertEqual(len(rows) + dropped, 5_000)
        self.assertGreaterEqual(len(rows), 500)
        self.assertGreater(dropped, 0)
        push(self.s, [flow("10.3.0.1")])
        self.assertEqual(t.rows(1), ([["10.3.0.1", 40000]], 0))
        t.close()

    def test_what_cannot_be_followed_is_refused_with_its_place(self):
        for q, message in (("last 1h", "no time range"), ("from flows | sort ts", "sort"), ("from flows | where src_prt == 1", "src_prt"), ("create list x (1.2.3.4)", "statement")):
            refused = tail(self.s, q)
            self.assertEqual(refused.status, 400, q)
            self.assertIn(message, refused.body["error"]["message"])
            self.assertIn("line", refused.body["error"])
        self.assertEqual(tail(self.s, "").status, 400)
        self.assertEqual(tail(self.s, "from flows", more="&from=now-1h").status, 400)
        self.assertEqual(tail(self.s, "from flows", more="&limit=5").status, 400)
        self.assertEqual(self.s.ask("HEAD", "/v1/tail?q=from+flows").status, 200)

    def test_a_stranger_s_text_stays_one_line_of_json(self):
        t = tail(self.s, "src_ip == 10.4.0.1 | select src_ip, src_instance_id, dst_instance_id")
        now = int(time.time())
        evil = "a\\ndata:x<b>"
        body = f"{evil} 10.4.0.1 10.4.0.2 1 2 6 1 100 {now} {now} ACCEPT\n"
        answer = self.s.post("/v1/ingest/aws_vpc", body, headers={"X-Sluice-Format": "${instance-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action}"})
        self.assertEqual(answer.json()["accepted"], 1)
        row = t.rows(1)[0][0]
        self.assertEqual(row[0], "10.4.0.1")
        self.assertIn(evil, row)
        t.close()


class Alerts(unittest.TestCase):
    def test_alerts_are_told_as_they_happen(self):
        with Sluiced() as s:
            rule = ("create rule knocks severity high as from flows | where dst_port == 22 | stats n = count() by src_ip window 1m | where n >= 3 "
                    "alert by src_ip message \"{src_ip} knocked {n} times\"")
            self.assertEqual(s.query(rule).status, 200)
            stream = Stream(s, "/v1/alerts/stream?rule=knocks&severity=HIGH")
            other = Stream(s, "/v1/alerts/stream?severity=low")
            stream.next("alive")
            push(s, [flow("10.1.0.1")] * 4)
            name, alert, place = stream.next("alert")
            self.assertEqual((alert["change"], alert["rule"], alert["state"], alert["key"]), ("started", "knocks", "firing", "src_ip=10.1.0.1"))
            self.assertIn("knocked 4 times", alert["message"])
            stream.close()
            self.assertEqual(s.query("drop rule knocks").status, 200)
            again = Stream(s, "/v1/alerts/stream", last_id=place)
            self.assertEqual(again.next("alert")[1]["change"], "ended")
            again.close()
            self.assertTrue(all(e[0] == "alive" for e in list(other.events.queue)))
            other.close()
            self.assertEqual(s.get("/v1/alerts/stream?who=me").status, 400)


class Bounds(unittest.TestCase):
    def test_so_many_streams_and_no_more(self):
        with Sluiced() as s:
            streams = [tail(s, "from flows | select src_ip") for _ in range(32)]
            self.assertEqual({t.status for t in streams}, {200})
            self.assertEqual(tail(s, "from flows").status, 503)
            self.assertEqual(s.get("/v1/sources").status, 200)  # others are not kept waiting
            push(s, [flow("10.1.0.1")])
            for t in streams:
                self.assertEqual(t.rows(1)[0], [["10.1.0.1"]])
            streams.pop().close()

            def room():
                t = tail(s, "from flows")
                streams.append(t)
                return t.status == 200
            self.assertTrue(wait_until(room))
            # All end with the server, at once and whole.
            started = time.time()
            self.assertEqual(s.stop(), 0)
            self.assertLess(time.time() - started, 10)
            for t in streams:
                if t.status == 200:
                    while t.next("rows", "dropped") is not None:
                        pass

    def test_a_client_that_does_not_read_costs_a_bounded_store(self):
        with Sluiced() as s:
            sock = s.raw(receive_buffer=4096)
            sock.sendall(b"GET /v1/tail?q=from+flows HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.5)
            total = 0
            for i in range(12):
                total += push(s, [flow(f"10.{i}.{j >> 8 & 255}.{j & 255}", port=j % 60_000) for j in range(20_000)])
            self.assertEqual(s.count(), total)
            fresh = tail(s, "src_ip == 10.77.0.1 | select src_ip")
            push(s, [flow("10.77.0.1")])
            self.assertEqual(fresh.rows(1)[0], [["10.77.0.1"]])
            fresh.close()
            sock.close()
            self.assertEqual(s.stop(), 0)

    def test_a_removed_token_ends_its_stream(self):
        with Sluiced() as s:
            boss = s.post("/v1/admin/tokens", b'{"name":"boss","role":"admin"}').json()["token"]
            reader = s.post("/v1/admin/tokens", b'{"name":"r","role":"read"}', token=boss).json()["token"]
            self.assertEqual(tail(s, "from flows").status, 401)
            t = tail(s, "from flows", token=reader)
            self.assertEqual(t.status, 200)
            self.assertEqual(s.ask("DELETE", "/v1/admin/tokens/r", token=boss).status, 200)
            self.assertIn("token", t.next("error", seconds=25)[1]["error"]["message"])
            self.assertIsNone(t.next("rows"))


if __name__ == "__main__":
    sluiced.PROGRAM = sys.argv[1]
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
