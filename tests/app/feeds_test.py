#!/usr/bin/env python3
"""Feeds and pushes of the real server: what is fetched or pushed counts once, also over kill -9. Run: feeds_test.py PATH-OF-SLUICED [TEST…]"""
import base64
import gzip
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import unittest

import sluiced
from sluiced import Sluiced, aws_lines, run, wait_until

FIREHOSE, CLOUDWATCH, PUBSUB = "/v1/push/firehose", "/v1/push/cloudwatch", "/v1/push/pubsub"


class Folder(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="sluice-feeds-")
        self.watched = self.root + "/in"
        os.mkdir(self.watched)

    def tearDown(self):
        shutil.rmtree(self.root)

    def server(self, *lines, source="aws_vpc", **kw):
        path = self.root + "/s.toml"
        with open(path, "w") as f:
            f.write(f"data = '{self.root}/data'\nhttp = '127.0.0.1:0'\nnetflow = 'none'\nsflow = 'none'\n[[feed]]\nname = 'f'\nkind = 'folder'\n"
                    f"source = '{source}'\npath = '{self.watched}'\nperiod = '20ms'\nsettle = '200ms'\n" + "\n".join(lines) + "\n")
        return Sluiced("--config", path, data=self.root + "/data", **kw)

    def write(self, name, data, mode="ab"):
        with open(self.watched + "/" + name, mode) as f:
            f.write(data)

    def feed(self, s):
        return s.get("/v1/sources").json()["feeds"][0]

    def test_grows_rotates_and_compresses_and_counts_once(self):
        with self.server() as s:
            self.write("a.log", aws_lines(100) + b"2 12345")
            self.assertEqual(s.wait_count(100), 100)
            end = time.time() + 10  # rows are visible before the feed has booked them
            while (waiting := self.feed(s)["waiting_bytes"]) != 7 and time.time() < end:
                time.sleep(0.05)
            self.assertEqual(waiting, 7)
            self.write("a.log", aws_lines(1, first=100)[7:])
            self.assertEqual(s.wait_count(101), 101)
            # renamed with a line to come, and a new file under the old name
            os.rename(self.watched + "/a.log", self.watched + "/a.log.1")
            self.write("a.log.1", aws_lines(10, first=101))
            self.write("a.log", aws_lines(5, first=500))
            self.assertEqual(s.wait_count(116), 116)
            # the rotated one is compressed
            with open(self.watched + "/a.log.1", "rb") as f:
                whole = f.read()
            self.write("a.log.1.gz", gzip.compress(whole + aws_lines(1, first=111)))
            os.unlink(self.watched + "/a.log.1")
            self.assertEqual(s.wait_count(117), 117)
            time.sleep(0.5)
            self.assertEqual(s.count(), 117)
            shown = s.query("show feeds | select name, kind, state, rows").rows()
            self.assertEqual(shown, [["f", "folder", "idle", 117]])
            self.assertEqual(s.metric("sluice_feed_flows_total"), 117)
            self.assertEqual(s.metric("sluice_feed_up"), 1)

    def test_kill_at_any_moment(self):
        """Many starts on the same directory, each killed at another moment, while a writer goes on."""
        written = 0
        for round in range(12):
            with self.server(wait=False) as s:
                deadline = time.time() + 0.15 + 0.06 * round
                while time.time() < deadline:
                    self.write("grow.log", aws_lines(200, first=written))
                    written += 200
                    self.write(f"whole-{written}.gz", gzip.compress(aws_lines(3, first=written, source="11.0")))
                    time.sleep(0.02)
                s.process.send_signal(signal.SIGKILL)
                s.process.wait()
        wholes = sum(name.endswith(".gz") for name in os.listdir(self.watched))
        with self.server() as s:
            self.assertEqual(s.wait_count(written + 3 * wholes, seconds=30), written + 3 * wholes)
            time.sleep(0.5)
            self.assertEqual(s.count(), written + 3 * wholes)
            self.assertEqual(s.count("| where src_ip in 11.0.0.0/8"), 3 * wholes)

    def test_headers_hold_for_what_comes_later(self):
        header = b"account-id srcaddr dstaddr start end bytes\n"
        self.write("h.log", header + b"1 10.0.0.1 10.0.0.2 1763625600 1763625601 7\n")
        with self.server() as s:
            self.assertEqual(s.wait_count(1), 1)
            self.write("h.log", b"1 10.0.0.1 10.0.0.2 1763625600 1763625601 8\n")
            self.assertEqual(s.wait_count(2), 2)
        with self.server() as s:
            self.write("h.log", b"1 10.0.0.1 10.0.0.2 1763625600 1763625601 9\n")
            self.assertEqual(s.wait_count(3), 3)
            self.assertEqual(s.query("from flows | stats total = sum(bytes)").rows(), [[24]])

    def test_a_zeek_log_keeps_its_header_over_a_restart_and_a_rotation(self):
        """conn.log as Zeek writes it: header lines once, then for hours records; at the hour another file, which may have other fields."""
        def header(*fields):
            return ("#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2025-11-20-08-00-00\n"
                    + "#fields\t" + "\t".join(fields) + "\n").encode()
        first = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration", "orig_ip_bytes")
        second = ("ts", "uid", "proto", "id.resp_p", "id.resp_h", "id.orig_p", "id.orig_h", "orig_ip_bytes", "community_id")
        def old(n):
            return f"1763625600.{n:06d}\tC{n}\t10.0.0.1\t{40000 + n}\t192.0.2.1\t443\ttcp\t1.5\t{n}\n".encode()
        def new(n):
            return f"1763629200.{n:06d}\tC{n}\tudp\t53\t192.0.2.53\t{40000 + n}\t10.0.0.2\t{n}\t1:abc\n".encode()
        self.write("conn.log", header(*first) + old(1) + old(2)[:10])
        with self.server(source="zeek") as s:
            self.assertEqual(s.wait_count(1), 1)
        # Nothing but records from here on, and a restart, a clean one and a kill, between them.
        for n, sig in ((2, signal.SIGTERM), (3, signal.SIGKILL), (4, signal.SIGTERM)):
            with self.server(source="zeek") as s:
                self.write("conn.log", old(2)[10:] if n == 2 else old(n))
                self.assertEqual(s.wait_count(n), n)
                s.stop(sig)
        # Rotated: the old one gets its last lines under its new name, the new one has other fields in another order.
        with self.server(source="zeek") as s:
            os.rename(self.watched + "/conn.log", self.watched + "/conn.2025-11-20.log")
            self.write("conn.2025-11-20.log", old(5) + b"#close\t2025-11-20-09-00-00\n")
            self.write("conn.log", header(*second) + new(6))
            self.assertEqual(s.wait_count(6), 6)
        with self.server(source="zeek") as s:
            self.write("conn.log", new(7))
            self.assertEqual(s.wait_count(7), 7)
            self.assertEqual(s.query("from flows | stats n = count(), total = sum(raw_bytes) by src_ip, dst_ip, dst_port, protocol | sort src_ip").rows(),
                             [["10.0.0.1", "192.0.2.1", 443, 6, 5, 15], ["10.0.0.2", "192.0.2.53", 53, 17, 2, 13]])
            self.assertEqual(self.feed(s)["rejected"], 0)

    def test_copytruncate(self):
        with self.server() as s:
            self.write("t.log", aws_lines(100))
            self.assertEqual(s.wait_count(100), 100)
            shutil.copy(self.watched + "/t.log", self.watched + "/t.log.1")
            os.truncate(self.watched + "/t.log", 0)
            self.write("t.log", aws_lines(30, first=1000))
            self.assertEqual(s.wait_count(130), 130)
            time.sleep(0.6)
            self.assertEqual(s.count(), 130)

    def test_a_bad_object_blocks_nothing(self):
        self.write("bad.gz", b"\x1f\x8b\x08 this is no gzip")
        self.write("nonsense.log", b"what is this\n")
        self.write("good.log", aws_lines(4))
        with self.server() as s:
            self.assertEqual(s.wait_count(4), 4)
            self.assertTrue(wait_until(lambda: self.feed(s)["set_aside"] == 2))
            reasons = {os.path.basename(e["object"]): e["reason"] for e in s.get("/v1/sources").json()["feed_errors"]}
            self.assertEqual(set(reasons), {"bad.gz", "nonsense.log"})
            self.assertIn("line 1", reasons["nonsense.log"])
        with self.server() as s:
            time.sleep(0.5)
            self.assertEqual(self.feed(s)["set_aside"], 0)  # not tried again …
            self.assertEqual(len(s.query("show feed_errors").rows()), 2)  # … and not forgotten

    def test_delete_and_move(self):
        self.write("a.gz", gzip.compress(aws_lines(3)))
        self.write("b.log", aws_lines(2, first=10)[:-1])  # without its last line end
        os.utime(self.watched + "/b.log", (1, 1))
        with self.server("after = 'move'", f"move_to = '{self.root}/done'", "finish_after = '300ms'") as s:
            self.assertEqual(s.wait_count(5), 5)
            self.assertTrue(wait_until(lambda: os.path.isdir(self.root + "/done") and sorted(os.listdir(self.root + "/done")) == ["a.gz", "b.log"]))
            self.assertEqual(os.listdir(self.watched), [])

    def test_a_directory_that_is_not_there_is_told_and_tried_again(self):
        os.rmdir(self.watched)
        with self.server() as s:
            self.assertTrue(wait_until(lambda: self.feed(s)["state"] == "failing"))
            self.assertIn("No such file", self.feed(s)["last_error"])
            self.assertEqual(s.metric("sluice_feed_up"), 0)
            os.mkdir(self.watched)
            self.write("a.log", aws_lines(1))
            self.assertEqual(s.wait_count(1), 1)

    def test_declarations_that_make_no_sense(self):
        for lines, told in ((["gloob = 'x'"], "s.toml:12: feed 'f': gloob"), (["after = 'burn'"], "keep, delete or move"), (["[[feed]]", "name = 'f'", "kind = 'folder'"], "another feed"),
                            (["secret = 'abc'"], "gloob|secret"), (["after = 'move'"], "move_to")):
            with self.server(*lines, wait=False) as s:
                self.assertEqual(s.process.wait(10), 1, lines)
                self.assertRegex(s.stderr(), told)


def firehose(*records, id="ed4acda5-034f-9f42-bba1-f29aea6d7d8f"):
    return json.dumps({"requestId": id, "timestamp": 1578090901599, "records": [{"data": base64.b64encode(r).decode()} for r in records]})


def envelope(*messages, type="DATA_MESSAGE", first=1):
    return json.dumps({"owner": "1", "logGroup": "g", "logStream": "eni-1-all", "subscriptionFilters": ["d"], "messageType": type,
                       "logEvents": [{"id": str(10**55 + first + i), "timestamp": 1763625600000, "message": m.decode()} for i, m in enumerate(messages)]}).encode()


class Pushes(unittest.TestCase):
    def setUp(self):
        self.s = Sluiced("--netflow", "none", "--sflow", "none")
        self.addCleanup(self.s.__exit__)

    def send(self, body, id="ed4acda5-034f-9f42-bba1-f29aea6d7d8f", **headers):
        return self.s.post(FIREHOSE, body, headers={"X-Amz-Firehose-Protocol-Version": "1.0", "X-Amz-Firehose-Request-Id": id,
                                                    "X-Amz-Firehose-Source-Arn": "arn:aws:firehose:eu-west-1:1:deliverystream/flows",
                                                    "Content-Type": "application/json", **headers})

    def test_firehose_answers_to_the_letter_and_counts_a_retry_once(self):
        body = firehose(*aws_lines(3).splitlines(), b"", gzip.compress(aws_lines(2, first=3)), gzip.compress(envelope(*aws_lines(2, first=5).splitlines())))
        for _ in range(3):
            answer = self.send(body)
            self.assertEqual(answer.status, 200, answer.body)
            self.assertEqual(set(answer.json()), {"requestId", "timestamp"})
            self.assertEqual(answer.json()["requestId"], "ed4acda5-034f-9f42-bba1-f29aea6d7d8f")
            self.assertLess(abs(answer.json()["timestamp"] / 1000 - time.time()), 60)
            self.assertEqual(answer.headers["content-type"], "application/json")
            self.assertEqual(int(answer.headers["content-length"]), len(answer.body))
            self.assertNotIn("content-encoding", answer.headers)
            self.assertEqual(self.s.count(), 7)
        self.assertEqual(self.send(gzip.compress(firehose(aws_lines(1, first=9), id="b").encode()), id="b", **{"Content-Encoding": "gzip"}).status, 200)
        self.assertEqual(self.s.count(), 8)

    def test_firehose_what_is_durable_is_so_over_a_kill(self):
        data = self.s.data
        self.assertEqual(self.send(firehose(aws_lines(5), id="k"), id="k").status, 200)
        self.s.stop(signal.SIGKILL)
        with Sluiced("--netflow", "none", "--sflow", "none", data=data) as s:
            self.s, first = s, self.s
            self.assertEqual(s.count(), 5)
            self.assertEqual(self.send(firehose(aws_lines(5), id="k"), id="k").status, 200)
            self.assertEqual(s.count(), 5)
            self.s = first

    def test_firehose_refusals_keep_its_form(self):
        for body, id, status in (("{", "x", 400), ("[]", "x", 400), (firehose(id="other"), "x", 400), ('{"requestId":"x","records":[{"data":"%"}]}', "x", 422),
                                 ('{"requestId":"x"}', "x", 400), (firehose(b"no flow log", id="x"), "x", 422), (firehose(b"a" * 1_024_001, id="x"), "x", 413),
                                 (json.dumps({"requestId": "x", "records": [{"data": ""}] * 10_001}), "x", 413)):
            answer = self.send(body, id=id)
            self.assertEqual(answer.status, status, (body[:50], answer.body))
            self.assertEqual(answer.json()["requestId"], "x")
            self.assertTrue(answer.json()["errorMessage"])
        # What could not be read has not used up its id.
        self.assertEqual(self.send(firehose(aws_lines(1), id="x"), id="x").status, 200)
        self.assertEqual(self.s.count(), 1)
        self.assertEqual(self.send(firehose(id="e"), id="e").status, 200)
        self.assertEqual(self.send(firehose(id="v"), id="v", **{"X-Amz-Firehose-Protocol-Version": "2.0"}).status, 400)
        self.assertEqual(self.s.get(FIREHOSE).status, 405)

    def test_a_bad_record_costs_only_itself(self):
        body = json.loads(firehose(b"rubbish", aws_lines(2), b"\x1f\x8b\x08bad", id="m"))
        body["records"] += [{"data": "%"}, {"no": "data"}, 7]
        self.assertEqual(self.send(json.dumps(body), id="m").status, 200)
        self.assertEqual(self.s.count(), 2)
        self.assertEqual(self.s.metric("sluice_ingest_rejected_total"), 5)

    def test_a_stream_is_not_held_back_by_a_bad_record(self):
        pack = lambda b: base64.b64encode(gzip.compress(b)).decode()
        lines = aws_lines(6).splitlines()
        event = lambda *datas: json.dumps({"Records": [{"kinesis": {"data": d}} for d in datas]})
        good = [pack(envelope(l, first=10 * i + 10)) for i, l in enumerate(lines)]
        bad = ["%%", pack(b"{"), base64.b64encode(b"\x1f\x8b\x08bad").decode(), pack(envelope(b"rubbish", first=900)), pack(b" " * (17 << 20))]
        for b in bad:  # alone it is kept by its sender
            self.assertIn(self.s.post(CLOUDWATCH, event(b)).status, (422,), b[:30])
        answer = self.s.post(CLOUDWATCH, event(good[0], *bad, good[1]))
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual((answer.json()["accepted"], answer.json()["rejected"]), (2, 5))
        # An event without a message costs only itself, also where the envelope is read as it is.
        broken = json.loads(envelope(*lines[2:4], first=50))
        broken["logEvents"].insert(1, {"id": "7"})
        self.assertEqual(self.s.post(CLOUDWATCH, json.dumps({**broken, "logStream": "other"})).json()["rejected"], 1)
        self.assertEqual(self.s.metric("sluice_ingest_rejected_total") >= 6, True)

    def test_old_flows_of_many_hours_are_taken(self):
        """More time partitions than one write of the store takes: refused for ever once, in the order of a queue that nothing passes."""
        def line(n):
            at = 1763625600 - 3600 * n
            return b"2 123456789012 eni-1 10.0.%d.%d 172.31.0.9 1024 443 6 10 840 %d %d ACCEPT OK\n" % (n >> 8, n & 255, at, at)
        lines = [line(n) for n in range(3000)]
        body = b"".join(lines)
        for _ in range(2):
            self.assertEqual(self.send(firehose(b"".join(lines[:1500]), b"".join(lines[1500:]), id="old"), id="old").status, 200)
        message = json.dumps({"message": {"data": base64.b64encode(body).decode(), "messageId": "1"}, "subscription": "s"})
        self.assertEqual(self.s.count(), 3000)
        self.assertEqual(self.s.post(PUBSUB + "?source=aws_vpc", message).status, 200)  # of the same hours, so that none has to be sealed first
        self.assertEqual(self.s.post("/v1/ingest/aws_vpc", body).json()["accepted"], 3000)
        self.assertEqual(self.s.count(), 9000)

    def test_packed_pushes_stay_within_the_memory_of_bodies(self):
        """Kilobytes that unpack to gigabytes: refused or passed by, and never in memory."""
        def peak():
            with open(f"/proc/{self.s.process.pid}/status") as f:
                return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) << 10
        line = b"x" * (1 << 20) + b"\n"
        bomb = gzip.compress(line * 60, 9)  # 60 KB
        stream = json.dumps({"Records": [{"kinesis": {"data": base64.b64encode(bomb).decode()}}] * 30}).encode()
        brackets = gzip.compress(b"[" * (60 << 20), 9)
        pubsub = json.dumps({"message": {"data": base64.b64encode(bomb).decode(), "messageId": "1"}, "subscription": "s"})
        before = peak()
        for _ in range(2):
            self.assertIn(self.send(firehose(*[bomb] * 10, id="b"), id="b").status, (200, 422, 503))
            self.assertIn(self.s.post(CLOUDWATCH, stream).status, (413, 422, 503))
            self.assertIn(self.s.post(CLOUDWATCH, gzip.compress(stream)).status, (413, 422, 503))
            for door in (FIREHOSE, CLOUDWATCH, PUBSUB):
                self.assertIn(self.s.post(door, brackets, headers={"Content-Encoding": "gzip"}).status, (400, 413, 503))
            self.assertIn(self.s.post(PUBSUB + "?source=aws_vpc", pubsub).status, (200, 422, 503))
        self.assertLess(peak() - before, 700 << 20)
        self.assertEqual(self.send(firehose(aws_lines(1), id="after"), id="after").status, 200)
        self.assertEqual(self.s.count(), 1)

    def test_keys(self):
        admin = self.s.post("/v1/admin/tokens", json.dumps({"name": "a", "role": "admin"})).json()["token"]
        key = self.s.post("/v1/admin/tokens", json.dumps({"name": "fh", "role": "ingest"}), token=admin).json()["token"]
        reader = self.s.post("/v1/admin/tokens", json.dumps({"name": "r", "role": "read"}), token=admin).json()["token"]
        for wrong, status in ((None, 401), ("nonsense", 401), (reader, 403), ("x" * 5000, 401)):
            answer = self.send(firehose(aws_lines(1)), **({"X-Amz-Firehose-Access-Key": wrong} if wrong else {}))
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.json()["requestId"], "ed4acda5-034f-9f42-bba1-f29aea6d7d8f")
        self.assertEqual(self.send(firehose(aws_lines(1)), **{"X-Amz-Firehose-Access-Key": key}).status, 200)
        message = json.dumps({"message": {"data": base64.b64encode(aws_lines(1, first=7)).decode(), "messageId": "1"}, "subscription": "projects/p/subscriptions/s"})
        self.assertEqual(self.s.post(PUBSUB + "?source=aws_vpc", message, headers={"Authorization": "Bearer eyJhbGciOi.e30.x"}).status, 401)
        self.assertEqual(self.s.post(PUBSUB + "?source=aws_vpc&token=wrong", message).status, 401)
        self.assertEqual(self.s.post(PUBSUB + "?source=aws_vpc&token=" + key, message, headers={"Authorization": "Bearer eyJhbGciOi.e30.x"}).status, 200)
        self.s.token = admin
        self.assertEqual(self.s.count(), 2)

    def test_cloudwatch_in_every_wrapping(self):
        lines = aws_lines(40).splitlines()
        pack = lambda b: base64.b64encode(gzip.compress(b))
        bodies = [envelope(lines[0]), json.dumps({"awslogs": {"data": pack(envelope(lines[1], first=2)).decode()}}),
                  json.dumps({"Records": [{"kinesis": {"data": pack(envelope(l, first=10 + i)).decode()}} for i, l in enumerate(lines[2:5])]}),
                  pack(envelope(lines[5], first=20)), gzip.compress(envelope(lines[6], first=30))]
        for _ in range(2):
            for body in bodies:
                answer = self.s.post(CLOUDWATCH, body)
                self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json()["duplicates"], 1)
        self.assertEqual(self.s.count(), 7)
        control = self.s.post(CLOUDWATCH, envelope(b"CWL CONTROL MESSAGE: Checking health of destination", type="CONTROL_MESSAGE")).json()
        self.assertEqual((control["control"], control["accepted"], control["rejected"]), (1, 0, 0))
        for body, status in ((b"", 400), (b"{}", 400), (b"%%", 400), (envelope(b"rubbish", first=77), 422), (b"\x1f\x8b\x08bad", 422), (b'{"logEvents":[{"id":"1"}]}', 422)):
            self.assertEqual(self.s.post(CLOUDWATCH, body).status, status, body)
        self.assertEqual(self.s.post(CLOUDWATCH + "?source=nosuch", envelope(lines[8], first=80)).status, 404)

    def test_pubsub(self):
        def message(data, id="136969346945"):
            return json.dumps({"message": {"attributes": {"logging.googleapis.com/timestamp": "2024-01-01T00:00:00Z"}, "data": base64.b64encode(data).decode(),
                                           "messageId": id, "message_id": id, "publishTime": "2021-02-26T19:13:55.749Z"}, "subscription": "projects/p/subscriptions/s"})
        path = PUBSUB + "?source=aws_vpc"
        for _ in range(2):
            self.assertEqual(self.s.post(path, message(aws_lines(2))).status, 200)
        self.assertEqual(self.s.count(), 2)
        unwrapped = {"x-goog-pubsub-message-id": "9", "x-goog-pubsub-subscription-name": "projects/p/subscriptions/s"}
        for _ in range(2):
            self.assertEqual(self.s.post(path, aws_lines(1, first=5), headers=unwrapped).status, 200)
        self.assertEqual(self.s.count(), 3)
        for body, status in (("", 400), ("{}", 400), ('{"message":{"data":"%","messageId":"1"}}', 400), ('{"message":{"data":""}}', 400), (message(b"rubbish", "5"), 422)):
            self.assertEqual(self.s.post(path, body).status, status, body)

    def test_push_rules_say_the_format(self):
        with tempfile.TemporaryDirectory() as d:
            with open(d + "/s.toml", "w") as f:
                f.write("data = '%s/x'\nhttp = '127.0.0.1:0'\nnetflow = 'none'\nsflow = 'none'\n[[push]]\nfrom = 'arn:*:deliverystream/flows'\nsource = 'aws_vpc'\nformat = 'srcaddr dstaddr end bytes'\n" % d)
            with Sluiced("--config", d + "/s.toml", data=d + "/x") as s:
                self.s, first = s, self.s
                self.assertEqual(self.send(firehose(b"10.0.0.1 10.0.0.2 1763625600 77\n", id="r"), id="r").status, 200)
                self.assertEqual(s.query("from flows | stats total = sum(bytes)").rows(), [[77]])
                self.s = first


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: feeds_test.py PATH-OF-SLUICED [TEST…]")
    sluiced.PROGRAM = os.path.abspath(sys.argv.pop(1))
    sys.dont_write_bytecode = True
    unittest.main(verbosity=2)
