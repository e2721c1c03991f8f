"""CDISC CORE, where it is installed: datasets out as Dataset-JSON, its report in as outcomes.

CORE needs a Python and a cache of rules of its own, so it is a program that CAIRN_CORE names, run as
`core validate`. What it needs to know stands in https://cdisc-org.github.io/cdisc-rules-engine (cli-reference).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from transforms.errors import CairnError
from transforms.validation.outcome import NAMED, Outcome, Result

ENGINE = "CORE"
COMMAND, CACHE = "CAIRN_CORE", "CAIRN_CORE_CACHE"
ABSENT, MISSING = "", "missing"
RULE = r"CORE-\d{6}"
TIMEOUT = 3600
STATUSES: Mapping[str, Result] = {"SUCCESS": "pass", "SKIPPED": "not_applicable", "EXECUTION ERROR": "not_run"}
NOT_RUN = {
    ABSENT: f"CDISC CORE was not run: {COMMAND} is not set",
    MISSING: f"CDISC CORE was not run: {COMMAND} or {CACHE} names nothing that is there",
}


class CoreFailedError(CairnError):
    """CORE is configured and did not give a whole report, so nobody knows what it would say."""


@dataclass(frozen=True)
class Core:
    """The program: the command before `validate`, and the folder of its rules where that is not its own."""

    command: tuple[str, ...]
    cache: Path | None

    @classmethod
    def configured(cls) -> Core | None:
        """What CAIRN_CORE and CAIRN_CORE_CACHE name; None where CAIRN_CORE is not set."""
        written = os.environ.get(COMMAND, "").strip()
        if not written:
            return None
        cache = os.environ.get(CACHE, "").strip()
        return cls(tuple(shlex.split(written)), Path(cache).resolve() if cache else None)

    @property
    def files(self) -> tuple[Path, ...]:
        """The parts of the command that are files, the program (`core`, or Python and `core.py`) first."""
        found = [shutil.which(one) if number == 0 else one for number, one in enumerate(self.command)]
        return tuple(Path(one).resolve() for one in found if one and Path(one).is_file())

    @property
    def there(self) -> bool:
        """True if the program can be started and the folder of its rules exists."""
        named = [one for one in self.command if os.sep in one]
        whole = shutil.which(self.command[0]) is not None and all(Path(one).exists() for one in named)
        return whole and (self.cache is None or self.cache.is_dir())

    @property
    def folder(self) -> Path:
        """Where CORE is run: it looks for its resources from there."""
        return self.files[-1].parent

    def fingerprint(self) -> str:
        """A hash of the program and its rules; `missing` where they are not there."""
        if not self.there:
            return MISSING
        digest = hashlib.sha256()
        cache = self.cache or self.folder / "resources" / "cache"
        inside = sorted(path for path in cache.rglob("*") if path.is_file()) if cache.is_dir() else []
        for path in (*self.files, self.folder / "version.py", *inside):
            if path.is_file():
                with path.open("rb") as stream:
                    content = hashlib.file_digest(stream, "sha256").hexdigest()
                digest.update(f"{path.name}\0{content}\n".encode())
        return digest.hexdigest()[:20]


def fingerprint() -> str:
    """What names the CORE of this machine: empty where none is configured, `missing` where it is not there."""
    core = Core.configured()
    return core.fingerprint() if core is not None else ABSENT


def run(
    datasets: Mapping[str, pa.Table], *, studyid: str, sdtmig: str, terminology: str, cut_off: str, expected: str
) -> Iterator[Outcome]:
    """The outcome of every rule CORE ran, by dataset; one line that says why where there is no CORE.

    `expected` is the `fingerprint` the snapshot was opened with. Raises CoreFailedError when another CORE is here
    now, or when CORE ends without a whole report.
    """
    core = Core.configured()
    found = core.fingerprint() if core is not None else ABSENT
    if found != expected:
        raise CoreFailedError(
            "CDISC CORE is not the one that the snapshot was opened with. "
            f"Set {COMMAND} and {CACHE} alike for every process, and run again"
        )
    if core is None or found == MISSING:
        yield Outcome(ENGINE, "", "", "", "", "information", "not_run", NOT_RUN[found])
        return
    with tempfile.TemporaryDirectory(prefix="cairn-core-") as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        for dataset, table in datasets.items():
            written = dataset_json(dataset, table, studyid=studyid, cut_off=cut_off)
            text = json.dumps(written, ensure_ascii=False, allow_nan=False)
            (data / f"{dataset.lower()}.json").write_text(text, encoding="utf-8")
        report = _validate(core, data, folder / "report", sdtmig, terminology)
    yield from outcomes(report)


def _validate(core: Core, data: Path, stem: Path, sdtmig: str, terminology: str) -> Any:
    """Run CORE on a folder and read its report."""
    options = ["-s", "sdtmig", "-v", sdtmig.replace(".", "-"), "-d", str(data), "-ct", f"sdtmct-{terminology}"]
    options += ["-of", "JSON", "-o", str(stem), "-p", "disabled"]
    if core.cache is not None:
        options += ["-ca", str(core.cache)]
    again = f"Run `{shlex.join(core.command)} validate` by hand to see why, or unset {COMMAND}"
    # A program named by a relative path is found from here, and run from its own folder.
    command = [str(Path(one).absolute()) if os.sep in one else one for one in core.command]
    try:
        done = subprocess.run(
            [*command, "validate", *options], cwd=core.folder, capture_output=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CoreFailedError(f"CDISC CORE could not be run ({type(error).__name__}). {again}") from error
    if done.returncode:
        raise CoreFailedError(f"CDISC CORE ended with status {done.returncode}. {again}")
    try:
        return json.loads(stem.with_name(f"{stem.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CoreFailedError(f"CDISC CORE left no report that can be read. {again}") from error


def outcomes(report: Any) -> Iterator[Outcome]:
    """A report of `core validate -of JSON` as outcomes; values and subjects that it names are left behind.

    A rule with issues has one outcome for each dataset, any other one for all. CORE knows no severity, so each is an
    error. Raises CoreFailedError for a report without rules, or of another form.
    """
    from pointblank.metadata import parse_core_report

    try:
        read = parse_core_report(report)
    except (TypeError, ValueError, AttributeError) as error:
        raise CoreFailedError("the report of CDISC CORE has another form than expected. Ask the programmer") from error
    if not read.rules:
        raise CoreFailedError("CDISC CORE ran no rule. Check its version, its cache and the standard of the study")
    version = str(read.engine_version or "")
    where: dict[tuple[str, str], tuple[set[str], list[int]]] = {}
    for issue in read.findings:
        names, rows = where.setdefault((issue.rule_id, _dataset(issue.dataset)), (set(), []))
        names.update(str(one) for one in issue.variables)
        if issue.row is not None:
            rows.append(issue.row)
    failed: set[str] = set()
    for one in read.issue_summary:
        failed.add(one.rule_id)
        dataset = _dataset(one.dataset)
        names, rows = where.get((one.rule_id, dataset), (set(), []))
        variable, numbers = ", ".join(sorted(names)), tuple(sorted(set(rows))[:NAMED])
        message = one.message.rstrip(".")
        yield Outcome(ENGINE, version, one.rule_id, dataset, variable, "error", "fail", message, one.issues, numbers)
    for rule in read.rules:
        if rule.rule_id not in failed:
            result = "fail" if rule.status == "ISSUE REPORTED" else STATUSES.get(rule.status, "not_run")
            message = (rule.message or "").rstrip(".")
            yield Outcome(ENGINE, version, rule.rule_id, "", "", "error", result, message)


def _dataset(name: str) -> str:
    """A dataset's name: CORE names the dataset or its file; what is about the whole study it calls STUDY."""
    stem = Path(name or "").stem.upper()
    return "" if stem == "STUDY" else stem


def dataset_json(name: str, table: pa.Table, *, studyid: str, cut_off: str) -> dict[str, Any]:
    """A dataset as Dataset-JSON 1.1, the data stamped with the cut-off and never with the clock."""
    columns, values = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        content = column.to_pylist()
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        about: dict[str, Any] = {"itemOID": f"IT.{name}.{field.name}", "name": field.name}
        about["label"] = ((field.metadata or {}).get(b"label") or field.name.encode()).decode()
        if pa.types.is_string(kind) or pa.types.is_null(kind):
            longest = max((len(one.encode()) for one in content if one is not None), default=0)
            about |= {"dataType": "string", "length": max(longest, 1)}
        else:
            content = [None if one is None or math.isnan(one) else one for one in content]
            whole = all(one is None or float(one).is_integer() for one in content)
            about["dataType"] = "integer" if whole else "double"
            content = [int(one) if whole and one is not None else one for one in content]
        columns.append(about)
        values.append(content)
    return {
        "datasetJSONCreationDateTime": f"{cut_off}T00:00:00",
        "datasetJSONVersion": "1.1.0",
        "fileOID": f"{studyid}.{name}",
        "studyOID": studyid,
        "itemGroupOID": f"IG.{name}",
        "records": table.num_rows,
        "name": name,
        "label": ((table.schema.metadata or {}).get(b"label") or name.encode()).decode(),
        "columns": columns,
        "rows": [list(row) for row in zip(*values, strict=True)],
    }
