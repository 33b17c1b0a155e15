#!/usr/bin/env python3
"""How fast answers leave, by format: many rows of all columns, and of eight. Run: bench/answers.py FOLDER-OF-PROGRAMS [FLOWS]
Prints the table of RESULTS.md. The client is curl, which throws the answer away; each answer three times, the fastest counts. CPU time is the
server's, of the same three: the machine's other work shows less in it than in the clock."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "app"))
import sluiced

FORMATS = ["ndjson", "csv", "arrow", "parquet", "ecs", "ocsf"]
QUERIES = {"all columns": "from flows", "8 columns": "from flows | select flow_end, src_ip, dst_ip, src_port, dst_port, protocol, bytes, packets"}
TIMES = 3
DOCUMENTS = 100_000  # rows of ecs and ocsf: they cost ten times the others


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    folder, flows = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    sluiced.PROGRAM = folder + "/sluiced"
    work = tempfile.mkdtemp(prefix="sluice-answers-")
    try:
        subprocess.run([folder + "/sluice-generate", "--profile", "bench", "--flows", str(flows), "--out", work, "--format", "aws"], check=True, stdout=subprocess.DEVNULL)
        with sluiced.Sluiced("--query-timeout", "600s") as s:
            subprocess.run([folder + "/sluice", "ingest", "--quiet", "--source", "aws_vpc", work + "/aws"], env={**os.environ, "SLUICE_SERVER": "http://" + s.http}, check=True, stdout=subprocess.DEVNULL)
            s.post("/v1/admin/flush")
            rows = s.count()
            print(f"{rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
            print("\n| | answer | by the clock | rows/s | MB/s | CPU |\n| --- | --- | --- | --- | --- | --- |")
            for name, query in QUERIES.items():
                for format in FORMATS:
                    best, size, began = None, 0, cpu_seconds(s.process.pid)
                    asked = min(rows, DOCUMENTS) if format in ("ecs", "ocsf") else rows
                    for _ in range(TIMES):
                        curl = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code} %{size_download} %{time_total}", f"http://{s.http}/v1/query?format={format}&limit={asked}", "--data-binary", query]
                        code, size, seconds = subprocess.run(curl, check=True, capture_output=True, text=True).stdout.split()
                        if code == "501":
                            break
                        assert code == "200", (format, code)
                        best = min(best or float(seconds), float(seconds))
                    if best is None:
                        print(f"| {format}, {name} | not built | | | | |")
                        continue
                    megabytes = int(size) / 1e6
                    print(f"| {format}, {name}, {asked:,} rows | {megabytes:.1f} MB | {best:.2f} s | {asked / best / 1e6:.2f} M | {megabytes / best:.0f} | {(cpu_seconds(s.process.pid) - began) / TIMES:.2f} s |", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
