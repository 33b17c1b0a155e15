#!/usr/bin/env python3
"""What the server sends as OCSF, held against OCSF 1.3.0's own schema, whole: the packages ocsf-json-schema (which brings it) and jsonschema from PyPI. What cannot be had is
skipped and said. Run: schemas_test.py PATH-OF-SLUICED FOLDER-FOR-WHAT-IS-FETCHED"""
import json
import os
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "app"))
import servers
import sluiced
from sluiced import Sluiced, ipfix, netflow9, wait_until

CONFIG = """http = "127.0.0.1:0"
netflow = "127.0.0.1:0"
sflow = "127.0.0.1:0"

[[target]]
name = "alerts"
kind = "file"
path = "FOLDER/alerts.ndjson"
shape = "ocsf"
events = ["started", "raised", "resumed", "ended"]

[[target]]
name = "flows"
kind = "file"
path = "FOLDER/flows.ndjson"
rules = ["nothing_*"]

[[forward]]
name = "all"
filter = "true"
target = "flows"
shape = "ocsf"
"""


def packages():
    if not servers.CACHE:
        raise servers.Missing("there is no folder for what is fetched")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", "FOLDER", "ocsf-json-schema==1.2.0", "jsonschema==4.23.0"]
    return servers.fetch("ocsf", sys.executable, pip, "ocsf_json_schema/__init__.py")


def documents(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Ocsf(unittest.TestCase):
    def test_alerts_and_flows_are_of_their_class(self):
        try:
            sys.path.insert(0, packages())
        except servers.Missing as missing:
            self.skipTest(str(missing))
        import jsonschema
        from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
        schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.3.0"))
        with tempfile.TemporaryDirectory(prefix="sluice-ocsf-") as folder:
            with open(folder + "/sluice.toml", "w", encoding="utf-8") as file:
                file.write(CONFIG.replace("FOLDER", folder))
            with Sluiced("--config", folder + "/sluice.toml") as s:
                s.query("create rule telnet severity critical technique 'T1021.001' tags (remote) as dst_port == 23 alert by src_ip, dst_ip message '{src_ip} uses Telnet on {dst_ip}'").rows()
                s.query("create rule many severity low as proto == tcp | stats n = count() by dst_port window 1m | where n > 3 alert by dst_port").rows()
                now = int(time.time())
                lines = [f"2 123456789010 eni-0a 10.0.0.{i} 10.9.0.1 4000{i} {port} 6 3 100 {now - 5} {now} {action} OK\n"
                         for i, (port, action) in enumerate([(23, "ACCEPT"), (23, "REJECT"), (443, "ACCEPT"), (443, "ACCEPT"), (443, "REJECT"), (443, "ACCEPT")])]
                self.assertEqual(s.post("/v1/ingest/aws_vpc", "".join(lines)).json()["accepted"], len(lines))
                s.send_packet(netflow9())
                s.send_packet(ipfix())
                wanted = lambda: (len(documents(folder + "/alerts.ndjson")), len(documents(folder + "/flows.ndjson")))
                wait_until(lambda: wanted()[0] >= 3 and wanted()[1] > len(lines), seconds=30)
                s.query("alter rule telnet disable").rows()  # which ends its alerts
                wait_until(lambda: any(d["activity_id"] == 3 for d in documents(folder + "/alerts.ndjson")), seconds=30)
            alerts, flows = documents(folder + "/alerts.ndjson"), documents(folder + "/flows.ndjson")
        self.assertGreaterEqual({d["activity_id"] for d in alerts}, {1, 3})
        self.assertGreater(len(flows), len(lines))
        wrong = []
        for document in alerts + flows:
            name = schema.lookup_class_name_from_uid(class_uid=document["class_uid"])
            rules = schema.get_class_schema(class_name=name, profiles=document["metadata"].get("profiles", []))
            for error in jsonschema.Draft202012Validator(rules).iter_errors(document):
                wrong.append(f"{name}: {'/'.join(str(p) for p in error.absolute_path)}: {error.message[:300]}")
            self.assertEqual(document["type_uid"], document["class_uid"] * 100 + document["activity_id"])
        self.assertEqual(sorted(set(wrong)), [])
        print(f"{len(alerts)} findings and {len(flows)} flows are as OCSF 1.3.0 says", flush=True)


if __name__ == "__main__":
    sluiced.PROGRAM = sys.argv.pop(1)
    if len(sys.argv) > 1 and os.sep in sys.argv[1]:
        servers.CACHE = sys.argv.pop(1)
    unittest.main()
