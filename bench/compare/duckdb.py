"""DuckDB: one table loaded from CSV, and the same as Parquet for its size. The work is done by duckdb_run.mjs under node."""

import json
import os
import subprocess

from measure import MeasureError, log, statistics_of


def measure(options, data, queries):
    node = options.work / "node"
    plan = {
        "csv": str(data.csv), "database": str(options.work / f"duckdb-{data.flows}.db"), "parquet": str(options.work / f"duckdb-{data.flows}.parquet"),
        "threads": os.cpu_count(), "reuse": False, "runs": min(options.runs, 9), "budget_s": options.budget_s,
        "queries": [{"name": q.name, "sql": q.sql} for q in queries],
    }
    log("duckdb: load, size, queries")
    try:
        done = subprocess.run(["node", "duckdb_run.mjs"], cwd=node, input=json.dumps(plan), capture_output=True, text=True, timeout=1800)
    except subprocess.TimeoutExpired:
        raise MeasureError("DuckDB took more than 30 minutes") from None
    if done.returncode != 0:
        raise MeasureError("DuckDB failed: " + done.stderr.strip()[-500:])
    raw = json.loads(done.stdout)
    result = {
        "version": raw["version"],
        "ingest": {"stored": raw["rows"], "rate": raw["rows"] / raw["ingest_seconds"], "seconds": raw["ingest_seconds"]},
        "bytes_per_flow": {"table": raw["database_bytes"] / raw["rows"], "Parquet zstd": raw["parquet_bytes"] / raw["rows"]},
        "queries": {},
    }
    for name, query in raw["queries"].items():
        result["queries"][name] = query if "error" in query else {"answer": query["answer"], **statistics_of(query["times_ms"])}
    for file in (plan["database"], plan["parquet"]):
        os.remove(file)
    return result
