"""The hashed lock is whole: it is installed without resolving anything, so nothing else would say what it lacks."""

from __future__ import annotations

from importlib.metadata import distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def test_what_is_installed_satisfies_each_other() -> None:
    installed = {canonicalize_name(one.metadata["Name"]): one for one in distributions()}
    assert len(installed) > 100
    missing: list[str] = []
    todo = [(name, "") for name in installed]
    for name, extra in todo:
        for text in installed[name].requires or []:
            need = Requirement(text)
            if need.marker is not None and not need.marker.evaluate({"extra": extra}):
                continue
            found = installed.get(canonicalize_name(need.name))
            if found is None or not need.specifier.contains(found.version, prereleases=True):
                missing.append(f"{name} needs {text}")
                continue
            new = [(canonicalize_name(need.name), one) for one in need.extras]
            todo.extend(one for one in new if one not in todo)
    assert not missing
