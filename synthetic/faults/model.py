"""Lists of faults: YAML read into frozen models that forbid unknown words."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .landing import FaultError
from .operations import AnyOperation

BUILT_IN = Path(__file__).parent
"""Folder of the lists that come with the generator."""

Listed = TypeVar("Listed", bound=BaseModel)

__all__ = ["BUILT_IN", "Fault", "FaultError", "Faults", "Raises"]


class Raises(BaseModel):
    """A finding a fault raises: its rule, and the columns that name it in each row touched.

    ``keys`` are columns of the touched rows, ``at`` are given values. ``file`` is where the row stands, if not in the
    file of the fault; then there are no ``keys``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    file: str = ""
    keys: tuple[str, ...] = ()
    at: dict[str, str] = {}

    @model_validator(mode="after")
    def _of_one_file(self) -> Raises:
        if self.file and self.keys:
            raise ValueError("keys are columns of the rows touched; of another file write `at`")
        return self


class Fault(BaseModel):
    """One thing that goes wrong.

    Planted in the extracts from ``cut`` until before ``cured``; from ``cured`` on, ``cure`` is applied to
    the sound extract, for a correction leaves its trace. Without ``cut`` it is planted wherever it is applied.
    ``manifest: keep`` leaves the manifest as the sender wrote it before the fault. ``may`` are rules whose findings
    may point to rows of the subjects touched, in whatever file, and to any row where a whole file is touched;
    ``elsewhere`` are those that may point to rows of others. ``left`` is what must be found
    once it is cured, because the cure cannot undo that it was there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    why: str
    check: str = Field(default="", description="number in the catalogue of checks: F01, L04, X10")
    cut: str | None = None
    cured: str | None = None
    steps: tuple[AnyOperation, ...] = Field(min_length=1)
    cure: tuple[AnyOperation, ...] = ()
    manifest: str = Field(default="recompute", pattern="^(recompute|keep)$")
    must: tuple[Raises, ...] = ()
    may: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @field_validator("must", mode="before")
    @classmethod
    def _rule_alone(cls, value: object) -> object:
        """A rule alone may be written as its id."""
        return [{"rule": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value

    @model_validator(mode="before")
    @classmethod
    def _one_step(cls, value: object) -> object:
        """A fault of one step may write its operation beside the id."""
        if not isinstance(value, dict) or "kind" not in value or "steps" in value:
            return value
        own = {name: value[name] for name in value if name in cls.model_fields}
        step = {name: value[name] for name in value if name not in cls.model_fields}
        return {**own, "steps": [step]}

    @model_validator(mode="after")
    def _order(self) -> Fault:
        if self.cured is not None and (self.cut is None or self.cured <= self.cut):
            raise ValueError("cured names a later extract than cut, and needs one")
        return self

    def state(self, cut: str | None) -> str:
        """``planted``, ``cured`` or ``absent`` in an extract; without one, planted."""
        if cut is None or self.cut is None:
            return "planted"
        if cut < self.cut:
            return "absent"
        return "planted" if self.cured is None or cut < self.cured else "cured"


class Faults(BaseModel):
    """A list of faults, applied in its order.

    ``keys`` names the rows of files without a record id. ``anyway`` are rules whose findings sound extracts raise too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    keys: dict[str, tuple[str, ...]] = Field(default={}, description="columns that name a row, by file")
    anyway: tuple[str, ...] = ()
    faults: tuple[Fault, ...]

    @model_validator(mode="after")
    def _unique(self) -> Faults:
        ids = [fault.id for fault in self.faults]
        again = sorted({one for one in ids if ids.count(one) > 1})
        if again:
            raise ValueError(f"ids are written once; twice: {', '.join(again)}")
        return self

    @classmethod
    def read(cls, path: Path | str) -> Faults:
        """Read a list by path, or one that comes with the generator by name; FaultError says all that is wrong."""
        return read_list(cls, path, BUILT_IN)


def read_list(model: type[Listed], path: Path | str, built_in: Path) -> Listed:
    """Read a list from YAML, by path or by the name of one that comes with the generator; FaultError says all slips."""
    file = built_in / f"{path}.yml" if not Path(path).suffix else Path(path)
    if not file.is_file():
        names = ", ".join(sorted(one.stem for one in built_in.glob("*.yml")))
        raise FaultError(f"{file} is no file. Give a path, or one of: {names}")
    try:
        return model.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise FaultError(f"{file.name} is no YAML in UTF-8: {fault}") from fault
    except ValidationError as fault:
        slips = (f"  - {'.'.join(map(str, one['loc'])) or 'the list'}: {one['msg']}" for one in fault.errors())
        raise FaultError(f"{file.name} cannot be read:\n" + "\n".join(slips)) from fault
