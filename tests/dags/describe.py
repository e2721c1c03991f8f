"""Parse the DAG folder as Airflow does and print what is in it as JSON; run in a process of its own."""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    """One JSON object: DAGs by id, and the modules that parsing loaded beyond Airflow's own."""
    import airflow.sdk  # noqa: F401

    before = set(sys.modules)
    from wiring import asking_dags, study_dags, study_names

    dags: dict[str, Any] = {}
    for study in study_names():
        for dag in (*study_dags(study), *asking_dags(study)):
            waits = dag.schedule if isinstance(dag.schedule, list) else []
            if hasattr(dag.schedule, "asset_condition"):
                waits = [dag.schedule.asset_condition]
            found = [one.uri for each in waits for one in getattr(each, "objects", [each])]
            dags[dag.dag_id] = {
                "max_active_runs": dag.max_active_runs,
                "catchup": dag.catchup,
                "doc": dag.doc_md,
                "schedule": found,
                "by_hand": dag.schedule is None,
                "params": {name: dag.params.get_param(name).schema for name in dag.params},
                "tasks": {
                    task.task_id: {
                        "doc": task.doc_md,
                        "retries": task.retries,
                        "kind": task.task_type,
                        "after": sorted(task.upstream_task_ids),
                        "outlets": [one.uri for one in task.outlets],
                        "mapped": task.is_mapped,
                        "name": getattr(task, "map_index_template", None)
                        or (task.partial_kwargs.get("map_index_template") if task.is_mapped else None),
                    }
                    for task in dag.tasks
                },
            }
    sys.stdout.write(
        json.dumps({"dags": dags, "loaded": sorted({name.split(".")[0] for name in set(sys.modules) - before})}) + "\n"
    )


if __name__ == "__main__":
    main()
