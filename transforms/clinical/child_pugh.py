"""Child-Pugh: points of five items, their total and its class.

Pugh et al., British Journal of Surgery 1973;60:646, as the FDA guidance on hepatic impairment (2003) and the CDISC
instrument CPS01 give it. Total 5 to 15; class A 5-6, B 7-9, C 10-15. The other bilirubin cut-offs for primary biliary
and sclerosing cholangitis are not applied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from transforms.clinical.conversions import BILIRUBIN_UMOL_L_PER_MG_DL
from transforms.clinical.inputs import finite, positive, shared_index
from transforms.core import text
from transforms.core.numbers import round_significant
from transforms.errors import InputError

ASCITES = {"ABSENT": 1.0, "SLIGHT": 2.0, "MODERATE": 3.0}
ITEMS = ("bilirubin", "albumin", "coagulation", "ascites", "encephalopathy")


@dataclass(frozen=True)
class Thresholds:
    """Cut-offs of the items: 1 point on the better side of the first, 2 up to and including the second, else 3.

    A value on a cut-off has 2 points. Compared at 12 significant digits.
    """

    bilirubin_umol_l: tuple[float, float]
    albumin_g_l: tuple[float, float] = (35.0, 28.0)
    inr: tuple[float, float] = (1.7, 2.3)
    pt_prolongation_s: tuple[float, float] = (4.0, 6.0)


SI = Thresholds(bilirubin_umol_l=(34.0, 51.0))
"""Bilirubin below 34, 34 to 51, above 51 umol/L, as forms in SI units print it."""

MG_DL = Thresholds(bilirubin_umol_l=(2.0 * BILIRUBIN_UMOL_L_PER_MG_DL, 3.0 * BILIRUBIN_UMOL_L_PER_MG_DL))
"""Bilirubin below 2, 2 to 3, above 3 mg/dL. Gives other points than SI for 34.0-34.2 and 51.0-51.3 umol/L."""


def compute_child_pugh_points(
    *,
    bilirubin_umol_l: pd.Series,
    albumin_g_l: pd.Series,
    ascites: pd.Series,
    encephalopathy_grade: pd.Series,
    thresholds: Thresholds,
    inr: pd.Series | None = None,
    pt_prolongation_s: pd.Series | None = None,
) -> pd.DataFrame:
    """Points 1 to 3 of each item, in columns bilirubin, albumin, coagulation, ascites and encephalopathy.

    `thresholds` is SI or MG_DL, one per study; bilirubin and albumin are given in umol/L and g/L with either.
    Coagulation is judged by exactly one of `inr` and `pt_prolongation_s` (prothrombin time above control, seconds;
    0 or less is not prolonged). `ascites` is ABSENT, SLIGHT (or controlled by diuretics) or MODERATE (to severe, or
    refractory), in any case. `encephalopathy_grade` is West Haven 0 to 4: none, 1-2, 3-4.

    An item is missing where its input is missing or impossible. InputError for both or neither measure of coagulation
    and for another text of ascites.
    """
    if inr is not None and pt_prolongation_s is None:
        coagulation, name, measured = inr, "inr", positive("inr", inr)
    elif pt_prolongation_s is not None and inr is None:
        coagulation, name = pt_prolongation_s, "pt_prolongation_s"
        measured = finite(name, pt_prolongation_s)
    else:
        raise InputError("Child-Pugh judges coagulation by INR or by PT prolongation. Give exactly one of them")
    index = shared_index(
        bilirubin_umol_l=bilirubin_umol_l,
        albumin_g_l=albumin_g_l,
        ascites=ascites,
        encephalopathy_grade=encephalopathy_grade,
        **{name: coagulation},
    )
    grade = finite("encephalopathy_grade", encephalopathy_grade)
    points = (
        _points(positive("bilirubin_umol_l", bilirubin_umol_l), thresholds.bilirubin_umol_l),
        _points(-positive("albumin_g_l", albumin_g_l), (-thresholds.albumin_g_l[0], -thresholds.albumin_g_l[1])),
        _points(measured, thresholds.inr if name == "inr" else thresholds.pt_prolongation_s),
        _ascites_points(ascites),
        np.where(np.isin(grade, range(5)), _points(grade, (1, 2)), np.nan),
    )
    return pd.DataFrame(dict(zip(ITEMS, points, strict=True)), index=index)


def is_ascites(*, ascites: pd.Series) -> pd.Series:
    """Whether a value is one of the three texts of ascites, in any case; false where it is missing."""
    codes, terms = pd.factorize(ascites)
    known = np.array([*(_points_of(term) is not None for term in terms), False], dtype=bool)
    return pd.Series(known[codes], index=ascites.index)


def compute_child_pugh_total(*, points: pd.DataFrame) -> pd.Series:
    """Total of the item points, 5 to 15; missing where an item is: an absent item is not a normal one."""
    return points[list(ITEMS)].sum(axis=1, skipna=False)


def compute_child_pugh_class(*, total: pd.Series) -> pd.Series:
    """Class of a total: A for 5-6, B for 7-9, C for 10-15, as a text column; missing for any other number."""
    index = shared_index(total=total)
    values = finite("total", total)
    codes = np.where(np.isin(values, range(5, 16)), 0 + (values > 6) + (values > 9), text.MISSING)
    return text.column(codes, ["A", "B", "C"], index)


def _points(values: np.ndarray, cut_offs: tuple[float, float]) -> np.ndarray:
    """1 below the first cut-off, 2 up to the second, 3 above; the values rise as the patient gets worse."""
    first, second = round_significant(np.array(cut_offs, dtype=float))
    rounded = round_significant(values)
    return np.where(np.isnan(rounded), np.nan, 1.0 + (rounded >= first) + (rounded > second))


def _ascites_points(ascites: pd.Series) -> np.ndarray:
    rows = int((ascites.notna() & ~is_ascites(ascites=ascites)).sum())
    if rows:
        raise InputError(f"ascites holds a text other than {', '.join(ASCITES)} on {rows} row(s). Map each text to one")
    codes, terms = pd.factorize(ascites)
    return np.array([*(_points_of(term) for term in terms), np.nan], dtype=float)[codes]


def _points_of(term: object) -> float | None:
    return ASCITES.get(str(term).strip().upper())
