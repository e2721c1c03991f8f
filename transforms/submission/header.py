"""What stands before the observations of a transport file, and what the format refuses in it. Source: TS-140."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal

from transforms.core import text
from transforms.submission import ibm
from transforms.submission.faults import Fault
from transforms.submission.layout import LONGEST_TEXT, Layout

Encoding = Literal["ascii", "utf-8", "gbk"]
RECORD = 80
NAME_BYTES = 8
LABEL_BYTES = 40
MOST_VARIABLES = 9_999
NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
FORMATS: Mapping[str, tuple[str, int]] = {"date": ("DATE", 9), "datetime": ("DATETIME", 20), "time": ("TIME", 5)}
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
NAMESTR = struct.Struct(">hhhh8s40s8shhh2s8shhl52s")


def header_of(layout: Layout, encoding: Encoding, created: datetime) -> bytes:
    """All that stands before the observations."""
    stamp = f"{created.day:02d}{MONTHS[created.month - 1]}{created.year % 100:02d}:{created:%H:%M:%S}"
    names, position = [], 0
    for number, variable in enumerate(layout.variables, start=1):
        form, width = FORMATS.get(variable.type, ("", 0))
        names.append(
            NAMESTR.pack(
                2 if variable.is_text else 1,
                0,
                variable.length,
                number,
                _padded(variable.name, NAME_BYTES),
                _padded(variable.label, LABEL_BYTES, encoding),
                _padded(form, NAME_BYTES),
                width,
                0,
                0,
                b"",
                _padded("", NAME_BYTES),
                0,
                0,
                position,
                b"",
            )
        )
        position += variable.length
    described = b"".join(names)
    label = _padded(layout.label, LABEL_BYTES, encoding)
    return b"".join(
        (
            _card("HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!" + "0" * 30),
            _card(f"SAS     SAS     SASLIB  9.4     {'':8}{'':24}{stamp}"),
            _card(stamp),
            _card("HEADER RECORD*******MEMBER  HEADER RECORD!!!!!!!000000000000000001600000000140"),
            _card("HEADER RECORD*******DSCRPTR HEADER RECORD!!!!!!!" + "0" * 30),
            _card(f"SAS     {layout.name:8}SASDATA 9.4     {'':8}{'':24}{stamp}"),
            f"{stamp}{'':16}".encode("ascii") + label + b" " * 8,
            _card(f"HEADER RECORD*******NAMESTR HEADER RECORD!!!!!!!000000{len(layout.variables):04d}" + "0" * 20),
            described + b" " * (-len(described) % RECORD),
            _card("HEADER RECORD*******OBS     HEADER RECORD!!!!!!!" + "0" * 30),
        )
    )


def _card(written: str) -> bytes:
    return written.encode("ascii").ljust(RECORD)


def _padded(written: str, width: int, encoding: Encoding = "ascii") -> bytes:
    return written.encode(encoding).ljust(width)


def header_faults(layout: Layout, encoding: Encoding) -> Iterator[Fault]:
    """What the format refuses in names, labels, lengths and the number of variables."""
    name = layout.name
    if not layout.variables:
        yield Fault(name, "", "has no variable", "A transport file needs one")
    if len(layout.variables) > MOST_VARIABLES:
        problem = f"has {len(layout.variables):,} variables; the format counts to {MOST_VARIABLES:,}"
        yield Fault(name, "", problem, "Submit fewer")
    yield from _name_faults(name, "", name)
    yield from _label_faults(name, "", layout.label, encoding)
    folded = Counter(variable.name.upper() for variable in layout.variables)
    for variable in layout.variables:
        yield from _name_faults(name, variable.name, variable.name)
        yield from _label_faults(name, variable.name, variable.label, encoding)
        if folded[variable.name.upper()] > 1:
            problem = "another variable has the same name, upper and lower case being the same"
            yield Fault(name, variable.name, problem, "Rename one of them")
        if not variable.is_text and variable.length != ibm.BYTES:
            yield Fault(name, variable.name, f"a number of {variable.length} bytes", "Numbers have 8 bytes")
        if variable.is_text and not 1 <= variable.length <= LONGEST_TEXT:
            problem = f"a text of {variable.length} bytes; the format holds 1 to {LONGEST_TEXT}"
            yield Fault(name, variable.name, problem, "Give it a length within")


def _name_faults(dataset: str, variable: str, name: str) -> Iterator[Fault]:
    if len(name.encode()) > NAME_BYTES:
        problem = f"the name has {len(name.encode())} bytes; the format holds {NAME_BYTES}"
        yield Fault(dataset, variable, problem, "Shorten the name")
    if not NAME.fullmatch(name.upper()):
        problem = "the name is not made of A to Z, 0 to 9 and _, beginning with no digit"
        yield Fault(dataset, variable, problem, "Rename it")
    elif name != name.upper():
        yield Fault(dataset, variable, "the name is not in capitals", "Write it in capitals")


def _label_faults(dataset: str, variable: str, label: str, encoding: Encoding) -> Iterator[Fault]:
    try:
        encoded = label.encode(encoding)
    except UnicodeEncodeError:
        yield Fault(dataset, variable, f"the label has a character that {encoding} lacks", "Reword the label")
        return
    if len(encoded) > LABEL_BYTES:
        problem = f"the label has {len(encoded)} bytes in {encoding}; the format holds {LABEL_BYTES}"
        yield Fault(dataset, variable, problem, "Shorten the label")
    if label.endswith(" "):
        yield Fault(dataset, variable, "the label ends in a blank, which the format does not keep", "Strip it")
    if "\0" in label:
        yield Fault(dataset, variable, "the label holds a NUL", "Reword the label")
    elif text.unseen(label):
        yield Fault(dataset, variable, f"the label holds {text.unseen(label)}, which does not show", "Reword the label")
