#!/usr/bin/env python3
"""Real exporters send to a running sluiced and, the same packets, to nfcapd: flows, bytes and packets must be equal.

Everything is on loopback and bounded in time. A tool that is not installed, or that may not listen to packets here, skips
its tests with a plain word. Run: netflow_live_test.py PATH-OF-SLUICED [TEST…]
"""
import glob
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "app"))
import sluiced
from sluiced import Sluiced, wait_until

import capture

TOOL_SECONDS = 20


def need(*tools):
    """Skips the test when a program is missing."""
    for tool in tools:
        if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            raise unittest.SkipTest(f"{tool} is not installed (scripts/packages test installs it)")


def program(tool):
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Relay:
    """Takes datagrams and sends each on to all collectors, so that these see one and the same stream."""

    def __init__(self, *to):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.out.bind(("127.0.0.1", 0))
        self.to, self.datagrams, self.last, self.versions = to, 0, time.time(), set()
        self.running = True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while self.running:
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            datagram = self.socket.recv(65535)
            self.datagrams += 1
            self.versions.add(int.from_bytes(datagram[:2], "big"))
            for address in self.to:
                self.out.sendto(datagram, address)
            self.last = time.time()
            time.sleep(0.0005)  # nfcapd's socket is not ours to widen

    def quiet(self, seconds=1.0):
        return self.datagrams > 0 and time.time() - self.last > seconds

    def close(self):
        self.running = False
        self.thread.join()
        self.socket.close()
        self.out.close()


class Nfcapd:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sluice-nfcapd-")
        self.port = free_udp_port()
        self.log = open(self.folder + ".log", "wb")
        self.process = subprocess.Popen([program("nfcapd"), "-b", "127.0.0.1", "-p", str(self.port), "-w", self.folder, "-t", "3600", "-B", "8000000"],
                                        stdout=self.log, stderr=self.log)
        assert wait_until(lambda: self.listens()), self.said()

    def listens(self):
        port = f":{self.port:04X} "
        with open("/proc/net/udp") as sockets:
            return any(port in line for line in sockets)

    def said(self):
        with open(self.folder + ".log") as log:
            return log.read()

    def totals(self):
        """Stops it; (flows, bytes, packets) of all it took in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        flows = size = packets = 0
        for path in self.files():
            said = subprocess.run(["nfdump", "-r", path, "-I"], capture_output=True, timeout=TOOL_SECONDS).stdout.decode()
            numbers = {k: int(v) for k, v in re.findall(r"^(Flows|Bytes|Packets): (\d+)$", said, re.M)}
            flows, size, packets = flows + numbers["Flows"], size + numbers["Bytes"], packets + numbers["Packets"]
        return flows, size, packets

    def files(self):
        return [p for p in sorted(glob.glob(self.folder + "/**/nfcapd.*", recursive=True)) if ".current" not in p]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        os.unlink(self.folder + ".log")
        shutil.rmtree(self.folder)


def totals_of(server):
    rows = server.query("from flows | stats n = count(), b = sum(raw_bytes), p = sum(raw_packets)").rows()
    return tuple(int(x or 0) for x in rows[0])


class Live(unittest.TestCase):
    """Each test: something exports through the relay; both collectors' counts are compared."""

    def setUp(self):
        need("nfcapd", "nfdump")
        self.folder = tempfile.mkdtemp(prefix="sluice-live-")
        self.nfcapd = Nfcapd()
        self.server = Sluiced()
        self.relay = Relay(("127.0.0.1", self.nfcapd.port), self.server.netflow)

    def tearDown(self):
        if not hasattr(self, "relay"):
            return
        self.relay.close()
        self.server.__exit__()
        self.nfcapd.close()
        shutil.rmtree(self.folder)

    def traffic(self, **kw):
        path = self.folder + "/traffic.pcap"
        capture.write_pcap(path, capture.traffic(time.time() - 120, **kw))
        return path

    def run_tool(self, *command, ok=(0,)):
        done = subprocess.run([program(command[0]), *command[1:]], capture_output=True, timeout=TOOL_SECONDS, cwd=self.folder)
        self.assertIn(done.returncode, ok, done.stdout.decode(errors="replace")[-2000:] + done.stderr.decode(errors="replace")[-2000:])

    def compare(self, version, at_least, source):
        self.assertTrue(wait_until(self.relay.quiet, 30), "nothing was exported")
        self.assertEqual(self.relay.versions, {version})
        expected = self.nfcapd.totals()
        self.assertGreaterEqual(expected[0], at_least, self.nfcapd.said())
        self.assertTrue(wait_until(lambda: totals_of(self.server) == expected, 15), (totals_of(self.server), expected, self.nfcapd.said()))
        self.assertEqual(self.server.count(f"| where source == {source}"), expected[0])
        # Nothing was lost or misread on the way.
        self.assertEqual(self.server.metric("sluice_netflow_bad_total"), 0)
        self.assertEqual(self.server.metric("sluice_udp_dropped_kernel_total") + self.server.metric("sluice_udp_dropped_queue_total"), 0)
        print(f"  {self.id().split('.')[-1]}: {expected[0]} flows, {expected[1]} bytes, {expected[2]} packets in {self.relay.datagrams} datagrams", file=sys.stderr)

    # --- softflowd ---
    def softflowd(self, version, pcap, *more):
        need("softflowd")
        # It hangs when its control socket has a long path; so it runs in the folder, with short names.
        self.run_tool("softflowd", "-r", os.path.basename(pcap), "-v", str(version), "-n", f"127.0.0.1:{self.relay.port}", "-d", "-p", self.folder + "/pid", "-c", "ctl", *more)

    def test_softflowd_netflow5(self):
        self.softflowd(5, self.traffic(with_ipv6=False))
        self.compare(5, 500, "netflow5")

    def test_softflowd_netflow9(self):
        self.softflowd(9, self.traffic())
        self.compare(9, 500, "netflow9")

    def test_softflowd_ipfix(self):
        self.softflowd(10, self.traffic())
        self.compare(10, 500, "ipfix")

    def test_softflowd_netflow1(self):
        # nfcapd refuses v1 packets of more than 24 records, and softflowd sends 30: what it sends of the same capture as v5 says
        # what to expect.
        need("softflowd")
        pcap = self.traffic(with_ipv6=False)
        relay, self.relay = self.relay, Relay(("127.0.0.1", self.nfcapd.port))
        self.softflowd(5, pcap)
        self.assertTrue(wait_until(self.relay.quiet, 30))
        expected = self.nfcapd.totals()
        self.relay.close()
        self.relay = relay
        self.assertGreaterEqual(expected[0], 500)
        relay.to = (self.server.netflow,)
        self.softflowd(1, pcap)
        self.assertTrue(wait_until(lambda: totals_of(self.server) == expected, 15), (totals_of(self.server), expected))
        self.assertEqual(relay.versions, {1})
        self.assertEqual(self.server.count("| where source == netflow1"), expected[0])

    # --- pmacct's nfprobe ---
    def nfprobe(self, version, pcap):
        need("pmacctd")
        config = self.folder + "/pmacctd.conf"
        with open(config, "w") as f:
            f.write(f"""daemonize: false
pcap_savefile: {pcap}
plugins: nfprobe[live]
aggregate[live]: src_host, dst_host, src_port, dst_port, proto, tos
nfprobe_receiver[live]: 127.0.0.1:{self.relay.port}
nfprobe_version[live]: {version}
nfprobe_timeouts[live]: tcp=2:tcp.rst=2:tcp.fin=2:udp=2:icmp=2:general=2:maxlife=5:expint=1
plugin_buffer_size: 10240
plugin_pipe_size: 10240000
""")
        p = subprocess.Popen([program("pmacctd"), "-f", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder)
        try:
            # It reads the capture, exports what times out, and the rest when it is told to end.
            wait_until(lambda: self.relay.quiet(3), 20)
            p.send_signal(signal.SIGINT)
            p.wait(20)
        finally:
            if p.poll() is None:
                p.kill()
            p.stdout.close()
            p.wait()

    def test_nfprobe_netflow5(self):
        self.nfprobe(5, self.traffic(with_ipv6=False))
        self.compare(5, 500, "netflow5")

    def test_nfprobe_netflow9(self):
        self.nfprobe(9, self.traffic())
        self.compare(9, 500, "netflow9")

    def test_nfprobe_ipfix(self):
        self.nfprobe(10, self.traffic())
        self.compare(10, 500, "ipfix")

    # --- fprobe, which only listens to interfaces: to packets of our own on loopback ---
    def test_fprobe_netflow5(self):
        need("fprobe")
        ports = [free_udp_port() for _ in range(3)]
        sinks = []
        for port in ports:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("127.0.0.1", port))
            sinks.append(s)
        wanted = " or ".join(f"udp dst port {p}" for p in ports)
        p = subprocess.Popen([program("fprobe"), "-i", "lo", "-p", "-f", wanted, "-n", "5", "-s", "1", "-d", "2", "-e", "5", "-u", "root", "-l", "2",
                              f"127.0.0.1:{self.relay.port}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder)
        try:
            time.sleep(1)
            if p.poll() is not None:
                self.skipTest("fprobe may not listen on lo here: " + p.stdout.read().decode(errors="replace").strip()[-200:])
            senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(40)]
            for n in range(8):
                for i, s in enumerate(senders):
                    s.sendto(b"x" * (50 + 10 * n + i), ("127.0.0.1", ports[i % 3]))
                time.sleep(0.05)
            self.assertTrue(wait_until(lambda: self.relay.quiet(3), 20), "fprobe exported nothing")
            for s in senders + sinks:
                s.close()
        finally:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            p.stdout.close()
        self.compare(5, 40, "netflow5")

    # --- nfreplay: what nfcapd took in, exported anew ---
    def replay(self, version):
        need("softflowd", "nfreplay")
        first = Nfcapd()
        try:
            relay, self.relay = self.relay, Relay(("127.0.0.1", first.port))
            self.softflowd(9, self.traffic(with_ipv6=version == 9))
            self.assertTrue(wait_until(self.relay.quiet, 30))
            self.relay.close()
            self.relay = relay
            recorded = first.totals()
            for path in first.files():
                self.run_tool("nfreplay", "-r", path, "-H", "127.0.0.1", "-p", str(relay.port), "-v", str(version), "-d", "500")
        finally:
            first.close()
        self.compare(version, 500, f"netflow{version}")
        self.assertEqual(totals_of(self.server), recorded)

    def test_nfreplay_netflow5(self):
        self.replay(5)

    def test_nfreplay_netflow9(self):
        self.replay(9)


class Streams(unittest.TestCase):
    def test_softflowd_ipfix_over_tcp(self):
        """softflowd speaks IPFIX over TCP too; its own UDP export of the same capture says what to expect."""
        need("softflowd", "nfcapd", "nfdump")
        folder = tempfile.mkdtemp(prefix="sluice-live-")
        nfcapd = Nfcapd()
        try:
            with Sluiced("--netflow", "none", "--ipfix-tcp", "127.0.0.1:0") as s:
                pcap = folder + "/traffic.pcap"
                capture.write_pcap(pcap, capture.traffic(time.time() - 120))

                def export(to, *more):
                    subprocess.run([program("softflowd"), "-r", "traffic.pcap", "-v", "10", "-n", to, "-d", "-p", folder + "/pid", "-c", "ctl", *more],
                                   check=True, capture_output=True, timeout=TOOL_SECONDS, cwd=folder)

                export(f"127.0.0.1:{nfcapd.port}")
                time.sleep(1)
                expected = nfcapd.totals()
                self.assertGreaterEqual(expected[0], 500)
                export(s.ready["ipfix-tcp"], "-P", "tcp")
                self.assertTrue(wait_until(lambda: totals_of(s) == expected, 15), (totals_of(s), expected))
                self.assertEqual(s.metric("sluice_ipfix_malformed_total"), 0)
        finally:
            nfcapd.close()
            shutil.rmtree(folder)


if __name__ == "__main__":
    sluiced.PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
