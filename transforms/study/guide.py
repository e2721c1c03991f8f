"""guide.yml: what people write for the reviewer's guides of a study, which no other configuration says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from transforms.errors import Fault
from transforms.study.models import Frozen

if TYPE_CHECKING:
    from transforms.study.load import Study

GUIDE = "guide.yml"


class Assumption(Frozen):
    """Something taken for true that the protocol's public record does not say, and the file that rests on it."""

    says: str = Field(min_length=1)
    where: str = Field(min_length=1)


class Departure(Frozen):
    """A variable that does not follow a standard, a definition or the published data: what is done, and why."""

    what: str = Field(min_length=1)
    does: str = Field(min_length=1)
    why: str = ""


class GuidePart(Frozen):
    """What people write for one guide; a text is a paragraph.

    `datasets` holds paragraphs by dataset; `considerations` are of several datasets, `issues` of the making of them.
    """

    introduction: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    considerations: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()
    datasets: dict[str, tuple[str, ...]] = {}
    conformance: tuple[str, ...] = ()
    departures: tuple[Departure, ...] = ()
    assumptions: tuple[Assumption, ...] = ()


class Guide(Frozen):
    """The texts of a study for its two guides."""

    csdrg: GuidePart = GuidePart()
    adrg: GuidePart = GuidePart()


def faults_of(study: Study, unreadable: frozenset[str]) -> Iterator[Fault]:
    """Texts of datasets that the study does not have."""
    for part, known in (("csdrg", study.datasets), ("adrg", study.analyses)):
        for name in getattr(study.guide, part).datasets:
            if name not in known and name not in unreadable:
                yield Fault(
                    GUIDE, f"{part}.datasets.{name}", "there is no such dataset", f"Name one of: {', '.join(known)}"
                )


def markdown(guide: Guide) -> Iterator[str]:
    """The texts as lines of Markdown, for the page of the study in docs/."""
    for title, part in (("The tabulations", guide.csdrg), ("The analyses", guide.adrg)):
        yield from ("", f"### {title}")
        for text in (*part.introduction, *part.protocol, *part.considerations, *part.issues, *part.conformance):
            yield from ("", text)
        if part.datasets:
            yield ""
            yield from (f"- **{name}.** {' '.join(texts)}" for name, texts in part.datasets.items())
        if part.departures:
            yield from ("", "| departure | what Cairn does | why |", "|---|---|---|")
            yield from (f"| {one.what} | {one.does} | {one.why} |" for one in part.departures)
        if part.assumptions:
            yield from ("", "| assumption [A] | where |", "|---|---|")
            yield from (f"| {one.says} | {one.where} |" for one in part.assumptions)
