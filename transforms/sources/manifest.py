"""Manifests: what a sender says about the files of one delivery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, field_validator

from transforms.core import dates, text
from transforms.errors import FileRefusedError


def _moment(value: str) -> str:
    if not dates.is_moment(value):
        raise ValueError("is no time in ISO 8601; write YYYY-MM-DDThh:mm")
    return value


Moment = Annotated[str, AfterValidator(_moment)]


class ManifestFile(BaseModel):
    """One file of a delivery: its name, sha256 and data rows, and when it was extracted."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: str
    rows: int | None = None
    extracted_at: Moment | None = None


class Manifest(BaseModel):
    """A delivery's manifest.json. `label` is shown wherever the delivery is, for example that it is synthetic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    study: str | None = None
    label: str = ""
    extracted_at: Moment | None = None
    files: tuple[ManifestFile, ...]

    @field_validator("label")
    @classmethod
    def _shown(cls, label: str) -> str:
        if text.unseen(label):
            raise ValueError(f"has a character that does not show, {text.unseen(label)}")
        return label

    @field_validator("files")
    @classmethod
    def _once(cls, files: tuple[ManifestFile, ...]) -> tuple[ManifestFile, ...]:
        if not files:
            raise ValueError("names no file")
        names = [file.name for file in files]
        again = sorted({name for name in names if names.count(name) > 1})
        if again:
            raise ValueError(f"named twice: {', '.join(again)}")
        return files


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; FileRefusedError (bad_manifest) if it cannot be read."""
    try:
        return Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problem = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
        )
        raise _bad(path, problem) from error
    except UnicodeDecodeError as error:
        raise _bad(path, f"it is not utf-8 (byte {error.start + 1})") from error
    except json.JSONDecodeError as error:
        raise _bad(path, f"{error.msg} (line {error.lineno}, column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise _bad(path, "a number is too long, or brackets are nested too deep") from error


def _bad(path: Path, problem: str) -> FileRefusedError:
    return FileRefusedError(
        "bad_manifest",
        path.name,
        f"cannot be read as a manifest: {problem}",
        "Ask the sender for a correct manifest.json",
    )
