"""What an algorithm does, as a sentence for a reviewer: the prose of methods and comments.

Each word of the specification has a sentence with its options written into it; a word without one is told as the
specification says it. What a rule reads of the study's working variables, which are not submitted, is told behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from transforms.algorithms.base import Algorithm
from transforms.core.conditions import Test
from transforms.study import graph
from transforms.study.analyses import CUT_OFF, AnalysisFile, Derivation
from transforms.study.models import DatasetFile, Variable

if TYPE_CHECKING:
    from transforms.study import Study

# word: its sentence, and what an option adds when it is given; `{NAME}` is the option of that name.
SENTENCES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "hardcode_ct": ("Set to {term}", {}),
    "hardcode_no_ct": ("Set to {value}", {}),
    "assign_no_ct": (
        "The collected value of {column}",
        {"case": ", in {case} case", "words": ", the words of the study's codelist {words} in English"},
    ),
    "assign_ct": ("The collected value of {column}, as the term the study's codelist {codelist} gives it", {}),
    "assign_datetime": ("The collected value of {columns} in ISO 8601, as precise as collected", {}),
    "assign_part": ("The part of the collected value of {column} that fits the pattern {pattern}", {}),
    "assign_by_pattern": ("What the collected text of {column} says, by the patterns of the table {table}", {}),
    "assign_visit": ("The planned visit of the collected visit name {column}, by the study's table of visits", {}),
    "assign_from_table": ("{value} of the study's table {table}, by the collected {by}", {}),
    "copy": ("Equal to {source}", {}),
    "of_subject": ("{source} of the subject", {}),
    "lookup": ("{value} of the study's table {table}, by {by}", {}),
    "lookup_range": ("{value} of the study's table {table}, by the range in which {number} lies", {"by": " and {by}"}),
    "compose": ("The text: {pattern}", {}),
    "iso_basic": ("{date} in the basic format of ISO 8601", {}),
    "study_day": ("Days from {reference} to {date}: {date} less {reference}, plus 1 from that day on; never 0", {}),
    "earliest": ("The subject's first date in {sources}", {"where": ", of records where {where}"}),
    "latest": ("The subject's last date in {sources}", {"where": ", of records where {where}"}),
    "only_value": ("The one value the subject has in {sources}", {"where": ", of records where {where}"}),
    "value_of": (
        "{source} of the subject's record there that agrees",
        {
            "match": " in {match}",
            "same_day": ", on the same day by {same_day}",
            "where": ", of records where {where}",
        },
    ),
    "earliest_of_study": ("The first date of all subjects in {source}", {"where": ", of records where {where}"}),
    "count_of_study": ("The number of records of {dataset}", {"where": " where {where}"}),
    "flag_within": ("Y where {date} lies within {hours} hours after one of the subject's {after}", {}),
    "flag_when": ("{flag} where {condition}", {}),
    "standardize_text": ("{result} in standard units, by the factors of the table {table}; the sign of <, > stays", {}),
    "standardize_number": ("{result} as a number in standard units, by the factors of the table {table}", {}),
    "last_before_exposure": (
        "Y on the subject's last record with {result} before the first treatment, by {date}, in each {by}",
        {"order": "; records of one date in the order of {order}"},
    ),
    "epoch": ("The epoch of the subject's element in which {date} falls, from SE", {}),
    "visit_by_date": (
        "The number of the visit in which {date} falls, from SV",
        {"unless": "; where it has one, {unless}"},
    ),
    "visit_number": (
        "The planned number {planned}; outside the plan that of the visit before plus 0.01 by {date}",
        {},
    ),
    "visit_name": ("The planned name {planned}, or that of an unscheduled visit with its number {number}", {}),
    "quotient": ("{inputs[0]} over {inputs[1]}", {"decimals": ", rounded half away from zero to {decimals} decimals"}),
    "instrument_total": ("{score}; totals are recomputed from their items by the table {table}", {}),
    "unit_by_range": ("The unit that the table {table} gives to the range in which {result} lies, by {by}", {}),
    "earliest_date": (
        "The subject's first complete date in {sources}",
        {"where": ", of records where {where}", "not_after": "; not after {not_after}"},
    ),
    "latest_date": (
        "The subject's last complete date in {sources}",
        {"where": ", of records where {where}", "not_after": "; not after {not_after}"},
    ),
    "first_value": (
        "{source} of the subject's first record there",
        {"where": " where {where}", "order": ", in the order of {order}"},
    ),
    "last_value": (
        "{source} of the subject's last record there",
        {"where": " where {where}", "order": ", in the order of {order}"},
    ),
    "count_of": ("The number of the subject's records in {dataset}", {"where": " where {where}"}),
    "sum_of": ("The sum of the subject's {source}", {"where": " where {where}"}),
    "record_value": ("{value} of the subject's record with the same {by}", {"where": " where {where}"}),
    "days_between": ("{ends[1]} less {ends[0]} in days", {"inclusive": ", both days counted"}),
    "minutes_between": ("Minutes from {ends[0]} to {ends[1]}", {}),
    "months_between": ("Calendar months from {ends[0]} to {ends[1]}", {}),
    "years_between": ("Whole years from {ends[0]} to {ends[1]}", {}),
    "difference": ("{inputs[0]} less {inputs[1]}", {}),
    "absolute_difference": ("The absolute value of {inputs[0]} less {inputs[1]}", {}),
    "percentage": ("100 times {inputs[0]} over {inputs[1]}; missing where that is 0", {}),
    "sum": ("The sum of {inputs}", {}),
    "product": ("The product of {inputs}", {}),
    "rounded": ("{source} rounded half away from zero to {decimals} decimals", {}),
    "body_mass_index": (
        "{weight_and_height[0]} in kg over the square of {weight_and_height[1]} in m",
        {"decimals": ", rounded half away from zero to {decimals} decimals"},
    ),
    "pool_small": ("{group}, or {pooled} where fewer than {fewer_than} subjects are in one of {across}", {}),
    "flag_before": ("{flag} where {inputs[0]} is before {inputs[1]}", {"otherwise": ", else {otherwise}"}),
    "flag_not_after": ("{flag} where {inputs[0]} is not after {inputs[1]}", {"otherwise": ", else {otherwise}"}),
    "flag_above": ("{flag} where {inputs[0]} is above {inputs[1]}", {"otherwise": ", else {otherwise}"}),
    "flag_equal": ("{flag} where {inputs[0]} equals {inputs[1]}", {"otherwise": ", else {otherwise}"}),
    "flag_first": ("{flag} on the first record in the order of {order}, in each {by}", {}),
    "flag_last": ("{flag} on the last record in the order of {order}, in each {by}", {}),
    "of_baseline": ("{source} of the record with {flag} = Y of the same {by}", {}),
    "with_unit": ("{name} with its unit {unit} in brackets", {}),
    "in_window": ("{value} of the window in which {day} falls, by the table {table}", {}),
    "range_indicator": (
        "{terms[0]}, {terms[1]} or {terms[2]}: {inputs[0]} against {inputs[1]} and {inputs[2]}",
        {"low_factor": "; the lower limit times {low_factor}", "high_factor": "; the upper limit times {high_factor}"},
    ),
    "range_margin": (
        "The larger distance of {inputs[0]} from its limits {inputs[1]} and {inputs[2]}",
        {"low_factor": "; the lower limit times {low_factor}", "high_factor": "; the upper limit times {high_factor}"},
    ),
    "reference_range_indicator": (
        "LOW, NORMAL or HIGH: {inputs[0]} against the limits {inputs[1]} and {inputs[2]}",
        {"without_limits": "; without limits {without_limits}"},
    ),
    "half_limit": ("Half of the limit of quantification where {result} is below it", {}),
    "impute_day": (
        "{date}; a missing day is the first of the month",
        {"after": ", or the day after {after} if that is later"},
    ),
    "impute_start": ("{date}; a partial date is the first day it may mean", {}),
    "impute_end": ("{date}; a partial date is the last day it may mean", {}),
    "impute_time": ("{moment}; without a time of day the beginning of the day", {}),
    "date_imputed": ("What was imputed of {inputs[0]}, collected as {inputs[1]}: D the day, M the month, Y all", {}),
    "time_imputed": ("H where {inputs[0]} was collected without a time of day, as {inputs[1]}", {}),
    "latest_of": ("The latest of {moments}", {}),
    "qualifier": ("The supplemental qualifier {name} of the record", {}),
    "absolute": ("The absolute value of {source}", {}),
    "previous_value": ("{source} of the record before, in the order of {order}, in each {by}", {}),
    "nearest_value": (
        "{value} of the subject's record nearest to {date}, by {start}",
        {
            "where": ", of records where {where}",
            "same": ", with the same {same}",
            "prefer": "; those with the same {prefer} first",
        },
    ),
    "flag_near": (
        "{flag} where the subject has a record of {of} near {date}",
        {
            "where": ", where {where}",
            "same": ", with the same {same}",
            "ongoing": "; one without end lasts on where {ongoing}",
            "otherwise": "; else {otherwise}",
        },
    ),
    "in_query": ("The name of the query {query} of the table {table} where one of its terms fits", {}),
    "score": ("The published score {name} of {of}", {}),
    "toxicity_grade": ("The CTCAE 5.0 grade of {value}, by {test}, in direction {direction}", {}),
    "toxicity_term": ("The CTCAE 5.0 term that grades {test} in direction {direction}", {}),
}


NEAR = ("nearest_value", "flag_near")


def method(study: Study, dataset: str, rule: Variable | Derivation) -> str:
    """What the study says of a rule, else the sentence of its algorithm.

    Behind this sentence stands what each working variable is that the algorithm reads.
    """
    if rule.method is not None:
        return rule.method
    algorithm = rule.algorithm
    parts = [f"{sentence(algorithm)}."]
    seen: set[tuple[str, str]] = set()
    todo = list(algorithm.variable_inputs()) if algorithm.derived else []
    while todo:
        place = graph.node_of(dataset, todo.pop(0))
        rules = _working(study, *place)
        if place in seen or not rules:
            continue
        seen.add(place)
        said = "; or ".join(dict.fromkeys(_lowered(sentence(one)) for one in rules))
        shown = place[1] if place[0] == dataset else f"{place[0]}.{place[1]}"
        parts.append(f"Here {shown} is {said}.")
        if place[0] == dataset:
            todo += [one for rule in rules if rule.derived for one in rule.variable_inputs()]
    return _in_english(study, " ".join(parts))


def _in_english(study: Study, text: str) -> str:
    """A text with columns whose names are not ASCII told by their labels."""
    labels = {
        name: column.label or name
        for source in study.sources.values()
        for name, column in source.columns.items()
        if not name.isascii()
    }
    if text.isascii() or not labels:
        return text
    pattern = "|".join(re.escape(name) for name in sorted(labels, key=len, reverse=True))
    return re.sub(pattern, lambda found: labels[found[0]], text)


def sentence(algorithm: Algorithm) -> str:
    """What an algorithm does, without a full stop."""
    condition = f", where {spoken(algorithm.when)}" if algorithm.when else ""
    if algorithm.word == "choose":
        return f"{_cases(algorithm)}{condition}"
    if algorithm.word == "band":
        return f"{_bands(algorithm)}{condition}"
    if algorithm.word == "stepped_dose":
        return f"{_steps(algorithm)}{condition}"
    known = SENTENCES.get(algorithm.word)
    if known is None:
        return algorithm.says()
    fields = type(algorithm).model_fields
    values = {name: _Option(getattr(algorithm, name)) for name in fields}
    said, options = known
    for name, addition in options.items():
        # An option of a later version of the language is not spoken of where it is not there.
        if name in fields and getattr(algorithm, name) not in (None, False, fields[name].default, (), {}):
            said += addition
    bounds = _bounds(algorithm) if algorithm.word in NEAR else ""
    return f"{said.format(**values)}{bounds}{condition}"


class _Option:
    """An option as it is written into a sentence, whole or by position."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getitem__(self, position: int) -> _Option:
        return _Option(self.value[position])

    def __format__(self, _: str) -> str:
        return spoken(self.value)


def spoken(value: Any) -> str:
    """A value of a specification in words."""
    if isinstance(value, Mapping):
        said = []
        for key, item in value.items():
            if isinstance(item, Test):
                said.append(f"{key} {item.says()}")
            elif isinstance(item, Mapping):
                said.append(f"{key}: {spoken(item)}")
            else:
                said.append(str(key) if str(key) == str(item) else f"{key} = {spoken(item)}")
        return " and ".join(said)
    if isinstance(value, tuple | list):
        return ", ".join(spoken(one) for one in value)
    if isinstance(value, str) and re.fullmatch(r"-[A-Za-z]\w*", value):
        return f"{value[1:]} downwards"
    if value == CUT_OFF:
        return "the data cut-off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cases(algorithm: Any) -> str:
    said = []
    for case in algorithm.cases:
        taken = case.value if case.value is not None else case.variable
        what = "missing" if taken is None else spoken(taken)
        said.append(f"{what} where {spoken(case.when)}" if case.when else what)
    text = "; else ".join(said)
    return text[0].upper() + text[1:] if text.startswith("missing ") else text


def _bands(algorithm: Any) -> str:
    said = [
        f"{band.value} below {band.below:g}" if band.below is not None else f"otherwise {band.value}"
        for band in algorithm.bands
    ]
    return f"By {algorithm.source}: {'; '.join(said)}"


def _steps(algorithm: Any) -> str:
    said = []
    for step in algorithm.steps:
        doses = [f"{spoken(dose)} until {day}" for dose, day in zip(step.doses, step.until, strict=False)]
        doses.append(spoken(step.doses[-1]))
        said.append(", then ".join(doses) + (f" where {spoken(step.when)}" if step.when else ""))
    return f"The daily doses from {algorithm.ends[0]} to {algorithm.ends[1]} added up: {'; '.join(said)}"


def _bounds(algorithm: Any) -> str:
    """How near: a bound that is none is not spoken of."""
    said = []
    for words, variable, distance in (
        ("not before", algorithm.start, algorithm.since),
        ("not after", algorithm.end or algorithm.start, algorithm.to),
    ):
        if distance is not None:
            way = "less" if distance < 0 else "plus"
            said.append(f"{words} {variable}" + (f" {way} {abs(distance):g} {algorithm.unit}" if distance else ""))
    return f"; {algorithm.date} is {' and '.join(said)}" if said else ""


def _lowered(text: str) -> str:
    """A sentence within another one: its first word in lower case, unless it is a name."""
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _working(study: Study, dataset: str, variable: str) -> list[Algorithm]:
    """The rules of a working variable; nothing for one that is submitted."""
    file: DatasetFile | AnalysisFile | None = study.datasets.get(dataset) or study.analyses.get(dataset)
    if isinstance(file, AnalysisFile):
        return [file.working[variable].algorithm] if variable in file.working else []
    if file is None:
        return []
    places: Iterable[Any] = (file, *file.records)
    return [one.working[variable].algorithm for one in places if variable in one.working]
