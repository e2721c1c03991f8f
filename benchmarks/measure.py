"""CPU seconds and peak memory of a command, measured on the child process."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Where an environment keeps no bytecode, every process compiles its imports anew: about one CPU second for
# pandas, on either side of a comparison, which brings every ratio nearer to 1. Children share a cache.
_BYTECODE = tempfile.TemporaryDirectory(prefix="bytecode-")


@dataclass(frozen=True)
class Cost:
    """User and system CPU seconds, and peak resident memory in MiB."""

    cpu: float
    peak: float


def measure(command: Sequence[str], runs: int = 2) -> Cost:
    """Run a command to its end and cost its cheapest run; subprocess.CalledProcessError if it fails.

    The first run of a program also compiles what it imports: one run alone does not say what it costs.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = _BYTECODE.name
    return min((_run(command, environment) for _ in range(runs)), key=lambda cost: cost.cpu)


def _run(command: Sequence[str], environment: dict[str, str]) -> Cost:
    process = subprocess.Popen(list(command), cwd=ROOT, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
