"""Command line: ``python -m synthetic --out DIR``, ``faults``, ``decisions`` and ``convert``; see ``--help``."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from .convert import convert
from .delivery import DEFAULT_SEED, EDC_FORMATS, FINAL_CUT_OFF, LAB_FORMATS, Formats, generate, generate_series
from .faults import Faults, apply_faults, expected_bytes
from .faults.decide import Decisions, record
from .faults.verify import Found, compare, read_expected
from .protocol import BLOCK_SIZE, LABEL
from .world import PLAUSIBLE, SEVERITIES

EXPECTED = "expected_findings.csv"
"""Truth of planted faults."""


def main(arguments: list[str] | None = None) -> None:
    """Write ``landing/`` and ``truth/`` below the given folder, or below ``S1`` to ``S4`` in it; or plant faults.

    Exits with 2 when it refuses what it was given, with 1 when planted faults and findings do not fit.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["faults"]:
        _faults(given[1:])
    elif given[:1] == ["convert"]:
        _convert(given[1:])
    elif given[:1] == ["decisions"]:
        _decisions(given[1:])
    else:
        _generate(given)


def _generate(arguments: list[str]) -> None:
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
    parser.add_argument("--faults", metavar="FILE", help="plant these faults: a list's path, or messy")
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
        if options.faults:
            faults = Faults.read(options.faults)
            for delivery in deliveries:
                cut = delivery.landing.parent.name if options.series else None
                expected = apply_faults(faults, delivery.landing, cut)
                (delivery.truth / EXPECTED).write_bytes(expected_bytes(expected))
    except ValueError as fault:
        parser.error(str(fault))
    for delivery in deliveries:
        print(f"{LABEL}: {len(delivery.rows)} files, {sum(delivery.rows.values())} rows in {delivery.landing}")


def _convert(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m synthetic convert", description="Carry a folder of delimited files over to ODM and HL7."
    )
    parser.add_argument("--landing", type=Path, required=True, help="folder to read; it stays as it is")
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the delivery")
    parser.add_argument("--edc", choices=("csv", "odm"), default="odm", help="format of the forms")
    parser.add_argument("--lab", choices=LAB_FORMATS, default="hl7", help="format of the laboratory results")
    options = parser.parse_args(arguments)
    try:
        lost = convert(options.landing, options.out, Formats(edc=options.edc, lab=options.lab))
    except (OSError, ValueError) as fault:
        parser.error(str(fault))
    for one in lost:
        print(f"not carried: {one.file}: {one.why}")
    print(f"{LABEL}: {options.landing} carried over to {options.out}")


def _faults(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m synthetic faults", description="Plant faults written as data.")
    commands = parser.add_subparsers(dest="command", required=True)
    apply = commands.add_parser("apply", help="plant a list of faults in a landing folder, in place")
    apply.add_argument("--landing", type=Path, required=True)
    apply.add_argument("--cut", help="plant as of this extract (S1 to S4); without it every fault is planted")
    apply.add_argument("--expected", type=Path, help="write the findings that must and may follow to this CSV")
    check = commands.add_parser("check", help="read a list and say what is wrong with it")
    for command in (apply, check):
        command.add_argument("--faults", required=True, metavar="FILE", help="a list's path, or messy")
    verify = commands.add_parser("verify", help="hold what a run found against what planted faults must raise")
    verify.add_argument("--landing", type=Path, required=True, help="the folder the faults were planted in")
    verify.add_argument("--expected", type=Path, required=True, help=f"what apply wrote: {EXPECTED}")
    verify.add_argument("--findings", type=Path, required=True, help="what ./cairn findings STUDY --json printed")
    options = parser.parse_args(arguments)
    try:
        if options.command == "verify":
            comparison = compare(options.landing, read_expected(options.expected), Found.read(options.findings))
            print(comparison.table())
            sys.exit(0 if comparison.holds else 1)
        faults = Faults.read(options.faults)
        if options.command == "check":
            print(f"{len(faults.faults)} faults")
            return
        expected = apply_faults(faults, options.landing, options.cut)
    except ValueError as fault:
        parser.error(str(fault))
    if options.expected:
        options.expected.write_bytes(expected_bytes(expected))
    planted = {one.fault for one in expected if one.state == "planted"}
    print(f"{LABEL}: {len(planted)} faults planted in {options.landing}")


def _decisions(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m synthetic decisions", description="Record the decisions that belong to an extract."
    )
    parser.add_argument("--decisions", default="messy", metavar="FILE", help="a list's path, or messy")
    parser.add_argument("--cut", required=True, help="the extract: S1 to S4")
    parser.add_argument("--study", default="ucmsc_dac")
    parser.add_argument("--cairn", type=Path, default=Path("cairn").resolve(), help="the program that records them")
    options = parser.parse_args(arguments)
    try:
        listed = Decisions.read(options.decisions)
        for said in record(listed, study=options.study, cut=options.cut, cairn=[str(options.cairn)]):
            print(said)
    except (OSError, ValueError) as fault:
        parser.error(str(fault))


if __name__ == "__main__":
    main()
