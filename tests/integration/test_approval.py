"""The approval of a package: by name, of the bytes that were read, and only of what may be submitted."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.small_study import SmallStudy
from transforms import acts, approval, steps
from transforms.errors import UsageError
from transforms.export import export, package_folder
from transforms.pipeline import Home
from transforms.submission.archive import digest_file
from transforms.warehouse.decisions import digest

ROOT = Path(__file__).resolve().parents[2]
LOCK = {"by": "Dr A. Monitor", "reason": "all queries are answered"}
BY = {"by": "B. Lead", "reason": "minutes of the review of 2025-01-20"}


@dataclass(frozen=True)
class Exported:
    """A locked snapshot of the small study with its package, in a home that a test may change."""

    study: Path
    where: Home
    snapshot_id: str

    @property
    def archive(self) -> Path:
        folder = package_folder(self.where, self.snapshot_id, "fda")
        return folder.with_name(f"{folder.name}.zip")

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.archive.read_bytes()).hexdigest()

    def approve(self, **changed: str) -> approval.Approval:
        said = {"agency": "fda", "sha256": self.sha256, **BY, **changed}
        return approval.approve(self.where, self.study, self.snapshot_id, **said)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    small = SmallStudy.write(tmp_path_factory.mktemp("approval"))
    small.summarize()
    report = small.run()
    where = Home(small.home, "small")
    acts.lock(where, report.snapshot_id, **LOCK)
    export(where, small.folder)
    return Exported(small.folder, where, report.snapshot_id)


@pytest.fixture
def exported(once: Exported, tmp_path: Path) -> Exported:
    home = Path(shutil.copytree(once.where.folder, tmp_path / "home", symlinks=True))
    return Exported(once.study, Home(home, "small"), once.snapshot_id)


def test_an_approval_is_recorded_and_the_copy_to_send_is_kept(exported: Exported) -> None:
    before = digest(exported.where.decisions.entries())
    made = exported.approve()
    assert (made.decision.act, made.decision.by, made.decision.reason) == ("approve", BY["by"], BY["reason"])
    assert made.decision.target == {
        "snapshot_id": exported.snapshot_id,
        "agency": "fda",
        "sha256": exported.sha256,
    }
    assert made.archive.parent == exported.where.folder / "exports" / "small" / "approved"
    assert made.archive.read_bytes() == exported.archive.read_bytes()
    assert stat.S_IMODE(made.archive.stat().st_mode) == 0o444
    checked = subprocess.run(
        ["sha256sum", "-c", digest_file(made.archive).name], cwd=made.archive.parent, capture_output=True, check=False
    )
    assert checked.returncode == 0
    assert digest(exported.where.decisions.entries()) == before, "an approval changes no snapshot"
    assert not list(made.archive.parent.glob(".*"))


def test_the_same_approval_is_recorded_once(exported: Exported) -> None:
    made = exported.approve(sha256=exported.sha256[:12])
    made.archive.unlink()
    again = exported.approve()
    assert again.decision == made.decision and again.archive.is_file()
    with pytest.raises(UsageError, match=r"-fda\.zip was approved by B\. Lead on 20\d\d-\d\d-\d\d already"):
        exported.approve(by="C. Other")


def test_a_copy_that_could_not_be_laid_is_laid_by_the_same_approval_again(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space left"):
            exported.approve()
    assert list((exported.archive.parent / "approved").iterdir()) == []
    assert exported.where.decisions.entries()[-1].act == "approve"
    assert exported.approve().archive.read_bytes() == exported.archive.read_bytes()
    assert sum(one.act == "approve" for one in exported.where.decisions.entries()) == 1


def rewritten(archive: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The archive with other files in it, and its sha256 beside it as if it had been written so."""
    with zipfile.ZipFile(archive) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    change(files)
    with zipfile.ZipFile(archive, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    digest_file(archive).write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")


DM = "m5/datasets/small-01/tabulations/sdtm/dm.xpt"


def another_byte(files: dict[str, bytes]) -> None:
    files[DM] = files[DM][:-1] + b"x"


def one_more(files: dict[str, bytes]) -> None:
    files["m5/datasets/small-01/tabulations/sdtm/xx.xpt"] = b""


def one_less(files: dict[str, bytes]) -> None:
    del files[DM]


def no_manifest(files: dict[str, bytes]) -> None:
    del files["manifest.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_byte, rf"is not what its manifest says in 1 file\(s\): {DM} has other bytes\. Export it again"),
        (one_more, r"xx\.xpt is not named"),
        (one_less, rf"{DM} is missing"),
        (no_manifest, r"is no package that can be read \(KeyError\)"),
    ],
)
def test_an_archive_that_is_not_its_manifest_is_refused(
    exported: Exported, change: Callable[[dict[str, bytes]], None], message: str
) -> None:
    rewritten(exported.archive, change)
    with pytest.raises(UsageError, match=message):
        exported.approve()
    assert not (exported.archive.parent / "approved").exists()
    assert exported.where.decisions.entries()[-1].act == "lock"


def test_an_altered_archive_is_refused(exported: Exported) -> None:
    with exported.archive.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(UsageError, match=r"has the sha256 [0-9a-f]{64}, and was written with [0-9a-f]{64}: it was alt"):
        exported.approve()


@pytest.mark.parametrize("sha256", ["0" * 64, "", "abc"])
def test_another_package_than_the_one_read_is_refused(exported: Exported, sha256: str) -> None:
    with pytest.raises(UsageError, match=rf"has the sha256 {exported.sha256}, not '{sha256}'\. Name the package"):
        exported.approve(sha256=sha256)


def test_what_may_not_be_submitted_is_not_approved(exported: Exported) -> None:
    where, snapshot_id = exported.where, exported.snapshot_id
    with pytest.raises(UsageError, match="the person or the reason holds a control character"):
        acts.unlock(where, snapshot_id, by="Dr A. Monitor", reason="a line\x07")
    with pytest.raises(UsageError, match="a decision needs a person"):
        exported.approve(by=" ")
    with pytest.raises(UsageError, match=r"there is no .*-nmpa\.zip\. Write the package with \./cairn export"):
        exported.approve(agency="nmpa")
    with pytest.raises(UsageError, match="small has no snapshot none"):
        approval.reviewed(where, exported.study, "none", "fda")
    acts.unlock(where, snapshot_id, **LOCK)
    with pytest.raises(
        UsageError, match=rf"the package of snapshot {snapshot_id} cannot be approved: it is not locked"
    ):
        exported.approve()
    acts.lock(where, snapshot_id, by="C. Other", reason="locked anew")
    with pytest.raises(
        UsageError, match=r"was written before other decisions: its manifest differs in locked\. Export"
    ):
        exported.approve()
    export(where, exported.study)
    assert exported.approve().decision.act == "approve"


def test_an_open_critical_finding_is_in_the_way(tmp_path: Path) -> None:
    """Whatever stands in the log: here a lock that nobody should have been able to record."""
    small = SmallStudy.write(tmp_path)
    small.summarize()
    small.drop("vitals.csv", (small.landing / "vitals.csv").read_text().replace("2024-02-21", "21st of Feb"))
    report = small.run()
    where = Home(small.home, "small")
    where.decisions.append("lock", {"snapshot_id": report.snapshot_id}, **LOCK)
    with pytest.raises(
        UsageError, match=r"cannot be approved: it has 1 open critical finding\(s\), .* by name: [0-9a-f]"
    ):
        approval.reviewed(where, small.folder, report.snapshot_id, "fda")


def test_a_preview_is_never_approved(exported: Exported) -> None:
    written = export(exported.where, exported.study, preview=True)
    shutil.copyfile(written.archive, exported.archive)
    digest_file(exported.archive).write_text(f"{written.sha256}  {exported.archive.name}\n")
    with pytest.raises(UsageError, match="its manifest differs in preview"):
        exported.approve()


def test_the_tasks_of_the_dag_and_the_command(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_HOME", str(exported.where.folder))
    study = str(exported.study)
    made = steps.package(study, "fda")
    assert (made["sha256"], made["snapshot_id"]) == (exported.sha256, exported.snapshot_id)
    assert (made["datasets"], made["records"], made["critical"]) == (4, 41, [])
    assert made["locked"] == "Dr A. Monitor: all queries are answered"
    assert [one.partition(":")[0] for one in made["not_run"]] == ["FDA-1789"]
    assert Path(made["page"]).is_file()
    with pytest.raises(UsageError, match="a decision needs a person"):
        steps.approve_package(study, made["snapshot_id"], "fda", made["sha256"], "B. Lead", "")
    first = steps.approve_package(study, made["snapshot_id"], "fda", made["sha256"], **BY)
    assert steps.approve_package(study, made["snapshot_id"], "fda", made["sha256"], **BY) == first

    def cairn(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "transforms.cli", "approve", study, exported.snapshot_id, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    said = ("--by", BY["by"], "--reason", BY["reason"])
    refused = cairn("--sha256", "0" * 64, *said)
    assert refused.returncode == 2 and "Name the package that was read" in refused.stderr
    done = cairn("--sha256", made["sha256"], *said, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["act"], told["number"], told["archive"]) == ("approve", first["decision"], first["archive"])
