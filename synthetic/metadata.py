"""What the columns of the EDC forms hold: formats of dates, numbers, units, code lists."""

from __future__ import annotations

import re

from .pages import MONTHS

STUDY_OID = "UCMSC-DAC-01"
"""The study as the sponsor names it (STUDYID)."""

DAY_TEXT, ISO_DAY, ISO_MINUTE, ISO_SECOND = "DDMONYYYY", "ISO", "ISO-MIN", "ISO-SEC"
YEAR_MONTH, PARTIAL, CLOCK = "YM", "PARTIAL", "HH:MM"

DATE_FORMATS: dict[str, dict[str, str]] = {
    "DM": {"brthym": YEAR_MONTH},
    "IC": {"icdat": DAY_TEXT, "ictim": CLOCK, "icverdat": ISO_DAY},
    "ENROL": {"eligdat": DAY_TEXT, "enrdat": DAY_TEXT, "sfdat": DAY_TEXT},
    "VISIT": {"svstdat": ISO_DAY, "svendat": ISO_DAY},
    "VITALS": {"vsdat": DAY_TEXT, "vstim": CLOCK},
    "DOSE": {"infstdtm": ISO_MINUTE, "infendtm": ISO_MINUTE},
    "AE": {"aestdat": DAY_TEXT, "aesttim": CLOCK, "aeendat": DAY_TEXT},
    "CHILDPUGH": {"cpdat": ISO_DAY},
    "KPS": {"kpsdat": ISO_DAY},
    "HE": {"hedat": ISO_DAY},
    "MELD": {"melddat": ISO_DAY},
    "AUDITC": {"acdat": DAY_TEXT},
    "EOT": {"eotdat": ISO_DAY},
    "EOS": {"eosdat": ISO_DAY, "lastcontdat": ISO_DAY},
    "DEATH": {"dthdat": ISO_DAY},
    "DSMB": {"meetdat": ISO_DAY, "cutoffdat": ISO_DAY},
    "ELIG": {"iedat": DAY_TEXT},
    "MH": {"mhstdat": PARTIAL, "mhendat": PARTIAL},
    "ALCOHOL": {"alcdat": ISO_DAY, "alcstdat": PARTIAL, "alcendat": PARTIAL},
    "COA": {"mfgdtm": ISO_MINUTE, "reldtm": ISO_MINUTE, "expdtm": ISO_MINUTE},
    "SAE": {"saestdat": ISO_DAY, "saeendat": ISO_DAY, "saeawdtm": ISO_MINUTE, "saerepdtm": ISO_MINUTE},
    "CONMED": {"cmstdat": PARTIAL, "cmsttim": CLOCK, "cmendat": PARTIAL},
    "PROC": {"prstdat": ISO_DAY, "prendat": ISO_DAY},
    "LABEDC": {"lbdat": DAY_TEXT, "lbtim": CLOCK},
    "DV": {"dvstdat": ISO_DAY, "dvendat": ISO_DAY},
}
"""Format of each date and time column, in the marks of README.md."""

INTEGERS: dict[str, frozenset[str]] = {
    "DM": frozenset({"age"}),
    "VISIT": frozenset({"visitnum"}),
    "VITALS": frozenset({"height_cm", "sysbp", "diabp", "pulse", "resp"}),
    "DOSE": frozenset({"dose_no", "volume_ml", "interrupt_min"}),
    "AE": frozenset({"aetoxgr"}),
    "CHILDPUGH": frozenset({"he_pts", "asc_pts", "bili_pts", "alb_pts", "inr_pts", "cp_total"}),
    "KPS": frozenset({"kps_score"}),
    "MELD": frozenset({"meld_score"}),
    "AUDITC": frozenset({"ac_q1", "ac_q2", "ac_q3"}),
    "EOT": frozenset({"n_doses"}),
    "EOS": frozenset({"n_attempts"}),
    "DSMB": frozenset({"n_observed21", "n_dlt"}),
    "ALCOHOL": frozenset({"alcgday"}),
    "COA": frozenset({"passage"}),
    "SAE": frozenset({"saegr"}),
    "PROC": frozenset({"prvol_ml"}),
}
FLOATS: dict[str, frozenset[str]] = {
    "VITALS": frozenset({"weight_kg", "temp_c"}),
    "DOSE": frozenset({"dose_planned", "weight_used", "cells_total", "viability_pct"}),
    "COA": frozenset({"viab_pct", "viab_limit"}),
    "CONMED": frozenset({"cmdose"}),
}

UNITS: dict[str, dict[str, tuple[str, str]]] = {
    "VITALS": {
        "height_cm": ("CM", "cm"),
        "weight_kg": ("KG", "kg"),
        "temp_c": ("C", "C"),
        "sysbp": ("MMHG", "mmHg"),
        "diabp": ("MMHG", "mmHg"),
        "pulse": ("BPM", "beats/min"),
        "resp": ("BRPM", "breaths/min"),
    },
    "DOSE": {
        "weight_used": ("KG", "kg"),
        "cells_total": ("E6CELLS", "10^6 cells"),
        "volume_ml": ("ML", "mL"),
        "viability_pct": ("PCT", "%"),
        "interrupt_min": ("MIN", "min"),
    },
    "PROC": {"prvol_ml": ("ML", "mL")},
    "ALCOHOL": {"alcgday": ("GDAY", "g/day")},
}
"""Unit of a column: end of its MeasurementUnitOID, and symbol."""

YES_NO = {"Y": "Yes", "N": "No"}
CAUSALITY = {
    "肯定有关": "Definitely related",
    "很可能有关": "Probably related",
    "可能有关": "Possibly related",
    "可能无关": "Unlikely related",
    "肯定无关": "Not related",
    "无法判定": "Unassessable",
}
OUTCOME = {
    "RECOVERED/RESOLVED": "Recovered",
    "RECOVERED/RESOLVED WITH SEQUELAE": "Recovered with sequelae",
    "NOT RECOVERED/NOT RESOLVED": "Not recovered",
    "FATAL": "Fatal",
}
CODE_LISTS: dict[str, dict[str, str]] = {
    "NY": YES_NO,
    "SEX": {"Male": "Male", "Female": "Female"},
    "COHORT": {"C1": "0.5 x 10^6 cells/kg", "C2": "1.0 x 10^6 cells/kg", "C3": "2.0 x 10^6 cells/kg"},
    "CAUSALITY": CAUSALITY,
    "OUTCOME": OUTCOME,
    "PAGE_STATUS": {"COMPLETE": "Complete", "VERIFIED": "Verified"},
    "CONTACT": {"IN PERSON": "In person", "TELEPHONE": "Telephone"},
    "HE_GRADE": {f"GRADE {grade}": f"West Haven grade {grade}" for grade in range(5)},
    "CP_CLASS": {"A": "Class A", "B": "Class B", "C": "Class C"},
    "IE_CATEGORY": {"INCLUSION": "Inclusion", "EXCLUSION": "Exclusion"},
}
"""Coded value to its decode, by code list."""

CODED: dict[str, dict[str, str]] = {
    "DM": {"sex": "SEX", "scrn_cohort": "COHORT"},
    "ENROL": {"elig_yn": "NY", "cohort": "COHORT"},
    "VISIT": {"svoccur": "NY", "svcntmod": "CONTACT"},
    "DOSE": {"given": "NY"},
    "AE": {
        **dict.fromkeys(("aeongo", "aeser", "aedlt", "aecontrt"), "NY"),
        **dict.fromkeys(("aesdth", "aeslife", "aeshosp", "aesdisab", "aescong", "aesmie"), "NY"),
        **dict.fromkeys(("aerel", "aerelnst"), "CAUSALITY"),
        "aeout": "OUTCOME",
    },
    "SAE": {
        **dict.fromkeys(("saesdth", "saeslife", "saeshosp", "saesdisab", "saescong", "saesmie"), "NY"),
        **dict.fromkeys(("saerel", "saerelnst"), "CAUSALITY"),
        "saeout": "OUTCOME",
    },
    "HE": {"he_grade": "HE_GRADE"},
    "CHILDPUGH": {"cp_class": "CP_CLASS"},
    "DEATH": {"autopsy": "NY"},
    "DSMB": {"cohort": "COHORT"},
    "ELIG": {"iecat": "IE_CATEGORY", "ieresp": "NY"},
    "MH": {"mhdecomp": "NY", "mhongo": "NY"},
    "ALCOHOL": {"alcongo": "NY"},
    "COA": {"cryo": "NY", "released": "NY"},
    "CONMED": {"cmongo": "NY"},
    "DV": {"dvimp": "NY", "dvepi": "NY"},
}
"""Code list of a coded column, by form."""

COLLECTED_DAY = re.compile(r"(\d{2})([A-Z]{3})(\d{4})")


def iso_value(form: str, column: str, value: str) -> str:
    """Return a date or time in ISO 8601 as its column's format says; any other text as it is."""
    how = DATE_FORMATS.get(form, {}).get(column)
    if how == DAY_TEXT:
        found = COLLECTED_DAY.fullmatch(value)
        if found and found[2] in MONTHS:
            return f"{found[3]}-{MONTHS.index(found[2]) + 1:02d}-{found[1]}"
    if how == ISO_MINUTE:
        return value.replace(" ", "T", 1)
    return value
