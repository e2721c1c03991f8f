"""One run of a study from raw files to the publication, in this process, with the CPU seconds of every stage.

    python -m benchmarks.stages STUDY LANDING HOME

Prints one JSON object: CPU seconds by stage, those of importing Great Expectations apart, and peak memory in MiB.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(name: str, landing: Path, home: Path) -> None:
    """Run the study and print what each stage took."""
    spent: dict[str, float] = {}
    inside: list[str] = []

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its CPU seconds counted for its own stage only."""

        def run(*arguments: Any, **options: Any) -> Any:
            begun = time.process_time()
            inside.append(stage)
            before = sum(spent.values())
            try:
                return function(*arguments, **options)
            finally:
                inside.pop()
                own = time.process_time() - begun - (sum(spent.values()) - before)
                spent[stage] = spent.get(stage, 0.0) + own

        return run

    timed("import pandas and the pipeline", lambda: __import__("transforms.pipeline"))()
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    timed("import Great Expectations", lambda: __import__("great_expectations.expectations"))()
    from transforms import pipeline
    from transforms.study import Study
    from transforms.warehouse.postgres import Database

    stages = {
        "ingest": "ingest",
        "_examine": "Great Expectations",
        "rule_book": "Great Expectations",
        "_stage": "stage, write staged",
        "map_datasets": "map",
        "to_sdtm": "join lineage",
        "derive_datasets": "derive",
        "finish_adam": "join lineage",
        "close": "close",
        "publish": "publish files and report",
    }
    for function, stage in stages.items():
        setattr(pipeline, function, timed(stage, getattr(pipeline, function)))
    study = timed("read the specification", Study.load)(name)
    with Database.open(home) as database:
        for function in ("load", "publish"):
            setattr(database, function, timed("load and publish in PostgreSQL", getattr(database, function)))
        report = timed("rest", pipeline.run)(study, landing=landing, home=home, database=database, run_id="benchmark")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"snapshot_id": report.snapshot_id, "cpu": spent, "peak": peak}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
