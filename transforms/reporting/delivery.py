"""The delivery report: one page per run that says what arrived, whether it was whole, and what must be answered.

The page is one HTML file without scripts or references to anything outside it. The same facts give the same bytes:
no clock and no chance enter it. It shows files, lines, rules and counts, never a collected value.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

Row = Mapping[str, Any]

OUTCOMES = ("accepted", "quarantined", "superseded", "duplicate", "excluded")
SEVERITIES = {
    "critical": ("Critical", "They stop an export."),
    "answer": ("To answer", "Each waits for a person's answer."),
    "information": ("Information", "Nothing needs to be done."),
}
WORDS = {"quarantined": "held"}
STATUS = {"open": 0, "answered": 1, "waived": 2}
CHANGE = {"new": 0, "reopened": 1, "open": 2}
SYNTHETIC = "SYNTHETIC - NOT PATIENT DATA"
SHOWN_PLACES = 5
SHOWN_LINES = 5
SHOWN_RANGES = 30
SHOWN_VARIABLES = 8


@dataclass(frozen=True)
class DeliveryFacts:
    """What a run did, as plain rows.

    `received` are the files of this run, with the fields of `warehouse.raw_store.Received`. The accepted files that
    earlier runs took should be among them, with `taken_before` true: then their rows are checked as well. A file
    that came twice is there twice, as it is in the accounts.
    `accounts` are rows of `snapshot.ACCOUNT`; `quarantine` rows have file, line, rule, finding_id, releasable.
    `findings` and `closed` have the fields of `findings.Finding` and why, cause, who, status, opened, change.
    `datasets` gives records now and in the snapshot before (None: new). `changes` are summaries of `changes.compare`,
    `source_changes` the same of the accepted rows of each source whose files changed. `conformance` is what
    `conformance.read` returns, or empty.
    `waiting` are files in landing that still grow. `label` is written over the page, for synthetic data for example.
    """

    study: str
    title: str
    snapshot_id: str
    previous_id: str | None
    cut_off: str
    published: bool
    run_id: str
    received: Sequence[Row] = ()
    accounts: Sequence[Row] = ()
    findings: Sequence[Row] = ()
    closed: Sequence[Row] = ()
    datasets: Mapping[str, tuple[int, int | None]] | None = None
    changes: Sequence[Row] = ()
    source_changes: Sequence[Row] = ()
    quarantine: Sequence[Row] = ()
    waiting: Sequence[str] = ()
    conformance: Row = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True)
class FileLine:
    """One file: its rows in, and what became of them. `unknown` are outcomes the page has no column for."""

    file: str
    source: str
    sha256: str
    size: int | None
    extracted_at: str
    rows: int | None
    outcomes: tuple[int, ...]
    rules: tuple[str, ...]
    unknown: Mapping[str, int]
    taken_before: bool

    @property
    def missing(self) -> int | None:
        """Rows in that no outcome accounts for (negative: rows too many); None where rows in are not known."""
        return None if self.rows is None else self.rows - sum(self.outcomes)


def delivery_report(facts: DeliveryFacts) -> str:
    """The page of one run, as HTML text."""
    return template("delivery.html.j2").render(view(facts))


def page_name(run_id: str) -> str:
    """The file name of a run's page."""
    return f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', run_id)}.html"


def view(facts: DeliveryFacts) -> dict[str, Any]:
    """Everything the template shows, in the order in which it shows it."""
    files = file_lines(facts)
    here = [one for one in files if not one.taken_before]
    earlier = [one for one in files if one.taken_before]
    refused = sorted((dict(one) for one in facts.received if not one["accepted"]), key=lambda one: _name(one["file"]))
    yields = yield_lines(facts)
    movements = movement_lines(facts)
    faults = _faults(files, yields, movements)
    ready = _answerable(facts)
    return {
        "facts": facts,
        "label": facts.label or (SYNTHETIC if "synthetic" in facts.title.lower() else ""),
        "mark": _css_text(f"{facts.study}  snapshot {facts.snapshot_id}  cut-off {facts.cut_off}"),
        "state": _state(facts),
        "summary": _summary(facts, here, earlier, refused),
        "tasks": _tasks(facts, refused, ready),
        "faults": faults,
        "files": here,
        "total": _total(here),
        "earlier": earlier,
        "earlier_total": _total(earlier),
        "outcomes": OUTCOMES,
        "refused": refused,
        "yields": yields,
        "severities": _severities(facts.findings),
        "example": ready[0]["finding_id"] if ready else "FINDING_ID",
        "closed": [_finding(one) for one in facts.closed],
        "held": _held(facts),
        "movements": movements,
        "source_moves": movement_lines(DeliveryFacts("", "", "", None, "", True, "", changes=facts.source_changes)),
        "moved": [one for one in movements if one["moved"] and facts.previous_id],
        "still": [one for one in movements if not (one["moved"] and facts.previous_id)],
        "study_word": shlex.quote(facts.study),
    }


def file_lines(facts: DeliveryFacts) -> list[FileLine]:
    """The accepted files with their row accounts, by source and file."""
    accounts: dict[tuple[str, str, str], list[Row]] = {}
    for row in facts.accounts:
        if row["stage"] == "staging":
            accounts.setdefault((row["source"], row["file"], row["sha256"] or ""), []).append(row)
    known: dict[tuple[str, str, str], list[Row]] = {}
    for one in facts.received:
        if one["accepted"]:
            known.setdefault((one["source"], one["file"], one["sha256"] or ""), []).append(one)
    result = []
    for key in sorted({*accounts, *known}, key=lambda one: tuple(_name(part) for part in one)):
        received, lines = known.get(key, []), accounts.get(key, [])
        counts = dict.fromkeys(OUTCOMES, 0)
        rules: dict[tuple[str, str], int] = {}
        for line in lines:
            counts[line["outcome"]] = counts.get(line["outcome"], 0) + line["rows"]
            if line["rule"]:
                rules[line["outcome"], line["rule"]] = rules.get((line["outcome"], line["rule"]), 0) + line["rows"]
        result.append(
            FileLine(
                file=key[1],
                source=key[0],
                sha256=key[2],
                size=received[-1].get("size") if received else None,
                extracted_at=(received[-1].get("extracted_at") or "") if received else "",
                rows=sum(one["rows"] for one in received) if received else None,
                outcomes=tuple(counts[outcome] for outcome in OUTCOMES),
                rules=tuple(
                    f"{WORDS.get(outcome, outcome)} by {rule}: {_number(n)}"
                    for (outcome, rule), n in sorted(rules.items())
                ),
                unknown={outcome: n for outcome, n in sorted(counts.items()) if outcome not in OUTCOMES},
                taken_before=all(one.get("taken_before") for one in received),
            )
        )
    return result


def yield_lines(facts: DeliveryFacts) -> list[dict[str, Any]]:
    """Per source and dataset: how many accepted rows gave a record, were held back, or gave none and why."""
    accepted: dict[str, int] = {}
    for row in facts.accounts:
        if row["stage"] == "staging" and row["outcome"] == "accepted":
            accepted[row["source"]] = accepted.get(row["source"], 0) + row["rows"]
    given: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
    for row in facts.accounts:
        if row["stage"] != "staging":
            outcomes = given.setdefault((row["source"], row["dataset"] or ""), {})
            key = (row["outcome"], row["rule"] or "")
            outcomes[key] = outcomes.get(key, 0) + row["rows"]
    result = []
    for source in sorted(accepted):
        datasets = sorted(dataset for name, dataset in given if name == source)
        for dataset in datasets or [""]:
            outcomes = given.get((source, dataset), {})
            result.append(
                {
                    "source": source,
                    "first": dataset == (datasets or [""])[0],
                    "accepted": accepted[source],
                    "dataset": dataset,
                    "record": sum(n for (kind, _), n in outcomes.items() if kind == "record"),
                    "held": sum(n for (kind, _), n in outcomes.items() if kind == "held"),
                    "none": sum(n for (kind, _), n in outcomes.items() if kind not in {"record", "held"}),
                    "rules": [
                        f"{'held' if kind == 'held' else 'no record'} by {rule}: {_number(n)}"
                        for (kind, rule), n in sorted(outcomes.items())
                        if rule
                    ],
                    "missing": accepted[source] - sum(outcomes.values()) if dataset else 0,
                }
            )
    return result


def movement_lines(facts: DeliveryFacts) -> list[dict[str, Any]]:
    """Per dataset: records before and now, what came, went and changed, and by how much that does not add up."""
    changes = {one["dataset"]: one for one in facts.changes}
    datasets = facts.datasets or {}
    result = []
    for name in sorted({*datasets, *changes}):
        change = changes.get(name)
        now, before = datasets.get(name, (0, None)) if name in datasets else (None, None)
        if change is not None and name not in datasets:
            now, before = change.get("after"), change.get("before")
        line: dict[str, Any] = {"dataset": name, "now": now, "before": before, "compared": change is not None}
        for what in ("added", "removed", "changed", "renumbered"):
            line[what] = change.get(what, 0) if change else 0
        variables = sorted((change or {}).get("variables", {}).items(), key=lambda one: (-one[1], one[0]))
        line["variables"] = variables[:SHOWN_VARIABLES]
        line["more"] = len(variables) - len(line["variables"])
        line["new_variables"] = list((change or {}).get("new_variables", ()))
        line["gone_variables"] = list((change or {}).get("gone_variables", ()))
        line["gap"] = (now or 0) - ((before or 0) + line["added"] - line["removed"]) if change else 0
        line["moved"] = bool(
            (change is None and now != before)
            or line["gap"]
            or any(line[what] for what in ("added", "removed", "changed", "renumbered"))
            or line["new_variables"]
            or line["gone_variables"]
        )
        result.append(line)
    return result


def _total(files: Sequence[FileLine]) -> dict[str, Any]:
    stated = [one.rows for one in files if one.rows is not None]
    sums = tuple(sum(one.outcomes[position] for one in files) for position in range(len(OUTCOMES)))
    whole = len(stated) == len(files)
    return {
        "files": len(files),
        "rows": sum(stated) if whole else None,
        "outcomes": sums,
        "missing": sum(stated) - sum(sums) if whole else None,
    }


def _faults(files: Sequence[FileLine], yields: Sequence[Row], movements: Sequence[Row]) -> list[str]:
    """Accounts that do not close, in words; the page says them first."""
    result = [
        f"{one.file}: {_number(one.rows)} rows in, {_number(sum(one.outcomes))} accounted for ({_gap(one.missing)})"
        for one in files
        if one.missing
    ]
    result += [
        f"{one.file}: {_count(n, 'row')} with the outcome {outcome!r}, which has no place in the account"
        for one in files
        for outcome, n in one.unknown.items()
    ]
    result += [
        f"{one['source']} to {one['dataset']}: {_number(one['accepted'])} rows accepted, "
        f"{_number(one['accepted'] - one['missing'])} accounted for ({_gap(one['missing'])})"
        for one in yields
        if one["missing"]
    ]
    result += [
        f"{one['dataset']}: records before, added and removed give "
        f"{_number((one['now'] or 0) - one['gap'])}, the snapshot holds {_number(one['now'] or 0)}"
        for one in movements
        if one["gap"]
    ]
    return result


def _gap(missing: int | None) -> str:
    if not missing:
        return ""
    return f"{_count(abs(missing), 'row')} {'missing' if missing > 0 else 'too many'}"


def _state(facts: DeliveryFacts) -> str:
    if facts.published:
        return "Published" if facts.previous_id else "Published, the first of this study"
    if facts.previous_id and facts.previous_id != facts.snapshot_id:
        return f"Not published; snapshot {facts.previous_id} stands"
    return "Not published anew; this snapshot stands" if facts.previous_id else "Not published"


def _answerable(facts: DeliveryFacts) -> list[Row]:
    """Open findings that wait for a person, critical ones first."""
    open_ones = [
        one for one in facts.findings if one.get("status", "open") == "open" and one["severity"] != "information"
    ]
    return sorted(open_ones, key=_finding_order)


def _summary(
    facts: DeliveryFacts, files: Sequence[FileLine], earlier: Sequence[FileLine], refused: Sequence[Row]
) -> list[str]:
    """The run in a few sentences."""
    sentences = []
    if files:
        total = _total(files)
        named = dict(zip(OUTCOMES, total["outcomes"], strict=True))
        parts = [f"{_number(named['accepted'])} accepted", f"{_number(named['quarantined'])} held"]
        parts += [
            f"{_number(named[outcome])} {outcome}"
            for outcome in ("superseded", "duplicate", "excluded")
            if named[outcome]
        ]
        rows = _count(total["rows"], "row") if total["rows"] is not None else "rows"
        sentences.append(f"{_count(len(files), 'file')}, {rows} in: {', '.join(parts)}.")
    elif not refused:
        sentences.append("No new file arrived.")
    if refused:
        sentences.append(f"{_count(len(refused), 'file')} {_verb(len(refused), 'was', 'were')} refused.")
        if not files:
            sentences.append("Nothing of this run was taken.")
    if earlier:
        sentences.append(
            f"The snapshot {'also ' if files else ''}stands on {_count(len(earlier), 'file')} taken in earlier runs."
        )
    held_back = sum(row["rows"] for row in facts.accounts if row["stage"] != "staging" and row["outcome"] == "held")
    if held_back:
        sentences.append(f"{_count(held_back, 'accepted row')} {_verb(held_back, 'is', 'are')} held back in mapping.")
    waiting_for = len(_answerable(facts))
    if waiting_for:
        sentences.append(f"{_count(waiting_for, 'finding')} must be answered.")
    else:
        sentences.append("No finding must be answered.")
    if facts.closed:
        sentences.append(f"{_count(len(facts.closed), 'finding')} closed since the last publication.")
    return sentences


def _tasks(facts: DeliveryFacts, refused: Sequence[Row], ready: Sequence[Row]) -> list[dict[str, str]]:
    """What somebody has to do now: each a sentence and the section it leads to."""
    result = []
    if refused:
        causes = [one for one in refused if one["rule"] != "delivery_refused"] or refused
        names = _listed([one["file"] for one in causes], 2)
        result.append({"to": "refused", "text": f"Put right what was refused: {names}."})
    for severity, words in (("critical", "critical finding"), ("answer", "finding")):
        own = [one for one in ready if one["severity"] == severity]
        if own:
            new = sum(one.get("change") in {"new", "reopened"} for one in own)
            suffix = (
                ", new or reopened" if new == len(own) else f", {_number(new)} of them new or reopened" if new else ""
            )
            verb = "Resolve" if severity == "critical" else "Answer"
            result.append({"to": severity, "text": f"{verb} {_count(len(own), words)}{suffix}."})
    if facts.quarantine:
        rows = len(facts.quarantine)
        result.append(
            {
                "to": "held",
                "text": f"Have {_count(rows, 'held row')} corrected at the source, or release what may pass.",
            }
        )
    if facts.waiting:
        result.append({"to": "waiting", "text": f"Wait for {_count(len(facts.waiting), 'file')} still arriving."})
    return result


def _finding_order(one: Row) -> tuple[int, int, int, str, str, str, str]:
    return (
        list(SEVERITIES).index(one["severity"]),
        STATUS.get(one.get("status", "open"), len(STATUS)),
        CHANGE.get(one.get("change", "open"), len(CHANGE)),
        one["rule"],
        one["dataset"] or "",
        one["variable"] or "",
        one["finding_id"],
    )


def _severities(findings: Iterable[Row]) -> list[dict[str, Any]]:
    """Findings by severity, and within it by what they share: rule, why, cause, who acts and remedy."""
    result = []
    rows = sorted(findings, key=_finding_order)
    for severity, (name, note) in SEVERITIES.items():
        own = [_finding(one) for one in rows if one["severity"] == severity]
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for one in own:
            key = (one["rule"], one["why"], one["cause"], one["who"], one["remedy"])
            groups.setdefault(key, []).append(one)
        result.append(
            {
                "severity": severity,
                "name": name,
                "note": note,
                "count": len(own),
                "open": sum(one["status"] == "open" for one in own),
                "new": sum(one["change"] in {"new", "reopened"} for one in own),
                "records": sum(one["n_records"] for one in own),
                "groups": [
                    {"rule": rule, "why": why, "cause": cause, "who": who, "remedy": remedy, "findings": members}
                    for (rule, why, cause, who, remedy), members in groups.items()
                ],
            }
        )
    return result


def _finding(one: Row) -> dict[str, Any]:
    places = [{"file": place["file"], "lines": _lines(place.get("lines") or ())} for place in one.get("places") or ()]
    return {
        "finding_id": one["finding_id"],
        "rule": one["rule"],
        "severity": one["severity"],
        "where": ".".join(part for part in (one.get("dataset"), one.get("variable")) if part),
        "message": _sentence(one.get("message")),
        "remedy": _sentence(one.get("remedy")),
        "why": _sentence(one.get("why")),
        "cause": _sentence(one.get("cause")),
        "who": _sentence(one.get("who")),
        "held": bool(one.get("held")),
        "n_records": one.get("n_records") or 0,
        "places": places[:SHOWN_PLACES],
        "more_places": max(0, len(places) - SHOWN_PLACES),
        "status": one.get("status") or "open",
        "opened": one.get("opened") or "",
        "change": one.get("change") or "open",
    }


def _held(facts: DeliveryFacts) -> list[dict[str, Any]]:
    """Quarantined rows by finding: the files and lines, and the command that lets them pass."""
    found: dict[tuple[str, str, bool], dict[str, list[int]]] = {}
    for row in facts.quarantine:
        key = (row["rule"], row["finding_id"], bool(row["releasable"]))
        found.setdefault(key, {}).setdefault(row["file"], []).append(row["line"])
    result = []
    for (rule, finding_id, releasable), files in sorted(found.items()):
        command = f'./cairn release {shlex.quote(facts.study)} {shlex.quote(finding_id)} --by NAME --reason "..."'
        result.append(
            {
                "rule": rule,
                "finding_id": finding_id,
                "releasable": releasable,
                "rows": sum(len(lines) for lines in files.values()),
                "files": [
                    {"file": file, "rows": len(files[file]), "lines": _ranges(files[file])}
                    for file in sorted(files, key=_name)
                ],
                "command": command if releasable else "",
            }
        )
    return result


def _lines(lines: Sequence[int]) -> str:
    """The first lines of a place, and how many more there are."""
    if not lines:
        return ""
    shown = ", ".join(str(line) for line in lines[:SHOWN_LINES])
    more = len(lines) - SHOWN_LINES
    return f"{_verb(len(lines), 'line', 'lines')} {shown}" + (f" and {_number(more)} more" if more > 0 else "")


def _ranges(lines: Sequence[int]) -> str:
    """Lines as ranges, `3-7, 12`, none lost unless there are very many."""
    ranges: list[tuple[int, int]] = []
    for line in sorted(set(lines)):
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], line)
        else:
            ranges.append((line, line))
    shown = ", ".join(str(low) if low == high else f"{low}\u2013{high}" for low, high in ranges[:SHOWN_RANGES])
    more = sum(high - low + 1 for low, high in ranges[SHOWN_RANGES:])
    return shown + (f" and {_number(more)} more" if more else "")


def _sentence(text: str | None) -> str:
    """A text as a sentence: its first word with a capital, unless that is a name, and one full stop at its end."""
    text = (text or "").strip()
    if text.split(" ")[0].isalpha():
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?。！？" else f"{text}."


def _listed(names: Sequence[str], shown: int) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {_number(more)} more" if more > 0 else "")


def _number(value: int | None) -> str:
    return "not stated" if value is None else f"{value:,}".replace("-", "\u2212")


def _count(value: int, noun: str) -> str:
    return f"{_number(value)} {noun}{'' if value == 1 else 's'}"


def _verb(value: int, one: str, many: str) -> str:
    return one if value == 1 else many


def _bytes(size: int | None) -> str:
    if size is None:
        return ""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def _name(text: str | None) -> str:
    """A sort key that takes a missing name."""
    return text or ""


def _css_text(text: str) -> str:
    """Text that is safe between the quotes of a style sheet: letters, digits, space, dot, dash and underscore."""
    return "".join(character for character in text if character.isalnum() or character in " ._-")


def _visible(value: Any) -> Any:
    """Text with characters that control or reorder other text written out, so that a name shows what it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(
        character
        if character == "\n" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else f"\\u{ord(character):04x}"
        for character in value
    )


def _breaking(value: str) -> Markup:
    """A text that may break after the slash of a term such as RECOVERED/RESOLVED, not in a unit."""
    return Markup("<wbr>").join(re.split(r"(?<=[A-Z]{3}/)(?=[A-Z]{3})", _visible(value)))


@cache
def template(name: str) -> jinja2.Template:
    """A page of this folder, with everything escaped and control characters shown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": _number,
        "count": _count,
        "bytes": _bytes,
        "gap": _gap,
        "sentence": _sentence,
        "breaking": _breaking,
    }
    return environment.get_template(name)
