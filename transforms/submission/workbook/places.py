"""Where in a study's files a cell of the workbook is written, or why it is written nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transforms.study.analyses import AnalysisFile
from transforms.study.written import WrittenCsv, WrittenYaml, read_text
from transforms.submission.define.results import TABLE
from transforms.submission.workbook.plan import Plan
from transforms.submission.workbook.sheets import PROTOCOL, STUDY_NAME, TITLE

Steps = tuple[str | int, ...]
SECTIONS = ("variables", "supplemental")
TYPED = ("text", "integer", "float")
STUDY = "study.yml"
METHOD, COMMENT, QUALIFIER = "MT.", "COM.", ".QVAL."
NOTES = "Developer Notes"
FROM_DATA = "it is worked out from the data as submitted; the define has it"


@dataclass(frozen=True)
class Place:
    """A value of a study's file: a path in YAML, or a cell of a table."""

    file: str
    line: int
    steps: Steps = ()
    row: int | None = None
    column: str = ""

    def __str__(self) -> str:
        what = self.column if self.row is not None else ".".join(map(str, self.steps))
        return f"{self.file}, line {self.line} ({what})"

    def written(self, text: str, value: str | list[str]) -> str:
        """The file with another value there."""
        if self.row is not None:
            return WrittenCsv(text).replaced(self.row, self.column, str(value)).text
        return WrittenYaml(text).replaced(self.steps, value).text


class NoPlaceError(Exception):
    """A cell that is written nowhere, or in several places: the message says why, and where to change it."""


@dataclass(frozen=True)
class Places:
    """The places of a plan's cells."""

    plan: Plan

    @cached_property
    def _texts(self) -> dict[str, WrittenYaml]:
        return {}

    def yaml(self, file: str) -> WrittenYaml:
        """A YAML file of the study."""
        if file not in self._texts:
            self._texts[file] = WrittenYaml(read_text(self.plan.study.folder / file))
        return self._texts[file]

    def _place(self, file: str, *steps: str | int) -> Place:
        return Place(file, self.yaml(file).line(steps), steps)

    def of(self, sheet: str, key: tuple[str, ...], column: str) -> tuple[Place, ...]:
        """The places of a cell. Raises NoPlaceError."""
        finder = {
            "Study": self._study,
            "Datasets": self._dataset,
            "Variables": self._variable,
            "ValueLevel": self._value,
            "Codelists": self._term,
            "Dictionaries": self._dictionary,
            "Methods": self._method,
            "Comments": self._comment,
            "Analysis Displays": self._display,
            "Analysis Results": self._result,
        }.get(sheet)
        if column == NOTES:
            raise NoPlaceError("notes are kept nowhere: write a comment")
        if finder is None:
            why = "it follows from values and results of the specification"
            raise NoPlaceError("documents are always these" if sheet == "Documents" else why)
        return tuple(finder(key, column))

    def _study(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        names = {STUDY_NAME: "studyid", PROTOCOL: "studyid", TITLE: "title"}
        if column != "Value" or key[0] not in names:
            raise NoPlaceError(f"another standard or placement is another study: see {STUDY}")
        yield self._place(STUDY, names[key[0]])

    def _dataset(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        name = key[0]
        file = self.plan.study.files.get(name)
        if file is None:
            raise NoPlaceError("supplemental qualifiers follow from `supplemental` of their dataset")
        if column == "Key Variables":
            own = self._content(name)
            submitted = {item.name for group in self.plan.groups if group.name == name for item in group.items}
            if self.yaml(file).node(("datasets",)) is not None or self.yaml(file).node(("placement",)) is not None:
                raise NoPlaceError(f"the keys serve several datasets: change `keys` in {file}")
            if not set(own.keys) <= submitted:
                raise NoPlaceError(f"some keys are not submitted: change `keys` in {file}")
            yield self._place(file, "keys")
        elif column in ("Label", "Structure") and name in self.plan.study.analyses:
            yield self._place(file, column.lower())
        elif column in ("Label", "Structure", "Class"):
            raise NoPlaceError(f"the standard publishes it for the dataset ({file})")
        elif column == "Comment":
            raise NoPlaceError(f"write the comment in a row {COMMENT}{name} of the sheet Comments")
        elif column == "Has No Data":
            raise NoPlaceError(FROM_DATA)
        else:
            raise NoPlaceError(f"it follows from the class of the dataset ({file})")

    def _content(self, dataset: str) -> Any:
        study = self.plan.study
        return study.analyses.get(dataset) or study.datasets[dataset]

    def _variable(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        dataset, name = key
        file = self.plan.study.files.get(dataset, "")
        if column in ("Length", "Significant Digits", "Has No Data", "Pages"):
            raise NoPlaceError(FROM_DATA)
        if column == "Comment":
            raise NoPlaceError(f"write the comment in a row {COMMENT}{dataset}.{name} of the sheet Comments")
        if column == "Method":
            raise NoPlaceError("write the derivation in the sheet Methods; whether there is one follows from the rule")
        analysis = self.plan.study.analyses.get(dataset)
        if analysis is None and column in ("Label", "Data Type", "Codelist", "Mandatory", "Order", "Format"):
            raise NoPlaceError("the standard publishes it")
        if analysis is not None and column in ("Label", "Data Type"):
            yield self._stated(analysis, name, column)
            return
        if analysis is not None and column == "Order":
            raise NoPlaceError(f"it is the order of `variables` in {file}")
        raise NoPlaceError(f"it follows from the rule: change {self._shown(dataset, name)}")

    def _stated(self, file: AnalysisFile, name: str, column: str) -> Place:
        """The label or type that an analysis dataset states for a variable that no standard defines."""
        if name in file.subject:
            raise NoPlaceError("the variable is ADSL's: change it there")
        derivation = file.variables.get(name)
        if derivation is None:
            raise NoPlaceError("the engine writes the variable")
        if derivation.label is None or derivation.type is None:
            raise NoPlaceError("the standard publishes it; a study states `label` and `type` of other variables only")
        if column == "Data Type" and derivation.type not in TYPED:
            raise NoPlaceError(f"dates are told by `type`: change {self._shown(file.name, name)}")
        (place,) = self.variable(file.name, name)
        return self._place(place.file, *place.steps, {"Label": "label", "Data Type": "type"}[column])

    def _shown(self, dataset: str, name: str) -> str:
        found = self.variable(dataset, name)
        return "; ".join(map(str, found)) or f"{self.plan.study.files.get(dataset, 'what the engine writes')}"

    def variable(self, dataset: str, name: str) -> tuple[Place, ...]:
        """Each place where the rule of a variable is written."""
        study = self.plan.study
        file = study.files.get(dataset)
        if file is None:
            return ()
        files = [file]
        if dataset in study.analyses:
            blocks = self.yaml(file).node(("blocks",))
            files += [f"adam/blocks/{one.value}.yml" for one in (blocks.value if blocks is not None else [])]
        found = []
        names = (name, f"--{name.removeprefix(dataset)}") if name.startswith(dataset) else (name,)
        for one in files:
            tree = self.yaml(one)
            roots: list[Steps] = [()]
            records = tree.node(("records",))
            for number in range(len(records.value) if records is not None else 0):
                placed = tree.node(("records", number, "placement", study.placement))
                if placed is None or placed.value == dataset:
                    roots.append(("records", number))
            for root in roots:
                for section in SECTIONS:
                    steps = next(
                        ((*root, section, own) for own in names if tree.node((*root, section, own)) is not None), None
                    )
                    if steps is not None:
                        found.append(self._place(one, *steps))
        return tuple(found)

    def _only(self, dataset: str, name: str, key: str) -> Place:
        found = self.variable(dataset, name)
        if not found:
            raise NoPlaceError("the engine writes the variable; its words are always these")
        if len(found) > 1:
            shown = "; ".join(map(str, found))
            raise NoPlaceError(f"the variable is filled in {len(found)} places; write `{key}` in each: {shown}")
        return self._place(found[0].file, *found[0].steps, key)

    def _value(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        dataset, _, where = key
        parent, name = dataset.removeprefix("SUPP"), where.rpartition(".")[2]
        if column in ("Length", "Significant Digits", "Pages"):
            raise NoPlaceError(FROM_DATA)
        if column != "Label":
            raise NoPlaceError(f"it follows from the rule: change {self._shown(parent, name)}")
        stated = self.variable(parent, name)
        yield from (self._place(one.file, *one.steps, "label") for one in stated)

    def _term(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        oid, term = key
        cells = sorted(self.plan.decodes.get((oid, term), ()))
        if column != "Decoded Value" or not cells:
            raise NoPlaceError(
                "codelists follow from the rules of the variables, tables/codelists.csv, tables/ct_extensions.csv and "
                "the published terminology"
            )
        for one in cells:
            table = self.plan.study.tables[one.table]
            yield Place(table.file, table.lines[one.row], row=one.row, column=one.column)

    def _dictionary(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        part = {"Dictionary": "name", "Version": "version"}.get(column)
        known = next(one for one in self.plan.codelists if one.oid == key[0])
        if part is None:
            raise NoPlaceError("it follows from the name of the dictionary")
        for name, one in self.plan.study.file.dictionaries.items():
            if (one.name, one.version) == (known.dictionary, known.version):
                yield self._place(STUDY, "dictionaries", name, part)

    def _method(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        if column != "Description":
            raise NoPlaceError("only the description of a method is written by people")
        yield self._only(*self._named(key[0].removeprefix(METHOD)), "method")

    def _comment(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        if column != "Description":
            raise NoPlaceError("only the description of a comment is written by people")
        named = key[0].removeprefix(COMMENT)
        if "." not in named and named in self.plan.study.files:
            yield self._place(self.plan.study.files[named], "comment")
            return
        yield self._only(*self._named(named), "comment")

    def _named(self, place: str) -> tuple[str, str]:
        """Dataset and variable of `AE.AETERM`, and of `SUPPAE.QVAL.AEDLT`."""
        dataset, _, name = place.replace(QUALIFIER, ".").partition(".")
        return (dataset.removeprefix("SUPP"), name) if QUALIFIER in place else (dataset, name)

    def _display(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        if column != "Title":
            raise NoPlaceError("an output has no such word")
        yield self._place(self._output(key[0]), "outputs", key[0], "title")

    def _output(self, name: str) -> str:
        results = self.plan.study.results
        if results is None:
            raise NoPlaceError("the study has no results")
        return results.places["outputs", name]

    def _result(self, key: tuple[str, ...], column: str) -> Iterator[Place]:
        display, oid = key
        file, analysis = self._output(display), oid.removeprefix(f"AR.{display}.")
        if column in ("Reason", "Purpose"):
            table = self.plan.study.tables[TABLE]
            rows = list(zip(table.values("OUTPUT"), table.values("ANALYSIS"), strict=True))
            row = next(n for n in (analysis, "") if (display, n) in rows)
            number = rows.index((display, row))
            yield Place(table.file, table.lines[number], row=number, column=column.upper())
            return
        analyses = self.yaml(file).node(("outputs", display, "analyses"))
        for number in range(len(analyses.value) if analyses is not None else 0):
            named = self.yaml(file).node(("outputs", display, "analyses", number, "id"))
            if named is not None and named.value == analysis:
                if column == "Description":
                    yield self._place(file, "outputs", display, "analyses", number, "label")
                    return
                raise NoPlaceError(f"it follows from the analysis: change {analysis} of {display} in {file}")
        raise NoPlaceError(f"change {display} in {file}")
