"""docs/specification.md names every algorithm and every rule there is."""

from __future__ import annotations

import re
from pathlib import Path

from transforms.algorithms.base import REGISTRY

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


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links {target}"
