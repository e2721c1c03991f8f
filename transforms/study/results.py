"""results/*.yml: what is analysed on whom, by which method, and how it is shown.

Modelled on the CDISC Analysis Results Standard: analysis sets, data subsets, groupings, methods, analyses, outputs.
Every file may hold any of them, and a name stands for the same thing in all files of the study.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from transforms.core.conditions import Test
from transforms.study.models import Frozen

Where = dict[str, Test]
Percent = Annotated[float, Field(gt=0, lt=1)]
RESULTS = "results"
STATISTICS = "statistics"
BESIDE = "beside"
LEVELS = 4
"""How many by-variables a result has at most."""


class AnalysisSet(Frozen):
    """A population: the subjects of ADSL on whom the conditions hold."""

    label: str
    where: Where = {}


class DataSubset(Frozen):
    """Records of an analysis dataset, or of one of SDTM that no analysis dataset is made of, where conditions hold."""

    dataset: str
    label: str = ""
    where: Where = {}


class SubjectGroup(Frozen):
    """One group of subjects, a column of a table: those of ADSL on whom the conditions hold."""

    id: str
    label: str
    where: Where = Field(min_length=1)


class Total(Frozen):
    """All subjects of the population together, as a column after the groups."""

    id: str = "TOTAL"
    label: str = "Total"


class Comparison(Frozen):
    """A column after the groups and the total that compares groups: a difference is the first less the second."""

    id: str
    label: str
    groups: tuple[str, ...] = Field(min_length=2)


class Grouping(Frozen):
    """How subjects are divided: groups in the order of the columns, the total where one is shown, and comparisons."""

    label: str
    groups: tuple[SubjectGroup, ...] = ()
    total: Total | None = None
    comparisons: tuple[Comparison, ...] = ()

    @model_validator(mode="after")
    def _something(self) -> Grouping:
        ids = self.ids
        if not ids:
            raise ValueError("has neither groups nor a total")
        if len({*ids}) < len(ids):
            raise ValueError("the id of a group stands twice")
        unknown = {name for one in self.comparisons for name in one.groups} - {one.id for one in self.groups}
        if unknown:
            raise ValueError(f"comparisons: {', '.join(sorted(unknown))} is no group")
        if self.comparisons and self.divided_by is None:
            raise ValueError("comparisons need groups that are told apart by the values of one variable")
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its columns, in their order."""
        whole = (self.total.id,) if self.total else ()
        return (*(one.id for one in self.groups), *whole, *(one.id for one in self.comparisons))

    @property
    def divided_by(self) -> str | None:
        """The one variable whose values tell the groups apart; None where there is no such variable."""
        tests = [test for one in self.groups for test in one.where.items()]
        one = len(tests) == len(self.groups) and len({name for name, _ in tests}) == 1
        return tests[0][0] if one and all(test.one_of for _, test in tests) else None

    def together(self, ids: Iterable[str]) -> Where:
        """The condition on ADSL that a subject is in one of some groups; needs `divided_by`."""
        wanted = {*ids}
        tests = [test for one in self.groups if one.id in wanted for test in one.where.values()]
        return {str(self.divided_by): Test.model_validate([value for test in tests for value in test.one_of or ()])}


class By(Frozen):
    """A variable for each of whose values an analysis is made; written as a bare name where nothing is to be said.

    `values` lists the values shown, with a label where it is another text, and shows one even where no record has it;
    a record with another value is a finding. Without it the values are those that occur, sorted by the variable
    `order`, or by `sort: frequency`, the one most subjects have first (with `of_group`, most of that group); `labels`
    say how some are written. `missing` labels the records without a value, which are a finding otherwise.
    """

    variable: str
    values: dict[str, str] | None = None
    labels: dict[str, str] = {}
    order: str | None = None
    sort: Literal["value", "frequency"] = "value"
    of_group: str | None = None
    missing: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"variable": value} if isinstance(value, str) else value

    @field_validator("values", "labels", mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {str(one): str(one) for one in value}
        return {str(key): str(one) for key, one in value.items()} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _one_order(self) -> By:
        if self.values is not None and (self.order or self.labels or self.sort != "value"):
            raise ValueError("values are shown in the order and words written; remove order, sort and labels")
        if self.of_group is not None and self.sort != "frequency":
            raise ValueError("of_group says whose frequency sorts the values; add sort: frequency")
        return self


class Absent(Frozen):
    """What stands for a subject of the population who has no record in the data: the first that fits.

    `where` is on ADSL, `data` a data subset in which the subject has a record. `value` is the number a summary takes,
    less the subject's value of the variable `less` of ADSL.
    """

    label: str
    where: Where = {}
    data: str | None = None
    value: float | None = None
    less: str | None = None


class PersonTime(Frozen):
    """Observation of a subject: from a date of ADSL to the earliest of others, both days counted."""

    start: str
    end: tuple[str, ...] = Field(min_length=1)


class Decimals(Frozen):
    """Decimals in which values were collected: for each value of the variable `by`, else the default."""

    default: int = Field(default=0, ge=0, le=9)
    by: str | None = None
    values: dict[str, int] = {}

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"default": value} if isinstance(value, int) else value

    @model_validator(mode="after")
    def _whole(self) -> Decimals:
        if bool(self.by) != bool(self.values):
            raise ValueError("write both by and values, or neither")
        return self


class PValues(Frozen):
    """How p-values are written: decimals, texts above some bounds, and a mark after those below a bound.

    `{decimals: 3, above: {0.99: ">.99"}, mark: {"*": 0.15}}` writes `<0.001`, `0.012*`, `0.150` and `>.99`.
    """

    decimals: int = Field(default=4, ge=1, le=9)
    above: dict[Percent, str] = {}
    mark: dict[str, Percent] = {}


class Line(Frozen):
    """A line or sub-column of a display: its label, and statistics in braces as `{n} ({pct})`.

    `width` is that of a sub-column, relative to the others.
    """

    label: str = ""
    show: str
    width: float = Field(default=1.0, gt=0)


class Analysis(Frozen):
    """What all analyses say: the data, further conditions, by-variables, and the lines they are shown in.

    `population` replaces that of the output. A method with `many` gives one result for each record, and where it is
    `divided` the total does not show again what stands in the groups. A method adds `own_levels` of its own, such as a
    time or a subject. One of the `whole` computes each column from the records of all groups, for comparisons too;
    another fills the columns of comparisons where a `test` is named.
    """

    statistics: ClassVar[tuple[str, ...]] = ()
    many: ClassVar[bool] = False
    divided: ClassVar[bool] = True
    own_levels: ClassVar[int] = 0
    whole: ClassVar[bool] = False

    id: str
    label: str = ""
    data: str
    where: Where = {}
    by: tuple[By, ...] = Field(default=(), max_length=LEVELS)
    population: str | None = None
    lines: tuple[Line, ...] = ()
    decimals: Decimals = Decimals()
    p_values: PValues = PValues()

    @field_validator("lines", mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return [{"label": str(key), "show": one} for key, one in value.items()]
        return value

    @model_validator(mode="after")
    def _distinct(self) -> Analysis:
        if len({one.variable for one in self.by}) < len(self.by):
            raise ValueError("a by-variable stands twice")
        if len(self.by) + self.own_levels > LEVELS:
            raise ValueError(f"takes at most {LEVELS - self.own_levels} by-variables")
        return self

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset that it reads beyond conditions and by-variables."""
        return ()

    def subject_variables(self) -> tuple[str, ...]:
        """The variables of ADSL that it reads."""
        return ()

    def absences(self) -> tuple[Absent, ...]:
        """What stands for subjects without a record."""
        return ()

    @property
    def tested(self) -> str | None:
        """The test between groups that is made, if any."""
        found: str | None = getattr(self, "test", None)
        return found

    def shown(self) -> tuple[Line, ...]:
        """The lines written, else those usual for the method."""
        return self.lines


class Count(Analysis):
    """Subjects with a record, and records: n (%), events, exact interval, rate per 100 person-months.

    The percentage is of the population of the column, or with `denominator: data` of its subjects who have a record
    at all other levels than the last. `nested` counts at each by-variable and at all of them together. With `worst`
    a subject counts once, at the highest value of that numeric variable; it is the last by-variable. A percentage has
    `pct_decimals`; without decimals one above 0 and below 1 is `<1%`. The p of a comparison is by the `test`: `fisher`,
    exact and two-sided, of subjects with and without a record, at each level; `chi_square`, of Pearson without
    correction, of the subjects at the values of the by-variable.
    """

    statistics: ClassVar[tuple[str, ...]] = (
        "n", "denominator", "pct", "events", "ci_low", "ci_high", "person_months", "rate", "p",
    )  # fmt: skip

    method: Literal["count"]
    nested: bool = False
    denominator: Literal["population", "data"] = "population"
    worst: str | None = None
    pct_decimals: int = Field(default=1, ge=0, le=9)
    confidence: Percent | None = None
    person_time: PersonTime | None = None
    test: Literal["fisher", "chi_square"] | None = None
    absent: tuple[Absent, ...] = ()
    absent_level: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Count:
        if self.worst and (not self.by or self.by[-1].variable != self.worst):
            raise ValueError("worst is the last by-variable")
        if self.denominator == "data" and not self.by:
            raise ValueError("denominator: data needs a by-variable, the last of which is a part of the others")
        if self.absent and not 1 <= len(self.by) <= 2:
            raise ValueError("absent needs one by-variable, or a baseline and one")
        if self.absent and len(self.by) == 2 and not self.absent_level:
            raise ValueError("absent_level says the variable of ADSL that the first by-variable is for such subjects")
        if self.absent and self.by[-1].values is None:
            raise ValueError("absent needs the values of its by-variable written out")
        if self.test and (self.worst or self.absent or self.denominator != "population"):
            raise ValueError("a test goes without worst, absent and denominator")
        if self.test == "chi_square" and (self.nested or len(self.by) != 1):
            raise ValueError("chi_square compares the values of one by-variable")
        return self

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset."""
        return (self.worst,) if self.worst else ()

    def subject_variables(self) -> tuple[str, ...]:
        """The variables of ADSL."""
        timed = (self.person_time.start, *self.person_time.end) if self.person_time else ()
        return (*timed, *((self.absent_level,) if self.absent_level else ()))

    def absences(self) -> tuple[Absent, ...]:
        """Its reasons."""
        return self.absent

    def shown(self) -> tuple[Line, ...]:
        """Its lines."""
        return self.lines or (Line(show="{n} ({pct})"),)


class Summary(Analysis):
    """Summary statistics of a numeric variable, with the t-interval of its mean.

    Decimals: as collected for minimum and maximum, one more for mean, interval and quartiles, two more for the standard
    deviation; `precision` says otherwise. Quartiles are averages of the two middle values where there are two. The p of
    a comparison is by the `test`: `anova`, one-way analysis of variance.
    """

    statistics: ClassVar[tuple[str, ...]] = (
        "n", "mean", "sd", "median", "q1", "q3", "min", "max", "ci_low", "ci_high", "p",
    )  # fmt: skip
    extra: ClassVar[Mapping[str, int]] = {"sd": 2, "min": 0, "max": 0}

    method: Literal["summary"]
    variable: str
    confidence: Percent = 0.95
    precision: dict[str, int] = {}
    test: Literal["anova"] | None = None
    absent: tuple[Absent, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Summary:
        unknown = sorted({*self.precision} - {*self.statistics})
        if unknown:
            raise ValueError(f"precision: {', '.join(unknown)} is no statistic of a summary")
        if any(one.value is None for one in self.absent):
            raise ValueError("absent: say the value that is taken")
        if self.absent and self.by:
            raise ValueError("absent goes without by-variables")
        if self.absent and self.test:
            raise ValueError("a test goes without absent")
        return self

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset."""
        return (self.variable,)

    def absences(self) -> tuple[Absent, ...]:
        """Its reasons."""
        return self.absent

    def shown(self) -> tuple[Line, ...]:
        """Its lines."""
        percent = f"{100 * self.confidence:g}%"
        return self.lines or (
            Line(label="n", show="{n}"),
            Line(label="Mean (SD)", show="{mean} ({sd})"),
            Line(label="Median", show="{median}"),
            Line(label="Q1, Q3", show="{q1}, {q3}"),
            Line(label="Min, max", show="{min}, {max}"),
            Line(label=f"{percent} CI of mean", show="({ci_low}, {ci_high})"),
        )


class _TimeToEvent(Analysis):
    """What survival analyses share: time and censoring (0 is an event) of one record per subject."""

    time: str = "AVAL"
    censor: str = "CNSR"
    confidence: Percent = 0.95

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset."""
        return (self.time, self.censor)


class TimeToEvent(_TimeToEvent):
    """Subjects, events, and quartiles of the Kaplan-Meier estimate with log-log Greenwood intervals."""

    statistics: ClassVar[tuple[str, ...]] = (
        "n", "events", "censored", "pct",
        "q1", "q1_low", "q1_high", "median", "median_low", "median_high", "q3", "q3_low", "q3_high",
    )  # fmt: skip

    method: Literal["time_to_event"]

    def shown(self) -> tuple[Line, ...]:
        """Its lines."""
        percent = f"{100 * self.confidence:g}%"
        return self.lines or (
            Line(label="Subjects", show="{n}"),
            Line(label="Events", show="{events} ({pct})"),
            Line(label="Censored", show="{censored}"),
            Line(label=f"Median time ({percent} CI)", show="{median} ({median_low}, {median_high})"),
            Line(label="25th, 75th percentile", show="{q1}, {q3}"),
        )


class SurvivalAt(_TimeToEvent):
    """The Kaplan-Meier estimate at given times, and the crude rate among subjects whose status is known there."""

    statistics: ClassVar[tuple[str, ...]] = (
        "survival", "se", "ci_low", "ci_high", "at_risk", "events",
        "known", "alive", "alive_pct", "alive_low", "alive_high",
    )  # fmt: skip

    own_levels: ClassVar[int] = 1

    method: Literal["survival_at"]
    times: dict[str, str] = Field(min_length=1)

    @field_validator("times", mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {str(one): f"At {one}" for one in value}
        return {str(key): one for key, one in value.items()} if isinstance(value, Mapping) else value

    def shown(self) -> tuple[Line, ...]:
        """Its lines."""
        percent = f"{100 * self.confidence:g}%"
        return self.lines or (
            Line(label="At risk, events so far", show="{at_risk}, {events}"),
            Line(label=f"Kaplan-Meier rate ({percent} CI)", show="{survival} ({ci_low}, {ci_high})"),
            Line(label=f"Alive of known status ({percent} CI)", show="{alive}/{known} ({alive_low}, {alive_high})"),
        )


class SurvivalCurve(_TimeToEvent):
    """The steps of the Kaplan-Meier estimate with its interval, and the numbers at risk at given times."""

    statistics: ClassVar[tuple[str, ...]] = ("survival", "ci_low", "ci_high", "at_risk", "censored")
    many: ClassVar[bool] = True
    divided: ClassVar[bool] = False

    own_levels: ClassVar[int] = 1

    method: Literal["survival_curve"]
    at_risk: tuple[float, ...] = Field(min_length=1)


class SignedRank(Analysis):
    """Wilcoxon's signed-rank test that the median of a variable is zero, exact where ranks are not tied.

    Descriptive only: for sensitivity analyses.
    """

    statistics: ClassVar[tuple[str, ...]] = ("n", "zeros", "statistic", "p")

    method: Literal["signed_rank"]
    variable: str

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset."""
        return (self.variable,)

    def shown(self) -> tuple[Line, ...]:
        """Its lines."""
        return self.lines or (
            Line(label="n (differences of zero)", show="{n} ({zeros})"),
            Line(label="Signed-rank statistic", show="{statistic}"),
            Line(label="Two-sided p, descriptive", show="{p}"),
        )


class RepeatedMeasures(Analysis):
    """Adjusted means by visit of a linear model for repeated measures: visit, group, both together, and baseline.

    Restricted likelihood with an unstructured covariance between visits, else compound symmetry; the statistic
    `covariance` names the one that was fitted. Errors and degrees of freedom are those of Kenward and Roger. `factor`
    is the variable that divides the subjects in the model.
    """

    statistics: ClassVar[tuple[str, ...]] = ("n", "estimate", "se", "ci_low", "ci_high", "df", "t", "p", "covariance")

    own_levels: ClassVar[int] = 1

    method: Literal["repeated_measures"]
    variable: str
    baseline: str
    visit: By
    factor: str | None = None
    confidence: Percent = 0.95

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset."""
        return (self.variable, self.baseline, *((self.factor,) if self.factor else ()))

    def shown(self) -> tuple[Line, ...]:
        """Its lines."""
        percent = f"{100 * self.confidence:g}%"
        return self.lines or (
            Line(label="n", show="{n}"),
            Line(label="Adjusted mean (SE)", show="{estimate} ({se})"),
            Line(label=f"{percent} CI", show="({ci_low}, {ci_high})"),
            Line(label="Degrees of freedom", show="{df}"),
            Line(label="t (two-sided p, descriptive)", show="{t} ({p})"),
            Line(label="Covariance between visits", show="{covariance}"),
        )


class Covariance(Analysis):
    """Analysis of covariance: a linear model of a variable with the groups, further factors and covariates.

    In the column of a group its least-squares mean, levels of factors weighing the same and covariates at their mean;
    in a comparison of two groups the difference of theirs, its interval and p; in one of more groups, where `dose`
    names the variable that has the dose as a number, slope and p of the model with that number in place of the groups.
    """

    statistics: ClassVar[tuple[str, ...]] = (
        "n", "lsmean", "lsmean_se", "difference", "se", "ci_low", "ci_high", "slope", "slope_se", "p",
    )  # fmt: skip
    whole: ClassVar[bool] = True

    method: Literal["covariance"]
    variable: str
    factors: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    dose: str | None = None
    confidence: Percent = 0.95

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset."""
        return (self.variable, *self.factors, *self.covariates, *((self.dose,) if self.dose else ()))

    def shown(self) -> tuple[Line, ...]:
        """Its lines."""
        percent = f"{100 * self.confidence:g}%"
        return self.lines or (
            Line(label="LS mean, difference (SE)", show="{lsmean}{difference} ({lsmean_se}{se})"),
            Line(label=f"{percent} CI of difference", show="({ci_low}, {ci_high})"),
            Line(label="p", show="{p}"),
        )


class Extreme(Analysis):
    """The largest or smallest value of a variable of each subject."""

    statistics: ClassVar[tuple[str, ...]] = ("value",)
    many: ClassVar[bool] = True

    own_levels: ClassVar[int] = 1

    method: Literal["extreme"]
    variable: str
    take: Literal["maximum", "minimum"] = "maximum"

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset."""
        return (self.variable,)


class Shown(Frozen):
    """A column of a listing; SUBJECT.VARIABLE of ADSL is written `ADSL.VARIABLE`."""

    variable: str
    label: str
    decimals: int | None = Field(default=None, ge=0, le=9)
    width: float = Field(default=1.0, gt=0)


class Listing(Analysis):
    """The records themselves, one line each, sorted by variables (`-VAR` downwards)."""

    many: ClassVar[bool] = True

    method: Literal["listing"]
    columns: tuple[Shown, ...] = Field(min_length=1)
    sort: tuple[str, ...] = ()
    none: str = "No record"

    @model_validator(mode="after")
    def _no_by(self) -> Listing:
        if self.by:
            raise ValueError("a listing goes without by-variables; sort it")
        return self

    def variables(self) -> tuple[str, ...]:
        """The variables of its dataset."""
        own = (one.variable for one in self.columns if not one.variable.startswith("ADSL."))
        return (*own, *(one.removeprefix("-") for one in self.sort if not one.removeprefix("-").startswith("ADSL.")))

    def subject_variables(self) -> tuple[str, ...]:
        """The variables of ADSL."""
        written = (*(one.variable for one in self.columns), *(one.removeprefix("-") for one in self.sort))
        return tuple(one.removeprefix("ADSL.") for one in written if one.startswith("ADSL."))


AnyAnalysis = Annotated[
    Count
    | Summary
    | TimeToEvent
    | SurvivalAt
    | SurvivalCurve
    | SignedRank
    | RepeatedMeasures
    | Covariance
    | Extreme
    | Listing,
    Field(discriminator="method"),
]
METHODS: Mapping[str, type[Analysis]] = {
    "count": Count,
    "summary": Summary,
    "time_to_event": TimeToEvent,
    "survival_at": SurvivalAt,
    "survival_curve": SurvivalCurve,
    "signed_rank": SignedRank,
    "repeated_measures": RepeatedMeasures,
    "covariance": Covariance,
    "extreme": Extreme,
    "listing": Listing,
}


class Axis(Frozen):
    """An axis of a figure: its label, its marks, and where it ends."""

    label: str
    marks: tuple[float, ...] = ()
    limits: tuple[float, float] | None = None


class Mark(Frozen):
    """What a symbol on a swimmer's lane stands for: the records of a listing at the day that a variable of it says.

    `lift` moves it up from the middle of the lane, in heights of a lane, so that marks of one day hide none.
    """

    analysis: str
    day: str
    label: str
    symbol: Literal["triangle", "diamond", "cross", "circle", "square", "star"]
    lift: float = Field(default=0, ge=-0.5, le=0.5)


class SurvivalFigure(Frozen):
    """Survival curves with intervals, censorings, and the numbers at risk below."""

    analyses: ClassVar[tuple[str, ...]] = ("curve",)

    kind: Literal["survival"]
    curve: str
    x: Axis
    y: Axis


class ProfileFigure(Frozen):
    """A line for each subject, a panel for each group, and the mean by visit (a summary) over them."""

    analyses: ClassVar[tuple[str, ...]] = ("records", "mean")

    kind: Literal["profiles"]
    records: str
    mean: str
    x_variable: str
    y_variable: str
    mean_at: dict[str, float]
    x: Axis
    y: Axis


class Ongoing(Frozen):
    """The value of a variable of the lanes for a subject whose observation goes on, shown by an arrow."""

    variable: str
    value: str


class SwimmerFigure(Frozen):
    """A lane for each subject from the first dose to the end of observation, with marks, and a window of days."""

    analyses: ClassVar[tuple[str, ...]] = ("lanes",)

    kind: Literal["swimmer"]
    lanes: str
    end: str
    marks: tuple[Mark, ...]
    window: tuple[float, float] | None = None
    window_label: str = ""
    ongoing: Ongoing | None = None
    x: Axis


class PeakFigure(Frozen):
    """Each subject's peak of one test against that of another, on logarithmic axes, with lines at the limits.

    `x` and `y` are analyses of the method extreme; of several values of a subject the largest counts.
    """

    analyses: ClassVar[tuple[str, ...]] = ("x_analysis", "y_analysis")

    kind: Literal["peaks"]
    x_analysis: str
    y_analysis: str
    x_limit: float
    y_limit: float
    x: Axis
    y: Axis


class ShiftFigure(Frozen):
    """Values at baseline against later ones, a panel for each parameter, with the line of no change."""

    analyses: ClassVar[tuple[str, ...]] = ("records",)

    kind: Literal["shift"]
    records: str
    panel: str
    x_variable: str
    y_variable: str
    x: Axis
    y: Axis


class TimelineFigure(Frozen):
    """Dosing by calendar: a lane for each dosed subject of a cohort with its days of watch, and the board's decisions.

    Watch and decisions are those of the gate (results/gate_subjects, results/gate_decisions); the groups of the output
    are named as its cohorts. `doses` is a listing, `day` its column with the dates.
    """

    analyses: ClassVar[tuple[str, ...]] = ("doses",)

    kind: Literal["timeline"]
    doses: str
    day: str
    x: Axis


AnyFigure = Annotated[
    SurvivalFigure | ProfileFigure | SwimmerFigure | PeakFigure | ShiftFigure | TimelineFigure,
    Field(discriminator="kind"),
]


class Output(Frozen):
    """A table, listing or figure: its words, its population and columns, and its analyses in the order of rows.

    `defaults` are written into every analysis that does not say otherwise, and with `like: id` what an analysis before
    it says. `cells` are sub-columns of each column.
    With `across`, the values of that by-variable are the columns and the groups go to the rows; with
    `across: statistics` the cells are. With `arrange: levels` the analyses follow each other within each value of their
    by-variables; with `arrange: beside` they stand beside each other in one row, and the cells name statistics of them
    as `{analysis.statistic}`.
    """

    kind: Literal["table", "listing", "figure"] = "table"
    title: str
    subtitle: str = ""
    population: str
    columns: str
    rows: str = ""
    footnotes: tuple[str, ...] = ()
    cells: tuple[Line, ...] = ()
    across: str | None = None
    arrange: Literal["analyses", "levels", "beside"] = "analyses"
    landscape: bool = True
    analyses: tuple[AnyAnalysis, ...] = Field(min_length=1)
    figure: AnyFigure | None = None

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("analyses"), list):
            return value
        shared = value.get("defaults")
        defaults = shared if isinstance(shared, Mapping) else {}
        whole: dict[str, Mapping[str, Any]] = {}
        analyses = []
        for one in value["analyses"]:
            if isinstance(one, Mapping):
                model = one.get("like")
                if model is not None and model not in whole:
                    raise ValueError(f"like: {model} is no analysis before {one.get('id')}")
                own = {key: item for key, item in one.items() if key != "like"}
                one = {**defaults, **whole.get(str(model), {}), **own}
                whole[str(one.get("id"))] = one
            analyses.append(one)
        return {**{key: item for key, item in value.items() if key != "defaults"}, "analyses": analyses}

    @model_validator(mode="after")
    def _consistent(self) -> Output:
        ids = [one.id for one in self.analyses]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise ValueError(f"analysis {', '.join(twice)} stands twice")
        if (self.kind == "figure") != (self.figure is not None):
            raise ValueError("a figure, and nothing else, says what is drawn under `figure`")
        if self.kind == "listing" and not all(isinstance(one, Listing) for one in self.analyses):
            raise ValueError("the analyses of a listing have the method listing")
        if self.kind == "table" and any(one.many for one in self.analyses):
            raise ValueError("a table takes no analysis that gives one result for each record; write a listing")
        if self.across == STATISTICS and not self.cells:
            raise ValueError("across: statistics needs cells, which are its columns")
        levels = {tuple(by.variable for by in one.by) for one in self.analyses}
        if self.arrange == BESIDE and (not self.cells or self.across or len(levels) > 1):
            raise ValueError("arrange: beside needs cells, and analyses by the same variables; it goes without across")
        return self


class ResultsFile(Frozen):
    """One file under results/."""

    analysis_sets: dict[str, AnalysisSet] = {}
    data_subsets: dict[str, DataSubset] = {}
    groupings: dict[str, Grouping] = {}
    outputs: dict[str, Output] = {}


PARTS = ("analysis_sets", "data_subsets", "groupings", "outputs")


@dataclass(frozen=True)
class Results:
    """All files of a study together; `places` says the file of each part's names."""

    analysis_sets: Mapping[str, AnalysisSet] = field(default_factory=dict)
    data_subsets: Mapping[str, DataSubset] = field(default_factory=dict)
    groupings: Mapping[str, Grouping] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    places: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def subset(self, name: str) -> DataSubset:
        """A data subset; the name of a dataset stands for all its records."""
        return self.data_subsets.get(name) or DataSubset(dataset=name)

    def datasets(self) -> set[str]:
        """The datasets that are read."""
        found = {self.subset(one.data).dataset for output in self.outputs.values() for one in output.analyses}
        also = chain.from_iterable(one.absences() for output in self.outputs.values() for one in output.analyses)
        return {"ADSL"} | found | {self.subset(one.data).dataset for one in also if one.data}


def joined(files: Iterable[tuple[str, ResultsFile]]) -> tuple[Results, Iterator[tuple[str, str, str]]]:
    """All files together, and the names that stand in two: file, place and the file that has it already."""
    parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    places: dict[tuple[str, str], str] = {}
    twice = []
    for path, content in files:
        for part in PARTS:
            for name, item in getattr(content, part).items():
                if (part, name) in places:
                    twice.append((path, f"{part}.{name}", places[part, name]))
                parts[part][name] = item
                places.setdefault((part, name), path)
    parts["outputs"] = dict(sorted(parts["outputs"].items(), key=lambda one: _place(one[0])))
    return Results(**parts, places=places), iter(twice)


def _place(name: str) -> tuple[list[int], str, list[int]]:
    """Where an output stands: by its chapter (the first two numbers of its name), tables (T) first, then by number."""
    numbers, letters = [int(one) for one in re.findall(r"\d+", name)], re.sub(r"\d.*", "", name)
    return numbers[:2], "" if letters == "T" else name, numbers
