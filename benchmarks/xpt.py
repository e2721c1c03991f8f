"""What writing a transport file costs: our writer and pyreadstat's, the same table, each in a process of its own.

    python -m benchmarks.xpt [ROWS]

The table has 60 variables, half of them texts, and 1.3 million records unless told otherwise. Aims: at most 12.5 CPU
seconds (what haven takes on such a machine), a tenth of pyreadstat's, and at most 0.5 GB above the interpreter with
its imports. Reading the Parquet file is part of both sides; looking through it for the lengths is part of ours.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Cost, measure

ROWS = 1_300_000
COLUMNS = 60
AIM_CPU = 12.5
AIM_SHARE = 0.1
AIM_MIB = 512


def make(path: Path, rows: int) -> None:
    """A table like LB: few distinct texts in most columns, one that is unique, numbers with gaps."""
    chance = np.random.default_rng(1)
    columns: dict[str, pa.Array] = {"SPID": pa.array([f"R{number:08d}" for number in range(rows)])}
    for number in range(1, COLUMNS // 2):
        distinct = (2, 12, 60, 400, 3_000)[number % 5]
        texts = pa.array([f"{'text of some length'[: 3 + number % 17]}{code}" for code in range(distinct)])
        codes = chance.integers(0, distinct, rows)
        columns[f"C{number:02d}"] = texts.take(pa.array(codes, mask=codes % 11 == 1))
    for number in range(COLUMNS // 2):
        values = np.round(chance.normal(50, 20, rows), number % 4)
        columns[f"N{number:02d}"] = pa.array(values, mask=chance.random(rows) < 0.05)
    schema = pa.schema(
        [pa.field(name, values.type, metadata={"label": f"Variable {name}"}) for name, values in columns.items()],
        metadata={"dataset": "LB", "label": "Benchmark"},
    )
    pq.write_table(pa.table(list(columns.values()), schema=schema), path, compression="zstd")


def ours(source: Path, target: Path) -> None:
    """Look through the table and write it."""
    from transforms.submission import layout, xpt

    shape = layout.layout_of(pq.read_schema(source))
    measured = xpt.measure(shape, layout.batches_of(source), "ascii")
    lengths = layout.shared_lengths({shape.name: measured.lengths})[shape.name]
    xpt.write(
        target,
        shape.with_lengths(lengths),
        layout.batches_of(source),
        encoding="ascii",
        created=datetime(2025, 1, 31),  # noqa: DTZ001 (a transport file knows no zone)
    )


def theirs(source: Path, target: Path) -> None:
    """Write the table with pyreadstat."""
    import pyreadstat

    frame = pq.read_table(source).to_pandas()
    pyreadstat.write_xport(frame, str(target), table_name="LB", file_format_version=5)


def imports(_: Path, __: Path) -> None:
    """Nothing but the imports of our writer."""
    from transforms.submission import layout, xpt

    print(f"{layout.__name__}, {xpt.__name__}", file=sys.stderr)


def cost(which: str, folder: Path) -> Cost:
    """What one of the three costs, in a process of its own, once (twice for what takes little)."""
    command = [sys.executable, "-m", "benchmarks.xpt", which, str(folder / "lb.parquet"), str(folder / f"{which}.xpt")]
    return measure(command, runs=1 if which == "theirs" else 2)


def main(rows: int) -> int:
    """Print both costs; 1 if an aim is missed."""
    with tempfile.TemporaryDirectory(prefix="cairn-benchmark-") as name:
        folder = Path(name)
        make_it = [sys.executable, "-m", "benchmarks.xpt", "make", str(folder / "lb.parquet"), str(rows)]
        subprocess.run(make_it, check=True)
        base, own, other = (cost(which, folder) for which in ("imports", "ours", "theirs"))
        size = (folder / "ours.xpt").stat().st_size
    print(f"{rows:,} records of {COLUMNS} variables, {size / 2**20:,.0f} MiB")
    print(f"imports     {base.cpu:7.2f} CPU s  peak {base.peak:7,.0f} MiB")
    print(
        f"ours        {own.cpu:7.2f} CPU s  peak {own.peak:7,.0f} MiB  (aims {AIM_CPU} and {base.peak + AIM_MIB:,.0f})"
    )
    print(f"pyreadstat  {other.cpu:7.2f} CPU s  peak {other.peak:7,.0f} MiB")
    print(f"aims        {AIM_CPU:7.2f} CPU s  peak {base.peak + AIM_MIB:7,.0f} MiB")
    print(f"share       {own.cpu / other.cpu:7.3f}, aim {AIM_SHARE}")
    return int(own.cpu > AIM_CPU or own.cpu > AIM_SHARE * other.cpu or own.peak > base.peak + AIM_MIB)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", path, count]:
            make(Path(path), int(count))
        case ["imports" | "ours" | "theirs" as which, source, target]:
            {"imports": imports, "ours": ours, "theirs": theirs}[which](Path(source), Path(target))
        case _:
            sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else ROWS))
