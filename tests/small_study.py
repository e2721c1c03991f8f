"""A small study that tests may break: demographics, dosing and vital signs of three subjects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transforms import pipeline
from transforms.study import Study

SPECIFICATION = {
    "study.yml": """\
study: small
studyid: SMALL-01
title: A small study
standards: {sdtmig: "3.4", sdtm: "2.0", ct: "2022-09-30"}
cut_off: 2024-12-31
visits: {table: visits, collected: COLLECTED, unscheduled: 'Extra (?P<number>\\d+\\.\\d+)'}
""",
    "sources/demog.yml": """\
source: demog
label: Demographics
files: demog*.csv
delivery: full
record_id: [SUBJ]
subject: SUBJ
columns:
  SUBJ: {}
  SITE: {}
  AGE: {type: integer}
  SEX: {}
  COUNTRY: {}
""",
    "sources/dosing.yml": """\
source: dosing
label: Dosing
files: dosing*.csv
delivery: incremental
record_id: [ROW]
subject: SUBJ
columns:
  ROW: {}
  SUBJ: {}
  DRUG: {}
  DOSE: {type: number}
  START: {type: datetime, layouts: ["DD-Mon-YYYY hh:mm"]}
""",
    "sources/vitals.yml": """\
source: vitals
label: Vital signs
files: vitals*.csv
delivery: full
exclude:
  - {rule: deleted_in_source, why: Deleted in the EDC, where: {DELETED: Y}}
subject: SUBJ
columns:
  SUBJ: {}
  VISIT: {}
  DATE: {type: date, layouts: [YYYY-MM-DD, DD/MM/YYYY]}
  SYSBP: {type: number}
  WEIGHT: {type: number}
  WEIGHT_UNIT: {}
  NOTE: {not_submitted: Free text}
  DELETED: {}
""",
    "sdtm/dm.yml": """\
dataset: DM
keys: [USUBJID]
records:
  - source: demog
variables:
  SUBJID: {assign_no_ct: SUBJ}
  SITEID: {assign_no_ct: SITE}
  RFSTDTC: {earliest: EX.EXSTDTC}
  RFXSTDTC: {earliest: EX.EXSTDTC}
  AGE: {assign_no_ct: AGE}
  AGEU: {hardcode_ct: YEARS}
  SEX: {assign_ct: SEX, codelist: sex}
  ARMCD: {hardcode_no_ct: A}
  ARM: {hardcode_no_ct: Arm A}
  ACTARMCD: {copy: ARMCD}
  ACTARM: {copy: ARM}
  COUNTRY: {assign_no_ct: COUNTRY}
""",
    "sdtm/ex.yml": """\
dataset: EX
keys: [USUBJID, EXTRT, EXSTDTC]
records:
  - source: dosing
variables:
  EXTRT: {assign_no_ct: DRUG, case: upper}
  EXDOSE: {assign_no_ct: DOSE}
  EXDOSU: {hardcode_ct: mg}
  EXSTDTC: {assign_datetime: START}
  EXSTDY: {study_day: EXSTDTC}
""",
    "sdtm/vs.yml": """\
dataset: VS
keys: [USUBJID, VSTESTCD, VISITNUM, VSDTC]
records:
  - source: vitals
    for_each:
      table: vs_tests
      none: {rule: no_result, why: Nothing was measured}
variables:
  VSTESTCD: {assign_no_ct: each.VSTESTCD}
  VSTEST: {assign_no_ct: each.VSTEST}
  VSORRES: {assign_no_ct: each.value}
  VSORRESU:
    choose:
      - {when: {VSTESTCD: SYSBP}, value: mmHg}
      - {variable: unit}
  VSSTRESC: {standardize_text: VSORRES, table: vs_units, by: {VSTESTCD: VSTESTCD, UNIT: VSORRESU}}
  VSSTRESN: {standardize_number: VSORRES, table: vs_units, by: {VSTESTCD: VSTESTCD, UNIT: VSORRESU}}
  VSSTRESU: {lookup: STANDARD, table: vs_units, by: {VSTESTCD: VSTESTCD, UNIT: VSORRESU}}
  VSLOBXFL: {last_before_exposure: VSDTC, result: VSSTRESC, by: [VSTESTCD]}
  VISITNUM: {assign_visit: VISIT}
  VISIT: {assign_visit: VISIT}
  VSDTC: {assign_datetime: DATE}
  VSDY: {study_day: VSDTC}
working:
  unit: {assign_no_ct: WEIGHT_UNIT}
""",
    "tables/visits.csv": "COLLECTED,VISITNUM,VISIT\nScreening,1,SCREENING\nDay 1,2,DAY 1\nDay 8,3,DAY 8\n",
    "tables/vs_tests.csv": "COLUMN,VSTESTCD,VSTEST\nSYSBP,SYSBP,Systolic Blood Pressure\nWEIGHT,WEIGHT,Weight\n",
    "tables/vs_units.csv": (
        "VSTESTCD,UNIT,STANDARD,FACTOR\nSYSBP,mmHg,mmHg,1\nWEIGHT,kg,kg,1\nWEIGHT,LB,kg,0.45359237\n"
    ),
    "tables/codelists.csv": (
        "CODELIST,COLLECTED,ACTION,TERM,CT\nsex,Male,term,M,C66731\nsex,Female,term,F,C66731\n"
        "sex,fem.,fix,F,C66731\nsex,not asked,ignore,,C66731\n"
    ),
    "conformance.csv": (
        "ENGINE,RULE,DOMAIN,VARIABLE,WHY\n"
        "pointblank,SDTM-121,TS,,A small study has no trial summary.\n"
        "pointblank,SDTM-122,TA,,A small study plans no arms.\n"
    ),
}
TRIAL_SUMMARY = {
    "sdtm/ts.yml": """\
dataset: TS
keys: [TSPARMCD, TSSEQ]
records:
  - table: ts
variables:
  TSSEQ: {hardcode_no_ct: 1}
  TSPARMCD: {assign_no_ct: TSPARMCD}
  TSPARM: {assign_no_ct: TSPARM}
  TSVAL: {choose: [{when: {TSPARMCD: SSTDTC}, variable: first_visit}, {variable: planned}]}
working:
  planned: {assign_no_ct: TSVAL}
  first_visit: {earliest_of_study: VS.VSDTC, where: {VISIT: SCREENING}, part: date, when: {TSPARMCD: SSTDTC}}
""",
    "tables/ts.csv": """\
TSPARMCD,TSPARM,TSVAL
ACTSUB,Actual Number of Subjects,3
ADAPT,Adaptive Design,N
ADDON,Added on to Existing Treatments,N
AGEMAX,Planned Maximum Age of Subjects,P80Y
AGEMIN,Planned Minimum Age of Subjects,P18Y
DCUTDESC,Data Cutoff Description,DATA EXTRACT
DCUTDTC,Data Cutoff Date,2024-12-31
FCNTRY,Planned Country of Investigational Sites,USA
INTTYPE,Intervention Type,DRUG
LENGTH,Trial Length,P1M
NARMS,Planned Number of Arms,1
OBJPRIM,Trial Primary Objective,To be small
OUTMSPRI,Primary Outcome Measure,Weight
PLANSUB,Planned Number of Subjects,3
RANDOM,Trial is Randomized,N
SENDTC,Study End Date,2024-03-31
SEXPOP,Sex of Participants,BOTH
SPONSOR,Clinical Study Sponsor,A small sponsor
SSTDTC,Study Start Date,
STYPE,Study Type,INTERVENTIONAL
TBLIND,Trial Blinding Schema,OPEN LABEL
TCNTRL,Control Type,NONE
TINDTP,Trial Intent Type,TREATMENT
TITLE,Trial Title,A small study
TPHASE,Trial Phase Classification,PHASE I TRIAL
TTYPE,Trial Type,SAFETY
""",
}
"""What a package cannot be without, which most tests of a run do not need."""

EXTRACTS = {
    "demog.csv": "SUBJ,SITE,AGE,SEX,COUNTRY\n001,10,63.0,Male,USA\n002,10,70,female,USA\n003,11,55,FEMALE,USA\n",
    "dosing.csv": (
        "ROW,SUBJ,DRUG,DOSE,START\n1,001,Testol,5.0,03-Mar-2024 09:30\n2,001,Testol,5,10-Mar-2024 09:00\n"
        "3,002,Testol,10,05-Mar-2024 08:00\n4,003,Testol,10,06-Mar-2024 08:00\n"
    ),
    "vitals.csv": (
        "SUBJ,VISIT,DATE,SYSBP,WEIGHT,WEIGHT_UNIT,NOTE,DELETED\n"
        '001,Screening,2024-02-20,120,80.5,kg,"calm, rested",N\n'
        "001,Day 1,03/03/2024,,,,,N\n"
        "001,Day 8,2024-03-10,131,,,NA,N\n"
        "002,Screening,2024-02-21,140,150,LB,,N\n"
        "002,Day 8,2024-03-12,138,,,,N\n"
        "003,Screening,2024-02-22,118,60,kg,,N\n"
        "003,Extra 2.1,2024-03-09,119,,,,Y\n"
    ),
}


@dataclass(frozen=True)
class SmallStudy:
    """The study's folder, a landing folder with its extracts, and a home."""

    folder: Path
    landing: Path
    home: Path

    @classmethod
    def write(cls, root: Path) -> SmallStudy:
        """Write specification and extracts below `root`."""
        small = cls(root / "small", root / "landing", root / "home")
        for name, content in SPECIFICATION.items():
            small.specify(name, content)
        small.landing.mkdir()
        for name, content in EXTRACTS.items():
            small.drop(name, content)
        return small

    def specify(self, name: str, content: str) -> None:
        """Write one file of the specification."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def summarize(self) -> None:
        """Give it a trial summary."""
        for name, content in TRIAL_SUMMARY.items():
            self.specify(name, content)

    def change(self, name: str, old: str, new: str) -> None:
        """Replace text in one file of the specification."""
        content = (self.folder / name).read_text(encoding="utf-8")
        assert old in content, f"{old!r} is not in {name}"
        self.specify(name, content.replace(old, new))

    def drop(self, name: str, content: str | bytes) -> None:
        """Put a file into landing."""
        (self.landing / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def load(self) -> Study:
        """Load the study."""
        return Study.load(self.folder)

    def run(self, **options: str) -> pipeline.Report:
        """Run the study on its landing folder."""
        return pipeline.run(self.load(), landing=self.landing, home=self.home, **options)  # type: ignore[arg-type]
