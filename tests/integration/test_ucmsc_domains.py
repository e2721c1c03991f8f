"""Every domain of the reference study against the simulated truth and against a second reckoning from the extracts.

The truth tables are written by synthetic/ from its world of subjects; the second reckoning reads the CSV files with
plain pandas. Neither knows the engine. What CDISC prescribes is read from cdisc_mappings/standards, and pointblank's
SDTMIG rules are a check by others.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.mapped import Sdtm, map_landing
from tests.reference import Extracts
from transforms.study import Study

PREFIX = "UCMSC-DAC-01-01-"
ITEMS = ("he_", "asc", "bil", "alb", "inr", "cp_")
STANDARDS = Path(__file__).resolve().parents[2] / "cdisc_mappings" / "standards"
DATASETS = [
    "AE",
    "CM",
    "DD",
    "DM",
    "DS",
    "DV",
    "EC",
    "EX",
    "IE",
    "LB",
    "MH",
    "PR",
    "QS",
    "RELREC",
    "RS",
    "SE",
    "SU",
    "SV",
    "TA",
    "TE",
    "TI",
    "TS",
    "TV",
    "VS",
    "SUPPAE",
    "SUPPCM",
    "SUPPDM",
    "SUPPDS",
    "SUPPDV",
    "SUPPEC",
    "SUPPLB",
    "SUPPMH",
    "SUPPPR",
    "SUPPSU",
]


@dataclass(frozen=True)
class Told:
    """A landing folder with its extracts and the truth behind them."""

    landing: Path
    truth: Path

    def form(self, name: str) -> pd.DataFrame:
        path = next(self.landing.glob(f"UCMSC_{name}_*.csv"))
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.truth / f"{name}.csv", dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def told(extracts: Extracts) -> Told:
    return Told(extracts.landing, extracts.truth)


@pytest.fixture(scope="module")
def sdtm(told: Told, tmp_path_factory: pytest.TempPathFactory) -> Sdtm:
    return map_landing(Study.load("ucmsc_dac"), told.landing, tmp_path_factory.mktemp("home"))


def qualifier(sdtm: Sdtm, dataset: str, name: str) -> dict[str, str]:
    """The values of a qualifier by the parent's --SPID."""
    supplemental, parent = sdtm[f"SUPP{dataset}"], sdtm[dataset]
    chosen = supplemental[supplemental["QNAM"] == name].assign(SEQ=lambda frame: frame["IDVARVAL"].astype(float))
    joined = chosen.merge(parent, left_on=["USUBJID", "SEQ"], right_on=["USUBJID", f"{dataset}SEQ"], how="left")
    assert joined[f"{dataset}SPID"].notna().all(), "a qualifier of no record"
    return dict(zip(joined[f"{dataset}SPID"], joined["QVAL"], strict=True))


def test_every_domain_is_there_and_clean_extracts_raise_nothing_to_act_on(sdtm: Sdtm) -> None:
    assert sorted(sdtm.datasets) == sorted(DATASETS)
    assert {str(one.severity) for one in sdtm.findings} <= {"information"}


def test_required_and_expected_variables_are_in_every_dataset(sdtm: Sdtm) -> None:
    with (STANDARDS / "sdtmig-3.4" / "variables.csv").open(encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    checked = 0
    for name, frame in sdtm.datasets.items():
        own = "SUPPQUAL" if name.startswith("SUPP") else name
        for row in rows:
            if row["dataset"] == own and row["core"] in {"Req", "Exp"}:
                assert row["variable"] in frame, f"{name}.{row['variable']}"
                assert row["core"] == "Exp" or frame[row["variable"]].notna().all(), f"{name}.{row['variable']}"
                checked += 1
    assert checked > 250


def test_terms_of_closed_codelists_are_published_ones(sdtm: Sdtm) -> None:
    folder = STANDARDS / "ct-2022-09-30"
    closed = pd.read_csv(folder / "codelists.csv", dtype=str).query("extensible == 'N'")["codelist"]
    terms = pd.read_csv(folder / "terms.csv", dtype=str, keep_default_na=False).groupby("codelist")["term"].agg(set)
    variables = pd.read_csv(STANDARDS / "sdtmig-3.4" / "variables.csv", dtype=str, keep_default_na=False)
    checked = 0
    for row in variables[variables["codelist"].isin(set(closed))].to_dict("records"):
        if row["dataset"] in sdtm.datasets and row["variable"] in sdtm[row["dataset"]]:
            found = set(sdtm[row["dataset"]][row["variable"]].dropna())
            assert found <= terms[row["codelist"]], f"{row['dataset']}.{row['variable']}: {found}"
            checked += bool(found)
    assert checked > 30


def test_rules_of_others_find_nothing(sdtm: Sdtm) -> None:
    """pointblank's catalogue of SDTMIG 3.4 rules, with its own terminology."""
    metadata = pytest.importorskip("pointblank.metadata")
    report = metadata.validate_sdtmig(sdtm.datasets)
    results = report.native_result.rule_results
    assert sum(one.status == "pass" for one in results) > 300
    failed = [(one.rule_id, one.dataset, one.description, one.message) for one in results if one.status == "fail"]
    assert not failed


def test_sequence_numbers_do_not_depend_on_the_order_of_the_extracts(told: Told, sdtm: Sdtm, tmp_path: Path) -> None:
    shuffled = tmp_path / "landing"
    shuffled.mkdir()
    chance = random.Random(20220613)
    for path in told.landing.iterdir():
        if path.name == "manifest.json":
            continue
        first, *lines = path.read_bytes().split(b"\r\n")[:-1]
        chance.shuffle(lines)
        (shuffled / path.name).write_bytes(b"\r\n".join([first, *lines, b""]))
    again = map_landing(Study.load("ucmsc_dac"), shuffled, tmp_path / "home")
    for name in DATASETS:
        pd.testing.assert_frame_equal(sdtm[name], again[name])


def test_an_infusion_its_dose_and_its_weight_are_linked(told: Told, sdtm: Sdtm) -> None:
    given = told.form("DOSE").query("given == 'Y'").set_index("record_id")
    link = pd.to_datetime(given["infstdtm"]).dt.strftime("%Y%m%dT%H%M")
    ex, ec, vs = sdtm["EX"], sdtm["EC"], sdtm["VS"]
    performed = ec[(ec["ECMOOD"] == "PERFORMED") & (ec["ECOCCUR"] == "Y")]
    assert ex.set_index("EXSPID")["EXLNKID"].to_dict() == link.to_dict()
    assert performed.set_index("ECSPID")["ECLNKID"].to_dict() == link.to_dict()
    assert ec.loc[ec["ECMOOD"] == "SCHEDULED", "ECLNKID"].isna().all()
    weights = vs[vs["VSLNKID"].notna()]
    assert len(weights) == len(given)
    assert set(weights["VSTESTCD"]) == {"WEIGHT"}
    assert set(weights["VSTPT"]) == {"PRE-DOSE"}
    used = ex.merge(weights, left_on=["USUBJID", "EXLNKID"], right_on=["USUBJID", "VSLNKID"])
    assert len(used) == len(given)
    assert (used["VSSTRESN"] == used["EXSPID"].map(given["weight_used"].astype(float))).all()
    dose = (used["EXSPID"].map(given["cells_total"]).astype(float) / used["VSSTRESN"]).round(3)
    assert (used["EXDOSE"] - dose).abs().max() < 0.0006
    after = vs[vs["VSTPTREF"].notna()]
    ended = ex.set_index(["USUBJID", "VISITNUM"])["EXENDTC"]
    assert (after["VSRFTDTC"] == pd.MultiIndex.from_frame(after[["USUBJID", "VISITNUM"]]).map(ended)).all()


def test_certificates_reach_the_infusions_of_their_lot(told: Told, sdtm: Sdtm) -> None:
    dose, coa = told.form("DOSE").query("given == 'Y'"), told.form("COA")
    joined = dose.merge(coa, on="lot", suffixes=("", "_coa")).set_index("record_id")
    assert len(joined) == len(dose)
    for name, column in {"COAID": "coano", "DONORID": "donorid", "PASSAGE": "passage", "CRYOFL": "cryo"}.items():
        assert qualifier(sdtm, "EC", name) == joined[column].to_dict(), name
    for name, column in {"VIABPCT": "viability_pct", "INFVOL": "volume_ml", "INFINT": "interrupt_min"}.items():
        assert {key: float(value) for key, value in qualifier(sdtm, "EC", name).items()} == dose.set_index("record_id")[
            column
        ].astype(float).to_dict(), name


def pairs(sdtm: Sdtm, relid: str, first: str, second: str) -> set[tuple[str, str]]:
    """The pairs of --SPID that a relation of records makes; each key must reach exactly one record."""
    relrec = sdtm["RELREC"]
    rows = relrec[relrec["RELID"].str.fullmatch(rf"{relid}\d+")]
    reached = []
    for name in (first, second):
        own = rows[rows["RDOMAIN"] == name].assign(SEQ=lambda frame: frame["IDVARVAL"].astype(float))
        assert (own["IDVAR"] == f"{name}SEQ").all()
        found = own.merge(sdtm[name], left_on=["USUBJID", "SEQ"], right_on=["USUBJID", f"{name}SEQ"], how="left")
        assert found[f"{name}SPID"].notna().all(), "a relation to no record"
        assert len(found) == len(own)
        reached.append(found[["USUBJID", "RELID", f"{name}SPID"]])
    assert len(rows) == sum(len(one) for one in reached)
    both = reached[0].merge(reached[1], on=["USUBJID", "RELID"])
    return set(zip(both[f"{first}SPID"], both[f"{second}SPID"], strict=True))


def test_related_records_are_those_that_the_forms_relate(told: Told, sdtm: Sdtm) -> None:
    treated, done = told.table("treatments"), told.table("procedures").query("ae_record_id != ''")
    assert pairs(sdtm, "AECM", "AE", "CM") == set(zip(treated["ae_record_id"], treated["record_id"], strict=True))
    assert pairs(sdtm, "AEPR", "AE", "PR") == set(zip(done["ae_record_id"], done["record_id"], strict=True))
    conmed, proc = told.form("CONMED").query("cmmh_no != ''"), told.form("PROC").query("prmh_no != ''")
    assert pairs(sdtm, "MHCM", "MH", "CM") == set(zip(conmed["cmmh_no"], conmed["record_id"], strict=True))
    assert pairs(sdtm, "MHPR", "MH", "PR") == set(zip(proc["prmh_no"], proc["record_id"], strict=True))
    fatal = told.form("AE").query("aeout == 'FATAL'")
    ended = told.form("EOS").query("eos_reason == 'DEATH'").set_index("subj")["record_id"]
    deaths = pairs(sdtm, "DSAE", "DS", "AE")
    assert deaths == set(zip(fatal["subj"].map(ended), fatal["record_id"], strict=True))
    assert len(deaths) == len(told.table("deaths"))


def test_datasets_related_as_a_whole_name_variables_that_are_filled(sdtm: Sdtm) -> None:
    whole = sdtm["RELREC"].query("RELTYPE == RELTYPE")
    assert whole[["USUBJID", "IDVARVAL"]].isna().all(axis=None)
    assert whole.groupby("RELID")["RDOMAIN"].agg(list).to_dict() == {
        "ECEX": ["EC", "EX"],
        "EXVS": ["EX", "VS"],
        "LBSCORE": ["LB", "RS"],
    }
    for row in whole.itertuples():
        assert sdtm[row.RDOMAIN][row.IDVAR].notna().any()


def test_scores_are_linked_to_the_results_of_their_visit(sdtm: Sdtm) -> None:
    lb, rs = sdtm["LB"], sdtm["RS"]
    linked = lb[lb["LBLNKGRP"].notna()]
    assert set(linked["LBTESTCD"]) == {"BILI", "ALB", "INR", "CREAT"}
    groups = rs[rs["RSLNKGRP"].notna()][["USUBJID", "RSLNKGRP", "VISITNUM"]].drop_duplicates()
    assert not groups.duplicated(["USUBJID", "RSLNKGRP"]).any()
    joined = linked.merge(groups, left_on=["USUBJID", "LBLNKGRP"], right_on=["USUBJID", "RSLNKGRP"], how="left")
    assert (joined["VISITNUM_x"] == joined["VISITNUM_y"]).all(), "no group without scores, none of another visit"
    sampled = lb[lb["LBTESTCD"].eq("INR")].merge(groups, on=["USUBJID", "VISITNUM"])
    assert sampled["LBLNKGRP"].notna().all()


def test_epochs_are_those_of_the_study_periods(told: Told, sdtm: Sdtm) -> None:
    """A second reckoning: consent, first and second infusion and the day after treatment has ended, from the forms."""
    consent = told.form("IC").set_index("subj")
    consent = pd.to_datetime(consent["icdat"] + " " + consent["ictim"], format="%d%b%Y %H:%M")
    given = told.form("DOSE").query("given == 'Y'").assign(start=lambda one: pd.to_datetime(one["infstdtm"]))
    doses = given.sort_values("start").groupby("subj")["start"].agg(list)
    treated = pd.to_datetime(told.form("EOT").set_index("subj")["eotdat"]) + pd.Timedelta(days=1)

    def epoch(subject: str, date: str) -> str | None:
        if len(date) < 10:
            return None
        when, timed = pd.Timestamp(date), len(date) > 10

        def reached(start: pd.Timestamp | None) -> bool:
            if start is None or pd.isna(start):
                return False
            return when >= start if timed and start != start.normalize() else when.normalize() >= start.normalize()

        own = doses.get(subject, [])
        if reached(treated.get(subject)):
            return "FOLLOW-UP"
        if len(own) > 1 and reached(own[1]):
            return "CONTINUATION TREATMENT"
        if own and reached(own[0]):
            return "TREATMENT"
        return "SCREENING" if reached(consent[subject]) else None

    seen: dict[str, set[str | None]] = {}
    for name in ["AE", "CM", "DS", "DV", "EC", "EX", "IE", "LB", "PR", "QS", "RS", "SU", "VS"]:
        frame = sdtm[name]
        date = f"{name}STDTC" if f"{name}STDTC" in frame else f"{name}DTC"
        dated = frame[frame[date].notna()]
        expected = [epoch(row[0].removeprefix(PREFIX), row[1]) for row in dated[["USUBJID", date]].to_numpy()]
        ended = dated["USUBJID"].map(sdtm["SE"].groupby("USUBJID")["SEENDTC"].max())
        inside = ~(dated[date].str[:10] > ended.fillna("9999").str[:10])
        found = dated["EPOCH"].where(dated["EPOCH"].notna(), None)
        wrong = [
            (one, other) for one, other, here in zip(found, expected, inside, strict=True) if here and one != other
        ]
        assert not wrong, (name, wrong[:5])
        assert found[~inside].isna().all()
        assert frame.loc[frame[date].isna(), "EPOCH"].isna().all()
        seen[name] = set(found)
    assert seen["AE"] == {"SCREENING", "TREATMENT", "CONTINUATION TREATMENT", "FOLLOW-UP"} & seen["AE"]
    assert len(seen["LB"]) == 4


def test_every_visit_is_in_the_visit_log_and_days_are_of_the_first_infusion_only(told: Told, sdtm: Sdtm) -> None:
    sv = set(zip(sdtm["SV"]["USUBJID"], sdtm["SV"]["VISITNUM"], strict=True))
    plan = sdtm["TV"].set_index("VISITNUM")
    for name, frame in sdtm.datasets.items():
        if "VISITNUM" in frame and "USUBJID" in frame:
            here = frame[frame["VISITNUM"].notna()]
            assert set(zip(here["USUBJID"], here["VISITNUM"], strict=True)) <= sv, name
            assert (here["VISIT"] == here["VISITNUM"].map(plan["VISIT"])).all(), name
            assert here["VISITDY"].equals(here["VISITNUM"].map(plan["VISITDY"])), name
    visits = told.form("VISIT")
    missed = visits[visits["svoccur"] == "N"]
    found = sdtm["SV"][sdtm["SV"]["SVOCCUR"] == "N"]
    assert sorted(found["USUBJID"].str.removeprefix(PREFIX)) == sorted(missed["subj"])
    assert sorted(found["SVREASOC"]) == sorted(missed["svreasoc"])
    assert set(found["SVPRESP"]) == {"Y"}
    # The study's schedule: these and no other visits have a day; the rest follows the last administration.
    assert plan["VISITDY"].dropna().to_dict() == {1: -28, 2: 1, 3: 2, 4: 8, 5: 15, 6: 22}
    assert list(plan.index) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 90]


def test_events_carry_what_safety_and_the_dsmb_know(told: Told, sdtm: Sdtm) -> None:
    serious = told.table("serious_events")
    assert qualifier(sdtm, "AE", "SAEREFID") == serious.set_index("ae_record_id")["case_number"].to_dict()
    ae, dose = told.form("AE"), told.form("DOSE").query("given == 'Y'")
    timed = ae[ae["aesttim"] != ""]
    onset = pd.to_datetime(timed["aestdat"] + " " + timed["aesttim"], format="%d%b%Y %H:%M")
    both = timed.assign(onset=onset).merge(dose.assign(start=pd.to_datetime(dose["infstdtm"])), on="subj")
    within = both[(both["onset"] >= both["start"]) & (both["onset"] - both["start"] <= pd.Timedelta(hours=24))]
    assert len(within)
    assert qualifier(sdtm, "AE", "AEIRR") == dict.fromkeys(within["record_id_x"], "Y")
    dlt = ae.query("aedlt == 'Y'")
    assert qualifier(sdtm, "AE", "AEDLTADJ") == dict.fromkeys(dlt["record_id"], "Y")
    assert len(dlt) == len(told.table("dlt"))
    assert qualifier(sdtm, "AE", "AETERMZH") == ae.set_index("record_id")["aeterm_zh"].to_dict()


def test_deaths_agree_in_every_domain(told: Told, sdtm: Sdtm) -> None:
    died = told.table("deaths").set_index("subj")["death_date"].to_dict()
    dm, ds, ae, dd = (sdtm[name] for name in ("DM", "DS", "AE", "DD"))
    by_subject = {
        "DM": dm[dm["DTHFL"] == "Y"].set_index("USUBJID")["DTHDTC"],
        "DS": ds[ds["DSDECOD"] == "DEATH"].set_index("USUBJID")["DSSTDTC"],
        "AE": ae[ae["AEOUT"] == "FATAL"].set_index("USUBJID")["AEENDTC"],
        "DD": dd[dd["DDTESTCD"] == "PRCDTH"].set_index("USUBJID")["DDDTC"],
    }
    for name, dates in by_subject.items():
        assert {subject.removeprefix(PREFIX): date for subject, date in dates.items()} == died, name
    fatal = ae[ae["AEOUT"] == "FATAL"]
    assert (fatal[["AESDTH", "AESER"]] == "Y").all(axis=None)
    assert (fatal["AETOXGR"] == "5").all()


def test_criteria_deviations_history_and_drinking(told: Told, sdtm: Sdtm) -> None:
    criteria = told.table("criteria_not_met").set_index("record_id")["criterion"].to_dict()
    ie, ti = sdtm["IE"], sdtm["TI"].set_index("IETESTCD")
    assert ie.set_index("IESPID")["IETESTCD"].to_dict() == criteria
    assert (ie["IETEST"] == ie["IETESTCD"].map(ti["IETEST"])).all()
    assert (ie["IECAT"] == ie["IETESTCD"].map(ti["IECAT"])).all()
    assert (ie["IEORRES"] == ie["IECAT"].map({"INCLUSION": "N", "EXCLUSION": "Y"})).all()
    assert (ie["IESTRESC"] == ie["IEORRES"]).all()
    texts = told.form("ELIG").drop_duplicates("iecode").set_index("iecode")["ietext"]
    assert ti["IETEST"].to_dict() == texts.to_dict()
    assert ti.loc["I04", "IETEST"] == "Liver function was in child Pugh grade A or MELD score < 12"
    deviations = told.table("deviations").set_index("record_id")
    assert sdtm["DV"].set_index("DVSPID")["DVDECOD"].to_dict() == deviations["kind"].to_dict()
    assert qualifier(sdtm, "DV", "DVIMP") == deviations["important"].to_dict()
    relapses = told.table("relapses").set_index("record_id")["relapse"].to_dict()
    su = sdtm["SU"]
    assert su[su["SUSCAT"] == "RELAPSE"].set_index("SUSPID")["SUSTDTC"].to_dict() == relapses
    assert su.groupby("SUSCAT").size()["HISTORY"] == 48
    alcohol = told.form("ALCOHOL").set_index("record_id")
    assert su.set_index("SUSPID")["SUDOSE"].to_dict() == alcohol["alcgday"].astype(float).to_dict()
    mh = told.form("MH").set_index("record_id")
    assert sdtm["MH"].set_index("MHSPID")["MHSTDTC"].to_dict() == mh["mhstdat"].to_dict(), "as precise as collected"
    assert qualifier(sdtm, "MH", "MHDECOMP") == mh["mhdecomp"].to_dict()
    pr = sdtm["PR"].set_index("PRSPID")
    done = told.table("procedures").set_index("record_id")
    assert pr["PRSTDTC"].to_dict() == done["start"].to_dict()
    assert pr["PRCAT"].to_dict() == done["category"].to_dict()


def test_disposition_is_one_of_each_kind_and_milestones_lead_there(told: Told, sdtm: Sdtm) -> None:
    ds = sdtm["DS"]
    ends = ds[ds["DSCAT"] == "DISPOSITION EVENT"]
    assert not ends.duplicated(["USUBJID", "DSSCAT"]).any()
    assert not ends.duplicated(["USUBJID", "DSSCAT", "EPOCH"]).any()
    subjects = told.table("subjects")
    part = ends[ends["DSSCAT"] == "STUDY PARTICIPATION"].set_index("USUBJID")["DSDECOD"]
    reasons = subjects.set_index("subj")["eos_reason"]
    screened = subjects.set_index("subj")["screen_failure_reason"]
    expected = reasons.where(reasons != "", screened.where(screened == "", "SCREEN FAILURE"))
    assert {one.removeprefix(PREFIX): term for one, term in part.items()} == expected[expected != ""].to_dict()
    cleared = ds[ds["DSDECOD"].str.startswith("DSMB")].set_index("USUBJID")["DSDECOD"]
    decisions = told.table("dsmb_decisions").query("scope == 'SUBJECT'").set_index("subj")["outcome"]
    names = {"REPEAT": "DSMB CLEARED FOR REPEAT ADMINISTRATION", "HOLD": "DSMB DID NOT CLEAR REPEAT ADMINISTRATION"}
    assert {one.removeprefix(PREFIX): term for one, term in cleared.items()} == decisions.map(names).to_dict()


def test_participation_ends_with_the_last_record(sdtm: Sdtm) -> None:
    last = sdtm["DM"].set_index("USUBJID")["RFPENDTC"]
    for name, frame in sdtm.datasets.items():
        for column in frame:
            dated = column in {f"{name}{part}" for part in ("DTC", "STDTC", "ENDTC")} and "USUBJID" in frame
            if dated and name not in {"DM", "SE", "MH"}:
                there = frame[frame[column].notna()]
                late = there[column].str[:10] > there["USUBJID"].map(last)
                assert not late.any(), f"{name}.{column}"


def test_trial_summary_is_the_protocol_and_the_data(told: Told, sdtm: Sdtm) -> None:
    ts = sdtm["TS"]
    value = ts[ts["TSSEQ"] == 1].set_index("TSPARMCD")["TSVAL"]
    enrolled = told.table("subjects").query("cohort != ''")
    assert value["SSTDTC"] == enrolled["consent"].min()
    assert value["ACTSUB"] == str(len(enrolled))
    assert value["DCUTDTC"] == "2025-01-31"
    assert (value[["SPREFID", "REGID", "PLANSUB", "NARMS"]] == ["2021-001", "NCT05155657", "36", "3"]).all()
    # The study's list; INTMODEL, INTTYPE and PCLAS must be there (CORE-000741).
    named = [
        "TITLE",
        "SPONSOR",
        "SPREFID",
        "REGID",
        "STYPE",
        "TPHASE",
        "INTTYPE",
        "INTMODEL",
        "TTYPE",
        "TINDTP",
        "TCNTRL",
        "TBLIND",
        "RANDOM",
        "NARMS",
        "NCOHORT",
        "PLANSUB",
        "ACTSUB",
        "ADDON",
        "CURTRT",
        "TRT",
        "PCLAS",
        "DOSE",
        "DOSU",
        "DOSFRM",
        "DOSFRQ",
        "ROUTE",
        "INDIC",
        "TDIGRP",
        "THERAREA",
        "HLTSUBJI",
        "SEXPOP",
        "AGEMIN",
        "AGEMAX",
        "FCNTRY",
        "SSTDTC",
        "SENDTC",
        "LENGTH",
        "TRGFUDUR",
        "PLNTRDUR",
        "DMCIND",
        "ADAPT",
        "STOPRULE",
        "OBJPRIM",
        "OBJSEC",
        "OUTMSPRI",
        "OUTMSSEC",
        "RANDQT",
        "EXTTIND",
        "PDSTIND",
        "PIPIND",
        "RDIND",
        "STRATFCT",
        "DCUTDTC",
        "DCUTDESC",
        "SDTIGVER",
        "SDTMVER",
        "CTAUG",
    ]
    assert set(named) <= set(ts["TSPARMCD"])
    assert (ts["TSVAL"].notna() != ts["TSVALNF"].notna()).all(), "a value or why there is none (CORE-000150)"
    assert not ts.duplicated(["TSPARMCD", "TSSEQ"]).any()
    terms = pd.read_csv(STANDARDS / "ct-2022-09-30" / "terms.csv", dtype=str, keep_default_na=False)
    codes = terms[terms["codelist"] == "C66738"].set_index("term")["term_code"]
    names = terms[terms["codelist"] == "C67152"].set_index("term_code")["term"]
    assert (ts["TSPARM"] == ts["TSPARMCD"].map(codes).map(names)).all(), "code and name of one concept"
    assert (ts.loc[ts["TSVCDREF"] == "CDISC CT", "TSVCDVER"] == "2022-09-30").all()
    doses = ts[ts["TSPARMCD"] == "DOSE"].set_index("TSGRPID")["TSVAL"].to_dict()
    assert doses == {"UC05": "0.5", "UC10": "1.0", "UC20": "2.0"}


def test_trial_design_is_the_one_of_the_study(sdtm: Sdtm) -> None:
    """Four elements per arm; elements of subjects follow each other without a gap (CORE-000352)."""
    ta = sdtm["TA"]
    for arm, dose in {"UC05": "05", "UC10": "10", "UC20": "20"}.items():
        own = ta[ta["ARMCD"] == arm].sort_values("TAETORD")
        assert own["ETCD"].tolist() == ["SCRN", f"INF{dose}", f"REP{dose}", "FU"]
        assert own["EPOCH"].tolist() == ["SCREENING", "TREATMENT", "CONTINUATION TREATMENT", "FOLLOW-UP"]
    assert set(sdtm["TE"]["ETCD"]) == set(ta["ETCD"])
    se = sdtm["SE"]
    following = se.groupby("USUBJID")["SESTDTC"].shift(-1)
    assert (se["SEENDTC"] == following)[following.notna()].all()


def test_scores_by_telephone_are_not_made_up_and_said_not_to_be_done(told: Told, sdtm: Sdtm) -> None:
    telephone = told.form("VISIT").query("svcntmod == 'TELEPHONE'")
    assert len(telephone)
    calls = set(zip(PREFIX + telephone["subj"], telephone["visitnum"].astype(float), strict=True))
    for name in ("LB", "VS"):
        assert not calls & set(zip(sdtm[name]["USUBJID"], sdtm[name]["VISITNUM"], strict=True))
    scales = {"RS": {"CHILD-PUGH CLASSIFICATION", "KPS SCALE", "MELD", "WEST HAVEN HEPATIC ENCEPHALOPATHY GRADE"}}
    for name, wanted in (scales | {"QS": {"AUDIT-C"}}).items():
        frame = sdtm[name]
        by_call = frame[[one in calls for one in zip(frame["USUBJID"], frame["VISITNUM"], strict=True)]]
        assert len(by_call) and set(by_call[f"{name}CAT"]) == wanted
        assert (
            set(by_call[f"{name}TESTCD"])
            == {f"{name}ALL"}
            == set(frame.loc[frame[f"{name}STAT"].notna(), f"{name}TESTCD"])
        )
        assert set(by_call[f"{name}STAT"]) == {"NOT DONE"} and set(by_call[f"{name}REASND"]) == {"VISIT BY TELEPHONE"}
        assert by_call[[f"{name}ORRES", f"{name}STRESC", f"{name}LOBXFL"]].isna().all(axis=None)
        assert not by_call.duplicated(["USUBJID", f"{name}CAT", "VISITNUM"]).any()


def test_a_scale_without_form_or_with_an_empty_one_is_not_done(told: Told, tmp_path: Path) -> None:
    """One MELD form is taken away, one Child-Pugh form is emptied, one Karnofsky form loses its answer."""
    pugh = told.form("CHILDPUGH").iloc[3]
    landing = rewritten(
        told, tmp_path, "CHILDPUGH", {pugh["record_id"]: dict.fromkeys([c for c in pugh.index if c[:3] in ITEMS], "")}
    )
    meld, kps = told.form("MELD"), told.form("KPS")
    gone, bare = meld.iloc[5], kps.iloc[7]
    kps.loc[7, ["kps_score", "kps_txt"]] = ""
    for name, frame in (("MELD", meld.drop(index=5)), ("KPS", kps)):
        path = next(landing.glob(f"UCMSC_{name}_*.csv"))
        frame.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    sdtm = map_landing(Study.load("ucmsc_dac"), landing, tmp_path / "home")
    rs = sdtm["RS"]
    undone = rs[(rs["RSSTAT"] == "NOT DONE") & (rs["RSREASND"] != "VISIT BY TELEPHONE")]
    columns = ["USUBJID", "RSTESTCD", "RSCAT", "RSREASND", "VISIT"]
    assert set(undone[columns].fillna("").itertuples(index=False, name=None)) == {
        (PREFIX + pugh["subj"], "RSALL", "CHILD-PUGH CLASSIFICATION", "", pugh["visit"]),
        (PREFIX + gone["subj"], "RSALL", "MELD", "NO FORM OF THE VISIT", gone["visit"]),
        (PREFIX + bare["subj"], "KPSS0101", "KPS SCALE", "", bare["visit"]),
    }


def test_the_laboratory_page_stands_in_where_the_laboratory_has_no_result(
    told: Told, sdtm: Sdtm, tmp_path: Path
) -> None:
    """A laboratory's results of one order are taken out of its file; the values expected are those of the page."""
    page = told.form("LABEDC")
    day = page.query("subj == '1001' and visit == 'MONTH 1'")
    landing = rewritten(told, tmp_path, "LABEDC", {})
    path = next(landing.glob("LIS_YHD_*.txt"))
    lines = path.read_bytes().decode("gb18030").split("\r\n")
    mrn = told.form("DM").set_index("subj").loc["1001", "mrn"]
    when = pd.Timestamp(day["lbdat"].iloc[0])
    dates = {f"{when.year}/{when.month}/{when.day} ", f"{when:%Y%m%d}"}
    kept = [one for one in lines if not (one.startswith(f"{mrn}|") and any(f"|{date}" in one for date in dates))]
    assert len(lines) - len(kept) > 20
    path.write_bytes("\r\n".join(kept).encode("gb18030"))
    found = map_landing(Study.load("ucmsc_dac"), landing, tmp_path / "home")
    lb = found["LB"]
    fallen = lb[lb["LBSPID"].isin(page["record_id"])]
    assert len(fallen) == 7
    assert dict(zip(fallen["LBSPID"], fallen["LBORRES"], strict=True)) == dict(
        zip(day["record_id"], day["lbval"], strict=True)
    )
    whole = sdtm["LB"][(sdtm["LB"]["USUBJID"] == PREFIX + "1001") & (sdtm["LB"]["VISIT"] == "MONTH 1")]
    same = fallen.merge(whole, on=["USUBJID", "LBTESTCD", "LBSPEC", "LBSTRESU", "VISITNUM", "LBDTC", "EPOCH"])
    assert len(same) == 7
    assert (same["LBSTRESN_x"] - same["LBSTRESN_y"]).abs().max() <= 0.5
    assert same["LBCLSIG_x"].equals(same["LBCLSIG_y"])
    origin = qualifier(found, "LB", "LBSRC")
    assert set(origin) == set(day["record_id"]) and set(origin.values()) == {"LABORATORY PAGE OF THE EDC"}
    assert not sdtm["LB"]["LBSPID"].isin(page["record_id"]).any()
    (told_rows,) = [one.rows for one in found.account if one.rule == "reported_by_laboratory"]
    assert told_rows == len(page) - 7


def test_clinical_significance_is_that_of_the_page(told: Told, sdtm: Sdtm) -> None:
    page = told.form("LABEDC").query("lbclsig != ''")
    wanted = sorted(zip(PREFIX + page["subj"], page["lbdat"].map(lambda one: f"{pd.Timestamp(one):%Y-%m-%d}"),
                        page["lbclsig"].map({"CS": "Y", "NCS": "N"}), strict=True))  # fmt: skip
    lb = sdtm["LB"][sdtm["LB"]["LBCLSIG"].notna()]
    assert sorted(zip(lb["USUBJID"], lb["LBDTC"].str[:10], lb["LBCLSIG"], strict=True)) == wanted


def rewritten(told: Told, folder: Path, form: str, change: dict[str, dict[str, str]]) -> Path:
    """The landing folder with some rows of a form changed, by record id; the manifest stays behind."""
    landing = folder / "landing"
    landing.mkdir()
    for path in told.landing.iterdir():
        if path.name != "manifest.json":
            (landing / path.name).write_bytes(path.read_bytes())
    path = next(landing.glob(f"UCMSC_{form}_*.csv"))
    frame = told.form(form).set_index("record_id", drop=False)
    for record, values in change.items():
        for column, value in values.items():
            assert column in frame, column
            frame.loc[record, column] = value
    frame.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return landing


def test_the_actual_arm_is_that_of_the_dose_given(told: Told, tmp_path: Path) -> None:
    """Four first infusions of the 0.5 group get other cells: twice, ten times, a fifth, and half with a reason."""
    first = told.form("DOSE").query("given == 'Y' and dose_no == '1' and dose_planned == '0.5'").head(4)
    wrong, none, under, cut = first["record_id"]
    cells = first.set_index("record_id")["cells_total"].astype(float)
    change = {
        wrong: {"cells_total": f"{cells[wrong] * 2:.1f}"},
        none: {"cells_total": f"{cells[none] * 10:.1f}"},
        under: {"cells_total": f"{cells[under] / 5:.1f}"},
        cut: {"cells_total": f"{cells[cut] * 2:.1f}", "adj_reason": "INFUSION REACTION"},
    }
    sdtm = map_landing(Study.load("ucmsc_dac"), rewritten(told, tmp_path, "DOSE", change), tmp_path / "home")
    dm = sdtm["DM"].set_index("SUBJID").loc[first["subj"]]
    assert dm["ARMCD"].tolist() == ["UC05"] * 4
    assert dm["ACTARMCD"].tolist() == ["UC10", None, "UC05", "UC05"]
    assert dm["ACTARM"].tolist()[0] == "UCMSC 1.0 x 10^6 cells/kg"
    assert dm["ARMNRS"].tolist() == [None, "UNPLANNED TREATMENT", None, None]
    dose = round(float(change[none]["cells_total"]) / float(first["weight_used"].iloc[1]), 3)
    assert dm["ACTARMUD"].tolist() == [None, f"UCMSC {dose:g} x 10^6 cells/kg", None, None]
    assert dm["RFXSTDTC"].notna().all()
    se = sdtm["SE"]
    etcd = {subject: se.loc[se["USUBJID"] == PREFIX + subject, "ETCD"].tolist() for subject in first["subj"]}
    assert etcd[first["subj"].iloc[0]][1] == "INF10"
    assert etcd[first["subj"].iloc[1]][:2] == ["SCRN", "UNPLAN"]
    unplanned = se[se["ETCD"] == "UNPLAN"]
    assert unplanned[["ELEMENT", "TAETORD", "EPOCH"]].isna().all(axis=None)
    assert unplanned["SEUPDES"].tolist() == ["Infusion of a dose of no dose group"]


def test_another_weight_than_that_of_the_day_is_not_linked(told: Told, tmp_path: Path) -> None:
    record = told.form("DOSE").query("given == 'Y'").iloc[0]
    change = {record["record_id"]: {"weight_used": f"{float(record['weight_used']) + 5:.1f}"}}
    sdtm = map_landing(Study.load("ucmsc_dac"), rewritten(told, tmp_path, "DOSE", change), tmp_path / "home")
    link = sdtm["EX"].set_index("EXSPID").loc[record["record_id"], "EXLNKID"]
    own = sdtm["VS"][sdtm["VS"]["USUBJID"] == PREFIX + record["subj"]]
    assert link not in set(own["VSLNKID"])


def test_a_lot_without_certificate_is_critical(told: Told, tmp_path: Path) -> None:
    record = told.form("DOSE").query("given == 'Y'").iloc[0]["record_id"]
    landing = rewritten(told, tmp_path, "DOSE", {record: {"lot": "UC9999-99"}})
    sdtm = map_landing(Study.load("ucmsc_dac"), landing, tmp_path / "home")
    found = [one for one in sdtm.findings if one.rule == "no_row_fits"]
    assert [(one.dataset, one.variable, one.severity) for one in found] == [("EC", "lot", "critical")]
    assert record not in qualifier(sdtm, "EC", "PASSAGE")


def test_a_deviation_is_related_to_the_drug_it_is_about(told: Told, tmp_path: Path) -> None:
    """The simulated subjects took no prohibited drug, so one deviation is made to be about a drug."""
    deviation = told.form("DV").iloc[0]
    drug = told.form("CONMED").query("subj == @deviation.subj").iloc[0]["record_id"]
    landing = rewritten(told, tmp_path, "DV", {deviation["record_id"]: {"dvref": drug}})
    sdtm = map_landing(Study.load("ucmsc_dac"), landing, tmp_path / "home")
    assert pairs(sdtm, "CMDV", "CM", "DV") == {(drug, deviation["record_id"])}


def test_a_visit_outside_the_plan_and_what_was_done_there(told: Told, tmp_path: Path) -> None:
    """The Day 15 visit of one subject is renamed: its records go behind Day 8, the plan's Day 15 is not claimed."""
    visit = told.form("VISIT").query("visit == 'DAY 15' and svoccur == 'Y'").iloc[0]
    landing = rewritten(told, tmp_path, "VISIT", {visit["record_id"]: {"visit": "UNSCHEDULED"}})
    vitals = told.form("VITALS").set_index("record_id", drop=False)
    own = (vitals["subj"] == visit["subj"]) & (vitals["visit"] == "DAY 15")
    vitals.loc[own, "visit"] = "UNSCHEDULED"
    path = next(landing.glob("UCMSC_VITALS_*.csv"))
    vitals.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    sdtm = map_landing(Study.load("ucmsc_dac"), landing, tmp_path / "home")
    for name in ("SV", "VS", "LB"):
        frame = sdtm[name][sdtm[name]["USUBJID"] == PREFIX + visit["subj"]]
        outside = frame[frame["VISITNUM"] == 4.01]
        assert len(outside), name
        assert set(outside["VISIT"]) == {"UNSCHEDULED 4.01"}, name
        assert outside["VISITDY"].isna().all(), name
        assert 5 not in set(frame["VISITNUM"]), name
    sv = sdtm["SV"][sdtm["SV"]["VISITNUM"] == 4.01]
    assert sv["SVPRESP"].isna().all()


def test_both_placements_hold_the_same_relations_and_links(told: Told, sdtm: Sdtm, tmp_path: Path) -> None:
    literal = map_landing(Study.load("ucmsc_dac", placement="qs_literal"), told.landing, tmp_path / "home")
    assert "RS" not in literal.datasets
    one, two = sdtm["RELREC"], literal["RELREC"]
    moved = two.assign(
        RDOMAIN=two["RDOMAIN"].where(two["RELID"] != "LBSCORE", two["RDOMAIN"].replace("QS", "RS")),
        IDVAR=two["IDVAR"].replace("QSLNKGRP", "RSLNKGRP"),
    )
    pd.testing.assert_frame_equal(one, moved)
    for name in ("LB", "VS", "EX", "EC", "AE", "DM", "SV", "TS"):
        pd.testing.assert_frame_equal(sdtm[name], literal[name])
