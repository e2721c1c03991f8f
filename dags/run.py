"""Run the DAGs of one study, one after the other, in this process and without a scheduler.

    python -m dags.run STUDY [--landing DIR] [--as-of DATE] [--placement NAME]

Without a scheduler assets trigger nothing, so the snapshot id is handed on as configuration. What Airflow logs goes to
standard error; the last line of standard output is a JSON object: exit_code, errors, and what was published.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))


def main() -> None:
    """Run ingest, sdtm, adam and publish."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("--landing")
    parser.add_argument("--as-of")
    parser.add_argument("--placement")
    options = parser.parse_args()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as errors:
        os.environ["CAIRN_DAG_ERRORS"] = errors.name
        result = _run(
            options.study, {"landing": options.landing, "as_of": options.as_of, "placement": options.placement}
        )
        lines = [json.loads(line) for line in Path(errors.name).read_text(encoding="utf-8").splitlines()]
    told = list({one["message"]: one for one in lines}.values())
    published = "snapshot_id" in result
    refused_only = [one for one in told if one["exit_code"] == 3]
    code = 0 if published else max((one["exit_code"] for one in told if one not in refused_only), default=0)
    if not published and not code:
        code = 3 if refused_only else 1
    answer.write(json.dumps({**result, "exit_code": code, "errors": [one["message"] for one in told]}) + "\n")
    answer.close()
    sys.exit(code)


def _run(study: str, given: dict[str, Any]) -> dict[str, Any]:
    """The answer of the task publish, or nothing where an earlier DAG did not come to its end."""
    from airflow.sdk import DagRunState
    from wiring import study_dags

    snapshot: dict[str, Any] = {}
    last: Any = None
    for dag in study_dags(study):
        first = dag.dag_id.endswith("_ingest")
        last = dag.test(run_conf={**given, "again": True} if first else snapshot)
        if first:
            taken = [one.state for one in last.get_task_instances() if one.task_id == "take"]
            opened = _answer(last, "open_snapshot")
            refused = "failed" in taken and "success" not in taken
            if opened is None or (refused and opened == _current(study)):
                return {}
            snapshot = {"snapshot_id": opened}
        elif last.state != DagRunState.SUCCESS:
            return {}
    found = _answer(last, "publish")
    return dict(found) if found else {}


def _current(study: str) -> str | None:
    from transforms.home import default_home
    from transforms.pipeline import Home

    return Home(default_home(), Path(study).name).snapshots.current_id()


def _answer(run: Any, task_id: str) -> Any:
    instance = run.get_task_instance(task_id)
    return instance.xcom_pull(task_ids=task_id) if instance is not None else None


if __name__ == "__main__":
    main()
