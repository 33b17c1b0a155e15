"""The Prometheus alert rules for Sluice itself name only metrics and labels that a real server shows."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import sluiced
from sluiced import Sluiced

RULES = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "prometheus", "sluice.rules.yml")
FLOW = (b"2 123456789010 eni-1 10.0.0.1 10.0.0.2 40000 443 6 10 840 1763625600 1763625660 ACCEPT OK\n")


def families(text):
    """name -> labels of its samples"""
    found = {m[1]: set() for m in re.finditer(r"^# TYPE (\w+) ", text, re.M)}
    for name, labels in re.findall(r"^(\w+)(?:\{([^}]*)\})? ", text, re.M):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if base in found or name in found:
            found[base if base in found else name].update(re.findall(r"(\w+)=", labels))
    return found


class AlertRules(unittest.TestCase):
    def test_every_metric_and_label_is_there(self):
        folder = tempfile.mkdtemp(prefix="sluice-alert-rules-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.mkdir(folder + "/in")
        with open(folder + "/sluice.toml", "w") as file:
            file.write(f'''http = "127.0.0.1:0"
netflow = "127.0.0.1:0"
sflow = "127.0.0.1:0"

[[feed]]
name = "branch"
kind = "folder"
source = "aws_vpc"
path = "{folder}/in"

[[target]]
name = "kept"
kind = "file"
path = "{folder}/out.ndjson"

[[forward]]
name = "web"
filter = "dst_port == 443"
target = "kept"
''')
        with Sluiced("--config", folder + "/sluice.toml") as server:
            self.assertEqual(server.post("/v1/ingest/aws_vpc", FLOW).status, 200)
            metrics = families(server.get("/metrics").body.decode())
        with open(RULES) as file:
            rules = file.read()
        alerts = re.split(r"^ +- alert: ", rules, flags=re.M)[1:]
        self.assertGreater(len(alerts), 15)
        for alert in alerts:
            name = alert.split()[0]
            expression = re.search(r"expr: (.*)", alert)[1]
            named = {re.sub(r"_bucket$", "", m) for m in re.findall(r"sluice_\w+", expression)}
            if name != "SluiceDown":
                self.assertTrue(named, name)
            self.assertLessEqual(named, set(metrics), name)
            labels = set(re.findall(r"\$labels\.(\w+)", alert)) - {"instance"}
            for metric in named if "exporter" not in labels else []:  # nobody exports here; those labels are checked by exporters_test.py
                self.assertLessEqual(labels, metrics[metric], f"{name}: {metric}")

    def test_promtool_reads_them(self):
        promtool = shutil.which("promtool")
        if not promtool:
            self.skipTest("promtool (Debian package prometheus) is not installed")
        done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    sluiced.PROGRAM = sys.argv.pop(1)
    unittest.main()
