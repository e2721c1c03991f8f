"""Deriving ADSL, ADAE and ADLB of the CDISC pilot: the engine beside bare pandas, at 1, 4 and 16 times the subjects.

    python -m benchmarks.deriving RAW_DIR [--factors 1 4 16]

The pilot is run once for its SDTM; of that are the copies. Both sides are whole processes from SDTM to ADaM, Parquet to
Parquet, in the same run: CPU seconds (user and system) and peak memory. The engine also writes metadata, lineage and
findings and checks what it derived; both derive ADSL for the other two. Aims: at most 2 times the bare script, 3 GB at
16 times the subjects, and at most 4.2 times the CPU from 4 to 16.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, Cost, measure

DATASETS = ("ADSL", "ADAE", "ADLB")
SIDES = ("bare", "engine", "unchecked")
IMPORTS = {
    "bare": "import pandas, pyarrow.parquet",
    "engine": "import transforms.pipeline, great_expectations.expectations",
    "unchecked": "import transforms.pipeline",
}


def sdtm_of(raw: Path, home: Path) -> Path:
    """The SDTM datasets of the pilot, after a run from its extracts."""
    command = [sys.executable, "-m", "benchmarks.stages", "cdiscpilot01", str(raw), str(home)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (snapshot,) = (home / "warehouse" / "cdiscpilot01" / "snapshots").iterdir()
    return snapshot / "sdtm"


def commands(name: str, sdtm: Path, out: Path) -> dict[str, list[str]]:
    """What derives a dataset, by side."""
    engine = [sys.executable, "-m", "benchmarks.derive_one", str(sdtm), str(out / "engine"), name]
    bare = [sys.executable, "-m", f"benchmarks.bare_{name.lower()}", str(sdtm), str(out / "bare.parquet")]
    return {"bare": bare, "engine": engine, "unchecked": [*engine, "--without-checks"]}


def line(name: str, factor: str, costs: dict[str, Cost]) -> str:
    """One line of the table."""
    figures = [f"{costs[side].cpu:.2f}" for side in SIDES]
    figures += [f"{costs[side].cpu / costs['bare'].cpu:.2f}" for side in SIDES[1:]]
    figures += [f"{costs[side].peak:.0f}" for side in SIDES[:2]]
    return f"{name:8}{factor:>10}" + "".join(f"{figure:>16}" for figure in figures)


def main() -> None:
    """Print one line per dataset and factor, and how CPU grows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", type=Path)
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    titles = ("bare CPU s", "engine CPU s", "unchecked CPU s", "ratio", "unchecked ratio", "bare MiB", "engine MiB")
    print(f"{'dataset':8}{'subjects':>10}" + "".join(f"{title:>16}" for title in titles))
    imports = {side: measure([sys.executable, "-c", code]) for side, code in IMPORTS.items()}
    print(line("imports", "", imports), flush=True)
    spent: dict[tuple[str, int], dict[str, Cost]] = {}
    with tempfile.TemporaryDirectory() as folder:
        sdtm = sdtm_of(options.raw.resolve(), Path(folder) / "home")
        for factor in options.factors:
            copies = Path(folder) / f"sdtm{factor}"
            command = [sys.executable, "-m", "benchmarks.replicate_sdtm", str(sdtm), str(copies), str(factor)]
            subprocess.run(command, cwd=ROOT, check=True)
            for name in DATASETS:
                costs = {side: measure(one) for side, one in commands(name, copies, Path(folder)).items()}
                spent[name, factor] = costs
                print(line(name, f"x{factor}", costs), flush=True)
    for name in DATASETS:
        for low, high in zip(options.factors, options.factors[1:], strict=False):
            growth = spent[name, high]["engine"].cpu / spent[name, low]["engine"].cpu
            print(f"{name}: engine CPU grows {growth:.2f} times from x{low} to x{high}")


if __name__ == "__main__":
    main()
