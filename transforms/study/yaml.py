"""YAML as a study's configuration is read: strict, and knowing its lines.

Only `true` and `false` are booleans (`NO` is a country and `Y` a term), dates stay text, and a key
written twice is refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml


class StrictLoader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 core scalars and without duplicate keys."""


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same on libyaml, ten times as fast, where PyYAML was built with it."""


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Hashable, Any]:
    result: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in result:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is written twice", key_node.start_mark)
        result[key] = loader.construct_object(value_node, deep=True)
    return result


for _loader in (StrictLoader, _FastLoader):
    _loader.yaml_implicit_resolvers = {}
    for _tag, _pattern, _first in (
        ("bool", r"true|false", "tf"),
        ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
        ("float", r"[-+]?(0|[1-9][0-9]*)?\.[0-9]+", "-+.0123456789"),
        ("null", r"~|null|", "~n"),
    ):
        _loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}",
            re.compile(f"^(?:{_pattern})$"),
            [*_first, ""] if _tag == "null" else [*_first],
        )
    _loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; yaml.YAMLError says line and column of what cannot be read."""
    written = path.read_text(encoding="utf-8")
    try:
        return yaml.load(written, _FastLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError:
        # libyaml says less well what is wrong.
        yaml.load(written, StrictLoader)  # noqa: S506 (a SafeLoader)
        raise
