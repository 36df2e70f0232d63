"""DuckDB's share of ``nightfolio bench ingest``: the same six columns, sorted by customer and day, then grouped by pair."""

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import duckdb

request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
out = Path(request["out"])
shutil.rmtree(out, ignore_errors=True)
out.mkdir(parents=True)
engine = duckdb.connect()
engine.execute(f"SET threads = {request['threads']}; SET memory_limit = '10GB'; SET temp_directory = '{out}/spill'")
engine.execute("SET preserve_insertion_order = false")
stages = {}
for name, statement in {
    "scan, sort, write": f"""
        COPY (SELECT customer_id, asset_id, side, date, value, units
              FROM read_parquet('{request["delivery"]}/transactions/*.parquet') ORDER BY customer_id, date)
        TO '{out}/sorted.parquet' (COMPRESSION zstd)""",
    "group, write": f"""
        COPY (SELECT customer_id, asset_id, sum(units) AS units, count(*) AS trades, min(date) AS first, max(date) AS last
              FROM read_parquet('{out}/sorted.parquet') GROUP BY customer_id, asset_id)
        TO '{out}/pairs.parquet' (COMPRESSION zstd)""",
}.items():
    started, worked = time.perf_counter(), time.process_time()
    engine.execute(statement)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    stages[name] = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - worked,
        "peak_bytes": peak,
    }
Path(request["report"]).write_text(json.dumps({"stages": stages, "version": duckdb.__version__}), encoding="utf-8")
