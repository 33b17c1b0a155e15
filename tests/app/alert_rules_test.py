"""What watches Sluice itself, the Prometheus alert rules and the dashboard over the same metrics, names only metrics and labels that a real server
shows; and a real Prometheus, where there is one, answers every question of the dashboard. Run: alert_rules_test.py PATH-OF-SLUICED"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

import sluiced
from sluiced import Sluiced, aws_lines, ipfix, netflow9, sflow5, wait_until

DEPLOY = os.path.join(os.path.dirname(__file__), "..", "..", "deploy")
RULES = os.path.join(DEPLOY, "prometheus", "sluice.rules.yml")
DASHBOARD = os.path.join(DEPLOY, "grafana", "sluice-self.json")
CONFIG = '''http = "127.0.0.1:0"
netflow = "127.0.0.1:0"
sflow = "127.0.0.1:0"
ipfix-tcp = "127.0.0.1:0"

[[feed]]
name = "branch"
kind = "folder"
source = "aws_vpc"
path = "FOLDER/in"

[[target]]
name = "kept"
kind = "file"
path = "FOLDER/out.ndjson"

[[forward]]
name = "web"
filter = "dst_port == 443"
target = "kept"

[[same-traffic]]
name = "core"
exporters = ["127.0.0.0/8", "10.9.8.7"]
'''
OF_PROMETHEUS = {"instance", "job"}  # labels that it adds


def families(text):
    """name -> labels of its samples"""
    found = {m[1]: set() for m in re.finditer(r"^# TYPE (\w+) ", text, re.M)}
    for name, labels in re.findall(r"^(\w+)(?:\{([^}]*)\})? ", text, re.M):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if base in found or name in found:
            found[base if base in found else name].update(re.findall(r"(\w+)=", labels))
    return found


def named(expression):
    return {re.sub(r"_bucket$", "", m) for m in re.findall(r"\b(?:sluice|process)_\w+", expression)}


def panels():
    """Of the dashboard, without those that are headings."""
    with open(DASHBOARD, encoding="utf-8") as file:
        return [p for p in json.load(file)["panels"] if p["type"] != "row"]


def promtool(test):
    found = shutil.which("promtool")
    if not found:
        test.skipTest("promtool (Debian package prometheus) is not installed")
    return found


class Watching(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="sluice-alert-rules-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.mkdir(folder + "/in")
        with open(folder + "/sluice.toml", "w") as file:
            file.write(CONFIG.replace("FOLDER", folder))
        cls.server = server = Sluiced("--config", folder + "/sluice.toml").__enter__()
        cls.addClassCleanup(server.__exit__)
        assert server.post("/v1/ingest/aws_vpc", aws_lines(3)).status == 200
        server.send_packet(netflow9())
        server.send_packet(ipfix())
        server.send_packet(sflow5(), server.sflow)
        assert wait_until(lambda: len(server.get("/v1/exporters").json()["exporters"]) == 2)
        cls.metrics = families(server.get("/metrics").body.decode())

    def test_alert_rules_name_what_is_there(self):
        with open(RULES) as file:
            rules = file.read()
        alerts = re.split(r"^ +- alert: ", rules, flags=re.M)[1:]
        self.assertGreater(len(alerts), 15)
        for alert in alerts:
            name = alert.split()[0]
            expression = re.search(r"expr: (.*)", alert)[1]
            if name != "SluiceDown":
                self.assertTrue(named(expression), name)
            self.assertLessEqual(named(expression), set(self.metrics), name)
            labels = set(re.findall(r"\$labels\.(\w+)", alert)) - OF_PROMETHEUS
            for metric in named(expression):
                self.assertLessEqual(labels, self.metrics[metric], f"{name}: {metric}")

    def test_promtool_reads_the_alert_rules(self):
        done = subprocess.run([promtool(self), "check", "rules", RULES], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_dashboard_names_what_is_there(self):
        self.assertGreater(len(panels()), 25)
        for panel in panels():
            for target in panel["targets"]:
                with self.subTest(panel["title"], target=target["refId"]):
                    expression = target["expr"]
                    self.assertTrue(named(expression))
                    self.assertLessEqual(named(expression), set(self.metrics))
                    legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                    kept = [set(re.split(r", *", by)) for by in re.findall(r"\bby \(([^)]*)\)", expression)]
                    is_one_line = not kept and re.search(r"\bsum\(", expression)
                    for metric in named(expression):
                        there = self.metrics[metric] | OF_PROMETHEUS
                        for by in kept:
                            self.assertLessEqual(by, there)
                        self.assertLessEqual(legend, set.union(*kept) if kept else set() if is_one_line else there)

    def test_dashboard_is_laid_out(self):
        with open(DASHBOARD, encoding="utf-8") as file:
            dashboard = json.load(file)
        numbers = [p["id"] for p in dashboard["panels"]]
        self.assertEqual(len(set(numbers)), len(numbers))
        self.assertNotIn("id", dashboard, "the number of one Grafana")
        self.assertEqual({uid for uid in re.findall(r'"uid": "([^"]*)"', json.dumps(dashboard))}, {"${datasource}", dashboard["uid"]})
        taken = {}
        for p in dashboard["panels"]:
            place = p["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, p["title"])
                    taken[x, y] = p["title"]

    def test_prometheus_answers_the_dashboard(self):
        program = shutil.which("prometheus")
        if not program:
            self.skipTest("prometheus is not installed: the dashboard's questions were not asked")
        folder = tempfile.mkdtemp(prefix="sluice-prometheus-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            place = "127.0.0.1:%d" % s.getsockname()[1]
        with open(folder + "/prometheus.yml", "w") as file:
            json.dump({"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": [{"job_name": "sluice", "static_configs": [{"targets": [self.server.http]}]}]}, file)
        with open(folder + "/log", "wb") as log:
            prometheus = subprocess.Popen([program, "--config.file=" + folder + "/prometheus.yml", "--storage.tsdb.path=" + folder + "/data", "--web.listen-address=" + place], stdout=log, stderr=log)
        self.addCleanup(prometheus.wait)
        self.addCleanup(prometheus.terminate)

        def ask(expression):
            with urllib.request.urlopen(f"http://{place}/api/v1/query?" + urllib.parse.urlencode({"query": expression}), timeout=20) as answer:
                return json.load(answer)["data"]["result"]

        def is_scraped():
            try:
                return any(float(r["value"][1]) >= 4 for r in ask("count_over_time(sluice_segments[30s])"))
            except OSError:
                return False

        if not wait_until(is_scraped, seconds=60):
            with open(folder + "/log", errors="replace") as log:
                self.fail(log.read()[-3000:])
        for panel in panels():
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "30s").replace("$instance", ".*")
                with self.subTest(panel["title"], expression=expression):
                    try:
                        answer = ask(expression)
                    except urllib.error.HTTPError as error:
                        self.fail(error.read().decode())
                    # What is asked for only where it is not zero may well find nothing; nothing is sealed yet, and no body has failed.
                    if not re.search(r"> 0\)?$|sluice_segment_flows.* > 0", expression):
                        self.assertTrue(answer)


if __name__ == "__main__":
    sluiced.PROGRAM = sys.argv.pop(1)
    unittest.main()
