"""The comparison with other systems, started by bench/compare/run (which builds and installs what it needs)."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import nfdump
import queries as questions
import report
import sluice
from measure import MeasureError, log

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = {"nfdump": nfdump.measure, "duckdb": duckdb.measure, "sluice": sluice.measure}


@dataclass
class Data:
    flows: int
    folder: Path
    pcap: Path
    csv: Path
    truth: dict


def generate(generator, flows, seed):
    """The flows under build/, made once for each size and seed. They lie in yesterday's morning of the day they were made."""
    folder = ROOT / "build" / "bench-data" / f"flows-{flows}-seed-{seed}"
    data = Data(flows, folder, folder / "netflow5" / "border.pcap", folder / "flows.csv", {})
    done = folder / "complete"
    made_by = str(generator.stat().st_mtime_ns)
    if not done.exists() or done.read_text() != made_by:
        need = flows * 140
        (ROOT / "build").mkdir(exist_ok=True)
        if shutil.disk_usage(ROOT / "build").free < need * 3:
            raise SystemExit(f"too little disk for {flows:,} flows: about {need * 3 / 1e9:.0f} GB wanted under build/")
        log(f"generating {flows:,} flows")
        shutil.rmtree(folder, ignore_errors=True)
        start = time.strftime("%Y-%m-%dT08:00:00Z", time.gmtime(time.time() - 86_400))
        subprocess.run([str(generator), "--profile", "bench", "--flows", str(flows), "--seed", str(seed), "--start", start, "--out", str(folder),
                        "--format", "netflow5,csv", "--csv-numeric"], check=True, stdout=subprocess.DEVNULL, timeout=3600)
        done.write_text(made_by)
    data.truth = json.loads((folder / "truth.json").read_text())
    return data


def machine():
    model, memory = platform.machine(), 0
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal"):
            memory = int(line.split()[1]) / 1024 / 1024
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def commit():
    try:
        name = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"], capture_output=True, text=True, check=True)
        return name.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main():
    parser = argparse.ArgumentParser(prog="bench/compare/run")
    parser.add_argument("--flows", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="sluice,nfdump,duckdb")
    parser.add_argument("--rates", default="2000000,1750000,1500000,1000000,500000,250000")
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--budget", type=float, default=8, help="seconds for the runs of one query")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--left-out", action="append", default=[], help="a system and why it is not measured, for the report")
    parser.add_argument("--server", type=Path, help="another sluiced than the release build's")
    options = parser.parse_args()
    wanted = [s for s in options.only.split(",") if s]
    unknown = set(wanted) - SYSTEMS.keys()
    if unknown:
        parser.error(f"unknown system: {', '.join(sorted(unknown))} (known: {', '.join(SYSTEMS)})")
    if not 1_000 <= options.flows <= 200_000_000:
        parser.error("--flows must be 1,000 to 200,000,000")
    options.rates = sorted({int(r) for r in options.rates.split(",")}, reverse=True)
    options.budget_s = options.budget
    options.work = ROOT / "build" / "bench-compare"
    options.work.mkdir(parents=True, exist_ok=True)
    options.generator = ROOT / "build" / "release" / "bin" / "sluice-generate"
    if not options.generator.exists():
        raise SystemExit("build/release has no sluice-generate: run without --no-build")
    if options.server is None:
        built = [p for p in (ROOT / "build" / "release").rglob("sluiced") if p.is_file() and os.access(p, os.X_OK)]
        options.server = built[0] if built else None
    options.commit = commit()
    load = os.getloadavg()[0]
    if load > 0.5:
        log(f"the machine is busy (load {load:.1f}): times will be worse than they are")

    data = generate(options.generator, options.flows, options.seed)
    asked = questions.queries(data.truth)
    results = {}
    left_out = dict(text.split(": ", 1) for text in options.left_out)
    for name in ("nfdump", "duckdb", "sluice"):
        if name not in wanted:
            continue
        try:
            results[name] = SYSTEMS[name](options, data, asked)
        except (MeasureError, OSError, ValueError, KeyError, TypeError) as error:
            left_out[name] = str(error) or type(error).__name__
            log(f"left out: {name}: {left_out[name]}")
    if not results:
        raise SystemExit("nothing could be measured")
    run = {
        "flows": options.flows, "seed": options.seed, "date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": options.commit, "machine": machine(),
        "command": f"bench/compare/run --flows {options.flows} --seed {options.seed} --only {','.join(results)}", "load": f"{load:.1f}", "left_out": left_out,
    }
    text = report.table(run, asked, results, data.truth)
    (options.work / f"results-{options.flows}.json").write_text(json.dumps({"run": run, "results": results}, indent=1))
    (options.work / f"results-{options.flows}.md").write_text(text)
    print(text)
    complete = options.flows == 20_000_000 and set(results) == set(SYSTEMS)
    if options.write or complete:
        report.write_section(ROOT / "bench" / "RESULTS.md", text)
        log("written to bench/RESULTS.md")
    return 1 if "WRONG ANSWER" in text or "DIFFERENT" in text or "were lost at the lowest rate" in text else 0


if __name__ == "__main__":
    sys.exit(main())
