"""Command line: ``python -m synthetic --out DIR``; see ``--help``."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from .delivery import DEFAULT_SEED, EDC_FORMATS, FINAL_CUT_OFF, LAB_FORMATS, Formats, generate, generate_series
from .protocol import BLOCK_SIZE, LABEL
from .world import PLAUSIBLE, SEVERITIES


def main(arguments: list[str] | None = None) -> None:
    """Write ``landing/`` and ``truth/`` below the given folder, or below ``S1`` to ``S4`` in it."""
    parser = argparse.ArgumentParser(
        prog="python -m synthetic", description=f"Raw extracts of a simulated study. {LABEL}"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder that receives landing/ and truth/")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--cut-off", type=date.fromisoformat, default=FINAL_CUT_OFF, metavar="YYYY-MM-DD")
    when.add_argument("--series", action="store_true", help="the four extracts of the study, in S1 to S4")
    parser.add_argument("--subjects", type=int, default=BLOCK_SIZE, help="screened subjects")
    parser.add_argument("--copies", type=int, default=1, help="multiplies the screened subjects, for benchmarks")
    parser.add_argument("--severity", choices=tuple(SEVERITIES), default=PLAUSIBLE, help="how ill the subjects are")
    parser.add_argument("--edc", choices=EDC_FORMATS, default="csv", help="format of the forms")
    parser.add_argument("--lab", choices=LAB_FORMATS, default="text", help="format of the laboratory results")
    options = parser.parse_args(arguments)
    study = {"seed": options.seed, "subjects": options.subjects, "copies": options.copies}
    formats = Formats(edc=options.edc, lab=options.lab)
    try:
        if options.series:
            deliveries = list(
                generate_series(options.out, **study, severity=options.severity, formats=formats).values()
            )
        else:
            landing = options.out / "landing"
            deliveries = [
                generate(landing, **study, cut_off=options.cut_off, severity=options.severity, formats=formats)
            ]
    except ValueError as fault:
        parser.error(str(fault))
    for delivery in deliveries:
        print(f"{LABEL}: {len(delivery.rows)} files, {sum(delivery.rows.values())} rows in {delivery.landing}")


if __name__ == "__main__":
    main()
