"""Sluice: sluiced takes NetFlow v5 by UDP into a fresh data folder and answers FlowQL over HTTP."""

import http.client
import json
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from measure import MeasureError, log, measure_rates, replay, statistics_of


class Server:
    """One sluiced on free ports of this machine; `with` ends it."""

    def __init__(self, binary, data, log_path):
        self.data = Path(data)
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True)
        self.log_path = log_path
        self.connection = None
        self.log = open(log_path, "wb")
        self.process = subprocess.Popen(
            [str(binary), "--data", str(self.data), "--http", "127.0.0.1:0", "--netflow", "127.0.0.1:0", "--sflow", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = {}
        reader = threading.Thread(target=lambda: line.update(text=self.process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(60)
        words = dict(w.split("=", 1) for w in line.get("text", "").split() if "=" in w)
        if "http" not in words or "netflow" not in words:
            self.stop()
            raise MeasureError(f"sluiced was not ready within 60 s; see {log_path}")
        self.netflow = words["netflow"].split(",")[0]
        self.address = words["http"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.connection is not None:
            self.connection.close()
        self.process.stdout.close()
        self.log.close()

    def request(self, method, path, body=None, timeout=120):
        for fresh in (False, True):
            if fresh or self.connection is None:
                host, port = self.address.rsplit(":", 1)
                self.connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
            try:
                self.connection.timeout = timeout
                if self.connection.sock is not None:
                    self.connection.sock.settimeout(timeout)
                self.connection.request(method, path, body=body.encode() if body else None, headers={"Content-Type": "text/plain"} if body else {})
                response = self.connection.getresponse()
                return response.status, response.read()
            except (http.client.HTTPException, ConnectionError, OSError):
                self.connection.close()
                self.connection = None
                if fresh:
                    raise MeasureError(f"sluiced does not answer {method} {path}; see {self.log_path}") from None

    def query(self, text):
        status, body = self.request("POST", "/v1/query", text)
        if status != 200:
            raise MeasureError(f"{status}: {body[:300].decode(errors='replace')}")
        return json.loads(body)

    def get_json(self, path):
        """A page of facts for the record, or None where it is not to be had."""
        try:
            status, body = self.request("GET", path)
            return json.loads(body) if status == 200 else None
        except (MeasureError, ValueError):
            return None

    def count(self):
        return int(self.query("from flows | stats flows = count()")["rows"][0][0] or 0)

    def memory_mb(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return None


def size_of(folder):
    total = 0
    for f in folder.rglob("*"):
        try:
            if f.is_file():
                total += f.stat().st_size
        except FileNotFoundError:
            pass  # merged away while we looked
    return total


def ingest(server, options, data, rate):
    """Sends all flows; returns when every one is visible (and so durable), or when no more arrive."""
    started = time.monotonic()
    sent = replay(options.generator, data.pcap, server.netflow, rate, data.flows)
    seen, changed = 0, time.monotonic()
    while seen < data.flows and time.monotonic() - changed < 5:
        now = server.count()
        if now != seen:
            seen, changed = now, time.monotonic()
        else:
            time.sleep(0.05)
    seconds = changed - started
    return {"stored": seen, "rate": seen / seconds if seconds > 0 else 0, "sent_rate": sent["flows_per_second"], "seconds": seconds}


def pick(answer, query):
    """The answer's rows with the columns in the query's order; a name that is missing stands for the one column left."""
    names = [c["name"] for c in answer["columns"]]
    left = [n for n in names if n not in query.columns]
    order = []
    for name in query.columns:
        if name not in names:
            if not left:
                raise MeasureError(f"no column {name} in {names}")
            name = left.pop(0)
        order.append(names.index(name))
    return [[row[i] for i in order] for row in answer["rows"]]


def measure(options, data, queries):
    binary = options.server
    if binary is None:
        raise MeasureError("no sluiced under build/release")
    work = options.work / "sluice"
    work.mkdir(parents=True, exist_ok=True)
    log_path = work / "sluiced.log"
    result = {"version": options.commit}
    kept = {}

    def attempt(rate):
        if "server" in kept:
            kept.pop("server").stop()
        kept["server"] = Server(binary, work / "data", log_path)
        return ingest(kept["server"], options, data, rate)

    try:
        result["ingest"] = measure_rates("sluiced", options.rates, data.flows, attempt)
        server = kept["server"]
        if result["ingest"]["stored"] == 0:
            raise MeasureError(f"sluiced stored nothing; see {log_path}")
        stored = result["ingest"]["stored"]
        result["exporters"] = server.get_json("/v1/exporters")
        log("sluice: flush")
        started = time.monotonic()
        status, body = server.request("POST", "/v1/admin/flush", timeout=600)
        if status >= 300:
            raise MeasureError(f"flush: {status} {body[:200]!r}")
        result["flush_seconds"] = time.monotonic() - started
        # What the rows take for good; the journal beside them is of bounded size and empties itself. Both are told.
        segments = server.data / "segments" if (server.data / "segments").is_dir() else server.data
        result["bytes_per_flow"] = {"flushed": size_of(segments) / stored}
        started = time.monotonic()
        status, body = server.request("POST", "/v1/admin/compact", timeout=900)
        if status < 300:
            result["compact_seconds"] = time.monotonic() - started
            result["bytes_per_flow"]["compacted"] = size_of(segments) / stored
        result["folder_bytes"] = size_of(server.data)
        result["journal_bytes"] = result["folder_bytes"] - size_of(segments)
        result["storage"] = server.get_json("/v1/storage")
        result["queries"] = {}
        for query in queries:
            log(f"sluice: {query.name}")
            try:
                answer = server.query(query.flowql)
                rows, stats = pick(answer, query), answer.get("stats", {})
                times = []
                until = time.monotonic() + options.budget_s
                for warm_up in (True, True, False):
                    while (len(times) < options.runs and time.monotonic() < until) or len(times) < 3:
                        begun = time.perf_counter()
                        status, body = server.request("POST", "/v1/query", query.flowql)
                        times.append((time.perf_counter() - begun) * 1000)
                        if status != 200:
                            raise MeasureError(f"{status}: {body[:300].decode(errors='replace')}")
                        if warm_up:
                            times.clear()
                            break
                result["queries"][query.name] = {"answer": rows, "stats": stats, **statistics_of(times)}
            except (MeasureError, ValueError, KeyError, TypeError) as error:
                result["queries"][query.name] = {"error": str(error)}
        result["memory_mb"] = server.memory_mb()
    finally:
        if "server" in kept:
            kept["server"].stop()
    shutil.rmtree(work / "data", ignore_errors=True)
    return result
