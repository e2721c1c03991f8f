"""The study's rules on analysis datasets: what agrees breaches none, a change of what was derived the one expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.small_sdtm import CUT_OFF, derive, infusion, subject
from transforms.core import text
from transforms.study import Study
from transforms.validation.check import check
from transforms.validation.rules import RuleBook, rule_book

Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return rule_book(Study.load("ucmsc_dac"))


@pytest.fixture(scope="module")
def frames() -> Frames:
    """One subject who died after a fatal event, one who was transplanted."""
    fatal = {"AETERM": "X", "AEDECOD": "Hepatic failure", "AEBODSYS": "Y", "AEOUT": "FATAL", "AETOXGR": "5"}
    records: dict[str, list[dict[str, Any]]] = {
        "DM": [subject("1001", DTHFL="Y", DTHDTC="2022-10-01"), subject("1002")],
        "EX": [infusion("1001"), infusion("1002")],
        "AE": [{"USUBJID": "1001", "AESTDTC": "2022-09-20", "AEENDTC": "2022-10-01", **fatal}],
        "PR": [{"USUBJID": "1002", "PRTRT": "LT", "PRCAT": "TRANSPLANT", "PRSTDTC": "2022-09-30"}],
        "VS": [{"USUBJID": "1002", "VSTESTCD": "PULSE", "VSSTRESN": 70, "VSDTC": "2023-01-01"}],
    }
    return {name: one.frame for name, one in derive(Study.load("ucmsc_dac"), records).datasets.items()}


def breached(book: RuleBook, frames: Frames, begin: tuple[str, ...] = ("adtte.", "adae.")) -> set[str]:
    own = {name: [rule for rule in rules if rule.id.startswith(begin)] for name, rules in book.adam.items()}
    return {one.rule.id for one in check(frames, {name: rules for name, rules in own.items() if rules}, CUT_OFF)}


def test_what_agrees_breaches_nothing(book: RuleBook, frames: Frames) -> None:
    assert breached(book, frames) == set()


def survival(frames: Frames, name: str, value: Any, parameters: tuple[str, ...]) -> Frames:
    """The frames with another value in some records of ADTTE."""
    adtte = frames["ADTTE"]
    here = text.map_flag(adtte["PARAMCD"], lambda one: one in parameters)
    return {**frames, "ADTTE": adtte.assign(**{name: adtte[name].where(~here, value)})}


def test_each_rule_is_planted(book: RuleBook, frames: Frames) -> None:
    everything = ("OSLD", "OSFD", "TFSLD")
    alive = frames["ADSL"].assign(DTHFL=text.missing(frames["ADSL"].index))
    told = {
        "adtte.death_without_event": survival(frames, "CNSR", 1.0, ("OSLD",)),
        "adtte.transplant_without_event": survival(frames, "CNSR", 1.0, ("TFSLD",)),
        "adtte.death_date": survival(frames, "ADT", np.datetime64("2022-10-02"), everything),
        "adtte.event_without_death": {**frames, "ADSL": alive},
        "adae.fatal_without_event": survival(frames, "CNSR", 1.0, ("OSFD",)),
    }
    written = {rule.id for rules in book.adam.values() for rule in rules if rule.id.startswith(("adtte.", "adae."))}
    assert set(told) == written
    for rule, changed in told.items():
        assert rule in breached(book, changed), rule


def test_a_parameter_has_one_name_one_number_and_one_unit(book: RuleBook, frames: Frames) -> None:
    """ADaMIG 1.3, 3.3.4: PARAM, PARAMCD and PARAMN are one to one."""
    rules = ("bds.parameter", "bds.unit")
    assert breached(book, frames, rules) == set()
    assert len(frames["ADTTE"]) > 5
    first = [0]

    def changed(name: str, value: Any) -> Frames:
        values = frames["ADTTE"][name].astype(object)
        values.iloc[first] = value
        return {**frames, "ADTTE": frames["ADTTE"].assign(**{name: text.from_values(list(values), values.index)})}

    def numbered(value: float) -> Frames:
        adtte = frames["ADTTE"]
        return {**frames, "ADTTE": adtte.assign(PARAMN=adtte["PARAMN"].where(adtte.index != 0, value))}

    codes = frames["ADTTE"][["PARAMCD", "PARAMN"]].drop_duplicates()
    other = codes[codes["PARAMN"] != frames["ADTTE"]["PARAMN"].iloc[0]].iloc[0]
    assert breached(book, changed("PARAM", "Survival (months)"), rules) == {"bds.parameter_name_of_code"}
    assert breached(book, changed("AVALU", "MONTHS"), rules) == {"bds.unit_of_code"}
    assert breached(book, numbered(99.0), rules) == {"bds.parameter_number_of_code"}
    both = {"bds.parameter_number_of_code", "bds.parameter_code_of_number"}
    assert breached(book, numbered(other["PARAMN"]), rules) == both
