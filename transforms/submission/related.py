"""Whether what is related exists: parents of supplemental qualifiers and comments, members of relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from transforms.submission.contents import TABULATIONS, Contents, Submitted, record_faults
from transforms.submission.faults import Fault
from transforms.submission.layout import SUPPLEMENTAL

SUBJECT, DOMAIN, VARIABLE, VALUE, RELATION = "USUBJID", "RDOMAIN", "IDVAR", "IDVARVAL", "RELID"
COMMENTS = "CO"  # a comment may be on a subject, or on a domain as a whole
REMEDY = "Correct it in the mapping, or leave the record out with what it belongs to"
NO_DOMAIN = (DOMAIN, "a domain that is not in the package")
NO_VARIABLE = (VARIABLE, "no variable of the domain")
NO_RECORD = (VALUE, "a value that no record of the subject in the domain has")
NO_SUBJECT = (SUBJECT, "a subject without a record in the domain")
VALUE_ALONE = (VALUE, "a value without the variable it is of")
ALONE = (RELATION, "a relation with a single member")


def related_exists(contents: Contents) -> Iterator[Fault]:
    """Records that belong to a dataset, variable or record which is not in the package, and relations of one member.

    IDVARVAL of a number is read as a number. Source: SDTMIG 3.4, sections 8.2, 8.4 and 5.1.
    """
    parents = {one.layout.name: one for one in contents.datasets if one.file.startswith(TABULATIONS)}
    for one in parents.values():
        if all(one.has(name) for name in (DOMAIN, VARIABLE, VALUE)):
            for (variable, problem), found in _flags(one, parents).items():
                yield from record_faults(one, variable, found, problem, REMEDY)


def _flags(one: Submitted, parents: Mapping[str, Submitted]) -> dict[tuple[str, str], np.ndarray]:
    frame = _frame(one, SUBJECT, DOMAIN, VARIABLE, VALUE, RELATION)
    found: dict[tuple[str, str], np.ndarray] = {}

    def flag(what: tuple[str, str], rows: pd.Index) -> None:
        found.setdefault(what, np.zeros(len(frame), dtype=bool))[rows] = True

    for key, rows in frame.groupby([DOMAIN, VARIABLE], dropna=False, sort=False):
        domain, variable = (named if isinstance(named, str) else None for named in key)
        parent = parents.get(domain or "")
        if parent is None:
            if not (one.layout.name == COMMENTS and domain is None):
                flag(NO_DOMAIN, rows.index)
        elif variable is None:
            flag(VALUE_ALONE, rows.index[rows[VALUE].notna()])
            if one.layout.name.startswith(SUPPLEMENTAL):
                flag(NO_SUBJECT, rows.index[~_matched(rows, parent, None)])
        elif not parent.has(variable):
            flag(NO_VARIABLE, rows.index)
        else:
            whole = (rows[SUBJECT].isna() & rows[VALUE].isna()).to_numpy() & one.has(RELATION)
            flag(NO_RECORD, rows.index[~whole & ~_matched(rows, parent, variable)])
    if one.has(RELATION):
        members = frame.assign(member=~frame.duplicated()).groupby([SUBJECT, RELATION], dropna=False, sort=False)
        flag(ALONE, frame.index[members["member"].transform("sum") == 1])
    return found


def _matched(rows: pd.DataFrame, parent: Submitted, variable: str | None) -> np.ndarray:
    """True for rows whose subject has a record in the parent, with the value in the variable where one is named."""
    known = _frame(parent, SUBJECT, *([variable] if variable is not None else []))
    wanted = rows[[SUBJECT, VALUE]]
    by = [SUBJECT] if parent.has(SUBJECT) else []
    if variable is not None:
        known = known.assign(**{VALUE: known[variable]})
        if pd.api.types.is_numeric_dtype(known[VALUE]):
            wanted = wanted.assign(**{VALUE: pd.to_numeric(wanted[VALUE], errors="coerce")})
        by = [*by, VALUE]
    known = known[by].dropna().drop_duplicates()
    return wanted[by].merge(known, how="left", on=by, indicator=True)["_merge"].eq("both").to_numpy()


def _frame(one: Submitted, *names: str) -> pd.DataFrame:
    """Some variables as a frame, with an empty text missing, and one it does not have missing throughout."""
    wanted = dict.fromkeys(names)
    frame = one.columns(*(name for name in wanted if one.has(name))).to_pandas()
    known: pd.DataFrame = frame.mask(frame == "").reindex(columns=[*wanted])
    return known
