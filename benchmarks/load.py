"""What loading a wide dataset into PostgreSQL costs beside bare ADBC: 335,000 rows by 60 columns.

    python -m benchmarks.load [ROWS]

Both load the same Arrow table into one embedded server, each in a process of its own, by turns. Counted are the CPU
seconds of the client and of the server process behind its connection, and the elapsed time. Aim: at most 1.2 times
bare ADBC.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

from benchmarks.measure import ROOT
from transforms.warehouse.postgres import Database, Table
from transforms.warehouse.postgres_server import PostgresServer

ROWS = 335_000
AIM = 1.2
ROUNDS = 3


def wide(rows: int) -> pa.Table:
    """Sixty columns in the mix of an ADLB: 30 texts of few values, 6 of many, 16 numbers, 4 whole ones, 4 dates."""
    chance = np.random.default_rng(1)
    columns: dict[str, pa.Array] = {}
    for number in range(30):
        terms = pa.array([f"TERM {number} {one}" for one in range(40)])
        codes = pa.array(chance.integers(0, 40, rows), pa.int32(), mask=chance.random(rows) < 0.1)
        columns[f"TERM{number}"] = pa.DictionaryArray.from_arrays(codes, terms)
    for number in range(6):
        columns[f"TEXT{number}"] = pa.array([f"{one:010.3f}" for one in chance.normal(100, 20, rows)])
    for number in range(16):
        columns[f"NUM{number}"] = pa.array(chance.normal(5, 2, rows), mask=chance.random(rows) < 0.1)
    for number in range(4):
        columns[f"INT{number}"] = pa.array(chance.integers(0, 400, rows), pa.int32())
    for number in range(4):
        columns[f"DAY{number}"] = pa.array(chance.integers(18000, 20000, rows).astype("int32")).cast(pa.date32())
    return pa.table(columns)


def with_cairn(path: Path, home: Path, postmaster: int, number: int) -> dict[str, float]:
    """Load with Cairn, as a snapshot is loaded: a partition, unseen until it is published."""
    table = feather.read_table(path)
    with Database.open(home) as database:
        before, begun = _spent(postmaster), time.perf_counter()
        database.load("bench", f"snapshot{number}", [Table("adam", "WIDE", "Wide", table)])
        elapsed = time.perf_counter() - begun
    return _cost(elapsed, _spent(postmaster), before)


def with_adbc(path: Path, address: str, postmaster: int, number: int) -> dict[str, float]:
    """Load with bare ADBC into a new table."""
    import adbc_driver_postgresql.dbapi as adbc

    table = feather.read_table(path)
    # ADBC takes no dictionaries: plain texts, as whoever uses it would have them.
    plain = pa.table(
        {
            name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )
    with adbc.connect(address) as connection:
        before, begun = _spent(postmaster), time.perf_counter()
        with connection.cursor() as cursor:
            cursor.adbc_ingest(f"bare_{number}", plain, mode="create")
        connection.commit()
        elapsed = time.perf_counter() - begun
    return _cost(elapsed, _spent(postmaster), before)


def _spent(postmaster: int) -> tuple[float, float]:
    """CPU seconds so far of this process and of all processes of the server, ended ones included."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.parent.name) == postmaster:
            total += sum(int(one) for one in fields[11:15])
        elif int(fields[1]) == postmaster:
            total += int(fields[11]) + int(fields[12])
    return time.process_time(), total / ticks


def _cost(elapsed: float, after: tuple[float, float], before: tuple[float, float]) -> dict[str, float]:
    return {"client": after[0] - before[0], "server": after[1] - before[1], "elapsed": elapsed}


def _child(*arguments: object) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.load", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(rows: int) -> int:
    """Load by turns; print the cheapest of each and the ratio, and return 1 off the aim."""
    with tempfile.TemporaryDirectory(prefix="cairn-benchmark-") as folder:
        path, home = Path(folder) / "wide.arrow", Path(folder) / "home"
        feather.write_feather(wide(rows), path, compression="uncompressed")
        server = PostgresServer(home / "postgres")
        server.start()
        try:
            with Database.open(home):
                address = server.url("administrator")
            postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
            found: dict[str, list[dict[str, float]]] = {"cairn": [], "adbc": []}
            for number in range(ROUNDS):
                found["adbc"].append(_child("adbc", path, address, postmaster, number))
                found["cairn"].append(_child("cairn", path, home, postmaster, number))
        finally:
            server.stop()
    best = {name: {key: min(one[key] for one in costs) for key in costs[0]} for name, costs in found.items()}
    ratios = {}
    for key in ("client", "server", "elapsed"):
        ratios[key] = best["cairn"][key] / best["adbc"][key]
        print(f"{key:8s} cairn {best['cairn'][key]:6.2f} s   adbc {best['adbc'][key]:6.2f} s   ratio {ratios[key]:.2f}")
    cpu = {name: min(one["client"] + one["server"] for one in costs) for name, costs in found.items()}
    ratio = cpu["cairn"] / cpu["adbc"]
    print(f"CPU      cairn {cpu['cairn']:6.2f} s   adbc {cpu['adbc']:6.2f} s   ratio {ratio:.2f} (aim {AIM})")
    return int(ratio > AIM or ratios["elapsed"] > AIM)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        which, file, where, server_process, round_number = sys.argv[1:]
        loaded = (
            with_cairn(Path(file), Path(where), int(server_process), int(round_number))
            if which == "cairn"
            else with_adbc(Path(file), where, int(server_process), int(round_number))
        )
        print(json.dumps(loaded))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
