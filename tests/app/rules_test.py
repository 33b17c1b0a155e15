#!/usr/bin/env python3
"""Rules on the real server: from `create rule` over every door to an alert, and through kill -9. Run: rules_test.py PATH-OF-SLUICED
SLUICE_KILL_ROUNDS sets the number of kills (8). The seed is printed, and SLUICE_KILL_SEED repeats it."""
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import unittest

import sluiced
from sluiced import Sluiced

ROUNDS = int(os.environ.get("SLUICE_KILL_ROUNDS", "8"))
SEED = int(os.environ.get("SLUICE_KILL_SEED", str(time.time_ns() % 1_000_000)))


def flow(source, target="10.9.0.1", port=22, at=None, size=100, action="ACCEPT", from_port=40000):
    at = int(time.time()) if at is None else at
    return f"2 123456789010 eni-0a {source} {target} {from_port} {port} 6 3 {size} {at} {at} {action} OK\n"


def push(server, lines, name=None):
    answer = server.post("/v1/ingest/aws_vpc", "".join(lines), headers={"X-Sluice-Object": name} if name else {})
    assert answer.status == 200, answer.body
    return answer.json()


def wait_for(what, seconds=15):
    until = time.time() + seconds
    while True:
        value = what()
        if value or time.time() > until:
            return value
        time.sleep(0.05)


GUESSING = """create rule ssh_guessing
  severity high technique "T1110.001" tags ("brute_force", ssh)
as
  from flows
  | where proto == tcp and dst_port == 22
  | stats tries = count(), targets = dcount(dst_ip) by src_ip window 5m slide 1m
  | where tries >= 10
alert by src_ip suppress 1h
message "{src_ip} tried SSH {tries} times on {targets} hosts"
"""


class Rules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Sluiced().__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.s.__exit__()

    def rule(self, name):
        rows = self.s.query(f"show rules | where name == '{name}' | select state, flows, late_flows, alerts, open_alerts, early, note").rows()
        return rows[0] if rows else None

    def alerts(self, rule, columns="key, message, state, severity, matches, query, id"):
        return self.s.query(f"from alerts | where rule == '{rule}' | select {columns}").rows()

    def test_from_rule_to_alert_and_its_flows(self):
        self.assertEqual(self.s.query(GUESSING).rows(), [["ssh_guessing", "created"]])
        self.assertEqual(self.rule("ssh_guessing")[0], "running")
        self.assertTrue(self.rule("ssh_guessing")[5])
        push(self.s, [flow("10.1.0.1", f"10.9.0.{i % 3}") for i in range(9)])
        push(self.s, [flow("10.1.0.2", "10.9.0.1", port=443) for i in range(20)])
        wait_for(lambda: self.rule("ssh_guessing")[1] == 9)
        self.assertEqual(self.alerts("ssh_guessing"), [])
        sent = time.time()
        push(self.s, [flow("10.1.0.1") for i in range(3)])
        rows = wait_for(lambda: self.alerts("ssh_guessing"))
        self.assertLess(time.time() - sent, 5)
        self.assertEqual(len(rows), 1)
        key, message, state, severity, matches, query, id = rows[0]
        self.assertEqual((key, state, severity), ("src_ip=10.1.0.1", "firing", "high"))
        self.assertEqual(message, "10.1.0.1 tried SSH 12 times on 3 hosts")
        self.assertEqual(self.s.query(query + " | stats n = count()").rows(), [[12]])
        listed = self.s.get("/v1/alerts?rule=ssh_guessing&state=firing").json()
        self.assertEqual([a["id"] for a in listed["alerts"]], [id])
        self.assertEqual(listed["alerts"][0]["techniques"], ["T1110.001"])
        self.assertEqual(self.s.get("/v1/alerts?rule=ssh_guessing&state=ended").json()["total"], 0)
        self.assertEqual(self.s.get("/v1/alerts?colour=red").status, 400)
        # Once more would be a second alert without `suppress`.
        push(self.s, [flow("10.1.0.1") for i in range(30)])
        wait_for(lambda: self.rule("ssh_guessing")[1] == 42)
        self.assertEqual(len(self.alerts("ssh_guessing")), 1)
        self.assertEqual(self.s.query("from alerts last 1h | where rule == 'ssh_guessing' | stats n = count()").rows(), [[1]])
        self.assertEqual(self.s.query("from alerts between 2020-01-01 and 2020-01-02").rows(), [])
        metrics = self.s.get("/metrics").body.decode()
        self.assertRegex(metrics, r"sluice_alerts_firing [1-9]")
        self.assertRegex(metrics, r"sluice_rule_flows_total [1-9]")
        self.assertIn("sluice_rule_lag_seconds", metrics)

    def test_what_is_refused_and_where(self):
        error = self.s.query("create rule bad as from flows | where src_prt == 22").error
        self.assertEqual((error["line"], error["column"]), (1, 39))
        self.assertIn("did you mean 'src_port'", error["hint"])
        answer = self.s.query("create rule bad as from flows\n| stats n = count() by src_ip window 5m\n| sort n")
        self.assertEqual((answer.error["line"], answer.error["column"]), (3, 3))
        self.assertIn("whole table", answer.error["message"])
        self.assertEqual(self.s.query("drop rule nobody").status, 400)
        self.s.query("create rule once as dst_port == 9").rows()
        again = self.s.query("create rule once as dst_port == 10")
        self.assertEqual(again.status, 409)
        self.assertEqual(self.s.query("create or replace rule once as dst_port == 10").rows(), [["once", "replaced"]])
        self.assertIn("did you mean 'once'", self.s.query("alter rule onse disable").error["hint"])
        self.assertEqual(self.s.query("drop rule once").rows(), [["once", "dropped"]])
        self.assertIsNone(self.rule("once"))

    def test_one_text_makes_several_rules(self):
        text = ("create rule open_port each ('ftp: port=21; what=FTP', 'tftp: port=69; what=TFTP') as dst_port == $port alert by src_ip "
                "message '{src_ip} uses $what'")
        self.assertEqual(self.s.query(text).rows(), [["open_port_ftp", "created"], ["open_port_tftp", "created"]])
        push(self.s, [flow("10.5.0.1", port=21), flow("10.5.0.2", port=22)])
        self.assertEqual([a[1] for a in wait_for(lambda: self.alerts("open_port_ftp"))], ["10.5.0.1 uses FTP"])
        self.assertEqual(self.alerts("open_port_tftp"), [])
        # All or none: one that is there refuses them all.
        self.s.query("drop rule open_port_ftp").rows()
        self.assertEqual(self.s.query(text).status, 409)
        self.assertIsNone(self.rule("open_port_ftp"))
        # Each is a rule of its own, with a text that makes it again.
        own = self.s.query("show rules | where name == 'open_port_tftp' | select text").rows()[0][0]
        self.s.query("drop rule open_port_tftp").rows()
        self.assertEqual(self.s.query(own).rows(), [["open_port_tftp", "created"]])
        applied = self.s.post("/v1/rules/apply", text).json()["rules"]
        self.assertEqual([(r["name"], r["result"]) for r in applied], [("open_port_ftp", "created"), ("open_port_tftp", "unchanged")])

    def test_single_flows_and_disabling(self):
        self.s.query("create rule telnet severity low as dst_port == 23 and action == accept alert by src_ip, dst_ip suppress 1h "
                     "message '{src_ip} uses Telnet on {dst_ip}'").rows()
        push(self.s, [flow("10.2.0.1", port=23), flow("10.2.0.1", port=23), flow("10.2.0.2", port=23, action="REJECT"), flow("10.2.0.3", port=23)])
        wait_for(lambda: len(self.alerts("telnet")) == 2)
        self.assertEqual(sorted(a[0] for a in self.alerts("telnet")), ["src_ip=10.2.0.1 dst_ip=10.9.0.1", "src_ip=10.2.0.3 dst_ip=10.9.0.1"])
        self.s.query("alter rule telnet disable").rows()
        self.assertEqual(self.rule("telnet")[0], "disabled")
        self.assertEqual({a[2] for a in self.alerts("telnet")}, {"ended"})
        push(self.s, [flow("10.2.0.9", port=23)])
        self.s.query("alter rule telnet enable").rows()
        self.assertEqual(self.rule("telnet")[0], "running")
        push(self.s, [flow("10.2.0.8", port=23)])
        wait_for(lambda: any("10.2.0.8" in a[0] for a in self.alerts("telnet")))
        self.assertTrue(any("10.2.0.8" in a[0] for a in self.alerts("telnet")))
        # Those that ended with it are not there twice, and one that matches again resumes.
        push(self.s, [flow("10.2.0.1", port=23)])
        self.assertTrue(wait_for(lambda: ["src_ip=10.2.0.1 dst_ip=10.9.0.1", "firing"] in self.alerts("telnet", "key, state")), self.alerts("telnet", "key, state"))
        ids = [a[0] for a in self.alerts("telnet", "id")]
        self.assertEqual(len(ids), len(set(ids)))
        # Nor is one of a rule that was dropped and made again.
        text = self.s.query("show rules | where name == 'telnet' | select text").rows()[0][0]
        self.s.query("drop rule telnet").rows()
        self.assertEqual({a[0] for a in self.alerts("telnet", "state")}, {"ended"})
        self.s.query(text).rows()
        push(self.s, [flow("10.2.0.3", port=23)])
        self.assertTrue(wait_for(lambda: ["src_ip=10.2.0.3 dst_ip=10.9.0.1", "firing"] in self.alerts("telnet", "key, state")))
        again = [a[0] for a in self.alerts("telnet", "id")]
        self.assertEqual(len(again), len(set(again)))
        self.assertLessEqual(set(ids), set(again))

    def test_a_new_rule_knows_the_flows_of_its_open_window(self):
        push(self.s, [flow("10.3.0.1", port=5432) for i in range(7)])
        self.s.query("create rule postgres as dst_port == 5432 | stats n = count() by src_ip window 1h | where n > 5 alert by src_ip").rows()
        self.assertTrue(wait_for(lambda: self.alerts("postgres")))

    def test_replay_finds_what_live_found(self):
        self.s.query("create rule replayed as dst_port == 3389 | stats n = count(), b = sum(bytes) by src_ip window 1m | where n >= 3 alert by src_ip").rows()
        for source in range(5):
            push(self.s, [flow(f"10.4.0.{source}", port=3389, size=10 * source) for i in range(source)])
        live = wait_for(lambda: (lambda a: a if len(a) == 2 else None)(self.alerts("replayed", "id, key")))
        self.assertEqual(len(live), 2)
        answer = self.s.query("replay rule replayed over last 1h").json()
        columns = [c["name"] for c in answer["columns"]]
        found = [[row[columns.index("id")], row[columns.index("key")]] for row in answer["rows"]]
        self.assertEqual(sorted(found), sorted(live))
        # They are told from alerts that were, and what they cost is said.
        self.assertTrue(all(row[columns.index("replayed")] for row in answer["rows"]))
        self.assertEqual(self.alerts("replayed", "replayed"), [[False]] * 2)
        self.assertGreaterEqual(answer["stats"]["rows_scanned"], 7)
        self.assertGreater(answer["stats"]["bytes_read"], 0)
        self.assertLessEqual(answer["range"]["from"], answer["range"]["to"])
        # On history that no rule saw: flagged by nothing, told to nobody.
        push(self.s, [flow("10.4.1.1", port=3389, at=1763625600 + i) for i in range(4)])
        old = self.s.query("replay rule replayed over between 2025-11-20 and 2025-11-21").json()["rows"]
        self.assertEqual(len(old), 1)
        # By event time: with the end of its window, and of the next.
        self.assertEqual([old[0][columns.index(c)] for c in ("fired_at", "ended_at")], ["2025-11-20T08:01:00Z", "2025-11-20T08:02:00Z"])
        self.assertEqual(len(self.alerts("replayed", "id")), 2)
        self.assertEqual(self.s.query("replay rule nobody over last 1h").status, 400)
        # All that is stored: years without a flow lie in between, and cost nothing.
        push(self.s, [flow("10.4.1.2", port=3389, at=1331000000 + i) for i in range(4)])
        whole = self.s.query("replay rule replayed").json()["rows"]
        self.assertEqual(sorted(row[columns.index("key")] for row in whole), ["src_ip=10.4.0.3", "src_ip=10.4.0.4", "src_ip=10.4.1.1", "src_ip=10.4.1.2"])
        self.s.query("create rule replayed_asked every 10s over 1m as from flows | where dst_port == 3389 | stats n = count() by src_ip | where n >= 3 alert by src_ip").rows()
        whole = self.s.query("replay rule replayed_asked").json()["rows"]
        self.assertTrue({"src_ip=10.4.1.1", "src_ip=10.4.1.2"} <= {row[columns.index("key")] for row in whole}, whole)

    def test_one_rule_by_its_path(self):
        self.s.query("create rule by_path as dst_port == 6789 | stats n = count() by src_ip window 1m | where n >= 2 alert by src_ip").rows()
        at = 1763600000
        push(self.s, [flow("10.44.0.1", port=6789, at=at + i) for i in range(3)] + [flow("10.44.0.2", port=6789, at=at + 7200 + i) for i in range(3)])
        one, listed = self.s.get("/v1/rules/by_path").json(), self.s.get("/v1/rules?name=by_path").json()["rules"][0]
        self.assertEqual([one[k] for k in ("name", "text", "window", "created_at")], [listed[k] for k in ("name", "text", "window", "created_at")])
        self.assertEqual(set(one), set(listed))
        self.assertEqual(self.s.get("/v1/rules/nobody").status, 404)
        for path in ("/v1/rules/apply", "/v1/rules/test"):  # routes of their own
            self.assertEqual(self.s.get(path).status, 405)

        def keys(query):
            answer = self.s.post("/v1/rules/by_path/replay" + query)
            at = [c["name"] for c in answer.json()["columns"]].index("key")
            return sorted(row[at] for row in answer.rows())

        self.assertEqual(keys(""), ["src_ip=10.44.0.1", "src_ip=10.44.0.2"])
        self.assertEqual(keys(f"?to={(at + 3600) * 1000}"), ["src_ip=10.44.0.1"])
        self.assertEqual(keys(f"?from={(at + 3600) * 1000}"), ["src_ip=10.44.0.2"])
        self.assertEqual(keys(f"?from={(at + 3600) * 1000}&to={(at + 3700) * 1000}"), [])
        self.assertEqual(self.s.post("/v1/rules/nobody/replay").status, 404)
        self.assertEqual(self.s.post("/v1/rules/by_path/replay?q=x").status, 400)
        self.assertEqual(self.s.post("/v1/rules/by_path/replay?from=now&to=now-1h").status, 400)

    def test_lists_are_read_and_reloaded(self):
        error = self.s.query("create rule listed as dst_ip in @nowhere").error
        self.assertEqual((error["line"], error["column"]), (1, 33))
        self.assertIn("there is no list '@nowhere'", error["message"])
        self.s.query("create list bad (10.99.0.1)").rows()
        self.s.query("create rule listed as dst_ip in @bad alert by src_ip, dst_ip suppress 1h").rows()
        push(self.s, [flow("10.6.0.1", "10.99.0.1"), flow("10.6.0.2", "10.99.0.2")])
        wait_for(lambda: self.alerts("listed"))
        self.assertEqual([a[0] for a in self.alerts("listed")], ["src_ip=10.6.0.1 dst_ip=10.99.0.1"])
        self.assertEqual(self.s.query("from alerts | select start").error["hint"], "did you mean 'ts'?")
        # A list that changes: flows of windows that are open are looked at again, and new ones by it.
        bundle = {"type": "bundle", "objects": [
            {"type": "indicator", "pattern_type": "stix", "pattern": "[ipv4-addr:value = '10.99.0.2']"},
            {"type": "indicator", "pattern_type": "stix", "pattern": "[domain-name:value = 'example.com']"}]}
        put = self.s.ask("PUT", "/v1/lists/bad", json.dumps(bundle), headers={"Content-Type": "application/stix+json;version=2.1"}).json()
        self.assertEqual((put["items"], put["version"]), (1, 2))
        self.assertEqual(sum(put["left_out"].values()), 1)
        push(self.s, [flow("10.6.0.3", "10.99.0.2")])
        wait_for(lambda: any("10.6.0.3" in a[0] for a in self.alerts("listed")))
        self.assertEqual({a[0] for a in self.alerts("listed")} - {"src_ip=10.6.0.2 dst_ip=10.99.0.2"}, {"src_ip=10.6.0.1 dst_ip=10.99.0.1", "src_ip=10.6.0.3 dst_ip=10.99.0.2"})
        self.assertEqual(self.s.get("/v1/lists/bad").body.decode(), "10.99.0.2\n")
        added = self.s.post("/v1/lists/bad?lifetime=3s", "10.99.0.7 # for a while\n").json()
        self.assertEqual(added["items"], 2)
        self.assertIn("10.99.0.7 until", self.s.get("/v1/lists/bad").body.decode())
        self.assertTrue(wait_for(lambda: self.s.get("/v1/lists/bad").body.decode() == "10.99.0.2\n"))
        # A body without an item would silence the rule.
        for body, left_out in (("", ""), ("# nothing today\n", ""), ("10.0.0.0/33\n10.9.9.9 until 2020-01-01\n", "1 (ended already)")):
            refused = self.s.ask("PUT", "/v1/lists/BAD", body)
            self.assertEqual((refused.status, refused.error["code"]), (422, "invalid_argument"), body)
            self.assertIn("read by rules: listed" + ("; left out: " + left_out if left_out else ""), refused.error["message"])
            self.assertIn("allow_empty=true", refused.error["hint"])
        self.assertEqual(self.s.ask("PUT", "/v1/lists/bad?allow_empty=maybe", "").status, 400)
        self.assertEqual(self.s.post("/v1/lists/bad", "").json()["items"], 1)
        # A statement is held to the same.
        for refused in (self.s.query("create or replace list BAD ()"), self.s.post("/v1/rules/apply", "create or replace list Bad ()")):
            self.assertEqual((refused.status, refused.error["code"]), (400, "invalid_argument"))
            self.assertEqual(refused.error["message"], "the list 'bad' would have no item, and it is read by rules: listed")
            self.assertIn("(null)", refused.error["hint"])
        self.assertEqual(self.s.get("/v1/lists/bad").body.decode(), "10.99.0.2\n")
        self.assertEqual(self.s.query("create or replace list bad (null)").rows()[0][2], 0)
        self.assertEqual(self.s.query("create or replace list bad (null, 10.0.0.1)").status, 400)
        self.assertEqual(self.s.ask("PUT", "/v1/lists/bad?allow_empty=true", "").json()["items"], 0)
        self.assertEqual(self.s.ask("PUT", "/v1/lists/bad", "10.99.0.2").json()["items"], 1)
        self.assertEqual(self.s.ask("PUT", "/v1/lists/unread", "").json()["items"], 0)
        # The hunt for it in what is stored.
        hunted = self.s.query("replay list bad over last 1d").json()
        self.assertEqual([c["name"] for c in hunted["columns"]][:3], ["listed", "peer", "flows"])
        self.assertEqual(sorted(row[:3] for row in hunted["rows"]), [["10.99.0.2", "10.6.0.2", 1], ["10.99.0.2", "10.6.0.3", 1]])
        self.assertEqual(self.s.query("replay list nobody over last 1d").status, 400)
        refused = self.s.query("drop list bad")
        self.assertEqual(refused.status, 409)
        self.assertIn("listed", refused.error["message"])
        self.s.query("drop rule listed").rows()
        self.s.query("drop list bad").rows()
        self.assertEqual(self.s.get("/v1/lists/bad").status, 404)

    def test_zones_and_policy(self):
        self.assertEqual(self.s.query("create zone guest (10.77.0.0/16)").rows(), [["zone created", "guest", 1, 1]])
        self.assertEqual(self.s.query("show zones | where name == 'guest' | select items, blocks").rows(), [[1, ["10.77.0.0/16"]]])
        self.assertEqual(self.s.get("/v1/lists/zone_guest").body, b"10.77.0.0/16\n")
        self.s.query("create list forbidden ('guest>internal', 'external>servers')").rows()
        self.s.query("create rule policy as from flows | extend way = concat(zone(src_ip), '>', zone(dst_ip)) | where way in @forbidden alert by src_ip, dst_ip "
                     "message '{src_ip} speaks to {dst_ip}: {way}'").rows()
        push(self.s, [flow("10.77.0.1", "10.78.0.1"), flow("10.77.0.1", "10.77.0.2"), flow("198.51.100.1", "10.79.0.1")])
        self.assertEqual([a[1] for a in wait_for(lambda: self.alerts("policy"))], ["10.77.0.1 speaks to 10.78.0.1: guest>internal"])
        # A new zone is seen by rules that ask for zones.
        self.s.query("create or replace zone servers (10.79.0.0/24)").rows()
        push(self.s, [flow("198.51.100.2", "10.79.0.1")])
        self.assertTrue(wait_for(lambda: any("198.51.100.2" in a[0] for a in self.alerts("policy"))))

    def test_rules_that_are_asked(self):
        now = int(time.time())
        push(self.s, [flow("10.7.0.1", port=9418, at=now - 100, size=1000 + i) for i in range(5)])
        push(self.s, [flow("10.7.0.2", port=9418, at=now - 100, size=10)])
        push(self.s, [flow("10.7.0.9", port=1)])  # time goes on
        self.s.query("create rule asked every 10s over 1h as from flows | where dst_port == 9418 | top 1 src_ip by sum(bytes) alert by src_ip suppress 1d").rows()
        rows = wait_for(lambda: self.alerts("asked", "key, query"))
        self.assertEqual([r[0] for r in rows], ["src_ip=10.7.0.1"])
        self.assertEqual(self.s.query(rows[0][1] + " | stats n = count()").rows(), [[5]])
        self.assertEqual(self.rule("asked")[0], "running")
        # Rules build on rules.
        self.s.query("create rule built every 10s over 1d as from alerts | where rule == 'asked' | stats n = count() by key alert by key").rows()
        self.assertTrue(wait_for(lambda: self.alerts("built"), 30))
        replayed = self.s.query("replay rule asked over last 1h").json()
        self.assertEqual(len(replayed["rows"]), 1)

    def test_exceptions_ladder_and_silence(self):
        self.s.query("create rule noisy severity low mode silent severity_when ('high: n >= 5') as dst_port == 7777 | stats n = count() by src_ip window 1h alert by src_ip").rows()
        self.assertEqual(self.s.query("alter rule noisy add exception \"src_ip == 10.8.0.1 -- the scanner\"").rows(), [["noisy", "exception added"]])
        self.assertEqual(self.s.query("alter rule noisy add exception \"src_ip == 10.8.0.1 -- the scanner\"").status, 409)
        self.assertEqual(self.s.query("alter rule noisy add exception \"src_prt == 1\"").status, 400)
        push(self.s, [flow("10.8.0.1", port=7777)] + [flow("10.8.0.2", port=7777)] * 2 + [flow("10.8.0.3", port=7777)] * 6)
        wait_for(lambda: len(self.alerts("noisy")) == 2)
        self.assertEqual(sorted(self.alerts("noisy", "key, severity, silent")), [["src_ip=10.8.0.2", "low", True], ["src_ip=10.8.0.3", "high", True]])
        self.assertEqual(self.s.query("alter rule noisy drop exception \"src_ip == 10.8.0.1 -- the scanner\"").rows(), [["noisy", "exception dropped"]])
        # It is as if it had never been: the flow is there.
        self.assertTrue(wait_for(lambda: any("10.8.0.1" in a[0] for a in self.alerts("noisy"))))

    def test_alerts_label_for_other_rules(self):
        error = self.s.query("create rule marks label ('src_ip in @marked for 1s') as dst_port == 7070 alert by src_ip").error
        self.assertEqual((error["line"], error["column"]), (1, 19))
        self.s.query("create rule marks label ('src_ip in @marked for 1h') as dst_port == 7070 alert by src_ip suppress 1h").rows()
        self.s.query("create rule quietly mode silent label ('src_ip in @unmarked for 1h') as dst_port == 7070 alert by src_ip suppress 1h").rows()
        push(self.s, [flow("10.71.0.1", port=7070)])
        self.assertTrue(wait_for(lambda: self.s.get("/v1/lists/marked").status == 200))
        self.assertRegex(self.s.get("/v1/lists/marked").body.decode(), r"^10\.71\.0\.1 until 20\S+\n$")
        self.assertEqual(self.s.get("/v1/lists/unmarked").status, 404)
        self.assertEqual(self.s.query("from flows | where src_ip in @marked | stats n = count()").rows(), [[1]])
        self.s.query("create rule follows as src_ip in @marked and dst_port == 7071 alert by src_ip, dst_ip suppress 1h").rows()
        push(self.s, [flow("10.71.0.1", port=7071), flow("10.71.0.2", port=7071)])
        self.assertTrue(wait_for(lambda: self.alerts("follows")))
        self.assertEqual([a[0] for a in self.alerts("follows")], ["src_ip=10.71.0.1 dst_ip=10.9.0.1"])

    def test_a_file_brings_its_lists(self):
        text = "create list mine (10.66.0.1)\n; create rule from_file as dst_ip in @mine alert by dst_ip"
        applied = self.s.post("/v1/rules/apply", text).json()["rules"]
        self.assertEqual([(r["name"], r["result"]) for r in applied], [("@mine", "created"), ("from_file", "created")])
        self.s.post("/v1/lists/mine", "10.66.0.2").json()
        applied = self.s.post("/v1/rules/apply", text).json()["rules"]
        self.assertEqual([(r["name"], r["result"]) for r in applied], [("from_file", "unchanged")])
        self.assertEqual(self.s.get("/v1/lists/mine").body.decode(), "10.66.0.1\n10.66.0.2\n")
        tested = self.s.post("/v1/rules/test", "create rule t fires (\"@l = 10.0.0.9; 1 flow dst_ip=10.0.0.9\") quiet (\"1 flow dst_ip=10.0.0.9\") as dst_ip in @l alert by dst_ip").json()
        self.assertTrue(tested["passed"], tested)

    def test_an_example_says_why_it_fails(self):
        self.s.query("create rule deaf fires ('3 flows src_ip=10.0.0.9 dst_port=23') as dst_port == 22 alert by src_ip").rows()
        self.assertEqual(self.s.query("test rule deaf").rows(),
                         [["3 flows src_ip=10.0.0.9 dst_port=23", True, False, 0, "none of 3 flows meets the filter: dst_port == 22\nflow 1: dst_port == 22 is false (dst_port = 23)"]])


    def test_doubts_about_a_rule_are_told_when_it_is_made(self):
        def warned(text):
            answer = self.s.query(text).json()
            return answer["rows"], answer["warnings"]

        # The rule is made all the same: parameters and lists are there to be changed, and its examples are not.
        rows, warnings = warned("create rule doubtful fires ('3 flows src_ip=10.0.0.9 dst_port=23', '1 flow dst_port=22') quiet ('2 flows dst_port=22') as dst_port == 22 alert by src_ip message 'seen'")
        self.assertEqual(rows, [["doubtful", "created"]])
        self.assertEqual(warnings, ["the rule 'doubtful' does not alert, and must, for its example '3 flows src_ip=10.0.0.9 dst_port=23': none of 3 flows meets the filter: "
                                    "dst_port == 22; flow 1: dst_port == 22 is false (dst_port = 23)", warnings[1]])
        self.assertTrue(warnings[1].startswith("the rule 'doubtful' alerts, and must not, for its example '2 flows dst_port=22': seen; in the window from "), warnings)
        self.assertEqual(warned("create rule fine fires ('1 flow dst_port=22') quiet ('1 flow dst_port=23') except ('src_ip == 10.0.0.1 until 2200-01-01') as dst_port == 22"), ([["fine", "created"]], []))
        over = "src_ip == 10.0.0.2 until 2025-03-01 -- the scanner"
        ended = f"the rule 'fine' has an exception that ended at 2025-03-01T00:00:00Z, and leaves out no flow of later: '{over}'"
        self.assertEqual(warned(f"alter rule fine add exception \"{over}\""), ([["fine", "exception added"]], [ended]))
        self.assertEqual(warned(f"alter rule fine drop exception \"{over}\""), ([["fine", "exception dropped"]], []))
        # One that hides the rule's own examples is heard of, too.
        self.assertIn("does not alert", warned("alter rule fine add exception \"dst_port == 22\"")[1][0])
        # And so in a file of rules.
        text = f"create rule calm fires ('1 flow dst_port=22') as dst_port == 22; create rule fine fires ('1 flow dst_port=24') except (\"{over}\") as dst_port == 24; " \
               "create rule wrong fires ('1 flow dst_port=22') as dst_port == 26"
        applied = self.s.post("/v1/rules/apply", text).json()
        self.assertEqual(applied["warnings"], [])
        self.assertEqual([(r["name"], r["result"]) for r in applied["rules"]], [("calm", "created"), ("fine", "replaced"), ("wrong", "created")])
        self.assertEqual([r.get("warnings") for r in applied["rules"]][:2], [None, [ended]])
        self.assertIn("does not alert, and must, for its example '1 flow dst_port=22'", applied["rules"][2]["warnings"][0])
        # Examples that take long hold nobody up; how many were left is said.
        slow = "create rule slow every 10s over 1h fires (" + ", ".join(["'2 flows over 12h dst_port=22'"] * 20) + ") as from flows | where dst_port == 22 | stats n = count() by src_ip alert by src_ip"
        rows, warnings = warned(slow)
        self.assertEqual(rows, [["slow", "created"]])
        self.assertRegex(warnings[-1], r"^\d+ examples? w(as|ere) not run within 2s; test rule NAME runs those of a rule, however long they take$")
        self.assertEqual(self.s.query("test rule slow", timeout_ms=1).status, 408)


class Access(unittest.TestCase):
    def test_only_admins_change_rules(self):
        with Sluiced() as s:
            admin = s.post("/v1/admin/tokens", '{"name":"a","role":"admin"}').json()["token"]
            reader = s.post("/v1/admin/tokens", '{"name":"r","role":"read"}', token=admin).json()["token"]
            s.token = reader
            self.assertEqual(s.query("create rule r as dst_port == 9").status, 403)
            self.assertEqual(s.query("show rules").rows(), [])
            s.token = admin
            s.query("create rule r as dst_port == 9").rows()
            s.token = reader
            self.assertEqual(s.query("drop rule r").status, 403)
            self.assertEqual(s.query("alter rule r disable").status, 403)
            self.assertEqual(s.query("alter rule r add exception \"src_ip == 10.0.0.1\"").status, 403)
            self.assertEqual(s.query("create or replace rule r as dst_port == 10").status, 403)
            self.assertEqual(s.post("/v1/rules/apply", "create rule r as dst_port == 10").status, 403)
            self.assertEqual(s.query("create list l (10.0.0.1)").status, 403)
            self.assertEqual(s.query("drop list l").status, 403)
            self.assertEqual(s.query("create zone z (10.0.0.0/8)").status, 403)
            self.assertEqual(s.query("drop zone z").status, 403)
            self.assertEqual(s.ask("PUT", "/v1/lists/l", "10.0.0.1").status, 403)
            self.assertEqual(s.post("/v1/lists/l", "10.0.0.1").status, 403)
            self.assertEqual(s.ask("DELETE", "/v1/lists/l").status, 403)
            self.assertEqual(s.get("/v1/lists").json()["lists"], [])
            self.assertEqual(s.query("replay rule r over last 1h").rows(), [])


class Asked(unittest.TestCase):
    def test_what_exceptions_leave_out_is_counted_once(self):
        with Sluiced() as s:
            at = int(time.time()) // 10 * 10 - 100
            push(s, [flow("10.7.0.9", port=1, at=at)])  # time is a minute before that
            s.query("create rule excepting every 10s over 1h except ('src_ip == 10.7.1.1') as from flows | where dst_port == 9419 and not src_region in (from exporters | select name) "
                    "| stats n = count() by src_ip alert by src_ip").rows()
            status = lambda: s.query("show rules | where name == 'excepting' | select excepted_flows, alerts, note").rows()[0]
            self.assertEqual(status()[:2], [0, 0])
            push(s, [flow("10.7.1.1", port=9419, at=at + 1)] * 3 + [flow("10.7.1.1", port=1, at=at + 1)] + [flow("10.7.1.2", port=9419, at=at + 1)])
            push(s, [flow("10.7.0.9", port=1, at=at + 99)])  # and now behind it: each flow is in several answers
            self.assertTrue(wait_for(lambda: status()[1] == 1), status())
            self.assertEqual(status(), [3, 1, None])
            # What a replay has as it is today it warns of.
            replayed = s.query("replay rule excepting").json()
            self.assertEqual(len(replayed["rows"]), 1)
            self.assertIn("'exporters'", replayed["warnings"][0])
            self.assertEqual(len(replayed["warnings"]), 1)

    def test_flows_that_are_read_again_and_again_are_not_so_many_flows(self):
        data = tempfile.mkdtemp(prefix="sluice-app-")
        at = int(time.time()) // 10 * 10 - 100
        counts = lambda: s.query("show rules | sort name | select name, flows, flows_read").rows()
        try:
            with Sluiced(data=data) as s:
                push(s, [flow("10.7.0.9", port=1, at=at)])  # time is a minute before that
                s.query("create rule asked every 10s over 1h as from flows | where dst_port == 9420 | stats n = count() by src_ip alert by src_ip").rows()
                s.query("create rule streamed as from flows | where dst_port == 9420 | stats n = count() by src_ip window 1m | where n > 9 alert by src_ip").rows()
                self.assertEqual(counts(), [["asked", None, 0], ["streamed", 0, None]])
                push(s, [flow("10.7.1.1", port=9420, at=at + 1)] * 3 + [flow("10.7.1.1", port=1, at=at + 1)])
                push(s, [flow("10.7.0.9", port=1, at=at + 99)])  # and now behind it: three answers have the three
                self.assertTrue(wait_for(lambda: counts() == [["asked", None, 9], ["streamed", 3, None]]), counts())
                s.stop()
            with Sluiced(data=data) as s:
                self.assertEqual(counts(), [["asked", None, 9], ["streamed", 3, None]])
        finally:
            shutil.rmtree(data, ignore_errors=True)

    def test_what_was_learned_is_not_learned_anew(self):
        data = tempfile.mkdtemp(prefix="sluice-app-")
        now = int(time.time())
        notes = "show rules | sort name | select name, note"
        try:
            with Sluiced("--seal-age", "1s", data=data) as s:
                push(s, [flow("10.8.1.1", port=4242, at=now - 3 * 86400), flow("10.8.1.1", port=4242, at=now - 120), flow("10.8.1.1", port=1, at=now)])
                s.query("create rule asked every 10s over 1h learn 2d as from flows | where dst_port == 4242 | stats n = count() by src_ip alert by src_ip").rows()
                s.query("create rule streamed learn 2d as dst_port == 4242 | stats n = count() by src_ip window 1h alert by src_ip").rows()
                self.assertTrue(wait_for(lambda: len(s.query("from alerts").rows()) == 2), s.query(notes).rows())
            # Then the flows of then go.
            with Sluiced("--retain-age", "1d", "--seal-age", "1s", data=data) as s:
                self.assertTrue(wait_for(lambda: s.query("since 2020-01-01 | stats n = count()").rows() == [[2]], 60))
            for _ in range(2):
                with Sluiced("--retain-age", "1d", "--seal-age", "1s", data=data) as s:
                    push(s, [flow("10.8.1.2", port=4242)])
                    self.assertTrue(wait_for(lambda: s.query("show rules | select state").rows() == [["running"], ["running"]]))
                    self.assertEqual(s.query(notes).rows(), [["asked", None], ["streamed", None]])
                    # Not by one that is replaced, either.
                    s.query("create or replace rule streamed learn 2d as dst_port == 4242 | stats n = count(), b = sum(bytes) by src_ip window 1h alert by src_ip").rows()
                    self.assertTrue(wait_for(lambda: len(s.query("from alerts | where rule == 'streamed' and key == 'src_ip=10.8.1.2'").rows()) == 1), s.query(notes).rows())
                    self.assertEqual(s.query(notes).rows(), [["asked", None], ["streamed", None]])
        finally:
            shutil.rmtree(data, ignore_errors=True)

    def test_what_is_caught_up_on_is_not_doubled(self):
        data = tempfile.mkdtemp(prefix="sluice-caught-up-")
        self.addCleanup(shutil.rmtree, data, True)
        at = int(time.time()) // 10 * 10 - 1000

        def alerts(s):
            return sorted(s.query("from alerts | where rule == 'caught' | select id, key, ts, end, matches, replayed").rows())

        with Sluiced(data=data) as s:
            push(s, [flow("10.7.0.9", port=1, at=at)])
            s.query("create rule caught every 10s over 1m as from flows | where dst_port == 9420 | stats n = count() by src_ip alert by src_ip").rows()
            push(s, [flow("10.7.2.1", port=9420, at=at + 10), flow("10.7.2.2", port=9420, at=at + 200), flow("10.7.0.9", port=1, at=at + 225)])
            self.assertTrue(wait_for(lambda: len(alerts(s)) == 1), alerts(s))
            s.process.kill()
            s.process.wait()
        with Sluiced(data=data) as s:
            # Answers that were given before, and those that were due while nobody asked; one alert goes on over both.
            push(s, [flow("10.7.2.1", port=9420, at=at + 500), flow("10.7.2.3", port=9420, at=at + 600), flow("10.7.0.9", port=1, at=at + 900)])
            self.assertTrue(wait_for(lambda: len(alerts(s)) == 4 and s.query("show rules | where name == 'caught' | select open_alerts").rows() == [[0]], 30), alerts(s))
            answer = s.query("replay rule caught").json()
            columns = [c["name"] for c in answer["columns"]]
            replayed = sorted([row[columns.index(c)] for c in ("id", "key", "ts", "end", "matches")] + [False] for row in answer["rows"])
            self.assertEqual(replayed, alerts(s))
            self.assertEqual(s.query("show rules | where name == 'caught' | select alerts").rows(), [[4]])


class Worse(unittest.TestCase):
    """An alert that was firing when the server died becomes severer as on one that lived: told once, with as many matches."""

    def test_an_alert_is_raised_after_a_death(self):
        found = {kills: self.story(kills) for kills in (0, 2)}
        self.assertEqual(found[2], found[0])

    def story(self, kills):
        data = tempfile.mkdtemp(prefix="sluice-worse-")
        self.addCleanup(shutil.rmtree, data, True)
        config, told = os.path.join(data, "s.toml"), os.path.join(data, "told.ndjson")
        with open(config, "w") as f:
            f.write(f'http = "127.0.0.1:0"\nnetflow = "127.0.0.1:0"\nsflow = "none"\n[[target]]\nname = "file"\nkind = "file"\npath = "{told}"\n')
        columns = "severity, matches, message"

        def events():  # a death may have the last one told again
            with open(told) as f:
                return list(dict.fromkeys(json.loads(line)["event"] for line in f if line.endswith("\n")))

        def scan(s, first, last, at):
            push(s, [flow("10.7.0.1", port=port, at=at) for port in range(first, last)])

        at = int(time.time()) // 60 * 60  # all in one slide, whatever the clock says meanwhile
        for life in range(kills + 1):
            with Sluiced("--config", config, data=os.path.join(data, "data")) as s:
                alert = lambda: s.query(f"from alerts | where rule == 'scan' | select {columns}").rows()
                if life == 0:
                    s.query('create rule scan severity_when ("high: ports > 40", "critical: ports > 90") as from flows '
                            "| stats ports = dcount(dst_port) by src_ip window 5m slide 1m | where ports > 20 alert by src_ip suppress 1h").rows()
                    scan(s, 1, 31, at)
                    self.assertEqual([a[0] for a in wait_for(alert)], ["medium"])
                if life == kills:
                    wait_for(lambda: s.query("show rules | where name == 'scan' | select state").rows() == [["running"]])
                    scan(s, 31, 121, at)
                    worse = wait_for(lambda: [a for a in alert() if a[0] == "critical"])
                    self.assertTrue(worse, alert())
                    wait_for(lambda: "raised" in events())
                    self.assertEqual(events(), ["started", "raised"])
                    return worse
                wait_for(lambda: s.query("show rules | where name == 'scan' | select state").rows() == [["running"]])
                s.process.kill()
                s.process.wait()


class Kill(unittest.TestCase):
    """Sources make five flows each, in two bodies. Whatever dies when, each has one alert at the end, and no other has any."""

    def test_no_alert_is_lost_or_doubled(self):
        print("seed", SEED, file=sys.stderr)
        dice = random.Random(SEED)
        data = tempfile.mkdtemp(prefix="sluice-rules-")
        self.addCleanup(shutil.rmtree, data, True)
        sent, doubtful, seen = 0, [], {}
        minute = int(time.time()) // 60 * 60  # all in one window, which stays open

        def body(number):
            # Host n.1 has three flows in body 2n and two in the next: five. Host n.2 has two in each, and never five. Host n.3 uses Telnet.
            n, half = divmod(number, 2)
            count = 3 if half == 0 else 2
            lines = [flow(f"10.{5 + n // 250}.{n % 250}.1", at=minute, from_port=1000 + i) for i in range(count)]
            lines += [flow(f"10.{5 + n // 250}.{n % 250}.2", at=minute, from_port=1000 + i) for i in range(2)]
            lines += [flow(f"10.{5 + n // 250}.{n % 250}.3", port=23, at=minute)] if half == 1 else []
            return lines

        for round in range(ROUNDS):
            with Sluiced("--seal-age", "300ms", data=data) as s:
                if round == 0:
                    s.query("create rule five as dst_port == 22 | stats n = count() by src_ip window 1h | where n >= 5 alert by src_ip suppress 1h").rows()
                    s.query("create rule hops as dst_port == 22 | stats n = count(), d = dcount(src_port) by src_ip window 1h slide 10m | where n >= 5 and d >= 3 alert by src_ip suppress 6h").rows()
                    s.query("create rule average as dst_port == 22 | stats n = count(), a = avg(bytes) by src_ip window 1h | where n == 5 and a > 50 alert by src_ip").rows()
                    s.query("create rule telnet as dst_port == 23 alert by src_ip suppress 1h").rows()
                for number in doubtful:
                    push(s, body(number), f"b{number}")
                doubtful = []
                killer = threading.Timer(dice.uniform(0.05, 1.2), s.process.kill)
                killer.start()
                while True:
                    try:
                        push(s, body(sent), f"b{sent}")
                    except Exception:
                        doubtful.append(sent)
                        sent += 1
                        break
                    sent += 1
                    try:
                        for a in s.get("/v1/alerts?limit=100000").json()["alerts"]:
                            seen[a["id"]] = a["fired_at"]
                    except Exception:
                        break
                killer.join()
                s.process.wait()
        with Sluiced(data=data) as s:
            for number in doubtful:
                push(s, body(number), f"b{number}")
            if sent % 2:
                push(s, body(sent), f"b{sent}")
                sent += 1
            sources = sent // 2
            expected = {rule: {f"src_ip=10.{5 + n // 250}.{n % 250}.{3 if rule == 'telnet' else 1}" for n in range(sources)} for rule in ("five", "hops", "telnet")}

            def alerts(rule):
                return [a["key"] for a in s.get(f"/v1/alerts?limit=100000&rule={rule}").json()["alerts"]]

            for rule, keys in expected.items():
                wait_for(lambda: len(alerts(rule)) >= len(keys), 30)
                found = alerts(rule)
                self.assertEqual(set(found), keys, rule)
                self.assertEqual(len(found), len(keys), rule)
            # What was seen before a death is so behind it.
            kept = {a["id"]: a["fired_at"] for a in s.get("/v1/alerts?limit=100000").json()["alerts"]}
            self.assertEqual({i: kept.get(i) for i in seen}, seen)
            # And what a replay finds are these.
            for rule in ("five", "hops", "telnet"):
                ids = {row[0] for row in s.query(f"from alerts | where rule == '{rule}' | select id | limit 100000").rows()}
                answer = s.query(f"replay rule {rule}").json()
                at = [c["name"] for c in answer["columns"]].index("id")
                self.assertEqual({row[at] for row in answer["rows"]}, ids, rule)
            # Nothing rising about it: it waits until the window is over.
            self.assertEqual(alerts("average"), [])
            replayed = s.query("replay rule average").json()
            self.assertEqual(len(replayed["rows"]), sources)
            self.assertEqual(s.query("replay rule five").json()["rows"][0][0], s.query("from alerts | where rule == 'five' | limit 1").rows()[0][0])


if __name__ == "__main__":
    sluiced.PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
