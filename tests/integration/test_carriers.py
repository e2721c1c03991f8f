"""One source, several carriers: the reference study by CSV, ODM Snapshot and Transactions, text and HL7.

The oracle is the other route: the same rows through another reader and another contract give the same datasets. The
carried-over files are written by synthetic/ (lxml, and segments by the standard's own numbering) from the faulty
tables; tests/synthetic/test_formats.py reads such files by other means.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import synthetic
from synthetic.convert import Lost, convert
from tests.integration.test_extracts import accounts_close, findings
from tests.integration.test_formats import as_odm, everything, group, odm, same
from tests.mapped import plain
from tests.reference import Extracts, Planted
from tests.small_study import SPECIFICATION, SmallStudy
from transforms import pipeline, snapshot
from transforms.deliveries import stage_all
from transforms.errors import ConfigurationError, UsageError
from transforms.findings import Finding
from transforms.ingest import ingest
from transforms.sdtm.engine import map_study
from transforms.staging.stage import AccountLine, Staged
from transforms.study import Study
from transforms.trace import Tracer
from transforms.warehouse.raw_store import Received

CUTS = {"S3": "2024-01-31", "S4": "2025-01-31"}
SAID_BY_ONE = {
    "element_not_taken",
    "hl7_fields_not_taken",
    "extra_column",
    "text_normalised",
    "wrong_encoding",
    "rows_dropped",
}


@dataclass(frozen=True)
class Route:
    """A study by some files: staged rows with their account, and the datasets."""

    received: Sequence[Received]
    staged: Mapping[str, Staged]
    account: Sequence[AccountLine]
    findings: Sequence[Finding]
    datasets: Mapping[str, pd.DataFrame]

    def asked(self) -> Counter[tuple[str, str, int]]:
        """Rules with source and number of lines, but for those that a format alone says."""
        return Counter(
            (one.rule, one.dataset, sum(len(place.lines) for place in one.places))
            for one in self.findings
            if one.rule not in SAID_BY_ONE
        )


def take(home: Path, cut_off: str, *landings: Path, study: Study | None = None) -> Route:
    study = study or Study.load("ucmsc_dac")
    where = pipeline.Home(home, study.name)
    extracts = {}
    for landing in landings:
        extracts |= ingest(study, landing, where.raw).extracts
    received = [entry for entry in where.raw.received() if entry.accepted]
    staged, found, account = stage_all(study, where.raw, cut_off, received, extracts, {})
    account = [*account, *(line for one in staged.values() for line in one.account)]
    sources = {name: snapshot.staged_source(snapshot.staged_table(study, one)) for name, one in staged.items()}
    mapped = map_study(study, sources, cut_off=cut_off)
    datasets = {name: plain(dataset.frame) for name, dataset in mapped.datasets.items()}
    return Route(received, staged, account, (*found, *mapped.findings), datasets)


def agree(one: Route, other: Route) -> None:
    """Every value of every dataset, with type and order."""
    assert set(one.datasets) == set(other.datasets) and len(one.datasets) > 30
    for name, frame in one.datasets.items():
        pd.testing.assert_frame_equal(frame, other.datasets[name], obj=name)


def closes(route: Route) -> None:
    counted: Counter[tuple[str, str, str]] = Counter()
    for line in route.account:
        if line.rule != "blank_line":
            counted[line.source, line.file, line.sha256] += line.rows
    assert route.received
    assert {key: rows for key, rows in counted.items() if rows} == {
        (one.source, one.file, one.sha256): one.rows for one in route.received if one.rows
    }


@dataclass(frozen=True)
class Carried:
    """Faulty tables carried over to ODM and HL7, what was not carried, and what the other carriers give."""

    over: Path
    lost: list[Lost]
    route: Route


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("carriers")


@pytest.fixture(scope="module")
def text(folder: Path, extracts: Extracts) -> Route:
    return take(folder / "home_csv", CUTS["S4"], extracts.landing)


@pytest.fixture(scope="module")
def messy(folder: Path, planted_series: Mapping[str, Planted]) -> dict[str, Carried]:
    result = {}
    for cut, cut_off in CUTS.items():
        over = folder / "over" / cut
        lost = convert(planted_series[cut].landing, over, synthetic.Formats(edc="odm", lab="hl7"))
        result[cut] = Carried(over, lost, take(folder / "home_over" / cut, cut_off, over))
    return result


def test_clean_odm_and_hl7_give_what_csv_and_text_give(folder: Path, text: Route) -> None:
    synthetic.generate(folder / "snapshot", truth=folder / "truth", formats=synthetic.Formats(edc="odm", lab="hl7"))
    other = take(folder / "home_odm", CUTS["S4"], folder / "snapshot")
    assert {type(file.extract).__name__ for one in other.staged.values() for file in one.files} == {
        "OdmExtract",
        "Extract",
    }
    assert {file.name for one in other.staged.values() for file in one.files} == {
        "UCMSC_ODM_20250131T0600.xml",
        "LIS_YHD_20250131_0600.hl7",
    }
    agree(text, other)
    assert other.asked() == text.asked()
    closes(text)
    closes(other)


def test_four_transactional_files_end_where_the_last_extract_is(folder: Path, text: Route) -> None:
    synthetic.generate_series(folder / "transactions", formats=synthetic.Formats(edc="odm-transactional", lab="hl7"))
    landings = [folder / "transactions" / f"S{number}" / "landing" for number in (1, 2, 3, 4)]
    other = take(folder / "home_transactions", CUTS["S4"], *landings)
    assert len(other.staged["ae"].files) == 4
    agree(text, other)
    closes(other)
    assert any(line.rule == "later_transaction" for line in other.account)


@pytest.mark.parametrize("cut", CUTS)
def test_faulty_tables_give_the_same_by_every_carrier(
    cut: str, messy: Mapping[str, Carried], planted_series: Mapping[str, Planted], tmp_path: Path
) -> None:
    one, other = take(tmp_path, CUTS[cut], planted_series[cut].landing), messy[cut].route
    assert any(finding.held for finding in one.findings) == (cut == "S3"), "critical faults are cured in S4"
    agree(one, other)
    assert other.asked() == Counter({key: count for key, count in one.asked().items() if key[0] != "late_file"})
    closes(one)
    closes(other)
    assert Lost(f"LIS_YHD_{CUTS[cut].replace('-', '')}_0600.txt", "HL7 has no field for 年龄") in messy[cut].lost


def test_what_cannot_be_carried_is_said(messy: Mapping[str, Carried]) -> None:
    """In S3 four forms and the laboratory's file were sent twice, two of the second ones damaged (messy.yml)."""
    assert {(one.file, one.why.partition(",")[0]) for one in messy["S3"].lost if one.file.startswith("UCMSC")} == {
        ("UCMSC_EOT_20240124T0600.csv", "an extract is one file"),
        ("UCMSC_IC_20240131T0600.csv", "an extract is one file"),
        ("UCMSC_KPS_20240131T0700.csv", "its bytes are damaged"),
        ("UCMSC_MELD_20240131T0600.csv", "an extract is one file"),
    }
    assert [one.file for one in messy["S4"].lost] == ["LIS_YHD_20250131_0600.txt"]


def test_placements_of_faulty_data_differ_in_placement_only(messy: Mapping[str, Carried], tmp_path: Path) -> None:
    cdisc = messy["S3"].route.datasets
    study = Study.load("ucmsc_dac", placement="qs_literal")
    literal = take(tmp_path, CUTS["S3"], messy["S3"].over, study=study).datasets
    moved = {"QS", "RS", "SUPPQS", "SUPPRS", "RELREC"}
    assert set(cdisc) - moved == set(literal) - moved and "RS" not in literal
    for name in set(literal) - moved:
        pd.testing.assert_frame_equal(cdisc[name], literal[name], obj=name)
    named = cdisc["RS"].rename(columns=lambda name: re.sub("^RS", "QS", name))
    # The code of a scale that was not done is the dataset's name with ALL.
    named["QSTESTCD"] = named["QSTESTCD"].astype(object).replace("RSALL", "QSALL")
    both = pd.concat([named, cdisc["QS"]])
    shared = [one for one in literal["QS"] if one in both and one not in {"QSSEQ", "DOMAIN"}]
    order = ["USUBJID", "QSCAT", "QSTESTCD", "VISITNUM", "QSSPID"]
    frames = [
        frame[shared].sort_values([one for one in order if one in shared]).reset_index(drop=True).astype(object)
        for frame in (both, literal["QS"])
    ]
    assert len(frames[0]) > 1000
    pd.testing.assert_frame_equal(frames[0].fillna(""), frames[1].fillna(""))


def test_a_value_leads_to_its_line_of_odm_and_of_hl7(tmp_path: Path) -> None:
    formats = synthetic.Formats(edc="odm", lab="hl7")
    synthetic.generate(tmp_path / "landing", truth=tmp_path / "truth", subjects=6, formats=formats)
    report = pipeline.run(Study.load("ucmsc_dac"), landing=tmp_path / "landing", home=tmp_path / "home")
    tracer = Tracer(report.path)
    xml = (tmp_path / "landing" / "UCMSC_ODM_20250131T0600.xml").read_text(encoding="utf-8").split("\n")
    table = tracer.dataset("AE").to_pylist()[0]
    record = tracer.find("AE", {"USUBJID": table["USUBJID"], "AESEQ": str(table["AESEQ"])})[0]
    (leaf,) = tracer.trace("AE", record, "AETERM").all_leaves()
    assert (leaf.file, leaf.columns) == ("UCMSC_ODM_20250131T0600.xml", ("aeterm",))
    assert leaf.line is not None
    assert '<ItemGroupData ItemGroupOID="IG.AE">' in xml[leaf.line - 1]
    inside = xml[leaf.line : leaf.line + 60]
    (item,) = [one for one in inside if 'ItemOID="IT.AE.AETERM"' in one][:1]
    assert f'Value="{table["AETERM"]}"'.casefold() in item.casefold()
    segments = (tmp_path / "landing" / "LIS_YHD_20250131_0600.hl7").read_bytes().decode("utf-8").split("\r")
    record = tracer.find("LB", {"LBTESTCD": "ALB"})[0]
    leaves = [one for one in tracer.trace("LB", record, "LBORRES").all_leaves() if one.kind == "raw"]
    (leaf,) = {(one.file, one.line) for one in leaves}
    fields = segments[(leaf[1] or 0) - 1].split("|")
    assert (leaf[0], fields[0], fields[3].split("^")[0]) == ("LIS_YHD_20250131_0600.hl7", "OBX", "ALB")
    assert fields[5] == tracer.value("LB", record, "LBORRES")


VITALS = SPECIFICATION["sources/vitals.yml"]
CARRIER = """\
also:
  - files: edc*.xml
    format: odm
    extracted_at: '_(?P<at>\\d+)\\.xml$'
    extracted_layout: YYYYMMDD
    {more}item_groups: [IG.VS]
    system: {{SUBJ: subject_key, VISIT: event_oid}}
    item_oid: "IT.{{column}}"
"""


def carried(small: SmallStudy, more: str = "") -> None:
    """Vital signs of the small study by delimited text or ODM."""
    more = f"{more}\n    " if more else ""
    small.specify("sources/vitals.yml", VITALS + CARRIER.format(more=more))


def vital_signs() -> list[str]:
    return [one for one in everything() if "IG.VS" in one]


def test_the_file_extracted_last_says_by_which_carrier_a_source_comes(small: SmallStudy, tmp_path: Path) -> None:
    expected = small.run()
    (tmp_path / "odm").mkdir()
    other = SmallStudy.write(tmp_path / "odm")
    carried(other)
    content = other.landing.joinpath("vitals.csv").read_text(encoding="utf-8")
    other.drop("vitals.csv", "\n".join(content.split("\n")[:4]) + "\n")
    assert "carrier_changed" not in findings(other.run()).index
    other.drop("edc_20240401.xml", odm(vital_signs()))
    report = other.run()
    same(expected.path, report.path)
    assert findings(report).loc["carrier_changed", "severity"] == "information"
    accounts_close(report, other)


def test_an_incremental_carrier_stands_on_its_own_files_and_a_loss_is_said(small: SmallStudy) -> None:
    """The last Transactional file holds one subject only, so what the text file held of the others is lost."""
    carried(small, "delivery: incremental")
    small.run()
    row = {"SUBJ": "001", "VISIT": "Day 1", "DATE": "2024-03-01", "SYSBP": "120"}
    small.drop("edc_20240401.xml", odm([group("IG.VS", row, 1, "Insert")], "Transactional"))
    report = small.run()
    found = findings(report)
    assert {"carrier_changed", "rows_dropped", "subject_disappeared"} <= set(found.index)
    assert found.loc["subject_disappeared", "severity"] == "critical"
    accounts_close(report, small)


REFUSED = {
    "unknown column": ("not_carried: [AGE]\n    ", "no column of the contract: 'AGE'"),
    "needed column": ("not_carried: [SUBJ]\n    ", "'SUBJ' is needed (subject)"),
    "word of the rows": ("subject: SUBJ\n    ", "is no word of a carrier"),
    "meaning of a column": ("columns: {SYSBP: {required: true}}\n    ", "holds required"),
    "layouts of a text": ("layouts: {text: [YYYY]}\n    ", "'text' has no layouts"),
    "layouts not in a list": ("layouts: {date: YYYY}\n    ", "date is no list"),
    "layout without a part": ("layouts: {date: [X]}\n    ", "holds no date or time part"),
    "unknown format": ("format: sas\n    ", "no format 'sas'"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_carrier_that_says_what_it_may_not_is_refused(small: SmallStudy, fault: str) -> None:
    more, message = REFUSED[fault]
    content = VITALS + CARRIER.format(more=more)
    if "format" in more:
        content = content.replace("    format: odm\n", "")
    small.specify("sources/vitals.yml", content)
    with pytest.raises(ConfigurationError) as error:
        small.load()
    assert message in str(error.value)
    assert "also.1" in str(error.value)


def test_two_incremental_carriers_are_refused(small: SmallStudy) -> None:
    content = VITALS.replace("delivery: full", "delivery: incremental\nrecord_id: [SUBJ, VISIT]")
    small.specify("sources/vitals.yml", content + CARRIER.format(more=""))
    with pytest.raises(ConfigurationError, match="2 carriers are incremental"):
        small.load()


def test_a_file_of_two_carriers_is_refused(small: SmallStudy) -> None:
    small.specify("sources/vitals.yml", VITALS + CARRIER.format(more="").replace("edc*.xml", "v*.csv"))
    with pytest.raises(UsageError, match=r"vitals\.csv fits several source contracts of small \(vitals\)"):
        small.run()


def test_values_in_another_unit_than_the_contract_says_are_critical(small: SmallStudy) -> None:
    as_odm(small)
    small.change("sources/vitals.yml", "SYSBP: {type: number}", "SYSBP: {type: number, measured_in: MU.MMHG}")
    item = re.compile(r'(<ItemData ItemOID="IT.SYSBP" Value="\d+")/>')
    units = iter(["MU.MMHG", "MU.KPA"] + ["MU.MMHG"] * 20)
    groups = [
        item.sub(lambda one: f'{one[1]}><MeasurementUnitRef MeasurementUnitOID="{next(units)}"/></ItemData>', each)
        for each in everything()
    ]
    small.drop("edc_1.xml", odm(groups))
    found = findings(small.run())
    assert found.loc["unit_differs", "severity"] == "critical"
    ((place,),) = [found.loc["unit_differs", "places"]]
    assert len(place["lines"]) == 1
    assert "unit_not_taken" not in found.index
