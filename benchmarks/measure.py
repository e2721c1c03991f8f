"""CPU seconds and peak memory of a command, measured on the child process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """User and system CPU seconds, and peak resident memory in MiB."""

    cpu: float
    peak: float


def measure(command: Sequence[str]) -> Cost:
    """Run a command to its end; subprocess.CalledProcessError if it fails."""
    process = subprocess.Popen(list(command), cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
