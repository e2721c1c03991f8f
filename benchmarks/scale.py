"""What a whole run costs as a study grows, and what a second process changes.

    python -m benchmarks.scale FOLDER [--copies 1 10 100] [--workers 1 2]

Makes a delivery of the reference study for each number of copies under FOLDER (once; a hundred copies are two million
rows), runs it from raw files to the published files with all checks on, in a process of its own, and prints a line for
each run. CPU seconds are without imports, which cost the same for any study; "elapsed to SDTM" is with them, since a
second process imports as well. Runs in one and in several processes take turns, `--times` over, because two cores of
a shared machine are not equally fast all day.

Aims: at most 4 GB of memory; at most 11 times the CPU for 10 times the subjects; with two processes on two idle cores
at least 1.7 times as fast as with one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import ROOT

STUDY = "ucmsc_dac"
STAGES = ("ingest", "_stage", "to_sdtm", "assess_gate", "derive_datasets", "finish_adam", "analyse", "close")
BEHIND_SDTM = "assess_gate"


def main(arguments: list[str]) -> None:
    """Make what is missing, run, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--to-sdtm", action="store_true", help="stop when SDTM is checked")
    options = parser.parse_args(arguments)
    for copies in options.copies:
        landing = options.folder / f"copies-{copies}" / "landing"
        if not landing.is_dir():
            make = [sys.executable, "-m", "synthetic", "--out", str(landing.parent), "--copies", str(copies)]
            subprocess.run(make, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        for workers in options.workers * options.times:
            with tempfile.TemporaryDirectory(prefix="cairn-scale-", dir=options.folder) as home:
                command = [sys.executable, "-m", "benchmarks.scale", "--one", str(landing), home]
                command += ["--to-sdtm"] if options.to_sdtm else []
                environment = {**os.environ, "CAIRN_WORKERS": str(workers)}
                done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            print(json.dumps({"copies": copies, "workers": workers, **json.loads(done.stdout)}), flush=True)


class _AtSdtmError(Exception):
    """Raised to stop a run when SDTM is checked."""


def one(landing: Path, home: Path, *, stop: bool) -> None:
    """Run the study in this process and print what it took: seconds, CPU seconds by stage, MiB, rows.

    `stop` ends it when SDTM is checked.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    begun, clock = time.process_time(), time.perf_counter()
    if os.environ["CAIRN_WORKERS"] == "1":
        # What the run imports on its way, so that it is not counted with the first stage that needs it.
        import great_expectations.expectations  # noqa: F401
        import pointblank.metadata  # noqa: F401

    from transforms import pipeline
    from transforms.study import Study

    imports = time.process_time() - begun
    spent: dict[str, dict[str, float]] = {}

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **options: Any) -> Any:
            before = (time.perf_counter(), time.process_time(), _children())
            try:
                return function(*given, **options)
            finally:
                after = (time.perf_counter(), time.process_time(), _children())
                elapsed, own, others = (round(two - one, 1) for one, two in zip(before, after, strict=True))
                spent[stage] = {"elapsed": elapsed, "cpu": own, "workers": others, "peak": _peak()}
                print(stage, spent[stage], file=sys.stderr, flush=True)

        return run

    def at_sdtm(*_: Any) -> None:
        raise _AtSdtmError

    for stage in STAGES:
        setattr(pipeline, stage, at_sdtm if stop and stage == BEHIND_SDTM else timed(stage, getattr(pipeline, stage)))
    cpu = time.process_time()
    before = time.perf_counter() - clock
    report = None
    with contextlib.suppress(_AtSdtmError):
        report = pipeline.run(Study.load(STUDY), landing=landing, home=home)
    total = time.process_time() - cpu + _children()
    rows = sum(entry.rows for entry in pipeline.Home(home, STUDY).raw.received())
    result = {
        "rows": rows,
        "records": sum(report.rows.values()) if report is not None else None,
        "elapsed": round(time.perf_counter() - clock, 1),
        "elapsed to SDTM": round(before + spent["ingest"]["elapsed"] + spent["to_sdtm"]["elapsed"], 1),
        "cpu": round(total, 1),
        "imports": round(imports, 1),
        "rows per CPU second": round(rows / total),
        "peak": _peak(),
        "peak of a worker": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "stages": spent,
    }
    print(json.dumps(result))


def _children() -> float:
    """CPU seconds of the worker processes, of those that still live as well."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = [one.cpu_times() for one in psutil.Process().children(recursive=True)]
    return ended.ru_utime + ended.ru_stime + sum(one.user + one.system for one in alive)


def _peak() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(Path(sys.argv[2]), Path(sys.argv[3]), stop="--to-sdtm" in sys.argv)
    else:
        main(sys.argv[1:])
