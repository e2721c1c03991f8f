"""Time to event as a study writes it: when the time of a subject begins, what ends it, and how it is censored."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, model_validator

from transforms.core.conditions import Test
from transforms.study.models import Frozen

SUBJECT_LEVEL = "ADSL"
# What the builder of time to event writes from the parameters of the specification.
TIME_TO_EVENT = (
    "PARAMCD",
    "PARAM",
    "STARTDT",
    "ADT",
    "CNSR",
    "EVNTDESC",
    "CNSDTDSC",
    "SRCDOM",
    "SRCVAR",
    "SRCSEQ",
)


class Happening(Frozen):
    """What ends the time of a subject: the first of its dates in a dataset of one or several records per subject.

    `censor` is 0 for an event; a positive number says in which way the time is censored. SRCDOM and SRCVAR name the
    source and its date, or `domain` and `variable`, SRCSEQ is its variable `sequence`; with `traced` they name the
    record that the date was itself taken from (the sample behind the date last known alive). `last` takes the last
    date instead of the first.
    """

    source: str
    date: str
    where: dict[str, Test] = {}
    description: str
    date_description: str | None = None
    censor: int = Field(default=0, ge=0)
    domain: str | None = None
    variable: str | None = None
    sequence: str | None = None
    traced: bool = False
    last: bool = False

    def reads(self) -> tuple[str, ...]:
        """What it reads of its source, as DATASET.VARIABLE."""
        names = (self.date, *self.where, *((self.sequence,) if self.sequence else ()))
        return tuple(dict.fromkeys(f"{self.source}.{name}" for name in names))


class TimeToEvent(Frozen):
    """A parameter of time to event: from when, until which event, and how it is censored otherwise.

    `origin` is a date of ADSL; `only` says which subjects have a record. The earliest of `events` counts, the first
    listed among equal dates; one before the origin does not. An entry of `events` with `censor` competes with the
    event. Without any, the first of `censorings` that has a date ends the time.
    """

    param: str
    origin: str
    only: dict[str, Test] = {}
    events: tuple[Happening, ...] = Field(min_length=1)
    censorings: tuple[Happening, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _censored(self) -> TimeToEvent:
        if all(one.censor for one in self.events):
            raise ValueError("none of `events` is an event")
        if any(not one.censor for one in self.censorings):
            raise ValueError("each of `censorings` needs `censor`, a positive number")
        return self

    def reads(self) -> tuple[str, ...]:
        """What it reads, as DATASET.VARIABLE."""
        own = (f"{SUBJECT_LEVEL}.{name}" for name in (self.origin, *self.only))
        return tuple(dict.fromkeys((*own, *self._ends())))

    def _ends(self) -> Iterator[str]:
        for one in (*self.events, *self.censorings):
            yield from one.reads()

    def reads_of(self, variable: str) -> list[str]:
        """What one of the variables it fills is read from."""
        if variable in {"PARAMCD", "PARAM"}:
            return []
        return [f"{SUBJECT_LEVEL}.{self.origin}"] if variable == "STARTDT" else list(dict.fromkeys(self._ends()))

    def says(self, code: str, variable: str) -> str:
        """One line for people: what fills a variable of the parameter."""
        if variable == "STARTDT":
            return f"{code}: {SUBJECT_LEVEL}.{self.origin}"
        if variable in {"PARAMCD", "PARAM"}:
            return f"parameter {code}: {self.param}"
        events, censorings = (
            ", ".join(f"{one.description} ({one.source}.{one.date}, CNSR {one.censor})" for one in several)
            for several in (self.events, self.censorings)
        )
        return f"{code}: the earliest of {events}; without one the first of {censorings}"
