"""Runs that kill themselves with SIGKILL at a given call of a given function, each a process of its own.

    python -m tests.integration.killed_run < ORDERS

Each line of ORDERS is a JSON list: study folder, landing, home, module, function, number of the call. For each, the
signal that ended the process is printed. What they import is imported once.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import great_expectations.expectations  # noqa: F401 (what every run imports)

from transforms import pipeline
from transforms.study import Study
from transforms.warehouse.postgres import Database


def die(folder: str, landing: str, home: str, module: str, function: str, call: int) -> None:
    """Run the study; die in the middle."""
    owner: Any = importlib.import_module(module)
    *path, name = function.split(".")
    for part in path:
        owner = getattr(owner, part)
    original, left = getattr(owner, name), call

    def killing(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, killing)
    with Database.open(Path(home)) as database:
        pipeline.run(Study.load(folder), landing=Path(landing), home=Path(home), database=database)


def main() -> None:
    """Take the orders, one process each."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                die(*json.loads(line))
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
