"""Forms about eligibility, history, care and safety agree with the forms and results they surround."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

import synthetic
from synthetic import care, edc, events, history, pages
from synthetic.protocol import LABEL
from synthetic.world import simulate

SEEDS = (2022, 7)
PACKAGE = Path(synthetic.__file__).parent

BEFORE_THESE_FORMS = {
    "LIS": "d943f55fc4e93785",
    "AE": "00387c1b25c4c66f",
    "AUDITC": "2e313c1a83f2d431",
    "CHILDPUGH": "3d9032ea13840691",
    "DEATH": "c955fa65fc13eee4",
    "DM": "76f8d9bce32abc77",
    "DOSE": "da84d152a1d3b31e",
    "DSMB": "bd36a0eab18b62a4",
    "ENROL": "3a1b01b59b44a6d5",
    "EOS": "384e441d32ab7ada",
    "EOT": "729d51abcfa21a0e",
    "HE": "8b519acb3008ee0b",
    "IC": "d8e88dde043c87d4",
    "KPS": "0c7f77e80f8d6098",
    "MELD": "f241894c28dc7203",
    "VISIT": "1b03e48833aed458",
    "VITALS": "f408780a1529b22c",
}
"""SHA-256 (first 16 digits) of the files of seed 2022 as they were before these forms existed."""

Rows = list[dict[str, str]]


@pytest.fixture(scope="module", params=SEEDS)
def delivery(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> synthetic.Delivery:
    return synthetic.generate(tmp_path_factory.mktemp("out") / "landing", seed=request.param)


def read_form(delivery: synthetic.Delivery, form: str) -> Rows:
    (path,) = delivery.landing.glob(f"UCMSC_{form}_*.csv")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


def read_truth(delivery: synthetic.Delivery, name: str) -> Rows:
    with (delivery.truth / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def read_lis(delivery: synthetic.Delivery) -> Rows:
    (path,) = delivery.landing.glob("LIS_YHD_*.txt")
    header, *lines = path.read_bytes().decode("gb18030").split("\r\n")[:-1]
    return [dict(zip(header.split("|"), line.split("|"), strict=True)) for line in lines]


def day(text: str) -> date:
    return date(int(text[5:]), 1 + pages.MONTHS.index(text[2:5]), int(text[:2]))


def by_subject(rows: Rows) -> dict[str, Rows]:
    out: dict[str, Rows] = {}
    for row in rows:
        out.setdefault(row["subj"], []).append(row)
    return out


def test_new_forms_move_no_value_of_the_old_ones(tmp_path: Path) -> None:
    made = synthetic.generate(tmp_path / "landing", seed=2022)
    digests = {}
    for path in made.landing.iterdir():
        form = "LIS" if path.name.startswith("LIS") else path.stem.split("_")[min(1, path.stem.count("_"))]
        digests[form] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert {form: digests[form] for form in BEFORE_THESE_FORMS} == BEFORE_THESE_FORMS


def test_care_of_one_subject_knows_no_other() -> None:
    few, all_of_block = simulate(2022, 9), simulate(2022, 48)
    assert few.subjects == all_of_block.subjects[:9]
    assert any(subject.procedures for subject in few.subjects)


def test_more_history_leaves_drugs_of_others_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    before = simulate(2022, 20).subjects
    gout = history.ConditionKind("Gout", "痛风", history.GENERAL_HISTORY, 1.0)
    monkeypatch.setattr("synthetic.history.CONDITIONS", (*history.CONDITIONS, gout))
    after = simulate(2022, 20).subjects
    for one, other in zip(before, after, strict=True):
        assert [held for held in other.conditions if held.kind is not gout] == one.conditions
        assert [course.drug for course in other.medications] == [course.drug for course in one.medications]
        assert other.events == one.events


def test_every_screened_subject_answers_every_criterion_once(delivery: synthetic.Delivery) -> None:
    screened = {row["subj"]: row for row in read_form(delivery, "ENROL")}
    answers = by_subject(read_form(delivery, "ELIG"))
    assert set(answers) == set(screened)
    for subj, rows in answers.items():
        assert [row["iecode"] for row in rows] == [code for code, _ in history.CRITERIA]
        unmet = {row["iecode"] for row in rows if row["ieresp"] != ("Y" if row["iecat"] == "INCLUSION" else "N")}
        reason = screened[subj]["sfreas"]
        assert unmet == ({history.FAILED_CRITERION[reason]} if reason else set())
        assert all(len(row["ietext"]) <= 200 and row["ietext"].isascii() for row in rows)
        assert (screened[subj]["elig_yn"] == "Y") == (not unmet)
    told = {row["subj"]: row["criterion"] for row in read_truth(delivery, "criteria_not_met")}
    assert told == {subj: history.FAILED_CRITERION[row["sfreas"]] for subj, row in screened.items() if row["sfreas"]}


def test_history_is_decompensated_cirrhosis_before_consent(delivery: synthetic.Delivery) -> None:
    consents = {row["subj"]: day(row["icdat"]).isoformat() for row in read_form(delivery, "IC")}
    ascites = {row["subj"]: row["asc_pts"] for row in read_form(delivery, "CHILDPUGH") if row["visit"] == "SCREENING"}
    failed = {row["subj"]: row["sfreas"] for row in read_form(delivery, "ENROL")}
    histories = by_subject(read_form(delivery, "MH"))
    assert set(histories) == set(consents)
    for subj, rows in histories.items():
        held = {row["mhterm"]: row for row in rows}
        assert len(held) == len(rows)
        assert any(row["mhdecomp"] == "Y" for row in rows)
        since = held["Alcoholic cirrhosis"]["mhstdat"]
        for row in rows:
            assert row["mhstdat"] < consents[subj]
            assert (row["mhendat"] == "") == (row["mhongo"] == "Y")
            assert row["mhendat"] == "" or row["mhstdat"] <= row["mhendat"] <= consents[subj]
            assert row["mhcat"] == "GENERAL MEDICAL HISTORY" or row["mhstdat"] >= since
        if ascites[subj] != "1":
            assert held["Ascites"]["mhongo"] == "Y"
        bled = held.get("Oesophageal variceal bleeding")
        if failed[subj] == "GI BLEEDING WITHIN 1 MONTH":
            assert bled is not None
        elif bled is not None:
            first = date.fromisoformat(consents[subj])
            assert bled["mhendat"] < (first - timedelta(days=31)).isoformat()


def test_abstinence_agrees_with_audit_c(delivery: synthetic.Delivery) -> None:
    consents = {row["subj"]: day(row["icdat"]) for row in read_form(delivery, "IC")}
    drinking = by_subject(read_form(delivery, "ALCOHOL"))
    assert set(drinking) == set(consents)
    audits = by_subject(read_form(delivery, "AUDITC"))
    relapses = 0
    for subj, rows in drinking.items():
        score = {row["visit"]: sum(int(row[f"ac_q{n}"]) for n in (1, 2, 3)) for row in audits[subj]}
        told, *again = rows
        assert told["alcper"] == "HISTORY"
        assert told["alcongo"] == "N"
        year, month = (int(part) for part in told["alcendat"].split("-"))
        months = (consents[subj].year - year) * 12 + consents[subj].month - month
        assert (12 <= months <= 36) if score["SCREENING"] == 0 else (2 <= months <= 11)
        later = [row for row in audits[subj] if row["visit"] != "SCREENING"]
        drank = [row for row in later if score[row["visit"]] > 0]
        assert bool(drank) == bool(again)
        if again:
            relapses += 1
            assert [row["alcper"] for row in again] == ["RELAPSE"]
            assert again[0]["alcdat"] == day(drank[0]["acdat"]).isoformat()
            for row in later:
                assert (score[row["visit"]] > 0) == (day(row["acdat"]).isoformat() >= again[0]["alcstdat"])
    assert relapses == len(read_truth(delivery, "relapses")) > 0


def test_lots_are_those_infused_released_before_and_not_expired(delivery: synthetic.Delivery) -> None:
    certificates = {row["lot"]: row for row in read_form(delivery, "COA")}
    infused = [row for row in read_form(delivery, "DOSE") if row["given"] == "Y"]
    assert set(certificates) == {row["lot"] for row in infused}
    for row in infused:
        lot = certificates[row["lot"]]
        assert lot["mfgdtm"] < lot["reldtm"] < row["infstdtm"] < lot["expdtm"]
        assert float(lot["viab_limit"]) <= float(row["viability_pct"]) <= float(lot["viab_pct"])
        assert lot["released"] == "Y"
        assert lot["entered_ts"] < row["entered_ts"]
    counts = {row["lot"]: int(row["infusions"]) for row in read_truth(delivery, "lots")}
    assert counts == Counter(row["lot"] for row in infused)


def test_every_serious_event_is_in_the_safety_database_and_agrees(delivery: synthetic.Delivery) -> None:
    serious = {row["record_id"]: row for row in read_form(delivery, "AE") if row["aeser"] == "Y"}
    cases = {row["ae_no"]: row for row in read_form(delivery, "SAE")}
    assert set(cases) == set(serious)
    assert len({row["saeno"] for row in cases.values()}) == len(serious) > 10
    reasons = ("sdth", "slife", "shosp", "sdisab", "scong", "smie")
    for key, event in serious.items():
        case = cases[key]
        for ours, theirs in (("saeterm", "aeterm"), ("saegr", "aetoxgr"), ("saerel", "aerel"), ("saeout", "aeout")):
            assert case[ours] == event[theirs]
        assert case["saerelnst"] == event["aerelnst"]
        assert [case[f"sae{reason}"] for reason in reasons] == [event[f"ae{reason}"] for reason in reasons]
        assert case["saestdat"] == day(event["aestdat"]).isoformat()
        assert case["saeendat"] == (day(event["aeendat"]).isoformat() if event["aeendat"] else "")
        aware, reported = (datetime.fromisoformat(case[name]) for name in ("saeawdtm", "saerepdtm"))
        onset = datetime.fromisoformat(f"{case['saestdat']} {event['aesttim'] or '00:00'}")
        assert onset <= aware < reported <= onset + timedelta(hours=24)
    truth = {row["ae_record_id"] for row in read_truth(delivery, "serious_events")}
    assert truth == set(serious)


def test_treated_events_have_their_drugs_and_infusions_their_premedication(delivery: synthetic.Delivery) -> None:
    adverse = {row["record_id"]: row for row in read_form(delivery, "AE")}
    conditions = {row["record_id"]: row for row in read_form(delivery, "MH")}
    courses = read_form(delivery, "CONMED")
    treated = {row["cmae_no"] for row in courses if row["cmcat"] == "AE TREATMENT"}
    assert treated == {key for key, row in adverse.items() if row["aecontrt"] == "Y"}
    for row in courses:
        assert (row["cmendat"] == "") == (row["cmongo"] == "Y")
        assert row["cmendat"] == "" or row["cmendat"] >= row["cmstdat"]
        if row["cmcat"] == "AE TREATMENT":
            event = adverse[row["cmae_no"]]
            assert row["cmindc"] == event["aeterm"]
            assert row["subj"] == event["subj"]
            assert day(event["aestdat"]).isoformat() <= row["cmstdat"]
            assert not event["aeendat"] or row["cmendat"] <= day(event["aeendat"]).isoformat()
        elif row["cmcat"] != "PREMEDICATION":
            condition = conditions[row["cmmh_no"]]
            assert row["cmindc"] == condition["mhterm"]
            assert row["cmstdat"][:7] >= condition["mhstdat"]
    given = [row for row in read_form(delivery, "DOSE") if row["given"] == "Y"]
    before = {(row["subj"], row["cmstdat"]): row["cmsttim"] for row in courses if row["cmcat"] == "PREMEDICATION"}
    assert len(before) == len(given)
    for row in given:
        moment = datetime.fromisoformat(row["infstdtm"])
        assert before[row["subj"], moment.date().isoformat()] == f"{moment - timedelta(minutes=30):%H:%M}"
    keys = Counter((row["subj"], row["cmtrt"], row["cmstdat"]) for row in courses)
    assert max(keys.values()) == 1
    assert {row["record_id"] for row in read_truth(delivery, "treatments")} == {
        row["record_id"] for row in courses if row["cmae_no"]
    }


def test_diuretics_and_albumin_as_criterion_i05_requires(delivery: synthetic.Delivery) -> None:
    consents = {row["subj"]: day(row["icdat"]).isoformat() for row in read_form(delivery, "IC")}
    samples = by_subject(read_form(delivery, "LABEDC"))
    courses = by_subject(read_form(delivery, "CONMED"))
    died = {row["subj"] for row in read_form(delivery, "DEATH")}
    assert set(courses) == set(consents)
    for subj, rows in courses.items():
        diuretics = [row for row in rows if row["cmcat"] == "DIURETIC"]
        assert all(row["cmstdat"] < consents[subj][:7] for row in diuretics)
        assert {row["cmtrt"] for row in diuretics} == {"Spironolactone", "Furosemide"}
        if subj in died:
            assert all(row["cmongo"] == "N" for row in diuretics)
        albumin = [row for row in rows if row["cmcat"] == "ALBUMIN"]
        assert albumin[0]["cmstdat"] < consents[subj][:7]
        drawn = {day(row["lbdat"]) for row in samples[subj]}
        for row in albumin[1:]:
            ended = date.fromisoformat(row["cmendat"])
            assert not any(timedelta(0) <= at - ended <= timedelta(days=7) for at in drawn)
            assert not any(date.fromisoformat(row["cmstdat"]) <= at <= ended for at in drawn)


def test_procedures_follow_events_and_the_transplant(delivery: synthetic.Delivery) -> None:
    adverse = {row["record_id"]: row for row in read_form(delivery, "AE")}
    conditions = {row["record_id"]: row for row in read_form(delivery, "MH")}
    ends = {row["subj"]: row for row in read_form(delivery, "EOS")}
    drawn = by_subject(read_form(delivery, "LABEDC"))
    procedures = read_form(delivery, "PROC")
    for row in procedures:
        assert (row["prae_no"] == "") != (row["prmh_no"] == "")
        if row["prae_no"]:
            assert row["prindc"] == adverse[row["prae_no"]]["aeterm"]
            assert row["prstdat"] >= day(adverse[row["prae_no"]]["aestdat"]).isoformat()
        else:
            assert row["prindc"] == conditions[row["prmh_no"]]["mhterm"]
        assert row["prstdat"] <= row["prendat"] <= ends[row["subj"]]["eosdat"]
        assert (row["prvol_ml"] != "") == (row["prcat"] == "ASCITES")
        if row["prcat"] == "RENAL REPLACEMENT":
            assert row["prae_no"]
            after = date.fromisoformat(row["prendat"]) + timedelta(days=7)
            low = date.fromisoformat(row["prstdat"])
            assert not any(low <= day(sample["lbdat"]) <= after for sample in drawn[row["subj"]])
    transplanted = {(row["subj"], row["prstdat"]) for row in procedures if row["prcat"] == "TRANSPLANT"}
    assert transplanted == {
        (subj, row["eosdat"]) for subj, row in ends.items() if row["eos_reason"] == "LIVER TRANSPLANT"
    }
    assert {row["record_id"] for row in read_truth(delivery, "procedures")} == {row["record_id"] for row in procedures}


def test_shares_of_procedures_over_many_subjects() -> None:
    """Shares named by the study's design: paracentesis 25 %, ligation 20 %, renal replacement rare."""
    subjects = [subject for subject in simulate(11, 480).subjects if subject.given]
    counts = Counter(category for one in subjects for category in {done.category for done in one.procedures})
    assert 0.18 <= counts["ASCITES"] / len(subjects) <= 0.32
    assert 0.13 <= counts["VARICES"] / len(subjects) <= 0.27
    assert 0 < counts["RENAL REPLACEMENT"] / len(subjects) <= 0.06
    assert counts["TRANSPLANT"] == 10
    assert sum(bool(subject.deviations) for subject in subjects) > 10


def test_laboratory_page_equals_the_lis_within_its_decimals(delivery: synthetic.Delivery) -> None:
    subjects = {row["mrn"]: row["subj"] for row in read_form(delivery, "DM")}
    results = {}
    for row in read_lis(delivery):
        moment = row["采集时间"].split(" ")[0].split("/")
        results[subjects[row["病历号"]], date(*(int(part) for part in moment)), row["项目代码"]] = row
    pages = read_form(delivery, "LABEDC")
    assert len(pages) > 2000
    for row in pages:
        result = results[row["subj"], day(row["lbdat"]), row["lbitem"]]
        digits = len(row["lbval"].partition(".")[2])
        assert abs(float(row["lbval"]) - float(result["结果"])) <= 0.5 * 10**-digits + 1e-9
        assert row["lbunit"] == result["单位"].replace("μ", "u")
        assert (row["lbclsig"] != "") == (result["提示"] != "")
    tested = {(row["subj"], day(row["lbdat"]), row["lbitem"]) for row in pages}
    assert tested == {key for key in results if key[2] in {row["lbitem"] for row in pages}}


def test_deviations_refer_to_their_records(delivery: synthetic.Delivery) -> None:
    visits = {row["record_id"]: row for row in read_form(delivery, "VISIT")}
    courses = {row["record_id"]: row for row in read_form(delivery, "CONMED")}
    deviations = read_form(delivery, "DV")
    by_telephone = {key for key, row in visits.items() if row["svcntmod"] == "TELEPHONE"}
    herbal = {key for key, row in courses.items() if row["cmtrt"] == care.HERBAL.name}
    assert {row["dvref"] for row in deviations} == by_telephone | herbal
    for row in deviations:
        about = visits.get(row["dvref"])
        assert row["dvstdat"] == (about["svstdat"] if about else courses[row["dvref"]]["cmstdat"])
        assert (row["dvimp"] == "Y") == (row["dvref"] in herbal)
    assert {row["record_id"] for row in read_truth(delivery, "deviations")} == {row["record_id"] for row in deviations}


def test_every_kind_of_event_has_a_treatment() -> None:
    kinds = [*events.INFUSION_KINDS, *events.FOLLOW_UP_KINDS, events.COVID, events.BEFORE_FIRST_DOSE]
    kinds += [kind for _, kind in events.FATAL_KINDS] + [events.INFUSION_REACTION, events.ALT_INCREASED]
    kinds += [events.LAB_KINDS[code] for code in ("NA", "PLT", "HGB")]
    assert {kind.ctcae for kind in kinds} == set(care.TREATMENTS)


@pytest.mark.parametrize("cut_off", [date(2022, 11, 10), date(2023, 4, 20), date(2024, 1, 31)])
def test_references_hold_at_every_cut(tmp_path: Path, cut_off: date) -> None:
    early = synthetic.generate(tmp_path / "landing", seed=2022, cut_off=cut_off)
    adverse = {row["record_id"]: row for row in read_form(early, "AE")}
    courses = read_form(early, "CONMED")
    assert {row["cmae_no"] for row in courses} - {""} == {key for key, row in adverse.items() if row["aecontrt"] == "Y"}
    cases = {row["ae_no"]: row for row in read_form(early, "SAE")}
    assert set(cases) == {key for key, row in adverse.items() if row["aeser"] == "Y"}
    for key, case in cases.items():
        assert case["saeout"] == adverse[key]["aeout"]
        assert case["saegr"] == adverse[key]["aetoxgr"]
        assert (case["reptype"] == "INITIAL") == (adverse[key]["aeongo"] == "Y")
    conditions = {row["record_id"] for row in read_form(early, "MH")}
    assert {row["prae_no"] for row in read_form(early, "PROC")} - {""} <= set(adverse)
    assert {row["cmmh_no"] for row in courses} - {""} <= conditions
    given = [row for row in read_form(early, "DOSE") if row["given"] == "Y"]
    assert {row["lot"] for row in given} <= {row["lot"] for row in read_form(early, "COA")}
    assert len(given) == sum(row["cmcat"] == "PREMEDICATION" for row in courses)


def test_readme_lists_the_terms_of_these_forms(delivery: synthetic.Delivery) -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    for kind in history.CONDITIONS:
        tail = ", decompensation" if kind.decompensation else ""
        assert f"| {kind.term} | {kind.term_zh} | `{kind.category}`{tail} |" in text
    for code, criterion in history.CRITERIA:
        assert f"| `{code}` | {criterion} |" in text
    coded = {
        "ALCOHOL": ("alcper", "alctype", "alcfreq"),
        "CONMED": ("cmcat", "cmdosu", "cmdosfrq", "cmroute"),
        "PROC": ("prtrt", "prtrt_zh", "prcat"),
        "SAE": ("reptype",),
        "LABEDC": ("lbitem", "lbtest", "lbunit", "lbclsig"),
        "DV": ("dvcat", "dvdecod"),
    }
    for form, columns in coded.items():
        for row in read_form(delivery, form):
            assert row["data_label"] == LABEL
            for column in columns:
                assert row[column] == "" or f"`{row[column]}`" in text, (form, column, row[column])


def test_record_ids_follow_one_scheme(delivery: synthetic.Delivery) -> None:
    for form in edc.FORMS:
        for row in read_form(delivery, form):
            key = row["record_id"]
            if form == "COA":
                assert key == f"COA-{row['lot']}"
            elif row["subj"]:
                assert re.fullmatch(rf"{form}-{row['subj']}-\d\d", key)
