"""Extracts and publications that many modules of tests read and none changes, made once for a test session.

The processes of a session share a folder: the first that needs a thing makes it while the others wait for it.
"""

from __future__ import annotations

import fcntl
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import synthetic
from synthetic.delivery import SERIES
from synthetic.faults import Expected, Faults, apply_faults
from transforms import pipeline
from transforms.study import Study

MadeT = TypeVar("MadeT")


@dataclass(frozen=True)
class Extracts:
    """A landing folder and the truth behind it."""

    landing: Path
    truth: Path


@dataclass(frozen=True)
class Published:
    """A study after a run that published, and what the run said."""

    study: str
    landing: Path
    home: Path
    report: pipeline.Report

    @classmethod
    def of(cls, study: str, landing: Path, home: Path) -> Published:
        """Run the study."""
        return cls(study, landing, home, pipeline.run(Study.load(study), landing=landing, home=home))

    def home_in(self, folder: Path) -> Path:
        """A copy of the home, which a test may change."""
        return Path(shutil.copytree(self.home, folder, symlinks=True))


@dataclass(frozen=True)
class Planted:
    """An extract of the series with the faults of `messy`, and the findings that must follow."""

    landing: Path
    expected: list[Expected]


@dataclass(frozen=True)
class Made:
    """What was made in this session, below `root`."""

    root: Path

    def once(self, name: str, make: Callable[[Path], MadeT]) -> MadeT:
        """What `make` returns; it is called once in a session, with the folder `name`."""
        told, folder = self.root / f"{name}.pickle", self.root / name
        with (self.root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                made = make(folder)
                partial = told.with_suffix(".partial")
                partial.write_bytes(pickle.dumps(made))
                partial.replace(told)
        result: MadeT = pickle.loads(told.read_bytes())
        return result

    def series(self) -> dict[str, Extracts]:
        """The four extracts of the reference study, clean; the last is that of its final cut-off."""

        def make(folder: Path) -> dict[str, Extracts]:
            synthetic.generate_series(folder)
            return {cut: Extracts(folder / cut / "landing", folder / cut / "truth") for cut in SERIES}

        return self.once("series", make)

    def messy(self) -> dict[str, Planted]:
        """The four extracts with the faults of `messy`."""
        clean, faults = self.series(), Faults.read("messy")

        def make(folder: Path) -> dict[str, Planted]:
            planted = {}
            for cut, extracts in clean.items():
                landing = Path(shutil.copytree(extracts.landing, folder / cut))
                planted[cut] = Planted(landing, apply_faults(faults, landing, cut))
            return planted

        return self.once("messy", make)

    def reference(self) -> Published:
        """The reference study, run on its last clean extract."""
        landing = self.series()["S4"].landing
        return self.once("reference", lambda home: Published.of("ucmsc_dac", landing, home))

    def first_cut(self) -> Published:
        """The reference study, run on the first extract of the series."""
        landing = self.series()["S1"].landing
        return self.once("first_cut", lambda home: Published.of("ucmsc_dac", landing, home))

    def clean_runs(self) -> dict[str, Published]:
        """The clean series, run extract after extract in one home."""
        first, (_, *later) = self.first_cut(), self.series().items()

        def make(folder: Path) -> dict[str, Published]:
            home = first.home_in(folder / "home")
            return {"S1": first} | {cut: Published.of("ucmsc_dac", one.landing, home) for cut, one in later}

        return self.once("clean_runs", make)

    def pilot(self, landing: Path) -> Published:
        """The CDISC pilot."""
        return self.once("pilot", lambda home: Published.of("cdiscpilot01", landing, home))
