"""With Airflow up: a package waits for a person; rejected nothing leaves, and what is approved is kept by name.

python -m tests.scripted.approve_with_airflow HOME
"""

from __future__ import annotations

import argparse
import json
import os
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scripted.with_airflow import cairn, say, wait
from tests.small_study import SmallStudy
from transforms import acts
from transforms.pipeline import Home

DAG = "/api/v2/dags/small_submission/dagRuns"
PARKED = 20
"""Seconds after which the scheduler has taken note that a task waits; an earlier answer may be asked for again."""


@dataclass(frozen=True)
class Api:
    """The REST API of Airflow as the person logged in."""

    url: str
    token: str = ""

    def call(self, method: str, path: str, content: Any = None) -> Any:
        head = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        body = json.dumps(content).encode() if content is not None else None
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body, head, method=method)) as answer:
            return json.loads(answer.read() or b"{}")

    def answer(self, option: str, reason: str) -> dict[str, str]:
        """Start the DAG, give this answer to its question, and return the states of its tasks at the end."""
        started = self.call("POST", DAG, {"logical_date": None, "conf": {"agency": "fda"}})["dag_run_id"]
        run = f"{DAG}/{urllib.parse.quote(started)}"
        wait("the question is asked", lambda: self.call("GET", f"{run}/hitlDetails")["hitl_details"])
        time.sleep(PARKED)
        given = {"chosen_options": [option], "params_input": {"reason": reason}}
        self.call("PATCH", f"{run}/taskInstances/approve/-1/hitlDetails", given)
        wait(f"{option} was taken", lambda: self.call("GET", run)["state"] in {"success", "failed"})
        told = self.call("GET", f"{run}/taskInstances")["task_instances"]
        return {one["task_id"]: one["state"] for one in told}


def main() -> None:
    """Run the whole check."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    root = parser.parse_args().home.resolve()
    root.mkdir(parents=True)
    small = SmallStudy.write(root)
    small.summarize()
    snapshot_id = small.run().snapshot_id
    where = Home(small.home, "small")
    acts.lock(where, snapshot_id, by="Dr A. Monitor", reason="all queries are answered")
    os.environ["CAIRN_STUDIES"] = str(small.folder)
    cairn(small.home, "up")
    status = json.loads(cairn(small.home, "status", "--json"))
    password = json.loads((small.home / "airflow" / "passwords.json").read_text(encoding="utf-8"))["admin"]
    logged_in = Api(status["url"]).call("POST", "/auth/token", {"username": "admin", "password": password})
    api = Api(status["url"], logged_in["access_token"])
    kept = where.folder / "exports" / "small" / "approved"

    assert api.answer("Reject", "not yet") == {"package": "success", "approve": "success", "record": "skipped"}
    assert api.answer("Approve", "") == {"package": "success", "approve": "success", "record": "failed"}
    assert not kept.exists() and where.decisions.entries()[-1].act == "lock"
    assert set(api.answer("Approve", "minutes of the review").values()) == {"success"}
    last = where.decisions.entries()[-1]
    assert (last.act, last.by, last.reason) == ("approve", "admin", "minutes of the review")
    assert [path.suffix for path in sorted(kept.iterdir())] == [".zip", ".sha256"]
    say(cairn(small.home, "down").strip())


if __name__ == "__main__":
    main()
