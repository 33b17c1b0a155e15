"""nfdump: nfcapd takes NetFlow v5 by UDP and writes lz4 files, nfdump reads them."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from measure import MeasureError, free_udp_port, log, measure_rates, replay, statistics_of

ENVIRONMENT = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}


def collect(generator, pcap, folder, rate, flows, log_path):
    """One nfcapd from start to end; returns what it stored and what the sender reached."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_udp_port()
    with open(log_path, "wb") as out:
        # Rotation is by the wall clock: one file a day. -B asks for the largest buffer that the kernel allows.
        server = subprocess.Popen(
            ["nfcapd", "-4", "-b", "127.0.0.1", "-p", str(port), "-w", str(folder), "-y", "-t", "86400", "-B", str(64 << 20)],
            stdout=out, stderr=out, env=ENVIRONMENT)
        try:
            time.sleep(1)
            if server.poll() is not None:
                raise MeasureError(f"nfcapd did not start; see {log_path}")
            sent = replay(generator, pcap, f"127.0.0.1:{port}", rate, flows)
            time.sleep(1.5)  # what is in the socket's buffer
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
            try:
                server.wait(120)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    text = Path(log_path).read_text(errors="replace")
    found = re.findall(r"Flows: (\d+).*?Sequence Errors: (\d+)", text)
    stored = sum(int(n) for n, _ in found)
    return {"stored": stored, "sequence_errors": sum(int(e) for _, e in found), "rate": sent["flows_per_second"],
            "seconds": sent["seconds"]}


def size_of(folder):
    return sum(f.stat().st_size for f in folder.iterdir() if f.is_file())


def recompressed(folder, kind, number):
    """The size of a copy of the files with another compression, or None where this nfdump does not know it."""
    copy = folder.parent / f"{folder.name}-{kind}"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    try:
        for file in copy.iterdir():
            subprocess.run(["nfdump", "-J", str(number), "-r", str(file)], check=True, capture_output=True, timeout=900, env=ENVIRONMENT)
        return size_of(copy)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def parse(text, query):
    lines = [line for line in text.splitlines() if line.strip()]
    if query.nfdump_shape == "fmt":
        rows = [[cell.strip() for cell in line.split("|")] for line in lines if line.count("|") == len(query.types) - 1]
        return rows
    header, rows = None, []
    for line in lines:
        if line.startswith("Summary"):
            break
        cells = line.split(",")
        if cells[0] == "ts":
            header = cells
        elif header and len(cells) == len(header):
            rows.append(dict(zip(header, cells)))
    if query.nfdump_shape == "sum":
        return [[sum(int(r["fl"]) for r in rows), sum(int(r["byt"]) for r in rows)]]
    return [[r[c] for c in query.nfdump_columns] for r in rows]


def measure(options, data, queries):
    result = {"version": subprocess.run(["nfdump", "-V"], capture_output=True, text=True).stdout.strip().split()[-1].replace("NSEL-NEL", "")}
    work = options.work / "nfdump"
    folder = work / "flows"
    work.mkdir(parents=True, exist_ok=True)

    def attempt(rate):
        return collect(options.generator, data.pcap, folder, rate, data.flows, work / "nfcapd.log")

    result["ingest"] = measure_rates("nfcapd", options.rates, data.flows, attempt)
    if result["ingest"]["stored"] == 0:
        raise MeasureError(f"nfcapd stored nothing; see {work / 'nfcapd.log'}")
    log("nfdump: sizes")
    result["bytes_per_flow"] = {"lz4": size_of(folder) / result["ingest"]["stored"]}
    for kind, number in (("bz2", 2), ("zstd", 4)):  # 1.7.1 knows 0 to 3 and says so; zstd came with 1.7.3
        size = recompressed(folder, kind, number)
        if size:
            result["bytes_per_flow"][kind] = size / result["ingest"]["stored"]
    result["queries"] = {}
    for query in queries:
        if query.nfdump is None:
            continue
        log(f"nfdump: {query.name}")
        times, answer = [], None
        try:
            until = time.monotonic() + options.budget_s
            while len(times) < min(options.runs, 5) and (len(times) < 2 or time.monotonic() < until):
                started = time.monotonic()
                done = subprocess.run(["nfdump", "-R", str(folder), *query.nfdump], capture_output=True, text=True, timeout=300, env=ENVIRONMENT, check=True)
                times.append((time.monotonic() - started) * 1000)
                answer = parse(done.stdout, query)
            result["queries"][query.name] = {"answer": answer, **statistics_of(times)}
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            result["queries"][query.name] = {"error": str(error)}
    return result
