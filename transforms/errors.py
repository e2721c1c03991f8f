"""What can go wrong, said so that the reader can act.

Every message names the dataset or file, the variable or column, what is wrong, how often, the keys
(never subject data) and what to do about it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass


class CairnError(Exception):
    """Base of every error Cairn raises on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class MachineError(CairnError):
    """The machine refused: no space, no permission, a file that went away."""

    @classmethod
    def of(cls, error: OSError) -> MachineError:
        """What an operating system's error means here, and what to do."""
        where = str(error.filename or "a file under CAIRN_HOME")
        if error.errno in {errno.ENOSPC, errno.EDQUOT} or "No space left" in str(error):
            said = f"the disk is full ({where}). Free space and run again"
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            said = f"{where} may not be read or written by this user. Correct its rights and run again"
        else:
            said = f"{where}: {error.strerror or type(error).__name__}"
        return cls(f"{said}. What was published before stands")


class UsageError(CairnError):
    """The command was called in a way that cannot be served."""

    exit_code = 2


class InputError(CairnError):
    """A computation was given columns that do not belong together or are not of the kind it reads."""


class UnitError(UsageError):
    """Values stand in a unit for which no factor is listed; they are not taken for another."""


@dataclass(frozen=True, order=True)
class Fault:
    """One fault of a study's configuration: where it stands, what is wrong, what to do."""

    file: str
    place: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.place}" if self.place else self.file
        return f"{where}: {self.problem}. {self.remedy}"


class ConfigurationError(UsageError):
    """A study's configuration cannot run; `faults` holds every fault found, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{len(self.faults)} fault(s) in the study configuration:\n{lines}")


class FileRefusedError(CairnError):
    """An extract cannot be taken: `rule` names the reason, the message says what to do."""

    exit_code = 3

    def __init__(self, rule: str, file: str, problem: str, remedy: str) -> None:
        self.rule = rule
        self.file = file
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{file}: {problem}. {remedy}")

    def __reduce__(self) -> tuple[type[FileRefusedError], tuple[str, str, str, str]]:
        return type(self), (self.rule, self.file, self.problem, self.remedy)


class LockedError(UsageError):
    """The current snapshot is locked: no other is published and it is not deleted."""


class StaleSnapshotError(CairnError):
    """A snapshot was begun before what is published now was received; it is not published over it."""


class NothingPublishedError(CairnError):
    """Every new delivery was refused; what was published before stands."""

    exit_code = 3
