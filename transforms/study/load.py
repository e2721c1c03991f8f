"""Reading a study: every file of its folder, checked as a whole, every fault reported at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from transforms.algorithms.base import StudyCodelist, fold
from transforms.core import text
from transforms.core.tables import Table, read_table
from transforms.errors import ConfigurationError, Fault, UsageError
from transforms.standards import Standards
from transforms.study import carriers, check
from transforms.study.analyses import AnalysisFile
from transforms.study.gate import GATE, Gate
from transforms.study.guide import GUIDE, Guide
from transforms.study.models import FORMATS, DatasetFile, DelimitedSource, Source, StudyFile
from transforms.study.results import RESULTS, Results, ResultsFile, joined
from transforms.study.yaml import read_yaml

ModelT = TypeVar("ModelT", bound=BaseModel)
SHARED = ("variables", "working")
MAPPINGS = Path(__file__).resolve().parents[2] / "cdisc_mappings"
CODELISTS = "codelists"
EXTENSIONS = "ct_extensions"
CODELIST_COLUMNS = ("CODELIST", "COLLECTED", "ACTION", "TERM", "CT")
EXTENSION_COLUMNS = ("CODELIST", "TERM", "WHY")
DELIMITERS = ("delimiter", "quote")
ACTIONS = {"term", "fix", "ignore"}
UNFINISHED = ".import"
"""The journal of an import that replaces files of the study; it is there while some are replaced and some are not."""


@dataclass(frozen=True, eq=False)
class Study:
    """A study, read and checked. Its parts are frozen; `specification_files` is the sha256 of every file it is of.

    A study equals itself only, so that what is worked out of it once can be kept for it.
    """

    folder: Path
    file: StudyFile
    placement: str
    standards: Standards
    sources: Mapping[str, Source]
    datasets: Mapping[str, DatasetFile]
    analyses: Mapping[str, AnalysisFile]
    tables: Mapping[str, Table]
    codelists: Mapping[str, StudyCodelist]
    extensions: Mapping[str, frozenset[str]]
    files: Mapping[str, str]
    gate: Gate | None
    guide: Guide
    results: Results | None
    specification_files: Mapping[str, str]

    @property
    def name(self) -> str:
        """The study's short name: folder of the warehouse, schema in the database."""
        return self.file.study

    @property
    def specification_hash(self) -> str:
        """A hash of every file the study is made of."""
        written = "".join(f"{file}\0{content}\n" for file, content in self.specification_files.items())
        return hashlib.sha256(written.encode()).hexdigest()

    @classmethod
    def load(cls, study: str | Path, *, placement: str | None = None, standards: Path | None = None) -> Study:
        """Read the study in the folder `study` (a path, or a name under cdisc_mappings).

        Raises ConfigurationError with all faults, UsageError where there is no such study or profile.
        """
        folder = find_folder(study)
        if (folder / UNFINISHED).exists():
            raise UsageError(
                f"{folder}: the import of a workbook was cut short, some files are changed and some are not. "
                "./cairn spec import finishes it"
            )
        reader = _Reader(folder)
        file = reader.model(folder / "study.yml", StudyFile)
        sources = reader.sources(file)
        tables = reader.tables()
        codelists, targets = reader.codelists(tables)
        extensions = reader.extensions(tables)
        profile = placement or (file.placement.default if file else "")
        if file is not None and profile not in file.placement.profiles:
            raise UsageError(
                f"{folder.name} has no placement {profile!r}; choose one of {', '.join(file.placement.profiles)}"
            )
        datasets, origins = reader.datasets(profile)
        analyses = reader.analyses(profile, origins)
        gate = reader.model(folder / GATE, Gate) if (folder / GATE).exists() else None
        guide = reader.model(folder / GUIDE, Guide) if (folder / GUIDE).exists() else None
        results = reader.results()
        published = reader.standards(file, standards or MAPPINGS / "standards")
        if file is None or published is None:
            raise ConfigurationError(reader.faults)
        if file.study != folder.name:
            reader.fault("study.yml", "study", f"says {file.study!r}", f"Name it as its folder: {folder.name}")
        result = cls(
            folder=folder,
            file=file,
            placement=profile,
            standards=published,
            sources=sources,
            datasets=datasets,
            analyses=analyses,
            tables=tables,
            codelists=codelists,
            extensions=extensions,
            files=origins,
            gate=gate,
            guide=guide or Guide(),
            results=results,
            specification_files=_files(folder),
        )
        reader.faults.extend(check.faults_of(result, targets, frozenset(reader.unreadable)))
        if reader.faults:
            raise ConfigurationError(reader.faults)
        return result


def find_folder(study: str | Path) -> Path:
    """The folder of a study given by name or path."""
    for folder in (MAPPINGS / str(study), Path(study)):
        if (folder / "study.yml").is_file():
            return folder.resolve()
    known = ", ".join(sorted(path.parent.name for path in MAPPINGS.glob("*/study.yml")))
    raise UsageError(f"no study {str(study)!r}: no folder with a study.yml of that name. Known studies: {known}")


def _files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".yml", ".csv"} and path.is_file()
    }


def _stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What differs once a file of the standards was written again."""
    read = ((path, path.stat()) for path in sorted(folder.glob("*/*.csv")))
    return tuple((str(path), found.st_mtime_ns, found.st_size) for path, found in read)


@lru_cache(maxsize=4)
def _published(
    root: Path, _: tuple[tuple[str, int, int], ...], sdtmig: str, sdtm: str, ct: str, adamig: str | None
) -> Standards:
    """The standards of some versions; their thousands of terms are read once as long as no file is written again."""
    return Standards.load(root, sdtmig=sdtmig, sdtm=sdtm, ct=ct, adamig=adamig)


class _Reader:
    """Reads the files of one folder and collects faults instead of stopping at the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[Fault] = []
        self.unreadable: set[str] = set()

    def relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def fault(self, path: Path | str, place: str, problem: str, remedy: str) -> None:
        file = path if isinstance(path, str) else self.relative(path)
        self.faults.append(Fault(file, place, problem, remedy))

    def content(self, path: Path) -> Any:
        try:
            content = read_yaml(path)
        except FileNotFoundError:
            self.fault(path, "", "the file is missing", "Write it; docs/add-a-study.md shows how")
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "cannot be read as YAML"
            self.fault(path, place, str(problem), "Correct the YAML")
        except UnicodeDecodeError:
            self.fault(path, "", "is not UTF-8", "Save the file as UTF-8")
        else:
            for place, character in _unseen(content):
                self.fault(path, place, f"holds {character}, which does not show", "Write it without")
            return content
        return None

    def model(self, path: Path, kind: type[ModelT], context: dict[str, Any] | None = None) -> ModelT | None:
        return self.validate(path, self.content(path), kind, context)

    def validate(
        self, path: Path, content: Any, kind: type[ModelT], context: dict[str, Any] | None = None, under: str = ""
    ) -> ModelT | None:
        if content is None:
            if path.is_file() and not self.faults:
                self.fault(path, "", "the file is empty", "Write it; docs/add-a-study.md shows how")
            return None
        try:
            return kind.model_validate(content, context=context)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                place = ".".join(str(part) for part in item["loc"] if part != "algorithm")
                self.fault(path, f"{under}.{place}" if under else place, _plain(item), _remedy(item, kind))
        return None

    def standards(self, file: StudyFile | None, root: Path) -> Standards | None:
        if file is None:
            return None
        used = file.standards
        try:
            return _published(root, _stamps(root), used.sdtmig, used.sdtm, used.ct, used.adamig)
        except FileNotFoundError as error:
            self.fault("study.yml", "standards", str(error), "Name a version that is at hand, or add its folder")
            return None

    def format(self, path: Path, content: Any, under: str = "") -> type[Source]:
        """The class of a source's format; an unknown one is a fault."""
        named = content.get("format", "delimited") if isinstance(content, dict) else "delimited"
        if named not in FORMATS:
            self.fault(path, f"{under}format", f"no format {named!r}", f"Write one of: {', '.join(FORMATS)}")
        return FORMATS.get(named, DelimitedSource)

    def sources(self, file: StudyFile | None) -> dict[str, Source]:
        result: dict[str, Source] = {}
        for path in sorted((self.folder / "sources").glob("*.yml")):
            content = self.content(path)
            if isinstance(content, dict) and isinstance(content.get("shared_columns"), str):
                shared = file.shared_columns.get(content["shared_columns"]) if file else {}
                if shared is None:
                    self.fault(
                        path,
                        "shared_columns",
                        f"study.yml has no shared columns {content['shared_columns']!r}",
                        "Name one that study.yml declares",
                    )
                else:
                    dumped = {name: column.model_dump() for name, column in shared.items()}
                    content = {**content, "columns": {**dumped, **(content.get("columns") or {})}}
            also = content.pop("also", []) if isinstance(content, dict) else []
            source = self.validate(path, content, self.format(path, content))
            if source is None:
                self.unreadable.add(path.stem)
                continue
            source = source.model_copy(update={"also": self.carriers(path, file, source, also)})
            if source.source != path.stem:
                self.fault(path, "source", f"says {source.source!r}", f"Name it as its file: {path.stem}")
            result[path.stem] = source
        if not result and not self.faults:
            self.fault("sources", "", "no source contract", "Write one YAML per extract")
        return result

    def carriers(self, path: Path, file: StudyFile | None, source: Source, also: Any) -> tuple[Source, ...]:
        """The other carriers of a source; a name stands for shared ones of study.yml."""
        shared = file.shared_carriers if file else {}
        written: list[Mapping[str, Any]] = []
        for one in also if isinstance(also, list) else [also]:
            if isinstance(one, dict):
                written.append(one)
            elif isinstance(one, str) and one in shared:
                written.extend(shared[one])
            else:
                self.fault(path, "also", f"{one!r} is no carrier", "Write a carrier, or name shared ones of study.yml")
        result = []
        for number, one in enumerate(written, start=1):
            place = f"also.{number}"
            kind = self.format(path, one, f"{place}.")
            problems = list(carriers.problems_of(source, one, kind))
            for where, problem, remedy in problems:
                self.fault(path, f"{place}.{where}", problem, remedy)
            carrier = (
                self.validate(path, carriers.written_out(source, one, kind), kind, under=place)
                if not problems
                else None
            )
            if carrier is not None:
                result.append(carrier)
        return tuple(result)

    def tables(self) -> dict[str, Table]:
        result = {}
        for path in sorted((self.folder / "tables").glob("*.csv")):
            try:
                result[path.stem] = read_table(path, self.relative(path))
            except ValueError as error:
                self.fault(path, "", str(error), "Correct the table")
        return result

    def _columns(self, table: Table, needed: Iterable[str]) -> bool:
        missing = [name for name in needed if name not in table.columns]
        if missing:
            self.fault(table.file, "header", f"lacks {', '.join(missing)}", "Add the column")
        return not missing

    def codelists(self, tables: Mapping[str, Table]) -> tuple[dict[str, StudyCodelist], check.Targets]:
        table = tables.get(CODELISTS)
        if table is None or not self._columns(table, CODELIST_COLUMNS):
            return {}, {}
        terms: dict[str, dict[str, str | None]] = {}
        written: dict[str, dict[str, str]] = {}
        targets: dict[str, str] = {}
        places: check.Targets = {}
        for row, line in zip(
            zip(*(table.values(name) for name in CODELIST_COLUMNS), strict=True), table.lines, strict=True
        ):
            name, collected, action, term, target = row
            place = f"line {line}"
            if action not in ACTIONS:
                self.fault(table.file, place, f"unknown action {action!r}", "Write term, fix or ignore")
                continue
            if (action == "ignore") == bool(term):
                self.fault(table.file, place, f"action {action} with TERM {term!r}", "Only term and fix have a TERM")
                continue
            known = terms.setdefault(name, {})
            if fold(collected) in known and known[fold(collected)] != (term or None):
                self.fault(table.file, place, f"{collected!r} of {name} is mapped twice", "Keep one row")
            if targets.setdefault(name, target) != target:
                self.fault(table.file, place, f"{name} names two CT codelists", "Keep one CT code per codelist")
            known[fold(collected)] = term or None
            written.setdefault(name, {}).setdefault(fold(collected), collected)
            places.setdefault(name, check.Target(target, []))
            if term:
                places[name].terms.append((term, place))
        lists = {name: StudyCodelist(name, targets[name], known, written[name]) for name, known in terms.items()}
        return lists, places

    def extensions(self, tables: Mapping[str, Table]) -> dict[str, frozenset[str]]:
        table = tables.get(EXTENSIONS)
        if table is None or not self._columns(table, EXTENSION_COLUMNS):
            return {}
        result: dict[str, set[str]] = {}
        for codelist, term in zip(table.values("CODELIST"), table.values("TERM"), strict=True):
            result.setdefault(codelist, set()).add(term)
        return {codelist: frozenset(terms) for codelist, terms in result.items()}

    def datasets(self, placement: str) -> tuple[dict[str, DatasetFile], dict[str, str]]:
        result: dict[str, DatasetFile] = {}
        origins: dict[str, str] = {}
        for path in sorted((self.folder / "sdtm").glob("*.yml")):
            content = self.content(path)
            several = content.get("datasets") if isinstance(content, dict) else None
            for name in several if isinstance(several, list) else [None]:
                context: dict[str, Any] = {"profile": placement}
                if name is not None:
                    groups = content.get("records") or []
                    placed = {
                        group["placement"].get(placement)
                        for group in groups
                        if isinstance(group, dict) and isinstance(group.get("placement"), dict)
                    }
                    if name not in placed:
                        continue
                    context = {"place": (name, placement)}
                dataset = self.validate(path, content, DatasetFile, context)
                if dataset is None:
                    self.unreadable.update(several if isinstance(several, list) else [path.stem.upper()])
                    break
                if dataset.name in result:
                    self.fault(path, "dataset", f"{dataset.name} is also in {origins[dataset.name]}", "Keep one")
                result[dataset.name] = dataset
                origins[dataset.name] = self.relative(path)
        if not result and not self.faults:
            self.fault("sdtm", "", "no dataset", "Write one YAML per dataset")
        return result, origins

    def with_blocks(self, path: Path, content: Any) -> Any:
        """An analysis dataset with the variables that it shares with others: `blocks: [windows]`, adam/blocks/."""
        if not isinstance(content, Mapping) or "blocks" not in content:
            return content
        names = content["blocks"]
        merged = {key: value for key, value in content.items() if key != "blocks"}
        for name in names if isinstance(names, list) else [names]:
            block = self.content(path.parent / "blocks" / f"{name}.yml")
            if not isinstance(block, Mapping) or not set(block) <= set(SHARED):
                self.fault(path, "blocks", f"{name!r} has other parts than {', '.join(SHARED)}", "Correct the block")
                continue
            for part, written in block.items():
                own = merged.get(part, {})
                twice = sorted({*own} & {*written}) if isinstance(own, Mapping) else []
                if twice:
                    self.fault(path, part, f"{', '.join(twice)} is in block {name!r} as well", "Keep one")
                merged[part] = {**own, **written}
        return merged

    def analyses(self, placement: str, origins: dict[str, str]) -> dict[str, AnalysisFile]:
        result: dict[str, AnalysisFile] = {}
        for path in sorted((self.folder / "adam").glob("*.yml")):
            content = self.with_blocks(path, self.content(path))
            analysis = self.validate(path, content, AnalysisFile, {"placement": placement})
            if analysis is None:
                self.unreadable.add(path.stem.upper())
            elif analysis.name in origins:
                self.fault(path, "dataset", f"{analysis.name} is also in {origins[analysis.name]}", "Keep one")
            else:
                result[analysis.name] = analysis
                origins[analysis.name] = self.relative(path)
        return result

    def results(self) -> Results | None:
        """The outputs of the study; None if it has none."""
        read = []
        for path in sorted((self.folder / RESULTS).glob("*.yml")):
            content = self.validate(path, self.content(path), ResultsFile)
            if content is None:
                self.unreadable.add(RESULTS)
            else:
                read.append((self.relative(path), content))
        found, twice = joined(read)
        for file, place, other in twice:
            self.fault(file, place, f"is also in {other}", "Keep one, or rename it")
        return found if found.outputs else None


def _unseen(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Where texts hold a character that does not show, line breaks and the delimiter of a format excepted."""
    if isinstance(content, str):
        character = text.unseen(content.replace("\n", ""))
        if character and not place.endswith(DELIMITERS):
            yield place, character
    elif isinstance(content, Mapping):
        for key, one in content.items():
            yield from _unseen(one, f"{place}.{key}" if place else str(key))
    elif isinstance(content, list):
        for number, one in enumerate(content):
            yield from _unseen(one, f"{place}.{number}")


def _plain(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return f"unknown key {str(item['loc'][-1])!r}"
    if item["type"] == "missing":
        return f"{str(item['loc'][-1])!r} is missing"
    message = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
    return message[0].lower() + message[1:]


def _remedy(item: Mapping[str, Any], kind: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
        return f"Remove it, or write one of: {', '.join(sorted(kind.model_fields))}"
    if item["type"] == "missing":
        return "Add it"
    return "Correct the value"
