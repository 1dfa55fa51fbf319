"""Compares what pyarrow and polars read in the lake with iamtrack's answers.

Usage: readers.py LAKE STATUS.json EVENTS.json
"""

import json
import pathlib
import sys

import polars
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet


def fail(text):
    sys.exit(f"readers: {text}")


lake, status_file, events_file = (pathlib.Path(a) for a in sys.argv[1:])
status = json.loads(status_file.read_text())
events = json.loads(events_file.read_text())
want = {(e["account_id"], e["event_id"]): e for e in events}
if not want or len(want) != len(events):
    fail(f"{len(events)} events with {len(want)} keys")

table = pyarrow.dataset.dataset(lake / "events", partitioning="hive").to_table()
if table.num_rows != status["events"] or table.num_rows != len(events):
    fail(f"pyarrow reads {table.num_rows} events, status says {status['events']}, events prints {len(events)}")
when = table.schema.field("event_time").type
if str(when) != "timestamp[ms]":
    fail(f"event_time is {when}, want a plain timestamp in milliseconds")

columns = ["event_name", "event_source", "aws_region", "user_name", "actor", "outcome", "source_ip", "target_name", "request_parameters"]
for row in table.select(["account_id", "event_id", "event_time", *columns]).to_pylist():
    e = want.get((row["account_id"], row["event_id"]))
    if e is None:
        fail(f"pyarrow reads event {row['event_id']} that iamtrack does not print")
    if row["event_time"].strftime("%Y-%m-%dT%H:%M:%S") != e["event_time"][:19]:
        fail(f"event {row['event_id']}: time {row['event_time']} against {e['event_time']}")
    for c in columns:
        got, shown = row[c], e[c]
        if c == "request_parameters":
            got = json.loads(got) if got else None
            shown = json.loads(shown) if isinstance(shown, str) and shown else shown or None
        if (got or None) != (shown or None):
            fail(f"event {row['event_id']}, column {c}: {got!r} against {shown!r}")

for c in table.column_names:
    if c != "account_id" and str(table.schema.field(c).type) == "string":
        empty = pyarrow.compute.sum(pyarrow.compute.equal(table[c], "")).as_py()
        if empty:
            fail(f"column {c}: {empty} rows have empty text where NULL is meant")

filtered = pyarrow.dataset.dataset(lake / "filtered", partitioning="hive").to_table()
if filtered.num_rows != status["filtered"]:
    fail(f"pyarrow reads {filtered.num_rows} filtered rows, status says {status['filtered']}")

frame = polars.scan_parquet(lake / "events" / "**" / "*.parquet", hive_partitioning=True)
per_name = dict(frame.group_by("event_name").agg(polars.len()).collect().rows())
count = {}
for e in events:
    count[e["event_name"]] = count.get(e["event_name"], 0) + 1
if per_name != count:
    fail("polars counts other events by name than iamtrack prints")

first = next(p for p in sorted((lake / "events").rglob("*.parquet")))
meta = pyarrow.parquet.read_metadata(first).metadata
if b"iamtrack.schema" not in meta:
    fail(f"{first}: no iamtrack.schema in the footer")
print(f"readers: pyarrow and polars agree with iamtrack on {len(events)} events, {filtered.num_rows} filtered rows")
