"""Command line: ``python -m synthetic --out DIR``; see ``--help``."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from .delivery import DEFAULT_SEED, FINAL_CUT_OFF, generate
from .protocol import BLOCK_SIZE, LABEL


def main(arguments: list[str] | None = None) -> None:
    """Write ``landing/`` and ``truth/`` below the given folder."""
    parser = argparse.ArgumentParser(
        prog="python -m synthetic", description=f"Raw extracts of a simulated study. {LABEL}"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder that receives landing/ and truth/")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--cut-off", type=date.fromisoformat, default=FINAL_CUT_OFF, metavar="YYYY-MM-DD")
    parser.add_argument("--subjects", type=int, default=BLOCK_SIZE, help="screened subjects")
    parser.add_argument("--copies", type=int, default=1, help="multiplies the screened subjects, for benchmarks")
    options = parser.parse_args(arguments)
    try:
        delivery = generate(
            options.out / "landing",
            seed=options.seed,
            cut_off=options.cut_off,
            subjects=options.subjects,
            copies=options.copies,
        )
    except ValueError as fault:
        parser.error(str(fault))
    print(f"{LABEL}: {len(delivery.rows)} files, {sum(delivery.rows.values())} rows in {delivery.landing}")


if __name__ == "__main__":
    main()
