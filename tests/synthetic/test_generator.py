"""The generator keeps its promises: same bytes, exact gates, clean records, files as README.md says."""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

import synthetic
from synthetic import analytes, edc, events, lis
from synthetic.__main__ import main
from synthetic.protocol import COHORTS, LABEL, OBSERVATION_DAYS, VISIT_BY_NAME
from synthetic.scores import meld
from synthetic.world import World, simulate

SEED = 2022
SEEDS = (2022, 7, 20220613)
PACKAGE = Path(synthetic.__file__).parent


@pytest.fixture(scope="module", params=SEEDS)
def world(request: pytest.FixtureRequest) -> World:
    return simulate(request.param)


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Delivery:
    return synthetic.generate(tmp_path_factory.mktemp("out") / "landing", seed=SEED)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read_form(delivery: synthetic.Delivery, form: str) -> list[dict[str, str]]:
    (path,) = delivery.landing.glob(f"UCMSC_{form}_*.csv")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


def read_truth(delivery: synthetic.Delivery, name: str) -> list[dict[str, str]]:
    with (delivery.truth / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def read_lis(delivery: synthetic.Delivery) -> list[dict[str, str]]:
    (path,) = delivery.landing.glob("LIS_YHD_*.txt")
    header, *lines = path.read_bytes().decode("gb18030").split("\r\n")[:-1]
    columns = header.split("|")
    return [dict(zip(columns, line.split("|"), strict=True)) for line in lines]


def lis_time(text: str) -> datetime:
    day, clock = text.split(" ")
    year, month, number = (int(part) for part in day.split("/"))
    hour, minute = (int(part) for part in clock.split(":"))
    return datetime(year, month, number, hour, minute)


def test_same_arguments_give_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        main(["--out", str(tmp_path / name), "--seed", "5"])
    assert contents(tmp_path / "one" / "landing") == contents(tmp_path / "two" / "landing")
    assert contents(tmp_path / "one" / "truth") == contents(tmp_path / "two" / "truth")
    main(["--out", str(tmp_path / "other"), "--seed", "6"])
    assert contents(tmp_path / "one" / "landing") != contents(tmp_path / "other" / "landing")


def test_the_package_reads_no_clock_no_locale_and_no_global_chance() -> None:
    banned = {
        "now",
        "today",
        "utcnow",
        "time_ns",
        "setlocale",
        "strptime",
        "getlocale",
        "seed",
        "rand",
        "randn",
        "hash",
    }
    modules = {"random", "time", "locale", "uuid", "secrets"}
    sources = sorted(PACKAGE.rglob("*.py"))
    assert len(sources) > 5
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in banned, f"{source.name}:{node.lineno} calls {name}"
            if isinstance(node, ast.Import):
                assert not modules & {alias.name for alias in node.names}, f"{source.name}:{node.lineno}"
            if isinstance(node, ast.ImportFrom):
                assert node.module not in modules, f"{source.name}:{node.lineno}"


def test_more_subjects_leave_the_first_unchanged() -> None:
    few, all_of_block, two_blocks = simulate(SEED, 7), simulate(SEED, 48), simulate(SEED, 96)
    assert [subject.subj for subject in few.subjects] == [str(1000 + n) for n in range(1, 8)]
    assert few.subjects == all_of_block.subjects[:7]
    assert all_of_block.subjects == two_blocks.subjects[:48]


def test_a_new_analyte_leaves_the_others_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    before = simulate(SEED, 3)
    extra = replace(analytes.BY_CODE["NH3"], code="NEW", stream=max(a.stream for a in analytes.ANALYTES) + 1)
    monkeypatch.setattr("synthetic.labs.ANALYTES", (extra, *analytes.ANALYTES))
    monkeypatch.setitem(analytes.BY_CODE, "NEW", extra)
    assert simulate(SEED, 3) == before


def test_streams_and_slots_are_not_shared() -> None:
    streams = [analyte.stream for analyte in analytes.ANALYTES]
    assert len(set(streams)) == len(streams)
    assert analytes.DIFFERENTIAL_STREAM not in streams
    slots = [visit.slot for visit in VISIT_BY_NAME.values()]
    assert len(set(slots)) == len(slots)


def test_counts_are_those_of_the_study(world: World) -> None:
    dosed = [subject for subject in world.subjects if subject.given]
    assert len(world.subjects) == 48
    assert Counter(subject.cohort for subject in dosed) == {"C1": 12, "C2": 12, "C3": 12}
    assert Counter(len(subject.given) for subject in dosed) == {3: 29, 2: 4, 1: 3}
    reasons = Counter(subject.end_of_study.reason for subject in dosed if subject.end_of_study)
    assert reasons == {
        "COMPLETED": 26,
        "DEATH": 6,
        "LOST TO FOLLOW-UP": 2,
        "LIVER TRANSPLANT": 1,
        "WITHDRAWAL BY SUBJECT": 1,
    }
    toxic = Counter(subject.cohort for subject in dosed for event in subject.events if event.dlt)
    assert toxic == {"C2": 1, "C3": 1}


def test_next_group_starts_after_21_days_and_the_decision(world: World) -> None:
    first = {
        cohort.name: [s.given[0].day for s in world.subjects if s.given and s.cohort == cohort.name]
        for cohort in COHORTS
    }
    decided = {decision.cohort: decision for decision in world.decisions}
    for earlier, later in zip(COHORTS[:-1], COHORTS[1:], strict=True):
        ready = max(first[earlier.name]) + timedelta(days=OBSERVATION_DAYS)
        decision = decided[earlier.name]
        assert ready <= decision.cutoff <= decision.meeting < min(first[later.name])
        assert decision.outcome == "ESCALATE"
        assert decision.observed == len(first[earlier.name])
        assert min(s.consented.date() for s in world.subjects if s.cohort == later.name) > decision.meeting


def test_repeat_infusions_follow_the_subject_decision(world: World) -> None:
    held = 0
    for subject in world.subjects:
        if not subject.given:
            continue
        assert subject.decision is not None
        held += subject.decision.outcome == "HOLD"
        for before, after in zip(subject.given[:-1], subject.given[1:], strict=True):
            assert 25 <= (after.day - before.day).days <= 31
            assert subject.decision.outcome == "REPEAT"
            assert subject.decision.meeting < after.day
        assert (subject.decision.cutoff - subject.given[0].day).days >= OBSERVATION_DAYS
    assert held == 1


def test_doses_match_group_weight_and_time(world: World) -> None:
    planned = {cohort.name: cohort.dose for cohort in COHORTS}
    for subject in world.subjects:
        weights = {vital.visit: vital.weight for vital in subject.vitals if vital.point == "PRE-DOSE"}
        for dose in subject.given:
            assert dose.start is not None and dose.end is not None
            assert dose.planned == planned[subject.cohort]
            assert dose.weight == weights[dose.visit]
            assert abs(dose.cells / dose.weight / dose.planned - 1) < 0.10
            assert 20 <= (dose.end - dose.start).total_seconds() / 60 <= 180
            assert dose.viability >= 80
            assert (dose.interrupted > 0) == (dose.adjustment != "")
            sample = next(s for s in subject.samples if s.planned.name == dose.visit)
            assert sample.collected < dose.start


def test_visits_keep_their_windows(world: World) -> None:
    for subject in world.subjects:
        if not subject.given:
            continue
        assert subject.end_of_study is not None
        days = [dose.day for dose in subject.given]
        anchors = {"FIRST": days[0], "LAST": days[-1]}
        for visit in subject.visits:
            plan = visit.planned
            assert visit.occurred or visit.reason
            assert visit.day <= subject.end_of_study.day
            if not visit.occurred:
                continue
            anchor = days[plan.num - 7] if plan.anchor == "PREVIOUS" else anchors[plan.anchor]
            assert plan.low <= (visit.day - anchor).days <= plan.high, (subject.subj, plan.name)


def test_events_are_consistent(world: World) -> None:
    for subject in world.subjects:
        seen = Counter((event.kind.term, event.start) for event in subject.events)
        assert all(count == 1 for count in seen.values())
        fatal = [event for event in subject.events if event.grade == 5]
        assert [event.end for event in fatal] == ([subject.death] if subject.death else [])
        for event in subject.events:
            assert subject.end_of_study is not None
            assert subject.consented.date() <= event.start <= (event.end or event.start)
            assert (event.end or event.start) <= subject.end_of_study.day
            assert (event.outcome == "FATAL") == (event.grade == 5)
            assert (event.end is None) == (event.outcome == "NOT RECOVERED/NOT RESOLVED")
            related = event.causality in ("很可能有关", "可能有关")
            early = (event.start - subject.given[0].day).days <= OBSERVATION_DAYS
            assert not related or event.start >= subject.given[0].day
            assert event.dlt == (related and event.grade >= 3 and early)
            if event.start in [dose.day for dose in subject.given]:
                assert event.moment is not None


def test_eligible_subjects_meet_the_laboratory_criteria(world: World) -> None:
    for subject in world.subjects:
        for sample in subject.samples:
            if subject.given and sample.planned.name in ("SCREENING", "DAY 1"):
                assert sample.values["ALB"] < 35
                assert sample.values["PTA"] > 40
                assert sample.values["TBIL"] < 10 * 21
            if subject.plan.failure == "PROTHROMBIN ACTIVITY 40% OR LESS":
                assert sample.values["PTA"] <= 40
            if subject.plan.failure == "ALBUMIN 35 G/L OR MORE":
                assert sample.values["ALB"] >= 35


def test_recorded_scores_follow_from_the_samples(world: World) -> None:
    for subject in world.subjects:
        samples = {sample.planned.name: sample.values for sample in subject.samples}
        for score in subject.assessments:
            values = samples[score.visit]
            assert score.total == sum(points for _, points in score.items)
            assert score.items[0][1] == {0: 1, 1: 2, 2: 2, 3: 3, 4: 3}[score.west_haven]
            bilirubin = 1 if values["TBIL"] < 34 else 2 if values["TBIL"] <= 51 else 3
            assert score.items[2][1] == bilirubin
            expected = meld(bilirubin_umol_l=values["TBIL"], inr=values["INR"], creatinine_umol_l=values["CREA"])
            assert score.meld == expected


def test_severity_moves_scores_and_leaves_plans_and_eligibility() -> None:
    """Ranges of the study's design: MELD about 13.5 by default, 10 to 25 and Child-Pugh B or C as a stress profile."""
    plausible, high = simulate(SEED), simulate(SEED, severity="high")
    baselines = []
    for world in (plausible, high):
        first = [subject.assessments[0] for subject in world.subjects if subject.given]
        baselines.append([score.meld for score in first])
        assert all(sample.values["PTA"] > 40 for s in world.subjects if s.given for sample in s.samples[:2])
    usual, ill = (sum(melds) / len(melds) for melds in baselines)
    assert 12 <= usual <= 15 < ill <= 19
    assert min(baselines[1]) >= 10
    assert max(baselines[1]) <= 25
    for one, other in zip(plausible.subjects, high.subjects, strict=True):
        assert one.plan.first_dose == other.plan.first_dose
        assert (one.age, one.female, one.mrn) == (other.age, other.female, other.mrn)
    with pytest.raises(ValueError, match="severity is one of"):
        simulate(SEED, severity="mild")


def test_the_dose_changes_no_laboratory_value(monkeypatch: pytest.MonkeyPatch) -> None:
    before = simulate(SEED)
    monkeypatch.setattr("synthetic.world.COHORTS", tuple(replace(cohort, dose=10 * cohort.dose) for cohort in COHORTS))
    after = simulate(SEED)
    assert [subject.samples for subject in after.subjects] == [subject.samples for subject in before.subjects]
    assert after.subjects != before.subjects


@pytest.mark.parametrize(
    ("bilirubin", "inr", "creatinine", "expected"),
    [
        (34.2, 1.35, 76, 12),
        (58, 1.62, 92, 17),
        (17.1, 1.0, 88.4, 6),
        (210, 2.4, 168, 32),
        (420, 4.2, 450, 40),
    ],
)
def test_meld_against_published_formula_worked_by_hand(
    bilirubin: float, inr: float, creatinine: float, expected: int
) -> None:
    assert meld(bilirubin_umol_l=bilirubin, inr=inr, creatinine_umol_l=creatinine) == expected


def test_laboratory_items_agree_with_each_other(world: World) -> None:
    checked = 0
    for subject in world.subjects:
        for sample in subject.samples:
            value = sample.values
            checked += 1
            assert value["DBIL"] + value["IBIL"] == pytest.approx(value["TBIL"], abs=0.051)
            assert value["ALB"] + value["GLOB"] == pytest.approx(value["TP"], abs=0.051)
            assert value["NEUT%"] * value["WBC"] / 100 == pytest.approx(value["NEUT#"], abs=0.006)
            assert value["HCT"] == pytest.approx(0.3 * value["HGB"], rel=0.06)
    assert checked > 300


def test_manifest_names_counts_and_hashes_every_file(delivery: synthetic.Delivery) -> None:
    manifest = json.loads((delivery.landing / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["label"] == LABEL
    assert manifest["study"] == "ucmsc_dac"
    assert manifest["extracted_at"] == "2025-01-31T06:00"
    files = contents(delivery.landing)
    del files["manifest.json"]
    assert [entry["name"] for entry in manifest["files"]] == sorted(files)
    for entry in manifest["files"]:
        content = files[entry["name"]]
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["rows"] == content.count(b"\r\n") - 1
        assert entry["extracted_at"] == "2025-01-31T06:00"


def test_lis_is_gb18030_and_round_trips(delivery: synthetic.Delivery) -> None:
    (path,) = delivery.landing.glob("LIS_YHD_*.txt")
    assert path.name == "LIS_YHD_20250131_0600.txt"
    content = path.read_bytes()
    text = content.decode("gb18030")
    assert text.encode("gb18030") == content
    assert "�" not in text
    with pytest.raises(UnicodeDecodeError):
        content.decode("utf-8")
    assert text.startswith(
        "病历号|门诊住院号|姓名(脱敏)|性别|年龄|申请单号|条码号|标本类型|采集时间|接收时间|报告时间|"
    )


def test_lis_rows_are_keyed_flagged_and_in_order_of_time(delivery: synthetic.Delivery) -> None:
    rows = read_lis(delivery)
    keys = Counter((row["申请单号"], row["项目代码"], row["修订号"]) for row in rows)
    assert max(keys.values()) == 1
    numbers = {row["mrn"]: row for row in read_form(delivery, "DM")}
    censored = Counter(row["项目代码"] for row in rows if row["结果"].startswith("<"))
    assert {"PCT"} <= set(censored) <= {"AFP", "PCT"}
    for row in rows:
        assert row["病历号"] in numbers
        assert row["性别"] == {"Male": "男", "Female": "女"}[numbers[row["病历号"]]["sex"]]
        assert lis_time(row["采集时间"]) < lis_time(row["接收时间"]) < lis_time(row["报告时间"])
        assert row["备注"] == LABEL
        low, high = (float(bound) for bound in row["参考范围"].split("-"))
        assert low < high
        if not row["结果"].startswith("<"):
            result = float(row["结果"])
            assert row["提示"] == ("↑" if result > high else "↓" if result < low else "")


def test_forms_have_the_declared_columns_label_and_unique_ids(delivery: synthetic.Delivery) -> None:
    for form, columns in edc.FORMS.items():
        (path,) = delivery.landing.glob(f"UCMSC_{form}_*.csv")
        assert path.read_bytes().startswith(b"\xef\xbb\xbfform_oid,")
        rows = read_form(delivery, form)
        assert rows
        assert tuple(rows[0]) == edc.HEAD + columns + edc.TAIL
        assert len({row["record_id"] for row in rows}) == len(rows)
        assert {row["data_label"] for row in rows} == {LABEL}
        assert {row["form_oid"] for row in rows} == {form}


def test_readme_documents_every_column_value_and_item() -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\w+) \((.*?)(?=^##)", text, flags=re.M | re.S))
    assert set(sections) == set(edc.FORMS)
    for form, columns in edc.FORMS.items():
        named = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|([^|]*)\|", sections[form], flags=re.M)))
        assert [name for name in named if name in columns] == list(columns), form
    for column in edc.HEAD + edc.TAIL + lis.COLUMNS:
        assert column in text
    for analyte in analytes.ANALYTES:
        assert f"| `{analyte.code}` | {analyte.name} |" in text
    kinds = [*events.INFUSION_KINDS, *events.FOLLOW_UP_KINDS, *events.LAB_KINDS.values()]
    kinds += [kind for _, kind in events.FATAL_KINDS]
    for kind in [*kinds, events.COVID, events.BEFORE_FIRST_DOSE, events.INFUSION_REACTION]:
        assert f"| {kind.term} | {kind.term_zh} | {kind.ctcae} | {kind.soc} |" in text


def test_value_sets_of_the_readme_cover_the_files(delivery: synthetic.Delivery) -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    coded = {
        "ENROL": ("sfreas",),
        "VISIT": ("svreasoc", "svcntmod"),
        "VITALS": ("vstpt",),
        "DOSE": ("reas_not_given", "adj_reason"),
        "AE": ("aerel", "aerelnst", "aeacn", "aeout"),
        "EOT": ("eot_status", "eot_reason"),
        "EOS": ("eos_status", "eos_reason"),
        "DEATH": ("dthcat", "dthloc", "autopsy"),
        "DSMB": ("scope", "cohort", "outcome"),
    }
    for form, columns in coded.items():
        for row in read_form(delivery, form):
            for column in columns:
                assert row[column] == "" or f"`{row[column]}`" in text, (form, column, row[column])


def test_truth_matches_the_files(delivery: synthetic.Delivery) -> None:
    given = [row for row in read_form(delivery, "DOSE") if row["given"] == "Y"]
    doses = read_truth(delivery, "doses.csv")
    assert [(row["subj"], row["dose_no"]) for row in doses] == [(row["subj"], row["dose_no"]) for row in given]
    for row, form in zip(doses, given, strict=True):
        assert row["start"].replace("T", " ") == form["infstdtm"]
        assert float(row["dose_per_kg"]) == pytest.approx(
            float(form["cells_total"]) / float(form["weight_used"]), abs=0.0006
        )
    subjects = {row["subj"]: row for row in read_truth(delivery, "subjects.csv")}
    assert Counter(row["dosed"] for row in subjects.values()) == {"Y": 36, "N": 12}
    deaths = {row["subj"]: row["dthdat"] for row in read_form(delivery, "DEATH")}
    assert deaths == {row["subj"]: row["death_date"] for row in read_truth(delivery, "deaths.csv")}
    assert deaths == {subj: row["death_date"] for subj, row in subjects.items() if row["death_date"]}
    assert len(read_truth(delivery, "dlt.csv")) == sum(row["aedlt"] == "Y" for row in read_form(delivery, "AE"))
    assert len(read_truth(delivery, "dsmb_decisions.csv")) == len(read_form(delivery, "DSMB"))
    counts = {row["file"]: int(row["rows"]) for row in read_truth(delivery, "form_counts.csv")}
    assert counts == delivery.rows


def test_a_cut_off_shows_only_what_was_known(tmp_path: Path, delivery: synthetic.Delivery) -> None:
    early = synthetic.generate(tmp_path / "landing", seed=SEED, cut_off=date(2022, 11, 10))
    limit = datetime(2022, 11, 10, 6, 0)
    for form in edc.FORMS:
        final = {row["record_id"]: row for row in read_form(delivery, form)}
        for row in read_form(early, form):
            assert datetime.fromisoformat(row["modified_ts"]) <= limit
            assert row["record_id"] in final
            if form not in ("AE", "SAE", "CONMED"):
                assert {**row, "page_status": ""} == {**final[row["record_id"]], "page_status": ""}
    assert all(lis_time(row["报告时间"]) <= limit for row in read_lis(early))
    assert {row["cohort"] for row in read_truth(early, "subjects.csv")} <= {"C1", ""}
    assert not [row for row in read_form(early, "DSMB") if row["scope"] == "COHORT"]
    ongoing = [row for row in read_form(early, "AE") if row["aeongo"] == "Y"]
    assert all(row["aeendat"] == "" and row["aeout"] == "NOT RECOVERED/NOT RESOLVED" for row in ongoing)


def test_copies_multiply_the_screened_subjects(tmp_path: Path) -> None:
    double = synthetic.generate(tmp_path / "landing", seed=SEED, subjects=5, copies=2)
    assert len(read_form(double, "DM")) == 10
    with pytest.raises(ValueError, match="copies must be 1 or more"):
        synthetic.generate(tmp_path / "landing", copies=0)
    with pytest.raises(ValueError, match="seed must be 0 or more"):
        synthetic.generate(tmp_path / "landing", seed=-1)


def test_hospital_numbers_and_names_are_invented(delivery: synthetic.Delivery) -> None:
    assert all(9_900_000 < int(row["mrn"]) < 10_000_000 for row in read_form(delivery, "DM"))
    assert all(row["姓名(脱敏)"].startswith("模拟*") for row in read_lis(delivery))
