"""Model for End-Stage Liver Disease: four published scores, each a function of its own.

Common to all: bilirubin and creatinine in mg/dL, `dialysed` is true with two or more dialyses or 24 hours of
continuous venovenous haemodialysis in the seven days before; the rounded scores are whole numbers from 6 to 40, rounded
half away from zero; a missing or impossible input (0, negative, infinite) gives a missing score.

Sources: Malinchoc et al., Hepatology 2000;31:864 (with the term for aetiology); Kamath et al., Hepatology 2001;33:464;
Wiesner et al., Gastroenterology 2003;124:91 (bounds); OPTN Policy 9.1.D (MELD(i); MELD-Na from January 2016, MELD 3.0
from 13 July 2023); Kim et al., Gastroenterology 2021;161:1887 (MELD 3.0).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from transforms.clinical.inputs import positive, shared_index, truth
from transforms.core import numbers

LOWEST = 6
HIGHEST = 40


def compute_meld_i_raw(
    *, bilirubin_mg_dl: pd.Series, creatinine_mg_dl: pd.Series, inr: pd.Series, dialysed: pd.Series
) -> pd.Series:
    """MELD(i) before rounding, of bounded inputs: 10 x (0.957 ln Cr + 0.378 ln bilirubin + 1.120 ln INR + 0.643).

    Each input below 1.0 counts as 1.0, creatinine above 4.0 mg/dL as 4.0, and creatinine under dialysis as 4.0.
    The result is 6.43 at least and has no upper bound. Kamath 2001; Wiesner 2003; OPTN Policy 9.1.D.
    """
    index = shared_index(bilirubin_mg_dl=bilirubin_mg_dl, creatinine_mg_dl=creatinine_mg_dl, inr=inr, dialysed=dialysed)
    bilirubin, creatinine, ratio = _logarithms(bilirubin_mg_dl, creatinine_mg_dl, inr, dialysed, highest_creatinine=4.0)
    return pd.Series(10 * (0.957 * creatinine + 0.378 * bilirubin + 1.120 * ratio + 0.643), index=index)


def compute_meld_i(
    *, bilirubin_mg_dl: pd.Series, creatinine_mg_dl: pd.Series, inr: pd.Series, dialysed: pd.Series
) -> pd.Series:
    """MELD(i), the score allocation used until 2016: `compute_meld_i_raw` as a whole number from 6 to 40.

    OPTN rounds the sum in brackets to the tenth before multiplying by 10, which is the same number.
    """
    return _whole(
        compute_meld_i_raw(
            bilirubin_mg_dl=bilirubin_mg_dl, creatinine_mg_dl=creatinine_mg_dl, inr=inr, dialysed=dialysed
        ),
        HIGHEST,
    )


def compute_meld_etiology_raw(
    *,
    bilirubin_mg_dl: pd.Series,
    creatinine_mg_dl: pd.Series,
    inr: pd.Series,
    dialysed: pd.Series,
    etiology_alcoholic_or_cholestatic: pd.Series,
) -> pd.Series:
    """MELD with the term for aetiology, before rounding: MELD(i) with 0.643 x E.

    E is 0 for alcoholic or cholestatic liver disease and 1 otherwise, so that the first lies 6.43 below MELD(i).
    Inputs are bounded as in MELD(i). Malinchoc 2000.
    """
    raw = compute_meld_i_raw(
        bilirubin_mg_dl=bilirubin_mg_dl, creatinine_mg_dl=creatinine_mg_dl, inr=inr, dialysed=dialysed
    )
    shared_index(bilirubin_mg_dl=bilirubin_mg_dl, etiology_alcoholic_or_cholestatic=etiology_alcoholic_or_cholestatic)
    return raw - 6.43 * truth("etiology_alcoholic_or_cholestatic", etiology_alcoholic_or_cholestatic)


def compute_meld_etiology(
    *,
    bilirubin_mg_dl: pd.Series,
    creatinine_mg_dl: pd.Series,
    inr: pd.Series,
    dialysed: pd.Series,
    etiology_alcoholic_or_cholestatic: pd.Series,
) -> pd.Series:
    """MELD with the term for aetiology (Malinchoc 2000) as a whole number from 6 to 40."""
    return _whole(
        compute_meld_etiology_raw(
            bilirubin_mg_dl=bilirubin_mg_dl,
            creatinine_mg_dl=creatinine_mg_dl,
            inr=inr,
            dialysed=dialysed,
            etiology_alcoholic_or_cholestatic=etiology_alcoholic_or_cholestatic,
        ),
        HIGHEST,
    )


def compute_meld_na(
    *,
    bilirubin_mg_dl: pd.Series,
    creatinine_mg_dl: pd.Series,
    inr: pd.Series,
    dialysed: pd.Series,
    sodium_mmol_l: pd.Series,
) -> pd.Series:
    """MELD-Na as OPTN used it from January 2016 to July 2023, a whole number from 6 to 40.

    M is MELD(i) as a whole number. Above 11 the score is M + 1.32 (137 - Na) - 0.033 M (137 - Na), with sodium held
    between 125 and 137 mmol/L; at 11 or below it is M. Sodium is needed either way. OPTN Policy 9.1.D.
    """
    meld = compute_meld_i(
        bilirubin_mg_dl=bilirubin_mg_dl, creatinine_mg_dl=creatinine_mg_dl, inr=inr, dialysed=dialysed
    )
    shared_index(bilirubin_mg_dl=bilirubin_mg_dl, sodium_mmol_l=sodium_mmol_l)
    deficit = 137 - np.clip(positive("sodium_mmol_l", sodium_mmol_l), 125, 137)
    counted = np.where(meld > 11, deficit, 0 * deficit)
    return _whole(meld + 1.32 * counted - 0.033 * meld * counted, HIGHEST)


def compute_meld_3_0_raw(
    *,
    bilirubin_mg_dl: pd.Series,
    creatinine_mg_dl: pd.Series,
    inr: pd.Series,
    dialysed: pd.Series,
    sodium_mmol_l: pd.Series,
    albumin_g_dl: pd.Series,
    female: pd.Series,
) -> pd.Series:
    """MELD 3.0 before rounding, of bounded inputs.

    1.33 (if female) + 4.56 ln bilirubin + 0.82 (137 - Na) - 0.24 (137 - Na) ln bilirubin + 9.09 ln INR + 11.14 ln Cr
    + 1.85 (3.5 - albumin) - 1.83 (3.5 - albumin) ln Cr + 6.
    Bilirubin, INR and creatinine below 1.0 count as 1.0, creatinine above 3.0 mg/dL or under dialysis as 3.0; sodium is
    held between 125 and 137 mmol/L, albumin (g/dL) between 1.5 and 3.5. Because of the products, the score rises with
    sodium above a bilirubin of 30.5 mg/dL and with albumin above a creatinine of 2.7 mg/dL. Kim 2021.
    """
    index = shared_index(
        bilirubin_mg_dl=bilirubin_mg_dl,
        creatinine_mg_dl=creatinine_mg_dl,
        inr=inr,
        dialysed=dialysed,
        sodium_mmol_l=sodium_mmol_l,
        albumin_g_dl=albumin_g_dl,
        female=female,
    )
    bilirubin, creatinine, ratio = _logarithms(bilirubin_mg_dl, creatinine_mg_dl, inr, dialysed, highest_creatinine=3.0)
    sodium = 137 - np.clip(positive("sodium_mmol_l", sodium_mmol_l), 125, 137)
    albumin = 3.5 - np.clip(positive("albumin_g_dl", albumin_g_dl), 1.5, 3.5)
    raw = (
        1.33 * truth("female", female)
        + (4.56 - 0.24 * sodium) * bilirubin
        + 0.82 * sodium
        + 9.09 * ratio
        + (11.14 - 1.83 * albumin) * creatinine
        + 1.85 * albumin
        + 6
    )
    return pd.Series(raw, index=index)


def compute_meld_3_0(
    *,
    bilirubin_mg_dl: pd.Series,
    creatinine_mg_dl: pd.Series,
    inr: pd.Series,
    dialysed: pd.Series,
    sodium_mmol_l: pd.Series,
    albumin_g_dl: pd.Series,
    female: pd.Series,
    cap: int = HIGHEST,
) -> pd.Series:
    """MELD 3.0 (Kim 2021) as a whole number from 6 to `cap`.

    OPTN caps the score at 40, the authors of the score do not; another cap is the caller's decision.
    """
    return _whole(
        compute_meld_3_0_raw(
            bilirubin_mg_dl=bilirubin_mg_dl,
            creatinine_mg_dl=creatinine_mg_dl,
            inr=inr,
            dialysed=dialysed,
            sodium_mmol_l=sodium_mmol_l,
            albumin_g_dl=albumin_g_dl,
            female=female,
        ),
        cap,
    )


def _logarithms(
    bilirubin_mg_dl: pd.Series,
    creatinine_mg_dl: pd.Series,
    inr: pd.Series,
    dialysed: pd.Series,
    *,
    highest_creatinine: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Natural logarithms of bilirubin, creatinine and INR within their bounds, NaN where an input is missing."""
    bilirubin = np.maximum(positive("bilirubin_mg_dl", bilirubin_mg_dl), 1.0)
    creatinine = np.clip(positive("creatinine_mg_dl", creatinine_mg_dl), 1.0, highest_creatinine)
    ratio = np.maximum(positive("inr", inr), 1.0)
    on_dialysis = truth("dialysed", dialysed)
    known = ~np.isnan(creatinine + on_dialysis)
    creatinine = np.where(known, np.where(on_dialysis == 1, highest_creatinine, creatinine), np.nan)
    return np.log(bilirubin), np.log(creatinine), np.log(ratio)


def _whole(raw: pd.Series, highest: int) -> pd.Series:
    return numbers.round_column(raw, 0).clip(LOWEST, highest)
