"""Where Cairn keeps what it takes in and makes."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def default_home() -> Path:
    """CAIRN_HOME, or .cairn in the checkout."""
    return Path(os.environ.get("CAIRN_HOME") or ROOT / ".cairn").resolve()
