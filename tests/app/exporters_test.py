"""Real exporters send to a real server, and what it says is held against what went in.

exporters_test.py PATH-OF-SLUICED. Exporters that are not installed are named and skipped.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import sluiced
from sluiced import Sluiced, wait_until

PACKETS = 20_000
CONVERSATIONS = 200


def write_capture(path):
    """Ethernet frames of TCP conversations; returns the bytes on the wire."""
    total = 0
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i in range(PACKETS):
            c = i % CONVERSATIONS
            payload = bytes(100 + i % 7 * 50)
            tcp = struct.pack(">HHIIHHHH", 40_000 + c, 443, i, 0, 0x5018, 100, 0, 0)
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp) + len(payload), i & 0xFFFF, 0, 64, 6, 0, bytes([10, 0, 0, c]), bytes([192, 168, 0, 1]))
            frame = b"\2\0\0\0\0\2\2\0\0\0\0\1\x08\0" + ip + tcp + payload
            total += len(frame)
            out.write(struct.pack("<IIII", 1_764_000_000 + i // 1000, i % 1000 * 1000, len(frame), len(frame)) + frame)
    return total


class Sfprobe(unittest.TestCase):
    """pmacct's sFlow exporter, sampling one packet in ten of a capture."""

    RATE = 10

    def test_flows_are_what_was_sent(self):
        pmacctd = shutil.which("pmacctd") or shutil.which("pmacctd", path="/usr/sbin")
        if not pmacctd:
            self.skipTest("pmacctd is not installed: sfprobe was not tried")
        folder = tempfile.mkdtemp(prefix="sluice-sfprobe-")
        try:
            with Sluiced() as s:
                total_bytes = write_capture(folder + "/in.pcap")
                with open(folder + "/pmacctd.conf", "w") as f:
                    f.write(f"daemonize: false\npcap_savefile: {folder}/in.pcap\nplugins: sfprobe[a]\nsfprobe_receiver: 127.0.0.1:{s.sflow[1]}\n"
                            f"sfprobe_agentip: 10.77.0.1\nsfprobe_agentsubid: 5\nsampling_rate: {self.RATE}\n")
                done = subprocess.run([pmacctd, "-f", folder + "/pmacctd.conf"], capture_output=True, timeout=120)
                # Its status says nothing: at the end of a capture core and plugin end one another, and the core calls it a lost plugin (1) when that
                # one was faster. What arrived is checked below.
                said = (done.stdout + done.stderr).decode(errors="replace")
                self.assertIn("Sampling at: 1/10", said)

                samples = PACKETS / self.RATE
                # All is sent: counts that stand still and agree are the last ones.
                last = [0]

                def settled():
                    before, last[0] = last[0], s.count()
                    time.sleep(0.7)
                    return 0 < last[0] == before == s.metric("sluice_sflow_flows_total")
                self.assertTrue(wait_until(settled, 60), (last, s.metric("sluice_sflow_flows_total"), said))
                self.assertGreater(s.count(), samples * 0.8)
                self.assertLess(s.count(), samples * 1.2)
                row = s.query("from flows | stats n = count(), b = sum(bytes), p = sum(packets), sources = dcount(src_ip), agents = dcount(exporter_ip)").rows()[0]
                # A fifth of slack: sampling is random (the deviation of 2,000 samples is below 3 %).
                self.assertLess(abs(row[1] - total_bytes) / total_bytes, 0.2)
                self.assertLess(abs(row[2] - PACKETS) / PACKETS, 0.2)
                self.assertGreater(row[3], CONVERSATIONS * 0.9)
                self.assertEqual(row[4], 1)
                self.assertEqual(s.count("| where exporter_ip == 10.77.0.1 and observation_domain == 5 and source == 'sflow5' and dst_ip == 192.168.0.1 "
                                         "and dst_port == 443 and protocol == tcp and sampling_rate == 10"), row[0])
                self.assertEqual(s.metric("sluice_sflow_bad_total"), 0)
                booked = lambda: [(e["exporter_ip"], e["sender_ip"], e["flows"], e["lost"]) for e in s.get("/v1/exporters").json()["exporters"]]
                self.assertTrue(wait_until(lambda: booked() == [("10.77.0.1", "127.0.0.1", row[0], 0)]), (booked(), row))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: exporters_test.py PATH-OF-SLUICED [TEST…]")
    sluiced.PROGRAM = os.path.abspath(sys.argv.pop(1))
    sys.dont_write_bytecode = True
    unittest.main(verbosity=2)
