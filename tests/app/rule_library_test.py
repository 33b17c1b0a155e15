#!/usr/bin/env python3
"""The library in rules/ as people meet it: applied to the real server, and docs/detections.md, which says what it covers. Run:
rule_library_test.py PATH-OF-SLUICED; with --write before the path, the made parts of the page are made again."""
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import sluiced
from sluiced import Sluiced

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "detections.md"
SEVERITIES = ["info", "low", "medium", "high", "critical"]

# What each source can say. Columns that every source has are in ALWAYS; the rest is by source, as ingest/source/ fills them. A template decides
# what NetFlow v9 and IPFIX say, so they get all that an exporter may send.
ALWAYS = {"src_ip", "dst_ip", "src_port", "dst_port", "proto", "packets"}
ROUTER = {"exporter_ip", "input_if", "output_if", "next_hop", "src_as", "dst_as", "tos", "tcp_flags", "all_flags", "icmp", "icmp_type", "icmp_code", "bytes", "sampling_rate",
          "exported_at", "received_at", "time_quality", "is_biflow"}
TEMPLATE = ROUTER | {"duration", "flow_totals", "unsampled", "connection_times", "reverse_bytes", "reverse_packets", "action", "reject_reason", "rule_name", "app", "vlan", "src_mac", "dst_mac", "end_reason",
                     "dropped_packets"}
CLOUD = {"bytes", "duration", "flow_totals", "unsampled", "action", "cloud", "src_region", "src_account_id", "src_subnet_id", "src_vpc_id", "is_biflow", "time_quality"}
SENSOR = {"bytes", "duration", "flow_totals", "unsampled", "connection_times", "tcp_flags", "all_flags", "icmp", "icmp_type", "icmp_code", "reverse_bytes", "reverse_packets", "app", "vlan", "src_mac", "dst_mac",
          "end_reason", "is_biflow"}
SOURCES = {
    "aws_vpc": CLOUD | {"tcp_flags", "icmp", "dst_region", "traffic_path", "src_service", "dst_service", "reject_reason", "encryption", "if_src_ip", "log_status", "dropped_packets"},
    "aws_tgw": (CLOUD - {"action"}) | {"tcp_flags", "all_flags", "icmp", "dst_account_id", "dst_vpc_id", "dropped_packets", "log_status"},
    "azure_vnet": CLOUD | {"icmp", "reverse_bytes", "reverse_packets", "encryption", "rule_name", "reject_reason", "src_mac", "dst_mac", "exported_at"},
    "azure_nsg": CLOUD | {"reverse_bytes", "reverse_packets", "rule_name", "src_mac", "dst_mac", "exported_at"},
    "gcp_vpc": (CLOUD - {"unsampled"}) | {"icmp", "dst_region", "dst_account_id", "dst_subnet_id", "dst_vpc_id", "src_country", "dst_country", "src_as", "dst_as", "src_k8s_namespace", "dst_k8s_namespace", "src_k8s_pod", "reject_reason",
                                          "src_service", "dst_service", "dropped_packets", "tos", "exported_at"},
    "ibm_vpc": CLOUD | {"reverse_bytes", "reverse_packets", "log_status"},
    "oci_vcn": CLOUD | {"icmp", "log_status"},
    "netflow5": ROUTER | {"duration", "flow_totals", "unsampled"},
    "netflow9, ipfix": TEMPLATE,
    "sflow5": (ROUTER - {"time_quality"}) | {"action", "reject_reason", "vlan", "src_mac", "dst_mac", "dropped_packets"},
    "zeek": SENSOR,
    "suricata": SENSOR | {"action"},
    "hubble": {"action", "app", "tcp_flags", "all_flags", "icmp", "icmp_type", "icmp_code", "reject_reason", "rule_name", "src_k8s_namespace", "dst_k8s_namespace", "src_k8s_pod", "src_mac", "dst_mac", "encryption",
               "is_biflow", "unsampled"},
}
# What no column says. The page explains them; these are the ones that the rules may need.
WORDS = {"all_flags", "flow_totals", "icmp", "unsampled", "connection_times"}
# A loss that makes a rule say less, and not nothing.
SOFT = {"unsampled", "connection_times"}
# Columns of both sides that a one-sided record of a cloud does not fill together.
BOTH_SIDES = {("src_region", "dst_region"): {"gcp_vpc"}, ("src_account_id", "dst_account_id"): {"gcp_vpc", "aws_tgw"}, ("src_vpc_id", "dst_vpc_id"): {"gcp_vpc", "aws_tgw"}, ("src_k8s_namespace", "dst_k8s_namespace"): {"gcp_vpc", "hubble"}}


class Text:
    """One `create rule` of a file: a rule, or several by `each`."""

    def __init__(self, file, body):
        self.file, self.body = file, body
        self.name = re.match(r"create rule (\S+)", body).group(1)
        each = re.search(r"\n\s+each \((.*?)\)\n\s+(?:fires|quiet|as|for|needs)", body, re.S)
        self.sets = re.findall(r'"([a-z0-9_]+): ', each.group(1)) if each else []
        self.names = [f"{self.name}_{s}" for s in self.sets] or [self.name]
        self.label = f"`{self.name}_*` ({len(self.sets)})" if self.sets else f"`{self.name}`"


def texts():
    found = []
    for file in sorted((ROOT / "rules").glob("*.flowql")):
        text = "\n" + file.read_text()
        for body in re.split(r"\n(?=create rule )", text)[1:]:
            found.append(Text(file.name, body))
    return found


def words(text, key):
    """The values of one option in a rule's text; what stands inside of other texts does not count."""
    strings = []

    def keep(match):
        strings.append(re.sub(r"\\(.)", r"\1", match.group(0)[1:-1]))
        return f'"{len(strings) - 1}"'

    bare = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", keep, text)
    match = re.search(rf"\b{key} (\([^)]*\)|\"\d+\"|[\w.]+)", bare)
    return [strings[int(quoted)] if quoted else word for quoted, word in re.findall(r'"(\d+)"|([\w.]+)', match.group(1))] if match else []


def lacks(source, needs):
    """What of a rule's needs the source cannot say: (hard, soft)."""
    has = ALWAYS | SOURCES[source]
    missing = {n for n in needs if n not in has}
    for (a, b), able in BOTH_SIDES.items():
        if a in needs and b in needs and source not in able:
            missing |= {a, b}
    return missing - SOFT, missing & SOFT


def made_parts(library, rules):
    """The page's two tables that follow from the rules."""
    by_technique = {}
    for text in library:
        for name in text.names:
            for technique in rules[name]["techniques"]:
                by_technique.setdefault(technique, {})[text.label] = None
    attack = ["| technique | rules |", "| --- | --- |"]
    attack += [f"| {t} | {' '.join(by_technique[t])} |" for t in sorted(by_technique)]
    columns = list(SOURCES)
    sources = ["| rule | severity | needs | " + " | ".join(columns) + " |", "| --- | --- | --- |" + " :-: |" * len(columns)]
    feeds = dict.fromkeys(columns, 0)
    for text in sorted(library, key=lambda t: (t.file, t.name)):
        made = [rules[n] for n in text.names]
        needs = sorted({n for r in made for n in words(r["text"], "needs")})
        found = sorted({SEVERITIES.index(r["severity"]) for r in made})
        severity = SEVERITIES[found[0]] + (f"–{SEVERITIES[found[-1]]}" if len(found) > 1 else "")
        marks = []
        for source in columns:
            hard, soft = lacks(source, set(needs))
            feeds[source] += 0 if hard else len(made)
            marks.append("–" if hard else "less" if soft else "yes")
        sources.append(f"| {text.label} | {severity} | {', '.join(needs)} | " + " | ".join(marks) + " |")
    sources.append("| **rules that it feeds** | | | " + " | ".join(str(feeds[s]) for s in columns) + " |")
    return {"attack": "\n".join(attack), "sources": "\n".join(sources)}


def with_parts(page, parts):
    for name, table in parts.items():
        page, count = re.subn(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", lambda m: m.group(1) + table + m.group(2), page, flags=re.S)
        assert count == 1, f"docs/detections.md has no place for {name}"
    return page


class Library(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Sluiced().__enter__()
        cls.library = texts()
        cls.applied = []
        for file in sorted((ROOT / "rules").glob("*.flowql")):
            answer = cls.s.post("/v1/rules/apply", file.read_text())
            assert answer.status == 200, (file.name, answer.body)
            cls.applied += [r["name"] for r in answer.json()["rules"] if not r["name"].startswith("@")]
        cls.rules = {r["name"]: r for r in cls.s.get("/v1/rules").json()["rules"]}

    @classmethod
    def tearDownClass(cls):
        cls.s.__exit__()

    def test_all_are_there_once_and_run(self):
        expected = [n for t in self.library for n in t.names]
        self.assertEqual(len(set(expected)), len(expected))
        self.assertEqual(sorted(self.applied), sorted(expected))
        self.assertEqual(set(self.rules), set(expected))
        self.assertEqual({r["state"] for r in self.rules.values()}, {"running"})
        # Texts, not copies: a service list is one.
        self.assertGreaterEqual(len(self.library), 200)

    def test_each_says_what_people_need(self):
        known = set().union(ALWAYS, WORDS, *SOURCES.values())
        for name, rule in self.rules.items():
            with self.subTest(name):
                self.assertRegex(name, r"^[a-z][a-z0-9_]*$")
                self.assertIn(rule["severity"], SEVERITIES)
                self.assertTrue(rule["techniques"])
                for technique in rule["techniques"]:
                    self.assertRegex(technique, r"^T[01]\d{3}(\.\d{3})?$")
                self.assertTrue(rule["tags"])
                self.assertGreater(len(rule["description"]), 20)
                self.assertTrue(words(rule["text"], "false_positives"))
                self.assertNotRegex(rule["text"], r"\beach\b \(")
                needs = words(rule["text"], "needs")
                self.assertTrue(needs)
                self.assertLessEqual(set(needs), known)
                self.assertTrue(words(rule["text"], "fires"))
                self.assertTrue(words(rule["text"], "quiet"))
                self.assertTrue(words(rule["text"], "suppress"))
                self.assertTrue(any(not lacks(s, set(needs))[0] for s in SOURCES), "no source can feed it")

    def test_texts_differ(self):
        # The same question with another number would be a set of `each`.
        shapes = {}
        for text in self.library:
            query = text.body.split("\nas\n", 1)[1]
            shapes.setdefault(re.sub(r"\"[^\"]*\"|\b\d[\w.:/-]*", "0", query), []).append(text.name)
        self.assertEqual([same for same in shapes.values() if len(same) > 1], [])

    def test_examples_hold(self):
        examples = 0
        for text in self.library:  # one at a time, so that no answer is long in coming
            answer = self.s.post("/v1/rules/test", text.body)
            self.assertEqual(answer.status, 200, (text.name, answer.body))
            for rule in answer.json()["rules"]:
                for example in rule["examples"]:
                    examples += 1
                    self.assertTrue(example["passed"], (rule["name"], example))
        self.assertGreaterEqual(examples, 3 * len(self.rules))

    def test_the_page_says_what_is_covered(self):
        page = PAGE.read_text()
        self.assertEqual(page, with_parts(page, made_parts(self.library, self.rules)), "docs/detections.md: run rule_library_test.py --write PATH-OF-SLUICED")
        catalogue = page.split("<!-- attack -->")[0]
        named = set(re.findall(r"`([a-z][a-z0-9_]*)(?:_\*)?`", "\n".join(l for l in catalogue.splitlines() if l.startswith("| ") and not l.startswith("| need"))))
        bases = {t.name: t for t in self.library}
        for name in named:
            self.assertTrue(name in bases or name in self.rules or name in WORDS, f"the page names {name}, which is no rule")
        for text in self.library:
            self.assertTrue(text.name in named or named & set(text.names), f"no row of the page names {text.name}")
        sections = re.split(r"\n### ", catalogue)[1:]
        self.assertGreaterEqual(len(sections), 11)
        for section in sections:
            self.assertRegex(section, r"\| `", section.splitlines()[0])


class Day(unittest.TestCase):
    """The sample day: 445,000 flows of a small company, with stories. All rules over all of it, as replay has them."""

    ALERTS_MAX = 60
    STORIES = {  # rule: what its alert is about
        "port_scan": "203.0.113.66",
        "denied_scan": "203.0.113.66",
        "slow_scan": "203.0.113.66",
        "guessing_from_outside_ssh": "203.0.113.99",
        "large_upload": "192.0.2.77",
        "service_not_answering": "10.20.12.40",
        "steady_contact": "192.168.10.57",
        "beacon_https": "192.168.10.57",
    }

    def test_stories_are_found_and_the_rest_is_quiet(self):
        bin = pathlib.Path(sluiced.PROGRAM).resolve().parent
        if not (bin / "sluice-generate").exists() or not (bin / "sluice").exists():
            self.skipTest("sluice and sluice-generate are not built")
        with tempfile.TemporaryDirectory(prefix="sluice-day-") as day, Sluiced("--query-timeout", "10m") as s:
            s.connection = functools.partial(s.connection, 600)  # a replay of what is asked every five minutes takes its time on a busy machine
            subprocess.run([bin / "sluice-generate", "--profile", "company", "--start", "2026-11-20", "--out", day, "--format", "aws,netflow5,ipfix"], check=True, capture_output=True)
            address = dict(os.environ, SLUICE_SERVER=f"http://{s.http}")
            for source, paths in (("aws_vpc", ["aws"]), ("netflow", ["netflow5/edge.pcap", "ipfix/core.pcap"])):
                subprocess.run([bin / "sluice", "ingest", "--source", source, *(f"{day}/{p}" for p in paths)], check=True, capture_output=True, env=address)
            self.assertGreater(s.query("stats n = count()").rows()[0][0], 400_000)
            for file in sorted((ROOT / "rules").glob("*.flowql")):
                self.assertEqual(s.post("/v1/rules/apply", file.read_text()).status, 200, file.name)
            alerts = {}
            for name in [n for t in texts() for n in t.names]:
                answer = s.query(f"replay rule {name}").json()
                self.assertIn("columns", answer, name)
                columns = [c["name"] for c in answer["columns"]]
                for row in answer["rows"]:
                    alerts.setdefault(name, []).append(f'{row[columns.index("key")]}: {row[columns.index("message")]}')
            for rule, about in self.STORIES.items():
                self.assertTrue(any(about in a for a in alerts.get(rule, [])), f"{rule} says nothing of {about}: {alerts.get(rule)}")
            total = sum(len(a) for a in alerts.values())
            self.assertLessEqual(total, self.ALERTS_MAX, alerts)
            print(f"{total} alerts of {len(alerts)} rules", file=sys.stderr)


if __name__ == "__main__":
    write = "--write" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    sluiced.PROGRAM = arguments[0]
    if write:
        Library.setUpClass()
        PAGE.write_text(with_parts(PAGE.read_text(), made_parts(Library.library, Library.rules)))
        Library.tearDownClass()
    else:
        sys.argv[1:] = arguments[1:]
        unittest.main(verbosity=2)
