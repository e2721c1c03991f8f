"""Manifests: what a sender says about the files of one delivery."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from transforms.errors import FileRefusedError


class ManifestFile(BaseModel):
    """One file of a delivery: its name, sha256 and data rows, and when it was extracted."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: str
    rows: int | None = None
    extracted_at: str | None = None


class Manifest(BaseModel):
    """A delivery's manifest.json. `label` is shown wherever the delivery is, for example that it is synthetic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    study: str | None = None
    label: str = ""
    extracted_at: str | None = None
    files: tuple[ManifestFile, ...]


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; FileRefusedError (bad_manifest) if it cannot be read."""
    try:
        return Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as error:
        raise FileRefusedError(
            "bad_manifest",
            path.name,
            "cannot be read as a manifest",
            "Ask the sender for a correct manifest.json",
        ) from error
