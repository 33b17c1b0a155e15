"""Feeds of a real sluiced against real servers: live_test.py SLUICED CACHE PART…"""
import gzip
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "app"))
import capture
import servers
import sluiced
from sluiced import Sluiced, aws_lines, ipfix, netflow5, netflow9, sflow5, wait_until


def toml(value):
    return json.dumps(value)


class Live(unittest.TestCase):
    """A folder of its own, and a server process that can be ended and started again on the same data."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sluice-live-test-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        for name, text in (("secret", "sekret/+key\n"), ("azurite", servers.AZURITE_KEY + "\n"), ("wrong", "wrong\n")):
            with open(f"{self.folder}/{name}", "w") as f:
                f.write(text)

    def start(self, *feeds):
        with open(f"{self.folder}/sluice.toml", "w") as f:
            f.write(f"data = '{self.folder}/data'\nhttp = '127.0.0.1:0'\nnetflow = 'none'\nsflow = 'none'\n")
            for feed in feeds:
                f.write("\n[[feed]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in feed.items()))
        s = Sluiced("--config", f"{self.folder}/sluice.toml", data=f"{self.folder}/data")
        self.addCleanup(s.__exit__)
        return s

    def kill(self, s):
        s.process.kill()
        s.process.wait()

    def feed(self, s, name=None):
        answer = s.query("show feeds").json()
        rows = [dict(zip((c["name"] for c in answer["columns"]), row)) for row in answer["rows"]]
        return next({k: v if v is not None else "" for k, v in r.items()} for r in rows if name is None or r["name"] == name)

    def comes_to(self, s, count, seconds=60, where=""):
        n = s.wait_count(count, where, seconds)
        self.assertEqual(n, count, f"{self.feed(s)} {s.stderr()[-1500:]}")


def known_sources(s):
    return {x["name"] for x in s.get("/v1/sources").json()["sources"]}


# --- S3 -------------------------------------------------------------------------------------------------------------------

class S3Test(Live):
    @classmethod
    def setUpClass(cls):
        try:
            cls.s3 = servers.S3()
        except servers.Missing as why:
            raise unittest.SkipTest(str(why))
        cls.addClassCleanup(cls.s3.stop)

    def declared(self, bucket, **more):
        self.s3.bucket(bucket)
        return {"name": bucket, "kind": "s3", "source": "aws_vpc", "bucket": bucket, "endpoint": self.s3.url, "access_key_id": "AKIATEST",
                "secret_access_key_file": f"{self.folder}/secret", "interval": "1s", **more}

    def test_objects_come_once_whatever_happens(self):
        feed = self.declared("once")
        day = time.strftime("%Y/%m/%d", time.gmtime())
        expected = 0
        for i in range(150):
            self.s3.put("once", f"AWSLogs/1/vpcflowlogs/eu-1/{day}/a b+{i:03}=x.log.gz", gzip.compress(aws_lines(200, first=i * 200)))
            expected += 200
        kills = 0
        s = self.start(feed)
        end = time.time() + 60
        # Killed in the middle, again and again, until everything is there.
        while time.time() < end:
            seen = s.count()
            wait_until(lambda: s.count() > seen, 3)
            if s.count() >= expected:
                break
            self.kill(s)
            kills += 1
            s = self.start(feed)
        self.comes_to(s, expected)
        self.assertGreater(kills, 0)
        self.s3.put("once", f"AWSLogs/1/vpcflowlogs/eu-1/{day}/000-earlier.log", aws_lines(7, source="10.9"))
        self.comes_to(s, expected + 7)
        status = self.feed(s)
        self.assertEqual(status["set_aside"], 0, status)
        time.sleep(2.5)  # two more passes bring nothing
        self.assertEqual(s.count(), expected + 7)
        self.kill(s)
        s = self.start(feed)
        time.sleep(2.5)
        self.assertEqual(s.count(), expected + 7)
        self.assertEqual(s.stop(), 0)

    def test_dates_stars_suffixes_and_bad_objects(self):
        feed = self.declared("dates", prefix="AWSLogs/*/vpcflowlogs/*/{yyyy}/{mm}/{dd}/", suffix=".log.gz", since="3d", max_object_bytes=5000)
        day = time.strftime("%Y/%m/%d", time.gmtime())
        for account in (1, 2):
            self.s3.put("dates", f"AWSLogs/{account}/vpcflowlogs/eu-1/{day}/x.log.gz", gzip.compress(aws_lines(10, source=f"10.{account}")))
        self.s3.put("dates", "AWSLogs/1/vpcflowlogs/eu-1/2020/01/01/x.log.gz", gzip.compress(aws_lines(10)))
        self.s3.put("dates", f"AWSLogs/1/vpcflowlogs/eu-1/{day}/notes.txt", b"hello")
        self.s3.put("dates", f"AWSLogs/1/vpcflowlogs/eu-1/{day}/bad.log.gz", b"\x1f\x8b no gzip")
        self.s3.put("dates", f"AWSLogs/1/vpcflowlogs/eu-1/{day}/large.log.gz", os.urandom(6000))
        s = self.start(feed)
        self.comes_to(s, 20)
        self.assertTrue(wait_until(lambda: self.feed(s)["set_aside"] == 2), self.feed(s))
        errors = s.query("show feed_errors").rows()
        self.assertEqual(len(errors), 2)
        self.assertIn("max_object_bytes", str(errors))

    def test_a_wrong_secret_is_told(self):
        feed = self.declared("wrong", secret_access_key_file=f"{self.folder}/wrong")
        self.s3.put("wrong", "x", aws_lines(3))
        s = self.start(feed)
        self.assertTrue(wait_until(lambda: self.feed(s)["last_error"]), self.feed(s))
        status = self.feed(s)
        self.assertEqual(status["state"], "failing")
        self.assertIn("SignatureDoesNotMatch", status["last_error"])
        self.assertIn("secret access key is wrong", status["last_error"])
        # Put right in the file, it goes on by itself.
        with open(f"{self.folder}/wrong", "w") as f:
            f.write("sekret/+key")
        self.comes_to(s, 3)

    def test_no_such_bucket(self):
        feed = {**self.declared("exists"), "bucket": "does-not-exist"}
        s = self.start(feed)
        self.assertTrue(wait_until(lambda: "NoSuchBucket" in self.feed(s)["last_error"]), self.feed(s))


# --- SQS ------------------------------------------------------------------------------------------------------------------

class SqsTest(Live):
    @classmethod
    def setUpClass(cls):
        try:
            cls.moto = servers.Moto()
        except servers.Missing as why:
            raise unittest.SkipTest(str(why))
        cls.addClassCleanup(cls.moto.stop)

    def test_notices_bring_objects_and_go_when_durable(self):
        self.moto.s3("PUT", "/told")
        url = self.moto.sqs("CreateQueue", QueueName="flows")["QueueUrl"]
        arn = self.moto.sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]["QueueArn"]
        self.moto.notify("told", arn)  # s3:TestEvent comes first
        for i in range(40):
            self.moto.s3("PUT", f"/told/AWSLogs/a b+{i}=.log", body=aws_lines(50, first=50 * i))
        self.moto.s3("PUT", "/told/other/x.log", body=aws_lines(5))
        body = json.dumps({"detail-type": "Object Created", "detail": {"bucket": {"name": "told"}, "object": {"key": "AWSLogs/a b+1=.log"}}})
        self.moto.sqs("SendMessage", QueueUrl=url, MessageBody=body)  # told twice, by another way, without an ETag
        self.moto.sqs("SendMessage", QueueUrl=url, MessageBody="no notice")
        feed = {"name": "told", "kind": "s3", "source": "aws_vpc", "sqs_url": f"{self.moto.url}/123456789012/flows", "prefix": "AWSLogs/", "bucket": "told",
                "endpoint": self.moto.url, "region": "us-east-1", "access_key_id": "AKIATEST", "secret_access_key_file": f"{self.folder}/secret", "sqs_visibility": "30s"}
        s = self.start(feed)
        wait_until(lambda: s.count() > 0, 20)
        self.kill(s)
        s = self.start(feed)

        def left():
            a = self.moto.sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
            return int(a["ApproximateNumberOfMessages"]) + int(a["ApproximateNumberOfMessagesNotVisible"])
        # What the killed server had received comes again after its visibility timeout.
        self.assertTrue(wait_until(lambda: left() == 0, 75), (left(), self.feed(s)))
        # An event without an ETag is another object to us than one with; it is the one thing that is brought twice.
        self.assertIn(s.count(), (2000, 2050))
        self.assertIn("1 message that is no notice", self.feed(s)["note"])


# --- Azure ----------------------------------------------------------------------------------------------------------------

def vnet_record(i, minute):
    at = 1733975962447 + minute * 60000
    return json.dumps({"time": "2024-12-12T03:59:22.4470000Z", "flowLogVersion": 4, "flowLogGUID": "00000000-0000-0000-0000-000000000001", "macAddress": "002248A1B2C3",
                       "category": "FlowLogFlowEvent", "flowLogResourceID": "/SUBSCRIPTIONS/1/X", "targetResourceID": "/subscriptions/1/vnets/v", "operationName": "FlowLogFlowEvent",
                       "flowRecords": {"flows": [{"aclID": "a", "flowGroups": [{"rule": "r]}\"{", "flowTuples": [
                           f"{at},10.1.0.4,40.119.{i >> 8 & 255}.{i & 255},{1024 + i},123,17,O,E,NX,4,360,4,528"]}]}]}}).encode()


class AzureTest(Live):
    KEY = "flowLogResourceID=/1_NETWORKWATCHERRG/NW-FLOWLOGS/y=2026/m=11/d=26/h=07/m=00/macAddress=002248A1B2C3/PT1H.json"

    @classmethod
    def setUpClass(cls):
        try:
            cls.azurite = servers.Azurite()
        except servers.Missing as why:
            raise unittest.SkipTest(str(why))
        cls.addClassCleanup(cls.azurite.stop)

    def declared(self, container, source, **more):
        self.azurite.container(container)
        return {"name": container, "kind": "azure_blob", "source": source, "account": servers.AZURITE_ACCOUNT, "container": container,
                "endpoint": self.azurite.url, "account_key_file": f"{self.folder}/azurite", "interval": "1s", **more}

    def test_whole_blobs_and_a_wrong_key(self):
        feed = self.declared("whole", "aws_vpc", prefix="logs/*/")
        for i in range(30):
            self.azurite.put("whole", f"logs/{i % 3}/a b+{i}=.log", aws_lines(20, first=i * 20))
        s = self.start(feed)
        self.comes_to(s, 600)
        self.kill(s)
        s = self.start(feed)
        self.azurite.put("whole", "logs/0/000.log", aws_lines(1, source="10.8"))
        self.comes_to(s, 601)
        s.stop()
        with open(f"{self.folder}/wrong", "w") as f:
            f.write("d3Jvbmc=")
        s = self.start({**feed, "name": "other", "account_key_file": f"{self.folder}/wrong"})
        self.assertTrue(wait_until(lambda: self.feed(s)["last_error"]), self.feed(s))
        self.assertIn("status 403", self.feed(s)["last_error"])

    def test_a_shared_access_signature_is_renewed_without_a_restart(self):
        declared = self.declared("shared", "aws_vpc")
        declared.pop("account_key_file")
        with open(f"{self.folder}/sas", "w") as f:
            f.write(self.azurite.sas("shared", seconds=-60))  # has ended
        self.azurite.put("shared", "a.log", aws_lines(20))
        s = self.start({**declared, "sas_file": f"{self.folder}/sas"})
        self.assertTrue(wait_until(lambda: "status 403" in self.feed(s)["last_error"]), self.feed(s))
        self.assertNotIn("sig=", self.feed(s)["last_error"] + s.stderr())  # a signature is a password
        with open(f"{self.folder}/sas", "w") as f:
            f.write("?" + self.azurite.sas("shared") + "\n")
        self.comes_to(s, 20)
        self.azurite.put("shared", "b.log", aws_lines(1, first=20))
        self.comes_to(s, 21)

    def test_a_blob_that_grows_is_tailed_over_kills(self):
        feed = self.declared("grows", "azure_vnet")
        s = self.start({**feed, "source": "aws_vpc"})
        if "azure_vnet" not in known_sources(s):
            self.skipTest("this server does not read azure_vnet")
        self.kill(s)
        shutil.rmtree(f"{self.folder}/data")
        parts = [b'{"records":[']
        s = self.start(feed)
        records = 0
        for minute in range(12):
            block = b",".join(vnet_record(records + i, minute) for i in range(25))
            parts.append((b"," if minute else b"") + block)
            records += 25
            self.azurite.blocks("grows", self.KEY, parts + [b"]}"])
            if minute % 3 == 2:
                self.kill(s)
                s = self.start(feed)
            elif minute % 3 == 1:
                self.comes_to(s, records)
        self.comes_to(s, records)
        time.sleep(2.5)
        self.assertEqual(s.count(), records)
        self.assertEqual(s.query("from flows | stats n = dcount(dst_ip)").rows(), [[records]])


# --- Kafka ----------------------------------------------------------------------------------------------------------------

class KafkaTest(Live):
    @classmethod
    def setUpClass(cls):
        try:
            cls.kafka = servers.Kafka()
        except servers.Missing as why:
            raise unittest.SkipTest(str(why))
        cls.addClassCleanup(cls.kafka.stop)

    def declared(self, topic, source="aws_vpc", partitions=2, **more):
        self.kafka.topic(topic, partitions)
        return {"name": topic, "kind": "kafka", "source": source, "brokers": f"127.0.0.1:{self.kafka.port}", "topics": [topic], "session_timeout_ms": 6000, **more}

    def test_each_record_once_over_kills(self):
        feed = self.declared("lines")
        s = self.start(feed)
        sent = 0
        for round in range(4):
            self.kafka.produce("lines", [(aws_lines(1, first=sent + i), None, None, i % 2) for i in range(3000)])
            sent += 3000
            wait_until(lambda: s.count() > sent - 3000, 20)
            self.kill(s)
            s = self.start(feed)
        self.comes_to(s, sent)
        time.sleep(1)
        self.assertEqual(s.count(), sent)
        self.assertTrue(wait_until(lambda: self.kafka.committed("sluice-lines") == sent, 20), self.kafka.committed("sluice-lines"))
        self.assertTrue(wait_until(lambda: self.feed(s)["waiting_objects"] in (0, "")), self.feed(s))
        # The group gives them out again once it has given up the member that was killed.
        self.assertTrue(wait_until(lambda: "2 partitions" in self.feed(s)["note"], 30), self.feed(s))

    def test_compressed_bad_and_empty_records(self):
        feed = {**self.declared("mixed", partitions=1), "partitions": [0]}
        self.kafka.produce("mixed", [(gzip.compress(aws_lines(10)), None, None, 0), (b"rubbish", None, None, 0), (None, b"k", None, 0), (aws_lines(5, first=50), None, None, 0)])
        s = self.start(feed)
        self.comes_to(s, 15)
        self.assertGreater(self.feed(s)["rejected"], 0)

    def test_datagrams_know_their_exporter(self):
        feed = self.declared("packets", "netflow", payload="datagram")
        self.kafka.produce("packets", [(netflow5(flows=3), b"192.0.2.7", None, 0),
                                       (netflow9(data=False), None, [("exporter", b"192.0.2.9")], 1), (netflow9(template=False, sequence=2), None, [("exporter", b"192.0.2.9")], 1)])
        s = self.start(feed)
        self.comes_to(s, 4)
        self.assertEqual(s.count("| where exporter_ip == 192.0.2.7"), 3)
        self.assertEqual(s.count("| where exporter_ip == 192.0.2.9"), 1)
        # The template outlives the process, as it does for packets by UDP.
        self.kill(s)
        s = self.start(feed)
        self.kafka.produce("packets", [(netflow9(template=False, sequence=3), None, [("exporter", b"192.0.2.9")], 1)])
        self.comes_to(s, 5)
        self.kafka.produce("packets", [(sflow5(samples=2), b"192.0.2.8", None, 0)])
        self.comes_to(s, 7)

    def test_raw_flow_envelopes(self):
        feed = self.declared("raw", "netflow", payload="rawflow")
        payload = netflow5(flows=2)
        envelope = b"\x08" + b"\x80\xe2\xcf\xaa\x06" + b"\x12" + bytes([len(payload)]) + payload + b"\x1a\x10" + bytes(10) + b"\xff\xff\xc0\x00\x02\x0b" + b"\x20\x01\x28\x01"
        self.assertLess(len(payload), 128)
        self.kafka.produce("raw", [(envelope, None, None, 0), (b"\xff\xff", None, None, 0)])
        s = self.start(feed)
        self.comes_to(s, 2)
        self.assertEqual(s.count("| where exporter_ip == 192.0.2.11"), 2)
        self.assertTrue(wait_until(lambda: "1 record is no RawFlow" in self.feed(s)["note"]), self.feed(s))

    def test_goflow2_in_between_changes_nothing(self):
        """Real datagrams go to goflow2, which produces to the topic, and to a server of their own: what this one has of them is what the feed has."""
        for form in ("json", "bin"):
            with self.subTest(form):
                topic = "goflow2-" + form
                feed = self.declared(topic, "goflow2")
                try:
                    goflow2 = servers.Goflow2(feed["brokers"], topic, form)
                except servers.Missing as why:
                    self.skipTest(str(why))
                self.addCleanup(goflow2.stop)
                direct = Sluiced()
                self.addCleanup(direct.__exit__)
                own, self.folder = self.folder, tempfile.mkdtemp(prefix="sluice-live-test-")
                self.addCleanup(shutil.rmtree, self.folder, True)
                s = self.start(feed)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                    # One socket, because both tell exporters apart by it.
                    sent = 0

                    def send(datagram, sflow=False, template=False):
                        """goflow2 has many workers and small buffers: a template comes before its data, and nothing is lost, when it is waited for."""
                        nonlocal sent
                        out.sendto(datagram, direct.sflow if sflow else direct.netflow)
                        out.sendto(datagram, ("127.0.0.1", goflow2.sflow if sflow else goflow2.netflow))
                        sent += 1
                        if template or sent % 20 == 0:
                            self.assertTrue(wait_until(lambda: goflow2.taken() == sent, 20), (goflow2.taken(), sent))

                    for i in range(200):
                        send(netflow5(flows=25, sequence=25 * i))
                        send(netflow9(template=i == 0, sequence=i + 1, port=1_000 + i), template=i == 0)
                        send(ipfix(template=i == 0, sequence=i, port=2_000 + i), template=i == 0)
                        send(sflow5(samples=4, sequence=i + 1, first_sample=1 + 4 * i), sflow=True)
                    self.export_a_capture(send)
                self.assertTrue(wait_until(lambda: direct.count() == direct.metric("sluice_netflow_appended_flows_total") >= 200 * 31), direct.count())
                expected = direct.count()
                self.comes_to(s, expected)
                self.assertEqual(self.feed(s)["rejected"], 0)
                what = "| stats n = count(), bytes = sum(raw_bytes), packets = sum(raw_packets) by source, exporter_ip, src_ip, dst_ip, src_port, dst_port, protocol"
                of = lambda server: sorted(server.query("from flows " + what, limit=10_000).rows(), key=str)
                self.assertEqual(of(s), of(direct))
                print(f"  goflow2 -format {form}: {expected} flows, as by UDP", file=sys.stderr)
                s.stop()
                self.folder = own

    def export_a_capture(self, send):
        """softflowd's NetFlow v9 of made-up traffic, where it is installed."""
        softflowd = shutil.which("softflowd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not softflowd:
            print("  softflowd is not installed: it did not export", file=sys.stderr)
            return
        capture.write_pcap(self.folder + "/traffic.pcap", capture.traffic(time.time() - 120))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
            relay.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            relay.bind(("127.0.0.1", 0))
            relay.settimeout(2)
            # It hangs when its control socket has a long path; so it runs in the folder, with short names.
            done = subprocess.run([softflowd, "-r", "traffic.pcap", "-v", "9", "-n", f"127.0.0.1:{relay.getsockname()[1]}", "-d", "-p", self.folder + "/pid", "-c", "ctl"],
                                  capture_output=True, timeout=60, cwd=self.folder)
            self.assertEqual(done.returncode, 0, done.stderr[-1000:])
            datagrams = 0
            try:
                while True:
                    send(relay.recv(65535), template=datagrams == 0)
                    datagrams += 1
            except TimeoutError:
                pass
            self.assertGreater(datagrams, 10)

    def test_a_topic_made_anew_is_told(self):
        feed = self.declared("anew", partitions=1)
        self.kafka.produce("anew", [(aws_lines(1, first=i), None, None, 0) for i in range(20)])
        s = self.start(feed)
        self.comes_to(s, 20)
        self.kill(s)
        self.kafka.drop("anew")
        time.sleep(2)
        self.kafka.topic("anew", 1)
        self.kafka.produce("anew", [(aws_lines(1, first=100), None, None, 0)])
        s = self.start(feed)
        self.assertTrue(wait_until(lambda: "made anew" in self.feed(s)["last_error"], 30), self.feed(s))
        self.kill(s)
        s = self.start({**feed, "reset": "oldest"})
        self.comes_to(s, 21)


    def read_to_the_end(self, servers_of_group, sent):
        total = lambda: sum(s.count() for s in servers_of_group)
        self.assertTrue(wait_until(lambda: total() >= sent, 60), [(s.count(), self.feed(s)) for s in servers_of_group])
        time.sleep(1)
        self.assertEqual(total(), sent)

    def test_two_servers_of_one_group_share_its_partitions(self):
        """Members come and go while records do: each record is in one of the two stores, once."""
        feed = self.declared("shared", partitions=4)
        sent = 0

        def produce(count):
            nonlocal sent
            self.kafka.produce("shared", [(aws_lines(1, first=sent + i), None, None, i % 4) for i in range(count)])
            sent += count

        produce(2000)
        first = self.start(feed)
        self.comes_to(first, sent)
        other_folder, own = tempfile.mkdtemp(prefix="sluice-live-test-"), self.folder
        self.addCleanup(shutil.rmtree, other_folder, True)

        def start_other():
            self.folder = other_folder
            try:
                return self.start(feed)
            finally:
                self.folder = own

        for round in range(3):
            stop = threading.Event()
            background = threading.Thread(target=lambda: [produce(200) for _ in iter(lambda: stop.is_set(), True)])
            background.start()
            second = start_other()
            joined = wait_until(lambda: "2 partitions" in self.feed(second)["note"] and "2 partitions" in self.feed(first)["note"], 40)
            time.sleep(1)
            stop.set()
            background.join()
            self.assertTrue(joined, (self.feed(first), self.feed(second)))
            self.read_to_the_end((first, second), sent)
            rows_of_second = second.count()
            second.stop()  # leaves the group
            produce(1000)
            self.assertTrue(wait_until(lambda: first.count() + rows_of_second == sent, 60), (first.count(), rows_of_second, sent))
        second = start_other()
        self.read_to_the_end((first, second), sent)
        self.assertGreater(second.count(), 0)

    def test_a_data_directory_that_is_put_back_reads_what_it_lacks(self):
        feed = self.declared("back", partitions=1)
        self.kafka.produce("back", [(aws_lines(1, first=i), None, None, 0) for i in range(20)])
        s = self.start(feed)
        self.comes_to(s, 20)
        self.assertTrue(wait_until(lambda: self.kafka.committed("sluice-back") == 20, 20))
        s.stop()
        shutil.copytree(f"{self.folder}/data", f"{self.folder}/backup")
        s = self.start(feed)
        self.kafka.produce("back", [(aws_lines(1, first=i), None, None, 0) for i in range(20, 50)])
        self.comes_to(s, 50)
        self.assertTrue(wait_until(lambda: self.kafka.committed("sluice-back") == 50, 20))
        s.stop()
        shutil.rmtree(f"{self.folder}/data")
        shutil.move(f"{self.folder}/backup", f"{self.folder}/data")
        s = self.start(feed)
        self.comes_to(s, 50)
        self.assertIn("read again from 20", self.feed(s)["note"])
        # An offset that somebody else wrote is further: that one has read what lies between.
        s.stop()
        self.kafka.produce("back", [(aws_lines(1, first=i), None, None, 0) for i in range(50, 70)])
        self.kafka.commit("sluice-back", "back", 0, 60)
        s = self.start(feed)
        self.comes_to(s, 60)
        self.assertIn("has read 10 records from 50 on", self.feed(s)["note"])

    def test_records_that_are_gone_are_named(self):
        feed = self.declared("gone", partitions=1)
        self.kafka.produce("gone", [(aws_lines(1, first=i), None, None, 0) for i in range(20)])
        s = self.start(feed)
        self.comes_to(s, 20)
        self.assertTrue(wait_until(lambda: self.kafka.committed("sluice-gone") == 20, 20))
        s.stop()
        self.kafka.produce("gone", [(aws_lines(1, first=i), None, None, 0) for i in range(20, 50)])
        self.kafka.delete_before("gone", 0, 35)
        s = self.start(feed)
        self.comes_to(s, 35)
        self.assertEqual(self.feed(s)["set_aside"], 1)
        errors = s.get("/v1/sources").json()["feed_errors"]
        self.assertEqual([e["object"] for e in errors], ["gone/0 offsets 20-34"])
        self.assertIn("gone from the topic", errors[0]["reason"])
        # Told once.
        s.stop()
        s = self.start(feed)
        time.sleep(2)
        self.assertEqual(len(s.get("/v1/sources").json()["feed_errors"]), 1)

    def test_a_password(self):
        with open(f"{self.folder}/password", "w") as f:
            f.write("sesame\n")
        feed = {**self.declared("secured", partitions=1), "brokers": f"127.0.0.1:{self.kafka.sasl_port}", "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN",
                "sasl_username": "sluice", "sasl_password_file": f"{self.folder}/password"}
        self.kafka.produce("secured", [(aws_lines(7), None, None, 0)])
        s = self.start(feed)
        self.assertTrue(wait_until(lambda: "uthentication" in self.feed(s)["last_error"], 30), self.feed(s))
        self.assertNotIn("sesame", self.feed(s)["last_error"] + s.stderr())
        # Put right without a restart.
        with open(f"{self.folder}/password", "w") as f:
            f.write("sesame, open\n")
        self.comes_to(s, 7)


# --- stores that misbehave --------------------------------------------------------------------------------------------------

class Faulty(http.server.BaseHTTPRequestHandler):
    """A bucket whose server fails in turn: each request takes the next fault, until they are spent."""
    protocol_version = "HTTP/1.1"
    objects, faults, seen = {}, [], []

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", length=None, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        cls = type(self)
        cls.seen.append((time.time(), self.path))
        fault = cls.faults.pop(0) if cls.faults else None
        if isinstance(fault, int):
            return self.answer(fault, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
        if fault == "close":
            self.close_connection = True
            return None
        if fault == "redirect":
            return self.answer(301, b"<Error><Code>PermanentRedirect</Code></Error>", headers=[("Location", "http://127.0.0.1:1/x"), ("x-amz-bucket-region", "eu-3")])
        path = self.path.split("?")[0]
        if path in ("/b", "/b/"):
            body = "".join(f"<Contents><Key>{k}</Key><LastModified>{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}</LastModified><ETag>&quot;{len(v)}&quot;</ETag><Size>{len(v)}</Size></Contents>"
                           for k, v in cls.objects.items())
            body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{body}</ListBucketResult>".encode()
            return self.answer(200, body[: len(body) // 2] if fault == "truncated" else body, len(body))
        body = cls.objects.get(path[3:])
        if body is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        if fault == "truncated":
            self.close_connection = True
            return self.answer(200, body[: len(body) // 2], len(body))
        if fault == "slow":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for i in range(0, len(body), 997):
                self.wfile.write(body[i : i + 997])
                self.wfile.flush()
                time.sleep(0.01)
            return None
        return self.answer(200, body)


class FaultsTest(Live):
    def setUp(self):
        super().setUp()
        Faulty.objects, Faulty.faults, Faulty.seen = {}, [], []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.declared = {"name": "f", "kind": "s3", "source": "aws_vpc", "bucket": "b", "endpoint": f"http://127.0.0.1:{self.server.server_port}", "anonymous": True, "interval": "1s"}

    def test_every_fault_costs_time_and_no_flow(self):
        for i in range(8):
            Faulty.objects[f"k{i}"] = aws_lines(300, first=300 * i)
        Faulty.faults = [503, "close", 500, None, "truncated", None, "slow", 503, None, "close", None, 429, "truncated", "truncated"]
        s = self.start(self.declared)
        self.comes_to(s, 2400, 60)
        self.assertEqual(Faulty.faults, [])
        self.assertTrue(wait_until(lambda: self.feed(s)["state"] in ("idle", "reading")), self.feed(s))
        self.assertEqual(self.feed(s)["set_aside"], 0)

    def test_a_private_authority(self):
        servers.certificates(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.folder}/server.pem", f"{self.folder}/server.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        Faulty.objects["k"] = aws_lines(10)
        declared = {**self.declared, "endpoint": self.declared["endpoint"].replace("http:", "https:")}
        s = self.start(declared)
        self.assertTrue(wait_until(lambda: "certificate" in self.feed(s)["last_error"].lower(), 30), self.feed(s))
        self.assertEqual(Faulty.seen, [])  # nothing was asked of somebody who may be anybody
        s.stop()
        s = self.start({**declared, "ca_file": f"{self.folder}/ca.pem"})
        self.comes_to(s, 10)

    def test_throttling_is_waited_out_and_told(self):
        Faulty.objects["k"] = aws_lines(10)
        Faulty.faults = [503] * 9
        s = self.start(self.declared)
        self.assertTrue(wait_until(lambda: "SlowDown" in self.feed(s)["last_error"], 30), self.feed(s))
        self.comes_to(s, 10, 60)
        times = [t for t, _ in Faulty.seen[:4]]
        gaps = [b - a for a, b in zip(times, times[1:])]
        self.assertTrue(gaps[0] < gaps[1] < gaps[2], gaps)  # each wait is longer than the one before

    def test_redirects_are_not_followed(self):
        Faulty.faults = ["redirect"] * 50
        s = self.start(self.declared)
        self.assertTrue(wait_until(lambda: "eu-3" in self.feed(s)["last_error"], 20), self.feed(s))
        self.assertIn("another region", self.feed(s)["last_error"])

    def test_a_declaration_that_makes_no_sense_stops_the_start(self):
        for key, value, word in (("bucket", "a/b", "bucket"), ("endpoint", "ftp://x", "endpoint"), ("prefix", "{year}/", "prefix"), ("since", "soon", "since"), ("bukket", "x", "bukket"),
                                 ("secret_access_key", "x", "does not belong into the configuration")):
            with open(f"{self.folder}/bad.toml", "w") as f:
                f.write(f"data = '{self.folder}/bad'\nhttp = '127.0.0.1:0'\nnetflow = 'none'\nsflow = 'none'\n[[feed]]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in {**self.declared, key: value}.items()))
            code, _, error = sluiced.run("--config", f"{self.folder}/bad.toml")
            self.assertEqual(code, 1, (key, error))
            self.assertIn(word, error)
            self.assertIn("bad.toml:", error)


PARTS = {"s3": S3Test, "sqs": SqsTest, "azure": AzureTest, "kafka": KafkaTest, "faults": FaultsTest}

if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[3] not in PARTS:
        sys.exit("usage: live_test.py SLUICED CACHE " + "|".join(PARTS) + " [TEST…]")
    sluiced.PROGRAM = os.path.abspath(sys.argv[1])
    servers.CACHE = os.path.abspath(sys.argv[2])
    chosen = PARTS[sys.argv[3]]
    loader = unittest.TestLoader()
    if len(sys.argv) > 4:
        suite = unittest.TestSuite(chosen(name) for name in sys.argv[4:])
    else:
        suite = loader.loadTestsFromTestCase(chosen)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(0 if result.wasSuccessful() else 1)
