"""acrf.pdf: each form with its fields, the variables they are mapped to, and what became of every field and row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from transforms.submission.guides.acrf_fields import FieldOfForm, Form
from transforms.submission.guides.pages import Block, Cell, Described, Drawn, Grid, Heading, Mark, Text, drawn

BY_FORM, BY_DOMAIN = "by-form", "by-domain"
COLOURS = ("#dbeafe", "#fef3c7", "#dcfce7", "#fde2e4", "#ede9fe", "#d5f5f0", "#fde8d0", "#e6e6c8")
"""Behind the annotations of a form's datasets, in turn."""


def acrf(
    forms: Sequence[Form],
    *,
    studyid: str,
    title: str,
    snapshot_id: str,
    cut_off: datetime,
    label: str,
    font: str | None,
) -> Drawn:
    """The annotated CRF of a study as a PDF with bookmarks by form and by domain; it tells the pages of each variable.

    Raises UsageError where no font of the machine has a character of it; `font` is the file of a Chinese one.
    """
    line = " - ".join(filter(None, [f"{studyid} annotated CRF", f"snapshot {snapshot_id}", label]))
    described = Described(f"Annotated CRF, {studyid}", title, line, cut_off, "landscape")
    return drawn(described, list(blocks(forms, studyid=studyid, title=title, cut_off=cut_off)), font)


def blocks(forms: Sequence[Form], *, studyid: str, title: str, cut_off: datetime) -> Iterator[Block]:
    """What the annotated CRF holds, in order."""
    yield Heading(f"Annotated CRF, {studyid}", keys=(BY_FORM, BY_DOMAIN))
    yield Text(title)
    yield Text(
        "Written from the source contracts, the mapping and the row accounts of a snapshot: every field of every form, "
        'and of every other extract, stands here once. A variable stands beside a field that it holds; "feeds" marks a '
        'variable that is derived from the field, "decides" one that the field only decides something of. Values and '
        "blanks are counted in accepted rows; held counts the rows kept in quarantine because of the field. "
        f"Cut-off: {cut_off.date().isoformat()}."
    )
    yield Grid(
        (
            "Form",
            "Source",
            "Goes to",
            "Rows",
            "Accepted",
            "Fields",
            "Mapped",
            "Read by a rule",
            "Not submitted",
            "Withheld",
        ),
        [
            (
                form.label,
                form.source,
                ", ".join(form.datasets) or "nothing",
                sum(form.rows.values()),
                form.accepted,
                len(form.fields),
                *(
                    sum(field.fate == fate for field in form.fields)
                    for fate in ("mapped", "read by a rule", "not submitted", "withheld")
                ),
            )
            for form in forms
        ],
        (26, 12, 22, 8, 8, 7, 7, 8, 8, 8),
    )
    yield Mark("By form", 0, BY_FORM)
    first: dict[str, str] = {}
    for form in forms:
        begun = [one for one in form.datasets if first.setdefault(one, form.source) == form.source]
        yield from _form(form, (*begun, *(f"{one}-{form.source}" for one in form.datasets)))
    yield Mark("By domain", 0, BY_DOMAIN)
    for dataset in sorted(first):
        yield Mark(dataset, 1, dataset)
        for form in forms:
            if dataset in form.datasets:
                yield Mark(form.label, 2, f"{dataset}-{form.source}")


def _form(form: Form, keys: tuple[str, ...]) -> Iterator[Block]:
    yield Heading(f"{form.label} ({form.source})", 1, new_page=True, keys=keys)
    if form.rows:
        rows = [(outcome, rule, count) for (outcome, rule), count in form.rows.items()]
        yield Grid(("Rows", "Rule", "Number"), [*rows, ("delivered", "", sum(form.rows.values()))], (20, 50, 12))
    else:
        yield Text("No row of it was delivered.")
    colours = dict(zip(_places(form), COLOURS * len(form.fields), strict=False))
    yield Grid(
        ("Field", "Label", "Annotation", "Fate", "Values", "Blank", "Held"),
        [_row(field, colours) for field in form.fields],
        (20, 22, 66, 38, 9, 9, 7),
    )


def _places(form: Form) -> list[str]:
    return list(dict.fromkeys(one.dataset for field in form.fields for one in field.annotations))


def _row(field: FieldOfForm, colours: dict[str, str]) -> tuple[str | int | Cell | None, ...]:
    annotation: str | Cell = "\n".join(one.text for one in field.annotations)
    if field.annotations:
        names = tuple(name for one in field.annotations if one.use == "is" for name in one.names)
        annotation = Cell(str(annotation), colours[field.annotations[0].dataset], names)
    return (
        field.name,
        field.label,
        annotation or ("[NOT SUBMITTED]" if field.fate != "read by a rule" else ""),
        f"{field.fate}: {field.reason}" if field.reason else field.fate,
        field.values,
        field.blank,
        field.held,
    )
