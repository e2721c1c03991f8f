"""Carriers: the rows of a source contract by another way, written as what differs from the contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transforms.core import dates
from transforms.study.models import Column, Source

OF_CARRIER = ("files", "delivery", "extracted_at", "extracted_layout", "equal_rows", "settle_seconds", "rows_may_drop")
WRITTEN_ANEW = ("files", "extracted_at", "extracted_layout")
READING = ("type", "layouts", "default_midnight", "codelist", "narrow", "result", "unit", "range")
DATES = ("date", "datetime", "time")

Problem = tuple[str, str, str]


def problems_of(contract: Source, carrier: Mapping[str, Any], kind: type[Source]) -> Iterator[Problem]:
    """What a carrier may not say: place, problem and remedy."""
    columns, layouts, lost = (carrier.get(key) or {} for key in ("columns", "layouts", "not_carried"))
    for place, value, expected in (("columns", columns, dict), ("layouts", layouts, dict), ("not_carried", lost, list)):
        if value and not isinstance(value, expected):
            yield place, "has another form", "Write columns and layouts by name, not_carried as a list of names"
            return
    allowed = {*OF_CARRIER, "format", "columns", "layouts", "not_carried", *_of_format(kind)}
    for key in carrier:
        if key not in allowed:
            yield str(key), "is no word of a carrier", f"Remove it, or write one of: {', '.join(sorted(allowed))}"
    for name in [*columns, *lost]:
        if name not in contract.columns:
            yield "columns", f"names no column of the contract: {name!r}", "Declare it in the contract's own columns"
    for name, said in columns.items():
        other = sorted(set(said) - set(READING)) if isinstance(said, dict) else ["another form"]
        if other:
            yield f"columns.{name}", f"holds {', '.join(other)}", f"A carrier says how it is read: {', '.join(READING)}"
    for name, several in layouts.items():
        if name not in DATES:
            yield "layouts", f"{name!r} has no layouts", f"Write them for {', '.join(DATES)}"
        if not isinstance(several, list):
            yield "layouts", f"{name} is no list", "Write the layouts in a list"
            continue
        for layout in several:
            try:
                dates.layout_pattern(str(layout))
            except ValueError as error:
                yield "layouts", str(error), "Correct the layout"
    needed: dict[str, str] = {
        **dict.fromkeys(contract.record_id, "record_id"),
        **dict.fromkeys(contract.revisions.columns if contract.revisions else (), "revisions"),
        **({contract.subject: "subject"} if contract.subject else {}),
        **({contract.deleted.column: "deleted"} if contract.deleted else {}),
        **dict.fromkeys(contract.without_subject, "without_subject"),
        **{name: "exclude" for one in contract.exclude for name in one.where},
    }
    for name in lost:
        if name in needed:
            yield "not_carried", f"{name!r} is needed ({needed[name]})", "A carrier without it cannot carry these rows"


def written_out(contract: Source, carrier: Mapping[str, Any], kind: type[Source]) -> dict[str, Any]:
    """The whole contract of a carrier: what `contract` says, with what the carrier says in its place.

    A column it does not carry is made, so that it is missing in every row. `layouts` (by type) are those in which
    the carrier writes dates; each is tried before the layouts of a column that hold the same parts.
    """
    inherited = {name: getattr(contract, name) for name in Source.model_fields if name not in (*WRITTEN_ANEW, "also")}
    own = {key: value for key, value in carrier.items() if key in {*OF_CARRIER, "format", *_of_format(kind)}}
    return {**inherited, **own, "columns": dict(_columns(contract, carrier))}


def _columns(contract: Source, carrier: Mapping[str, Any]) -> Iterator[tuple[str, Column | dict[str, Any]]]:
    said, layouts = carrier.get("columns") or {}, carrier.get("layouts") or {}
    for name, column in contract.columns.items():
        own = said.get(name, {})
        if name in (carrier.get("not_carried") or ()):
            yield name, Column(made=True, label=column.label, not_submitted=column.not_submitted)
            continue
        known = {dates.layout_parts(layout) for layout in column.layouts}
        same = [one for one in layouts.get(own.get("type", column.type), ()) if dates.layout_parts(one) in known]
        added = {"layouts": [*same, *column.layouts]} if same and "layouts" not in own else {}
        yield name, {**dict(column), **added, **own} if added or own else column


def _of_format(kind: type[Source]) -> set[str]:
    return set(kind.model_fields) - set(Source.model_fields) - {"format"}
