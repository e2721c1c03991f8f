"""The pages of docs/ name every algorithm, every rule and what the guides of a study say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from transforms.algorithms.base import REGISTRY
from transforms.reporting.figures import DRAWINGS
from transforms.results.methods import METHODS as MADE
from transforms.study import Study
from transforms.study.guide import markdown
from transforms.study.results import METHODS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")
CALLS = re.compile(
    r"(?:Finding|Note|Problem|FileRefusedError|\.find|self\.refuse|report)\(\s*\"([a-z_]+)\"", re.MULTILINE
)


def test_every_algorithm_is_documented() -> None:
    assert len(REGISTRY) > 20
    missing = [word for word in REGISTRY if f"`{word}" not in PAGE]
    assert not missing


def test_every_rule_is_documented() -> None:
    rules: set[str] = set()
    for path in (ROOT / "transforms").rglob("*.py"):
        rules |= set(CALLS.findall(path.read_text(encoding="utf-8")))
    assert len(rules) > 20
    assert not sorted(rule for rule in rules if f"`{rule}`" not in PAGE)


def test_every_method_and_figure_of_results_is_made_and_documented() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert set(METHODS) == set(MADE)
    assert not [name for name in (*METHODS, *DRAWINGS) if f"`{name}`" not in page]
    statistics = {
        name for method in METHODS.values() for name in method.statistics if not name.endswith(("_low", "_high"))
    }
    assert not sorted(name for name in statistics if f"`{name}`" not in page)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links {target}"


@pytest.mark.parametrize("study", ["ucmsc_dac", "cdiscpilot01"])
def test_the_page_of_a_study_says_what_its_guides_say(study: str) -> None:
    page = (ROOT / "docs" / f"{study}.md").read_text(encoding="utf-8")
    said = page.split("<!-- guide.yml begins -->\n")[1].split("<!-- guide.yml ends -->")[0]
    assert said.strip() == "\n".join(markdown(Study.load(study).guide)).strip(), f"./cairn spec guide {study}"
