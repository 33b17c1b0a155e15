#!/usr/bin/env python3
"""kill -9 of the real server, again and again, under load from every door. Run: kill_test.py PATH-OF-SLUICED
SLUICE_KILL_ROUNDS sets the number of kills (12). The seed is printed, and SLUICE_KILL_SEED repeats it."""
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import unittest

import sluiced
from sluiced import Sluiced, aws_lines, netflow9

ROUNDS = int(os.environ.get("SLUICE_KILL_ROUNDS", "12"))
SEED = int(os.environ.get("SLUICE_KILL_SEED", str(time.time_ns() % 1_000_000)))
ROWS = 400       # a body: each of its rows has an address of its own
START = 1763625600


class Pusher(threading.Thread):
    """Sends numbered bodies until its server is gone. Body N is the object `body-N`, so that it may be sent again."""

    def __init__(self, server, numbers, acknowledged, doubtful):
        super().__init__()
        self.server, self.numbers, self.acknowledged, self.doubtful = server, numbers, acknowledged, doubtful

    def run(self):
        while True:
            number = next(self.numbers)
            try:
                status = send(self.server, number).status
            except Exception:  # the connection broke in the middle: nobody knows whether it counts
                self.doubtful.append(number)
                return
            assert status == 200, status
            self.acknowledged.append(number)


def send(server, number):
    # Over several hours, so that partitions are many and sealing and merging have work at any moment.
    lines = aws_lines(ROWS, start=START + number % 5 * 3600, source=f"{10 + number // 256}.{number % 256}")
    return server.post("/v1/ingest/aws_vpc", lines, headers={"X-Sluice-Object": f"body-{number}"})


class Kill(unittest.TestCase):
    def test_nothing_acknowledged_is_lost_and_nothing_doubled(self):
        print("seed", SEED, file=sys.stderr)
        dice = random.Random(SEED)
        data = tempfile.mkdtemp(prefix="sluice-kill-")
        self.addCleanup(shutil.rmtree, data, True)
        numbers = iter(range(1 << 16))
        acknowledged, doubtful, repeated = [], [], 0
        flags = ("--seal-age", "300ms")
        for round in range(ROUNDS):
            with Sluiced(*flags, data=data) as s:
                self.check(s, acknowledged, doubtful)
                for number in doubtful:  # as any sender does that got no answer
                    answer = send(s, number).json()
                    repeated += answer.get("duplicate", False)
                    acknowledged.append(number)
                doubtful.clear()
                self.check(s, acknowledged, doubtful)
                if round == 0:
                    s.send_packet(netflow9(data=False))
                    self.assertTrue(sluiced.wait_until(lambda: s.query("show exporters | stats n = sum(templates)").rows()[0][0] == 1))
                    time.sleep(3)  # templates are written within a second
                pushers = [Pusher(s, numbers, acknowledged, doubtful) for _ in range(3)]
                for p in pushers:
                    p.start()
                killer = threading.Timer(dice.uniform(0.02, 1.2), s.process.kill)
                killer.start()
                try:
                    while s.process.poll() is None:  # merges, seals and retention of their own, besides the server's
                        s.post(dice.choice(["/v1/admin/flush", "/v1/admin/compact"]))
                        time.sleep(dice.uniform(0, 0.1))
                except Exception:
                    pass
                killer.join()
                s.process.wait()
                for p in pushers:
                    p.join()
        self.assertGreater(len(acknowledged), ROUNDS)
        with Sluiced(*flags, data=data) as s:
            self.check(s, acknowledged, doubtful)
            self.assertEqual(s.post("/v1/admin/verify").json()["damaged"], [])
            # The template of the first round is still known: data that came without it can be read.
            s.send_packet(netflow9(template=False, sequence=2))
            self.assertEqual(s.wait_count(1, "| where source == 'netflow9'"), 1)
            self.assertEqual(s.stop(), 0)
        print(f"{ROUNDS} kills, {len(acknowledged)} bodies acknowledged, {repeated} of them found again when sent twice", file=sys.stderr)

    def check(self, server, acknowledged, doubtful):
        """Each acknowledged body is there once, each doubtful one wholly or not at all."""
        answer = server.query("from flows | where source == 'aws_vpc' | stats n = count(), d = count_distinct(src_ip) by b = cidr(src_ip, 16) | sort b").json()
        self.assertFalse([w for w in answer["warnings"]], answer["warnings"])
        there = {}
        for block, rows, addresses in answer["rows"]:
            first, second = block.split(".")[:2]
            there[(int(first) - 10) * 256 + int(second)] = (rows, addresses)
        self.assertEqual(set(acknowledged) - set(there), set(), "acknowledged, and gone")
        self.assertEqual(set(there) - set(acknowledged) - set(doubtful), set(), "never sent")
        self.assertEqual({n: v for n, v in there.items() if v != (ROWS, ROWS)}, {}, "not whole, or doubled")


if __name__ == "__main__":
    sluiced.PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=1)
