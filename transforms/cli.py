"""The command line: ./cairn COMMAND."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path
from typing import NoReturn

from rich.console import Console

# Help lists commands as they are registered: what a newcomer runs first comes first.
from transforms.commands import runs

# isort: split
from transforms.commands import ledger, readings, services, studies
from transforms.commands.frame import app
from transforms.errors import CairnError, MachineError

__all__ = ["app", "ledger", "readings", "runs", "services", "studies"]


def main() -> NoReturn:
    """Run the command line; a CairnError is a message and an exit code, not a stack of calls."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        try:
            app(prog_name="./cairn")
        except OSError as error:
            raise MachineError.of(error) from error
    except CairnError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"cairn: {error}", markup=False)
        raise SystemExit(error.exit_code) from error
    except Exception as error:
        if os.environ.get("CAIRN_DEBUG"):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        # The message of an unexpected error may hold data, so only its kind and place are shown.
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"cairn: a fault of Cairn itself ({type(error).__name__} at {where}). What was published before stands. "
            "Set CAIRN_DEBUG=1 to see the whole stack, which may show data",
            markup=False,
        )
        raise SystemExit(1) from error
    raise SystemExit(0)


if __name__ == "__main__":
    main()
