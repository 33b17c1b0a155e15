"""What all measured systems share: replaying packets, searching a rate without loss, medians, the log."""

import json
import socket
import statistics
import subprocess
import sys
import time


class MeasureError(Exception):
    """A system could not be measured; the message says why."""


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def replay(generator, pcap, target, rate, flows):
    """Sends a capture of NetFlow v5 at `rate` flows per second; bounded by the capture."""
    limit = 60 + flows / max(rate, 10_000) * 3
    try:
        done = subprocess.run([str(generator), "--replay", str(pcap), target, "--rate", str(rate)], capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise MeasureError(f"sending to {target} took more than {limit:.0f} s") from None
    if done.returncode != 0:
        raise MeasureError(f"sending to {target} failed: {done.stderr.strip()}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure_rates(name, rates, flows, attempt):
    """Tries rates from the highest; the first that loses nothing counts, else the last. Keeps what all of them gave."""
    attempts = []
    for rate in rates:
        log(f"{name}: {flows:,} flows at {rate:,} flows/s")
        outcome = {"asked": rate, **attempt(rate)}
        outcome["lost"] = flows - outcome["stored"]
        attempts.append(outcome)
        log(f"{name}: reached {outcome['rate']:,.0f} flows/s, lost {outcome['lost']:,}")
        if outcome["lost"] == 0:
            break
    return {**attempts[-1], "attempts": attempts}


def statistics_of(times_ms):
    return {"median_ms": statistics.median(times_ms), "min_ms": min(times_ms), "max_ms": max(times_ms), "runs": len(times_ms)}
