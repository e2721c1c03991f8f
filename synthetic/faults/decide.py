"""Decisions as data: what people say of the findings that no correction of the extracts can undo."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from .landing import FaultError
from .model import read_list

DECIDED = Path(__file__).parent / "decisions"
"""Folder of the lists that come with the generator."""


class Decision(BaseModel):
    """What one person says of the findings of a rule, in a source or dataset where one is named, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cut: str
    act: Literal["waive", "answer", "release"]
    rule: str
    dataset: str = ""
    by: str
    reason: str


class Decisions(BaseModel):
    """A list of decisions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    decisions: tuple[Decision, ...]

    @classmethod
    def read(cls, path: Path | str) -> Decisions:
        """Read a list by path, or one that comes with the generator by name; FaultError says all that is wrong."""
        return read_list(cls, path, DECIDED)

    def chosen(self, cut: str, findings: Iterable[Mapping[str, Any]]) -> list[tuple[Decision, str]]:
        """The decisions of an extract, each with the id of a finding it is about.

        FaultError where one is about no finding: then it was not needed, or the finding has another rule.
        """
        told = list(findings)
        out = []
        for one in self.decisions:
            if one.cut != cut:
                continue
            about = [
                str(row["finding_id"])
                for row in told
                if row["rule"] == one.rule and one.dataset.lower() in {"", row["dataset"].lower()}
            ]
            if not about:
                raise FaultError(f"no finding of {one.rule} {one.dataset} is there to {one.act}")
            out += [(one, finding_id) for finding_id in about]
        return out


def record(decisions: Decisions, *, study: str, cut: str, cairn: Sequence[str]) -> list[str]:
    """Record the decisions of an extract on the findings that stand, with the program ``cairn``; returns what it said.

    FaultError where the program refuses.
    """
    found = json.loads(_say(cairn, "findings", study, "--json"))["findings"]
    return [
        _say(cairn, one.act, study, finding_id, "--by", one.by, "--reason", one.reason)
        for one, finding_id in decisions.chosen(cut, found)
    ]


def _say(cairn: Sequence[str], *arguments: str) -> str:
    done = subprocess.run([*cairn, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise FaultError(f"{' '.join([*cairn, *arguments[:2]])} failed: {done.stderr.strip()}")
    return done.stdout.strip()
