"""SE: the elements each subject passed through, from dates that the specification names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from transforms.algorithms.base import Link
from transforms.core import conditions, dates, text
from transforms.sdtm.records import Origin, Records
from transforms.study import Study
from transforms.study.models import DatasetFile, DateRule, Element, Elements

UNPLANNED = "UNPLANNED TREATMENT"


class Found(NamedTuple):
    """A date and the record it was found in."""

    date: str
    dataset: str
    variable: str
    record: int


@dataclass(frozen=True)
class _Row:
    """One element of one subject (position in DM)."""

    subject: int
    etcd: str
    start: Found
    end: Found | None


def element_records(study: Study, dataset: DatasetFile, frames: Mapping[str, pd.DataFrame]) -> Records:
    """One record for each element a subject started, in planned order, ending where the next one starts.

    An element is started when its start rule gives a date, the subject's arm is among `arms` where that is
    given, and its `reached` and `before` rules hold; an element listed earlier that starts later is not.
    The last element ends by its own end rule. Source: SDTMIG 3.4, SE assumptions.
    """
    rules = dataset.elements
    if rules is None:
        raise ValueError(f"{dataset.name} has no elements")
    dm = frames["DM"]
    arms = _arms(dm, rules)
    found = {rule: _dates(rule, frames) for rule in dict.fromkeys(one for each in rules.elements for one in each.rules)}
    rows: list[_Row] = []
    for position, subject in enumerate(dm["USUBJID"].astype(object)):
        passed: list[tuple[Element, Found]] = []
        for element in rules.elements:
            start = found[element.start].get(subject)
            if start is None or not _started(element, start, subject, arms[position], found):
                continue
            while passed and passed[-1][1].date > start.date:
                passed.pop()
            passed.append((element, start))
        for place, (element, start) in enumerate(passed):
            end = found[element.end].get(subject) if element.end else None
            following = passed[place + 1][1] if place + 1 < len(passed) else end
            rows.append(_Row(position, element.etcd, start, following))
    return _records(study, dataset, rules, dm, arms, rows)


def _arms(dm: pd.DataFrame, rules: Elements) -> list[str]:
    """The arm code whose elements each subject has, empty for none and for a treatment of no arm."""
    arms = text.coalesce(dm["ACTARMCD"], dm["ARMCD"]) if rules.arm == "actual" else dm["ARMCD"]
    found = ["" if pd.isna(arm) else str(arm) for arm in arms.astype(object)]
    if rules.arm == "actual" and "ARMNRS" in dm:
        return [
            "" if reason == UNPLANNED else arm for arm, reason in zip(found, dm["ARMNRS"].astype(object), strict=True)
        ]
    return found


def _started(
    element: Element, start: Found, subject: str, arm: str, found: Mapping[DateRule, Mapping[str, Found]]
) -> bool:
    if element.arms and arm not in element.arms:
        return False
    if element.reached is not None and subject not in found[element.reached]:
        return False
    limit = found[element.before].get(subject) if element.before is not None else None
    return element.before is None or (limit is not None and start.date < limit.date)


def _dates(rule: DateRule, frames: Mapping[str, pd.DataFrame]) -> dict[str, Found]:
    """The rule's date for each subject that has one, with the record it is from."""
    source = rule.subject or rule.earliest or rule.latest or ""
    name, variable = source.split(".")
    frame = frames[name]
    keep = conditions.rows(rule.where, lambda one: frame[one], frame.index) & frame[variable].notna().to_numpy()
    chosen = frame[keep]
    order = np.argsort(text.ranks(chosen[variable]), kind="stable")
    ordered = chosen.iloc[order[::-1] if rule.latest else order]
    firsts = ordered[~ordered["USUBJID"].duplicated()]
    subjects, found = firsts["USUBJID"].astype(object), firsts[variable].astype(object)
    if rule.plus_days:
        found = found.map(lambda date: dates.later(date, rule.plus_days))
    return {
        subject: Found(date, name, variable, int(record))
        for subject, date, record in zip(subjects, found, firsts.index, strict=True)
    }


def _records(
    study: Study, dataset: DatasetFile, rules: Elements, dm: pd.DataFrame, arms: list[str], rows: list[_Row]
) -> Records:
    te, ta = study.tables[rules.te], study.tables[rules.ta]
    names = te.keyed(["ETCD"], "ELEMENT")
    orders, epochs = ta.keyed(["ARMCD", "ETCD"], "TAETORD"), ta.keyed(["ARMCD", "ETCD"], "EPOCH")
    any_epoch = ta.keyed(["ETCD"], "EPOCH")
    line_of = dict(zip(te.values("ETCD"), te.lines, strict=True))
    index = pd.RangeIndex(len(rows))
    owners = np.array([row.subject for row in rows], dtype=np.int64)
    keys = [(arms[row.subject], row.etcd) for row in rows]
    usubjid = dm["USUBJID"]
    columns = {
        "STUDYID": text.constant(study.file.studyid, index),
        "DOMAIN": text.constant(dataset.name, index),
        "USUBJID": text.column(usubjid.array.codes[owners], text.texts_of(usubjid), index),
        "ETCD": text.from_values([row.etcd for row in rows], index),
        "ELEMENT": text.from_values([names.get((row.etcd,)) for row in rows], index),
        "TAETORD": pd.Series([float(orders.get(key, "nan")) for key in keys], index=index, dtype=float),
        "EPOCH": text.from_values([epochs.get(key) or any_epoch.get((key[1],)) for key in keys], index),
        "SESTDTC": text.from_values([row.start.date for row in rows], index),
        "SEENDTC": text.from_values([row.end.date if row.end else None for row in rows], index),
    }
    unplanned = {element.etcd: element.unplanned for element in rules.elements if element.unplanned}
    if unplanned:
        columns["SEUPDES"] = text.from_values([unplanned.get(row.etcd) for row in rows], index)
    origin = Origin(
        te.file,
        (te.file,),
        ("",),
        np.zeros(len(rows), dtype=np.int64),
        np.array([line_of.get(row.etcd, 1) for row in rows], dtype=np.int64),
        specification=True,
    )
    records = Records(
        dataset.name,
        pd.DataFrame(columns, index=index),
        [origin],
        np.zeros(len(rows), dtype=np.int64),
        np.arange(len(rows), dtype=np.int64),
        entries=np.full(len(rows), -1, dtype=np.int64),
        held=np.zeros(len(rows), dtype=bool),
    )
    records.links["SESTDTC"] = _links([row.start for row in rows])
    records.links["SEENDTC"] = _links([row.end for row in rows])
    for variable in ("ETCD", "ELEMENT", "TAETORD", "EPOCH"):
        records.links[variable] = [Link("DM", dm.index.to_numpy()[owners])]
    return records


def _links(found: Sequence[Found | None]) -> list[Link]:
    """Links to the records the dates were found in, one per dataset and variable."""
    result = []
    for dataset, variable in sorted({(one.dataset, one.variable) for one in found if one}):
        records = [one.record if one and (one.dataset, one.variable) == (dataset, variable) else -1 for one in found]
        result.append(Link(dataset, np.array(records, dtype=np.int64), variable))
    return result
