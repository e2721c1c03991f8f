"""Laboratory trajectories: latent severity, an AR(1) process between visits, measurement noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .analytes import ANALYTES, BY_CODE, DIFFERENTIAL_STREAM, Analyte
from .protocol import SLOTS
from .scores import egfr_ckd_epi_2021, meld
from .streams import subject_stream

Floats = NDArray[np.float64]

AR_28_DAYS = 0.7
"""Correlation of the latent process over 28 days."""

DRIFT_DAYS = (0.0, 30.0, 91.0, 182.0, 365.0)
DRIFT_SHARE = (0.0, 0.625, 1.0, 1.125, 0.94)
"""Share of the full change reached so long after the last infusion (MELD -1.0, -1.6, -1.8, -1.5)."""


@dataclass(frozen=True)
class Profile:
    """A subject's own levels (log or linear as the item), and the normal draws of every visit slot."""

    levels: Mapping[str, float]
    noise: Mapping[str, Floats]
    differential: Floats
    latent: Floats
    female: bool


@dataclass(frozen=True)
class Effects:
    """What acts on one sample: factors and additions by item code, and ceilings of the screening period."""

    factors: Mapping[str, float] = field(default_factory=dict)
    additions: Mapping[str, float] = field(default_factory=dict)
    ceilings: Mapping[str, float] = field(default_factory=dict)


SCREENING_CEILINGS = {"ALB": 34.8, "INR": 1.82}
"""Eligible subjects have albumin < 35 g/L and prothrombin activity > 40 % until the first infusion."""
CRITICAL_AMMONIA = 150.0
"""umol/L, above which the laboratory calls the investigator."""


def simulate_profile(seed: int, serial: int, *, female: bool, failure: str | None, shift: float = 0.0) -> Profile:
    """Draw a subject's levels; a screen failure for a laboratory reason has the level that fails.

    ``shift`` moves the latent severity, in its standard deviations.
    """
    severity = float(subject_stream(seed, serial, "severity").standard_normal()) + shift
    levels: dict[str, float] = {}
    noise: dict[str, Floats] = {}
    for analyte in ANALYTES:
        if analyte.centre is None:
            continue
        rng = subject_stream(seed, serial, "analyte", analyte.stream)
        own = float(rng.standard_normal())
        noise[analyte.code] = rng.standard_normal(SLOTS)
        centre = math.log(analyte.centre) if analyte.log else analyte.centre
        share = analyte.severity
        levels[analyte.code] = centre + analyte.spread * (share * severity + math.sqrt(1 - share * share) * own)
    levels["ALB"] = min(levels["ALB"], 34.0)
    levels["INR"] = min(levels["INR"], math.log(1.78))
    if female:
        levels["CREA"] -= 12
        levels["HGB"] -= 9
    if failure == "PROTHROMBIN ACTIVITY 40% OR LESS":
        levels["INR"] = math.log(2.25) + 0.05 * severity
    if failure == "ALBUMIN 35 G/L OR MORE":
        levels["ALB"] = 37.5
    differential = subject_stream(seed, serial, "analyte", DIFFERENTIAL_STREAM).standard_normal((SLOTS, 3))
    latent = subject_stream(seed, serial, "latent").standard_normal(SLOTS)
    return Profile(levels, noise, differential, latent, female)


def own_meld(profile: Profile) -> float:
    """MELD of the subject's own levels, before any visit."""
    return meld(
        bilirubin_umol_l=math.exp(profile.levels["TBIL"]),
        inr=math.exp(profile.levels["INR"]),
        creatinine_umol_l=profile.levels["CREA"],
    )


def latent_path(profile: Profile, days: list[int], slots: list[int]) -> list[float]:
    """Stationary AR(1) of unit variance at ``days``, with correlation 0.7 over 28 days."""
    path: list[float] = []
    for index, (day, slot) in enumerate(zip(days, slots, strict=True)):
        draw = float(profile.latent[slot])
        if index == 0:
            path.append(draw)
            continue
        rho = AR_28_DAYS ** ((day - days[index - 1]) / 28.0)
        path.append(rho * path[-1] + math.sqrt(1 - rho * rho) * draw)
    return path


def drift_share(day: int, *, first_dose: int | None, last_dose: int | None) -> float:
    """Share of the full treatment-period change on ``day``; 0 until the first infusion."""
    if first_dose is None or last_dose is None or day <= first_dose:
        return 0.0
    days = (float(first_dose), *(last_dose + x for x in DRIFT_DAYS[1:]))
    return float(np.interp(day, days, DRIFT_SHARE))


def results(
    profile: Profile, slot: int, *, latent: float, share: float, age: int, effects: Effects
) -> dict[str, float]:
    """Return every item's result at one visit, rounded as printed and consistent between items."""
    raw: dict[str, float] = {}
    for code, level in profile.levels.items():
        analyte = BY_CODE[code]
        value = level + analyte.visit * latent + analyte.noise * float(profile.noise[code][slot])
        value += analyte.drift * share
        value = math.exp(value) if analyte.log else value
        value = value * effects.factors.get(code, 1.0) + effects.additions.get(code, 0.0)
        if code != "AST":
            value = min(max(value, analyte.low), analyte.high, effects.ceilings.get(code, analyte.high))
        raw[code] = value
    out: dict[str, float] = {}

    def put(code: str, value: float) -> float:
        analyte: Analyte = BY_CODE[code]
        out[code] = round(value, analyte.decimals)
        return out[code]

    for code in ("ALT", "ALP", "GGT", "LDH", "CHE", "TBA", "CREA", "UREA", "UA", "CYSC", "K", "GLU", "NH3"):
        put(code, raw[code])
    put("AST", max(raw["AST"] * raw["ALT"], BY_CODE["AST"].low))
    bilirubin = put("TBIL", raw["TBIL"])
    direct = put("DBIL", bilirubin * raw["DBIL"])
    put("IBIL", bilirubin - direct)
    albumin = put("ALB", raw["ALB"])
    globulin = put("GLOB", raw["GLOB"])
    put("TP", albumin + globulin)
    put("A/G", albumin / globulin)
    sodium = put("NA", raw["NA"])
    put("CL", sodium - raw["CL"])
    put("EGFR", egfr_ckd_epi_2021(creatinine_umol_l=out["CREA"], age=age, female=profile.female))
    inr = put("INR", raw["INR"])
    put("PT", 12.2 * math.pow(inr, 1 / 1.05))
    put("PTA", 105 * math.pow(inr, -1.45))
    for code in ("APTT", "FIB", "HGB", "PLT", "AFP", "CRP", "PCT"):
        put(code, raw[code])
    cells = put("WBC", raw["WBC"])
    lymph = put("LYM%", raw["LYM%"] * effects.factors.get("LYM%", 1.0))
    mono, eos, baso = (
        round(min(max(centre + spread * float(draw), low), high), 1)
        for centre, spread, low, high, draw in zip(
            (7.5, 2.0, 0.5),
            (1.2, 0.8, 0.15),
            (4.0, 0.6, 0.1),
            (11.0, 5.0, 1.0),
            profile.differential[slot],
            strict=True,
        )
    )
    neutro = put("NEUT%", 100 - lymph - mono - eos - baso)
    counts = (("NEUT#", neutro), ("LYM#", lymph), ("MONO#", mono), ("EOS#", eos), ("BASO#", baso))
    for code, share_pct in counts:
        put(code, cells * share_pct / 100)
    put("RBC", out["HGB"] / raw["RBC"])
    put("HCT", out["HGB"] * raw["HCT"])
    return out
