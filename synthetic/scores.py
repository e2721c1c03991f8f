"""Scores an investigator would write on the form, from the laboratory results of the visit.

These short formulas belong to the simulation; the analysis has its own in ``transforms/clinical``.
"""

from __future__ import annotations

import math

KPS_TEXT = {
    100: "Normal no complaints; no evidence of disease.",
    90: "Able to carry on normal activity; minor signs or symptoms of disease.",
    80: "Normal activity with effort; some signs or symptoms of disease.",
    70: "Cares for self; unable to carry on normal activity or to do active work.",
    60: "Requires occasional assistance, but is able to care for most of his personal needs.",
    50: "Requires considerable assistance and frequent medical care.",
    40: "Disabled; requires special care and assistance.",
    30: "Severely disabled; hospital admission is indicated although death not imminent.",
    20: "Very sick; hospital admission necessary; active supportive treatment necessary.",
    10: "Moribund; fatal processes progressing rapidly.",
    0: "Dead",
}
"""Karnofsky wording of CDISC CT C182469."""


def round_half_up(value: float) -> int:
    """Round a non-negative value to an integer, halves upward, after removing noise below 1e-9."""
    return math.floor(round(value, 9) + 0.5)


def meld(*, bilirubin_umol_l: float, inr: float, creatinine_umol_l: float) -> int:
    """MELD(i), 6 to 40: 10 x (0.957 ln Cr + 0.378 ln bilirubin + 1.120 ln INR + 0.643).

    Kamath 2001 in the UNOS form: values below 1 count as 1, creatinine at most 4 mg/dL.
    """
    creatinine = min(max(creatinine_umol_l / 88.4, 1.0), 4.0)
    bilirubin = max(bilirubin_umol_l / 17.1, 1.0)
    total = 0.957 * math.log(creatinine) + 0.378 * math.log(bilirubin) + 1.120 * math.log(max(inr, 1.0)) + 0.643
    return min(max(round_half_up(10 * total), 6), 40)


def egfr_ckd_epi_2021(*, creatinine_umol_l: float, age: int, female: bool) -> float:
    """CKD-EPI 2021 creatinine equation, mL/min/1.73 m2 (Inker 2021)."""
    kappa, alpha = (0.7, -0.241) if female else (0.9, -0.302)
    ratio = creatinine_umol_l / 88.4 / kappa
    value = 142.0 * math.pow(min(ratio, 1.0), alpha) * math.pow(max(ratio, 1.0), -1.2) * math.pow(0.9938, age)
    return value * 1.012 if female else value


def banded(value: float, low: float, high: float, texts: tuple[str, str, str]) -> tuple[str, int]:
    """Return the printed band and its index 1 to 3: below ``low``, ``low`` to ``high``, above ``high``."""
    index = 1 if value < low else 2 if value <= high else 3
    return texts[index - 1], index


def child_pugh_class(total: int) -> str:
    """Child-Pugh class of a total of 5 to 15: A 5-6, B 7-9, C 10-15 (Pugh 1973)."""
    return "A" if total <= 6 else "B" if total <= 9 else "C"
