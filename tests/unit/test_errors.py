"""What the machine refuses is said so that people can act."""

from __future__ import annotations

import errno
import os

import pytest

from transforms.errors import MachineError


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full (/x/y). Free space and run again"),
        (errno.EACCES, "/x/y may not be read or written by this user. Correct its rights"),
        (errno.EIO, "/x/y: Input/output error."),
    ],
)
def test_an_error_of_the_machine_names_file_and_remedy(number: int, said: str) -> None:
    error = MachineError.of(OSError(number, os.strerror(number), "/x/y"))
    assert str(error).startswith(said)
    assert str(error).endswith("What was published before stands")


def test_a_full_disk_is_known_by_its_words() -> None:
    assert "the disk is full" in str(MachineError.of(OSError("IOError: No space left on device")))
