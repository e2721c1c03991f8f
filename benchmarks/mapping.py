"""Mapping VS, LB and QS of the CDISC pilot: the engine beside bare pandas, at 1, 4 and 16 times the subjects.

    python -m benchmarks.mapping RAW_DIR [--factors 1 4 16]

Both are whole processes from raw files to Parquet, in the same run: CPU seconds (user and system) and peak memory. The
engine also stages, writes lineage and findings, and maps what the dataset needs (DM, EX, DS, SV, SE).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Cost, measure
from benchmarks.replicate import main as replicate

DATASETS = ("VS", "LB", "QS")


def main() -> None:
    """Print one line per dataset and factor, then ratios and growth."""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", type=Path)
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    costs: dict[tuple[str, int, str], Cost] = {}
    titles = ("subjects", "bare CPU s", "engine CPU s", "ratio", "bare MiB", "engine MiB")
    print(f"{'dataset':8}" + "".join(f"{title:>14}" for title in titles))
    with tempfile.TemporaryDirectory() as folder:
        for factor in options.factors:
            raw = Path(folder) / f"raw{factor}"
            replicate(options.raw.resolve(), raw, factor)
            for name in DATASETS:
                bare = [sys.executable, "-m", f"benchmarks.bare_{name.lower()}", str(raw), f"{folder}/bare.parquet"]
                engine = [sys.executable, "-m", "benchmarks.map_one", str(raw), f"{folder}/engine", name]
                costs[name, factor, "bare"], costs[name, factor, "engine"] = measure(bare), measure(engine)
                one, two = costs[name, factor, "bare"], costs[name, factor, "engine"]
                figures = [f"{one.cpu:.2f}", f"{two.cpu:.2f}", f"{two.cpu / one.cpu:.2f}"]
                figures += [f"{one.peak:.0f}", f"{two.peak:.0f}"]
                print(f"{name:8}{f'x{factor}':>14}" + "".join(f"{figure:>14}" for figure in figures), flush=True)
    for name in DATASETS:
        for low, high in zip(options.factors, options.factors[1:], strict=False):
            growth = costs[name, high, "engine"].cpu / costs[name, low, "engine"].cpu
            print(f"{name}: engine CPU grows {growth:.2f} times from x{low} to x{high}")


if __name__ == "__main__":
    main()
