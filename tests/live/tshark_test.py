#!/usr/bin/env python3
"""tshark reads the packets of the conformance data, and so does sluiced: flow by flow they must say the same of every field
that both know. Run: tshark_test.py PATH-OF-SLUICED CONFORMANCE-FOLDER [TEST…]"""
import collections
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "app"))
import sluiced
from sluiced import Sluiced

import capture

CONFORMANCE = None  # set below

# tshark's fields (the first that a flow has counts) -> column. Numbers are compared as numbers.
FIELDS = {
    "src_ip": ["cflow.srcaddr", "cflow.srcaddrv6"],
    "dst_ip": ["cflow.dstaddr", "cflow.dstaddrv6"],
    "src_port": ["cflow.srcport"],
    "dst_port": ["cflow.dstport"],
    "protocol": ["cflow.protocol"],
    "raw_bytes": ["cflow.octets", "cflow.octets64", "cflow.permanent_octets"],
    "raw_packets": ["cflow.packets", "cflow.packets64", "cflow.permanent_packets"],
    "tos": ["cflow.tos"],
    "tcp_flags": ["cflow.tcpflags", "cflow.tcpflags16"],
    "input_if": ["cflow.inputint"],
    "output_if": ["cflow.outputint"],
    "next_hop": ["cflow.nexthop", "cflow.nexthopv6"],
    "src_as": ["cflow.srcas"],
    "dst_as": ["cflow.dstas"],
    "src_prefix_len": ["cflow.srcmask", "cflow.srcmaskv6"],
    "dst_prefix_len": ["cflow.dstmask", "cflow.dstmaskv6"],
    "src_mac": ["cflow.srcmac"],
    "dst_mac": ["cflow.dstmac"],
    "nat_src_ip": ["cflow.post_natsource_ipv4_address"],
    "nat_dst_ip": ["cflow.post_natdestination_ipv4_address"],
}
ADDRESSES = {"src_ip", "dst_ip", "next_hop", "nat_src_ip", "nat_dst_ip", "src_mac", "dst_mac"}


def number(text):
    return int(text, 0)


def tshark_flows(path):
    """sender's port -> flows, each a dict of columns; options records apart."""
    said = subprocess.run(["tshark", "-2", "-r", path, "-d", "udp.port==2055,cflow", "-T", "pdml"], capture_output=True, timeout=300)
    flows = collections.defaultdict(list)
    for packet in ElementTree.fromstring(said.stdout).iter("packet"):
        port = None
        for field in packet.iter("field"):
            if field.get("name") == "udp.srcport":
                port = int(field.get("show"))
        for field in packet.iter("field"):
            show = field.get("show") or ""
            # "Flow 1", and "pdu 1/30" of the fixed formats.
            if field.get("name") not in ("", "cflow.pdu") or not (show.startswith("Flow ") or show.startswith("pdu ")) or not show.split()[1][0].isdigit():
                continue
            values = {}
            for part in field.iter("field"):
                name = part.get("name")
                if name not in values and part.get("show"):
                    values[name] = part.get("show")
            flow = {}
            for column, names in FIELDS.items():
                for name in names:
                    if name in values:
                        flow[column] = values[name] if column in ADDRESSES else number(values[name])
                        break
            if not flow.keys() & {"src_ip", "src_port", "src_mac", "raw_bytes"}:
                continue  # options data: of the exporter, not of a flow
            flows[port].append(flow)
    return flows


def same(column, ours, theirs):
    if ours == theirs:
        return True
    # Not translated is null here, and zeros there.
    return ours is None and column.startswith("nat_") and theirs == "0.0.0.0"


class Tshark(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("tshark"):
            raise unittest.SkipTest("tshark is not installed (scripts/packages test installs it)")
        cls.folder = tempfile.mkdtemp(prefix="sluice-tshark-")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def compare(self, path, names, deviations):
        """names: sender's port -> name of the case."""
        theirs = tshark_flows(path)
        with Sluiced("--netflow", "none") as s, open(path, "rb") as f:
            answer = s.post("/v1/ingest/netflow", f.read())
            self.assertEqual(answer.status, 200, answer.body)
            got = s.query("from flows | select exporter_port, " + ", ".join(FIELDS) + " | limit 100000").json()
        columns = [c["name"] for c in got["columns"]]
        ours = collections.defaultdict(list)
        for row in got["rows"]:
            flow = dict(zip(columns, row))
            if flow["tcp_flags"] is not None:  # FlowQL prints their letters
                flow["tcp_flags"] = sum(1 << "FSRPAUECN".index(letter) for letter in flow["tcp_flags"])
            ours[flow.pop("exporter_port")].append(flow)
        compared = fields = 0
        for port, name in sorted(names.items()):
            with self.subTest(name):
                left = list(ours[port])
                missing = []
                for flow in theirs[port]:
                    # The flow that says the same of all that tshark says.
                    match = next((f for f in left if all(same(c, f[c], v) for c, v in flow.items())), None)
                    if match is None:
                        missing.append(flow)
                    else:
                        left.remove(match)
                        compared += 1
                        fields += len(flow)
                expected_missing, expected_left, why = deviations.get(name, (0, 0, ""))
                self.assertEqual((len(missing), len(left)), (expected_missing, expected_left),
                                 f"{name}: {len(theirs[port])} flows of tshark, {len(ours[port])} of ours; tshark's first without a twin: {missing[:1]}; ours: {left[:1]} {why}")
        return compared, fields

    # name -> flows of tshark without one of ours, flows of ours without one of tshark's, and why.
    CAPTURES = {
        "netflow9.pcap": (0, 3, "tshark trusts the header's record count and misses a flow, and a template with its two flows"),
    }
    CASES = {
        "Netflow 5 invalid 01": (30, 0, "tshark reads as far as the packet goes; the count is a lie, so we refuse all of it"),
        "Netflow 5 invalid 02": (30, 0, "tshark reads as far as the packet goes; the count is a lie, so we refuse all of it"),
        "Netflow 9 H3C": (0, 15, "tshark knows no variable length in NetFlow v9"),
        "telegraf issue_14370": (1, 0, "the message's length ends inside its last set; RFC 7011 has it discarded"),
    }

    def test_captures(self):
        files = sorted(glob.glob(CONFORMANCE + "/netflow/graylog/*.pcap"))
        if not files:
            self.skipTest("no conformance data at " + CONFORMANCE)
        total = [0, 0]
        for path in files:
            name = os.path.basename(path)
            ports = tshark_flows(path).keys()
            self.assertTrue(ports, name)
            compared, fields = self.compare(path, {port: name for port in ports}, self.CAPTURES)
            total = [total[0] + compared, total[1] + fields]
        print(f"  {len(files)} captures, {total[0]} flows, {total[1]} fields agree", file=sys.stderr)

    def test_payloads_of_other_projects(self):
        if not os.path.isdir(CONFORMANCE + "/netflow/logstash"):
            self.skipTest("no conformance data at " + CONFORMANCE)
        datagrams, names = [], {}

        def case(name, files):
            port = 20000 + len(names)
            names[port] = name
            for path in files:
                with open(path, "rb") as f:
                    datagrams.append((f"10.77.{len(names) >> 8}.{len(names) & 255}", port, f.read()))

        with open(CONFORMANCE + "/netflow/logstash/cases.json") as f:
            for c in json.load(f):
                case(c["name"], [CONFORMANCE + "/netflow/logstash/" + x for x in c["files"]])
        for folder in sorted(glob.glob(CONFORMANCE + "/netflow/telegraf/*/")):
            name = os.path.basename(folder.rstrip("/"))
            if not name.startswith("sflow"):
                case("telegraf " + name, sorted(glob.glob(folder + "*.bin")))
        path = self.folder + "/payloads.pcap"
        capture.wrap_datagrams(path, datagrams)
        compared, fields = self.compare(path, names, self.CASES)
        print(f"  {len(names)} cases, {compared} flows, {fields} fields agree", file=sys.stderr)


if __name__ == "__main__":
    sluiced.PROGRAM = os.path.abspath(sys.argv.pop(1))
    CONFORMANCE = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
