"""Rules that follow from the specification: required variables, terms, dates, keys, sequence numbers.

What people are told stands in `expectations/structure.yml`, by rule id; here stands what is checked, for which
variables of which dataset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from transforms.standards import VariableStandard
from transforms.study import Study, check, graph
from transforms.validation.columns.base import Kind
from transforms.validation.columns.values import Concept
from transforms.validation.rule import Rule

MAX_BYTES = 200
LOG_DAYS = 14
"""So many days later than a record the page of its visit may come into the visit log."""
DAYS = r"(?:0[1-9]|1\d|2[0-8])"
LEAP = r"(?:\d{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
DATE = (
    rf"(?:\d{{4}}-(?:0[1-9]|1[0-2])-{DAYS}|\d{{4}}-(?:0[13-9]|1[0-2])-(?:29|30)"
    rf"|\d{{4}}-(?:0[13578]|1[02])-31|{LEAP}-02-29)"
)
TIME = r"T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
# What SDTM dates look like here (transforms.core.dates), calendar and leap years included.
ISO_8601 = rf"^(?:\d{{4}}|\d{{4}}-(?:0[1-9]|1[0-2])|\d{{4}}---(?:0[1-9]|[12]\d|3[01])|{DATE}(?:{TIME})?)$"
SUPPLEMENTAL = ("STUDYID", "RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM", "QLABEL", "QVAL", "QORIG", "QEVAL")
POINTER = ("RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL")
DAMAGED = "�|锟斤拷|\u00ef\u00bb\u00bf"
# The first suffix that fits counts; the text of a criterion of eligibility may be long (SDTMIG 3.4, IE).
LENGTHS = {"IETEST": MAX_BYTES, "TESTCD": 8, "TEST": 40, "PARMCD": 8, "PARM": 40, "ARMCD": 20, "ETCD": 8}
SHORT_NAME = "^[A-Z_][A-Z0-9_]{0,7}$"
# A study day and the date it is counted from its reference date for, by the ends of their names.
STUDY_DAYS = {"STDY": "STDTC", "ENDY": "ENDTC", "DY": "DTC"}
# What the trial design plans: the table, the variable there, and terms for what no plan can hold.
PLANNED = {
    "EPOCH": ("TA", "EPOCH", ()),
    "ARMCD": ("TA", "ARMCD", ()),
    "ACTARMCD": ("TA", "ARMCD", ()),
    "ETCD": ("TE", "ETCD", ("UNPLAN",)),
}


def structural_rules(
    study: Study, texts: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Mapping[str, Kind]]
) -> Iterator[tuple[Literal["staged", "sdtm"], str, Rule]]:
    """Every rule that the specification implies, with the source or dataset it is for."""
    writer = _Writer(texts)
    for name, source in study.sources.items():
        for column, contract in source.columns.items():
            if contract.type == "text" and not contract.identifier:
                expect = {"expect_column_values_to_not_match_regex": {"column": column, "regex": DAMAGED}}
                yield "staged", name, writer.rule("source.damaged_text", expect)
    dates = {found for name in study.datasets for found in _collected_dates(study, name)}
    for source_name, start, end in sorted(dates):
        yield "staged", source_name, _date_order(writer, "source.date_order", start, end)
    for name in columns:
        known = name in study.datasets
        rules = _dataset(study, writer, name, columns[name]) if known else _qualifiers(study, writer, name)
        for rule in rules:
            yield "sdtm", name, rule


def _collected_dates(study: Study, name: str) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The sources of a dataset whose columns give start and end, with these columns (a date, or date and time)."""
    written = graph.definitions(study.datasets[name])
    for group in study.datasets[name].records:
        if group.source is None:
            continue
        columns = []
        for variable in (f"{name}STDTC", f"{name}ENDTC"):
            found = [one.algorithm for place, one in written.get(variable, ()) if place is None or place == group]
            collected = tuple(found[0].collected_inputs()) if found and found[0].word == "assign_datetime" else ()
            columns.append(tuple(one for one in collected if not one.startswith("each.")))
        if columns[0] and columns[1] and all(1 <= len(one) <= 2 for one in columns):
            yield group.source, columns[0], columns[1]


def _date_order(writer: _Writer, rule: str, start: tuple[str, ...], end: tuple[str, ...]) -> Rule:
    return writer.rule(
        rule,
        {
            "expect_column_pair_values_a_to_be_greater_than_b": {
                "column_A": "ended",
                "column_B": "began",
                "or_equal": True,
                "ignore_row_if": "either_value_is_missing",
            }
        },
        {"start": start[0], "end": end[0]},
        columns={
            "began": {"begin": start[0], "partial": True, **({"time": start[1]} if len(start) > 1 else {})},
            "ended": {"end": end[0], "partial": True, **({"time": end[1]} if len(end) > 1 else {})},
        },
        variable=f"{start[0]}, {end[0]}",
    )


def terms(study: Study, codes: Iterable[str]) -> frozenset[str]:
    """The terms of some codelists with the study's extensions."""
    found: set[str] = set()
    for code in codes:
        found |= study.standards.codelists[code].terms | study.extensions.get(code, frozenset())
    return frozenset(found)


class _Writer:
    def __init__(self, texts: Mapping[str, Mapping[str, Any]]) -> None:
        self.texts = texts

    def rule(self, rule: str, expect: Mapping[str, Any], says: Mapping[str, str] | None = None, **more: Any) -> Rule:
        """A rule with the words written for it; `says` fills in what its message names.

        A rule for a dataset that lacks its columns is left out: structure.variables says that they are missing.
        """
        written = {**self.texts[rule], "lenient": rule.startswith("structure."), **more}
        filled = {key: str(written[key]).format(**(says or {})) for key in ("message", "remedy")}
        return Rule.model_validate({**written, **filled, "id": rule, "expect": expect})


def _dataset(study: Study, writer: _Writer, name: str, columns: Mapping[str, Kind]) -> Iterator[Rule]:
    standards = _standards(study, name, columns)
    yield _variables(writer, columns)
    yield from _constants(study, writer, name, columns)
    for variable in standards:
        yield from _variable(study, writer, variable, columns)
    yield from _keys(study, writer, name, columns)
    if "USUBJID" in columns and name != "DM" and "DM" in study.datasets:
        yield writer.rule(
            "structure.subject_in_dm",
            {"expect_column_values_to_be_between": {"column": "subjects", "min_value": 1}},
            columns={"subjects": {"count": ["USUBJID"], "of": "DM"}},
            where={"USUBJID": {"present": True}},
        )
    if {"USUBJID", "VISITNUM"} <= columns.keys() and name != "SV" and "SV" in study.datasets:
        visits: dict[str, Any] = {"visits": {"count": ["USUBJID", "VISITNUM"], "of": "SV"}}
        where: dict[str, Any] = {"VISITNUM": {"present": True}}
        collected = next((one for one in (f"{name}DTC", f"{name}STDTC") if one in columns), None)
        if collected is not None:
            visits |= {"days": {"elapsed": collected}, "recent": {"inside": "days", "low": 0, "high": LOG_DAYS}}
            where |= {"recent": {"present": False}}
        yield writer.rule(
            "structure.visit_in_sv",
            {"expect_column_values_to_be_between": {"column": "visits", "min_value": 1}},
            columns=visits,
            where=where,
        )
    yield from _pairs(writer, name, columns, any(True for _ in _collected_dates(study, name)))
    yield from _results(writer, name, columns)
    yield from _study_days(study, writer, columns)
    yield from _planned(study, writer, name, columns)
    yield from _concepts(study, writer, name, standards)
    if columns.keys() >= set(POINTER):
        yield _pointer(writer)


def _variables(writer: _Writer, columns: Iterable[str]) -> Rule:
    return writer.rule(
        "structure.variables",
        {"expect_table_columns_to_match_set": {"column_set": sorted(columns), "exact_match": False}},
        variable="*",
        lenient=False,
    )


def _study_days(study: Study, writer: _Writer, columns: Mapping[str, Kind]) -> Iterator[Rule]:
    """Every study day says what its date and the reference date of the subject say."""
    if "DM" not in study.datasets or "USUBJID" not in columns:
        return
    for variable in columns:
        end = next((one for one in STUDY_DAYS if variable.endswith(one)), None)
        date = variable.removesuffix(end) + STUDY_DAYS[end] if end else ""
        if columns[variable] != "number" or date not in columns or variable == "VISITDY":
            continue
        yield writer.rule(
            "structure.study_day_of_date",
            {
                "expect_column_pair_values_to_be_equal": {
                    "column_A": variable,
                    "column_B": "counted",
                    "ignore_row_if": "both_values_are_missing",
                }
            },
            {"variable": variable, "date": date},
            columns={
                "reference": {"fetch": "RFSTDTC", "of": "DM", "by": ["USUBJID"]},
                "counted": {"study_day": date, "reference": "reference"},
                "subjects": {"count": ["USUBJID"], "of": "DM"},
            },
            # Day 0, and a subject that is not in DM, are other rules'.
            where={variable: {"not_equals": 0}, "subjects": {"at_least": 1}},
            variable=f"{variable}, {date}",
        )


def _planned(study: Study, writer: _Writer, name: str, columns: Mapping[str, Kind]) -> Iterator[Rule]:
    """Epochs, arms and elements are those of the trial design."""
    for variable, (plan, there, unplanned) in PLANNED.items():
        if variable in columns and plan in study.datasets and name != plan:
            yield writer.rule(
                "structure.planned",
                {"expect_column_values_to_be_between": {"column": "plans", "min_value": 1}},
                {"variable": variable, "plan": plan},
                columns={
                    "term": {"text": variable, "without": unplanned},
                    "plans": {"count": ["term"], "of": plan, "there": [there]},
                },
                where={"term": {"present": True}},
                variable=variable,
                per=(variable,),
            )


def _concepts(study: Study, writer: _Writer, name: str, standards: Iterable[VariableStandard]) -> Iterator[Rule]:
    """Code and name of a test are terms of one concept of the terminology."""
    lists = {one.name: [code.code for code in study.standards.codelists_of(one)] for one in standards}
    for code, text in ((f"{name}TESTCD", f"{name}TEST"), ("TSPARMCD", "TSPARM")):
        if lists.get(code) and lists.get(text):
            published = study.standards.codelists
            yield writer.rule(
                "structure.paired_terms",
                {
                    "expect_column_pair_values_to_be_equal": {
                        "column_A": "of_code",
                        "column_B": "of_name",
                        "ignore_row_if": "either_value_is_missing",
                    }
                },
                {"code": code, "name": text},
                columns={
                    "of_code": Concept(concept=code, codelists=tuple(lists[code])).resolved(published),
                    "of_name": Concept(concept=text, codelists=tuple(lists[text])).resolved(published),
                },
                variable=f"{code}, {text}",
                per=(code,),
            )


def _pointer(writer: _Writer) -> Rule:
    return writer.rule(
        "structure.related_record",
        {"expect_column_values_to_be_between": {"column": "records", "min_value": 1}},
        columns={"records": {"related": list(POINTER)}},
        variable=", ".join(POINTER),
    )


def _standards(study: Study, name: str, columns: Mapping[str, Kind]) -> list[VariableStandard]:
    found = []
    for column in columns:
        standard = check.define(study, study.datasets[name], column)
        if standard is not None:
            found.append(standard)
    return found


def _constants(study: Study, writer: _Writer, name: str, columns: Mapping[str, Kind]) -> Iterator[Rule]:
    for variable, value in (("STUDYID", study.file.studyid), ("DOMAIN", name)):
        if variable in columns:
            yield writer.rule(
                "structure.constant",
                {"expect_column_values_to_be_in_set": {"column": variable, "value_set": [value]}},
                {"variable": variable, "value": value},
            )


def _variable(study: Study, writer: _Writer, variable: VariableStandard, columns: Mapping[str, Kind]) -> Iterator[Rule]:
    name = variable.name
    if variable.core == "Req":
        yield writer.rule(
            "structure.required", {"expect_column_values_to_not_be_null": {"column": name}}, {"variable": name}
        )
    if columns[name] == "number":
        if name.endswith("DY") and not name.endswith("VISITDY"):
            yield writer.rule(
                "structure.study_day",
                {"expect_column_values_to_not_be_in_set": {"column": name, "value_set": [0]}},
                {"variable": name},
            )
        return
    codelists = study.standards.codelists_of(variable)
    if codelists:
        result = name.endswith(("STRESC", "ORRES"))
        yield writer.rule(
            "structure.codelist",
            {
                "expect_column_values_to_be_in_set": {
                    "column": "term" if result else name,
                    "value_set": sorted({*terms(study, (one.code for one in codelists)), *variable.outside}),
                }
            },
            {"codelists": ", ".join(f"{one.code} {one.short_name}" for one in codelists)},
            columns={"term": {"text": name, "not_numbers": True}} if result else {},
            per=(name,),
        )
    if variable.is_datetime:
        yield writer.rule(
            "structure.iso8601",
            {"expect_column_values_to_match_regex": {"column": name, "regex": ISO_8601}},
            {"variable": name},
        )
    limit = next((most for suffix, most in LENGTHS.items() if name.endswith(suffix)), MAX_BYTES)
    yield writer.rule(
        "structure.length",
        {"expect_column_values_to_be_between": {"column": "size", "max_value": limit}},
        {"variable": name, "limit": str(limit)},
        columns={"size": {"bytes": name}},
    )
    if name.endswith("TESTCD"):
        yield writer.rule(
            "structure.test_code",
            {"expect_column_values_to_match_regex": {"column": name, "regex": SHORT_NAME}},
            {"variable": name},
            per=(name,),
        )


def _keys(study: Study, writer: _Writer, name: str, columns: Mapping[str, Kind]) -> Iterator[Rule]:
    keys = list(study.datasets[name].keys)
    working = {*study.datasets[name].working, *study.datasets[name].supplemental}
    sequence = graph.sequence_variable(study, name)
    if all(key in columns for key in keys) and not working & set(keys):
        yield writer.rule(
            "structure.key",
            {"expect_column_values_to_be_between": {"column": "records", "max_value": 1}},
            columns={"records": {"distinct": ["*"], "within": keys, "but": [sequence] if sequence else []}},
            variable=", ".join(keys),
            severity="critical" if name == "DM" else "answer",
        )
    if sequence is not None:
        yield writer.rule(
            "structure.sequence",
            {
                "expect_column_pair_values_to_be_equal": {
                    "column_A": sequence,
                    "column_B": "place",
                    "ignore_row_if": "neither",
                }
            },
            {"variable": sequence},
            columns={"place": {"rank": sequence, "within": ["USUBJID"]}},
            variable=sequence,
        )


def _pairs(writer: _Writer, name: str, columns: Mapping[str, Kind], collected: bool) -> Iterator[Rule]:
    """Starts before ends, unless they are `collected` and checked in their source, and names that go with one code."""
    starts = [(f"{name}STDTC", f"{name}ENDTC")]
    if name == "DM":
        starts = [("RFSTDTC", "RFENDTC"), ("RFXSTDTC", "RFXENDTC")]
    for start, end in starts:
        if start in columns and end in columns and not collected:
            yield _date_order(writer, "structure.date_order", (start,), (end,))
    pairs = ((f"{name}TESTCD", f"{name}TEST"), ("VISITNUM", "VISIT"), ("ARMCD", "ARM"), ("ETCD", "ELEMENT"))
    for code, text in pairs:
        for one, other in ((code, text), (text, code)):
            if one in columns and other in columns:
                yield writer.rule(
                    "structure.one_to_one",
                    {"expect_column_values_to_be_between": {"column": "names", "max_value": 1}},
                    {"one": one, "other": other},
                    columns={"names": {"distinct": [other], "within": [one]}},
                    where={one: {"present": True}},
                    variable=f"{one}, {other}",
                    per=(one,),
                )


def _results(writer: _Writer, name: str, columns: Mapping[str, Kind]) -> Iterator[Rule]:
    texts, number = f"{name}STRESC", f"{name}STRESN"
    if texts in columns and number in columns:
        yield writer.rule(
            "structure.numeric_result",
            {
                "expect_column_pair_values_to_be_equal": {
                    "column_A": "said",
                    "column_B": "held",
                    "ignore_row_if": "both_values_are_missing",
                }
            },
            {"text": texts, "number": number},
            columns={"read": {"number": texts}, "said": {"rounded": "read"}, "held": {"rounded": number}},
            variable=f"{texts}, {number}",
        )


def _qualifiers(study: Study, writer: _Writer, name: str) -> Iterator[Rule]:
    domain = name.removeprefix("SUPP")
    yield _variables(writer, SUPPLEMENTAL)
    for variable, value in (("STUDYID", study.file.studyid), ("RDOMAIN", domain)):
        yield writer.rule(
            "structure.constant",
            {"expect_column_values_to_be_in_set": {"column": variable, "value_set": [value]}},
            {"variable": variable, "value": value},
        )
    yield _pointer(writer)
    yield writer.rule(
        "structure.test_code",
        {"expect_column_values_to_match_regex": {"column": "QNAM", "regex": "^[A-Z_][A-Z0-9_]*$"}},
        {"variable": "QNAM"},
        per=("QNAM",),
    )
    yield writer.rule(
        "structure.qualifier_name",
        {
            "expect_column_values_to_not_be_in_set": {
                "column": "QNAM",
                "value_set": sorted(study.standards.variable_names(domain)),
            }
        },
        {"domain": domain},
        per=("QNAM",),
    )
    for variable in ("STUDYID", "RDOMAIN", "USUBJID", "QNAM", "QLABEL", "QVAL"):
        yield writer.rule(
            "structure.required", {"expect_column_values_to_not_be_null": {"column": variable}}, {"variable": variable}
        )
    for variable, limit in (("QNAM", 8), ("QLABEL", 40), ("QVAL", MAX_BYTES)):
        yield writer.rule(
            "structure.length",
            {"expect_column_values_to_be_between": {"column": "size", "max_value": limit}},
            {"variable": variable, "limit": str(limit)},
            columns={"size": {"bytes": variable}},
        )
    yield writer.rule(
        "structure.qualifier_of_record",
        {"expect_column_values_to_be_between": {"column": "values", "max_value": 1}},
        columns={"values": {"count": ["USUBJID", "IDVAR", "IDVARVAL", "QNAM"]}},
        variable="QNAM",
    )
