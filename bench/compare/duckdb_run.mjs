// DuckDB's side of the comparison. Reads one JSON plan on standard input, writes one JSON result on standard output:
//   {csv, database, parquet, threads, reuse, queries: [{name, sql}], runs, budget_s}
// Every query runs once to warm up and to give its answer, then at most `runs` times within `budget_s` seconds.
import { statSync, existsSync, rmSync, readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { DuckDBInstance } from '@duckdb/node-api';

const plan = JSON.parse(readFileSync(0, 'utf8'));
const result = { queries: {} };
const reuse = plan.reuse && existsSync(plan.database) && existsSync(plan.parquet);
if (!reuse) for (const file of [plan.database, `${plan.database}.wal`, plan.parquet]) rmSync(file, { force: true });

const instance = await DuckDBInstance.create(plan.database, { threads: String(plan.threads) });
const connection = await instance.connect();
const rows = async (sql) => {
  const reader = await connection.runAndReadAll(sql);
  return reader.getRows().map((row) => row.map((value) => (value === null ? null : String(value))));
};
result.version = (await rows('select version()'))[0][0];

if (!reuse) {
  // The best set-up for this data: narrow integers, IPv4 addresses as numbers, times as milliseconds.
  const columns = `{'flow_start': 'BIGINT', 'flow_end': 'BIGINT', 'src_ip': 'UINTEGER', 'dst_ip': 'UINTEGER', 'src_port': 'USMALLINT',
    'dst_port': 'USMALLINT', 'protocol': 'UTINYINT', 'tcp_flags': 'UTINYINT', 'bytes': 'UBIGINT', 'packets': 'UBIGINT',
    'input_if': 'UINTEGER', 'output_if': 'UINTEGER', 'src_as': 'UINTEGER', 'dst_as': 'UINTEGER'}`;
  const started = performance.now();
  await connection.run(`create table flows as select * from read_csv('${plan.csv}', header = true, auto_detect = false, delim = ',', columns = ${columns})`);
  await connection.run('checkpoint');
  result.ingest_seconds = (performance.now() - started) / 1000;
  await connection.run(`copy flows to '${plan.parquet}' (format parquet, compression zstd)`);
}
result.rows = Number((await rows('select count(*) from flows'))[0][0]);
result.database_bytes = statSync(plan.database).size;
result.parquet_bytes = statSync(plan.parquet).size;

for (const { name, sql } of plan.queries) {
  try {
    const answer = await rows(sql);
    const times = [];
    const until = performance.now() + plan.budget_s * 1000;
    while (times.length < plan.runs && (times.length < 3 || performance.now() < until)) {
      const started = performance.now();
      await rows(sql);
      times.push(performance.now() - started);
    }
    result.queries[name] = { answer, times_ms: times };
  } catch (error) {
    result.queries[name] = { error: String(error.message ?? error) };
  }
}
process.stdout.write(JSON.stringify(result));
