"""HL7 v2 result messages (ORU^R01), single or in batches: each OBX is a row with the segments it stands under.

A message that cannot be read is set aside as one unit and the others are taken. Nothing is interpreted beyond the
encoding rules. Source: HL7 Version 2.5.1, chapter 2 (message structure, escape sequences, MSH-18, batch protocol)
and chapter 7 (ORU^R01, OBX, SPM). A small splitter of our own, see docs/decisions/0011.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from transforms.core import dates
from transforms.errors import FileRefusedError
from transforms.findings import Severity
from transforms.sources.extract import Columns, Extract, Note, Settled, unreadable_time
from transforms.study.models import RESULT_FIELDS, FieldPlace, Hl7Source

CHARSETS = {
    "ASCII": "ascii",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "GB 18030-2000": "gb18030",
    "GB18030-2000": "gb18030",
    "GB18030": "gb18030",
    "BIG-5": "big5",
    **{f"8859/{part}": f"iso8859_{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}
LONGEST = 1 << 20  # bytes of a segment; a laboratory result is far below
SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
BREAK = re.compile(rb"\r\n|\r|\n")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]|\ufffd|锟斤拷")
MARK = b"\xef\xbb\xbf"  # of UTF-8; within a file it shows where files were put together
UTF16 = (b"\xff\xfe", b"\xfe\xff", b"M\0", b"\0M", b"F\0", b"\0F", b"B\0", b"\0B")  # a mark, or MSH, FHS or BHS
FRAME = b"\x0b\x1c"  # start and end of a message on the wire (MLLP), kept by some captures
TIME = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(?:\d{2}(?:\.\d{1,4})?)?)?([+-]\d{4})?")
ENVELOPE = {"FHS", "BHS", "BTS", "FTS"}
OF_MESSAGE = ("MSH", "PID", "PV1")
OF_RESULT = ("OBR", "OBX", "SPM", "NTE")
READ = {*OF_MESSAGE, "ORC", *OF_RESULT}
MESSAGE_TYPE = ("ORU", "R01")
TEXT_TYPES = {"CE", "CWE", "CF", "CNE"}


class _MalformedError(Exception):
    """Why a message cannot be read, and on which line."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


@dataclass
class _Raw:
    """The lines of one message: number and bytes of each."""

    segments: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def result_lines(self) -> tuple[int, ...]:
        """The lines that stand for it where it is set aside: those of its OBX, else its first one."""
        return self.results or (self.segments[0][0],)

    @property
    def results(self) -> tuple[int, ...]:
        """The lines of its OBX."""
        return tuple(line for line, content in self.segments if content[:3] == b"OBX")


@dataclass(frozen=True)
class _Delimiters:
    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str


@dataclass
class _Order:
    """One OBR with what stands under it, and the segments of its message and its patient."""

    patient: dict[str, list[str]]
    context: dict[str, list[str]]
    results: list[tuple[int, dict[str, list[str]], list[list[str]]]] = field(default_factory=list)
    specimens: list[list[str]] = field(default_factory=list)


def read_hl7(path: Path, shown: str, sources: Sequence[Hl7Source]) -> tuple[dict[str, Extract], int]:
    """Read the file at `path`, called `shown` in messages, for all sources it feeds.

    Returns the extract of each source, and the number of OBX in the file. Raises FileRefusedError: empty_file,
    not_hl7, wrong_encoding, truncated_file, batch_count.
    """
    content = path.read_bytes()
    if not content.strip():
        raise FileRefusedError("empty_file", shown, "the file is empty", "Ask the sender for the whole file")
    if content.startswith(UTF16):
        raise FileRefusedError(
            "wrong_encoding",
            shown,
            "is written in UTF-16, in which a message cannot say its character set",
            "Ask the sender for UTF-8, or for another character set that MSH-18 can name",
        )
    messages, declared_at, unreadable = _messages(content, shown)
    ended = content.rstrip(FRAME).endswith((b"\r", b"\n"))
    extracts = {}
    taken = {(one.segment, one.field) for source in sources for one in source.fields.values()}
    if any(segment in RESULT_FIELDS for segment, _ in taken):
        taken |= {("OBX", 2), ("OBX", 5)}
    for number, source in enumerate(sorted(sources, key=lambda one: one.source)):
        reading = _Reading(source, taken)
        for message in messages:
            reading.message(message)
        extract = reading.extract(ended, declared_at, first=number == 0)
        if unreadable and number == 0:
            extract = replace(extract, notes=(*extract.notes, unreadable_time(*unreadable)))
        extracts[source.source] = extract
    rows = sum(len(one.results) for one in messages)
    return extracts, rows


def _messages(content: bytes, shown: str) -> tuple[list[_Raw], str | None, tuple[str, int] | None]:
    """The messages of a file and the time its header declares, or the place of one that cannot be read.

    The batch envelope is checked.
    """
    messages: list[_Raw] = []
    declared_at: str | None = None
    unreadable: tuple[str, int] | None = None
    stray: _Raw | None = None
    inside: _Raw | None = None
    open_files, open_batches, in_batch, batches = 0, 0, 0, 0
    for line, segment in enumerate(BREAK.split(content), start=1):
        segment = segment.strip(FRAME).removeprefix(MARK).strip(FRAME)
        if not segment.strip():
            continue
        name = segment[:3].decode("latin-1")
        if name == "MSH":
            inside = _Raw([(line, segment)])
            messages.append(inside)
            in_batch += 1
        elif name in ENVELOPE:
            inside = None
            parts = segment.decode("latin-1").split(segment[3:4].decode("latin-1") or "|")
            if name == "FHS":
                open_files += 1
                batches = 0
            elif name == "BHS":
                open_batches += 1
                batches += 1
                in_batch = 0
            elif name == "BTS":
                batches += open_batches == 0
                _keep_count(shown, line, "BTS-1", parts, in_batch, "messages", opened=open_batches > 0)
                open_batches = max(open_batches - 1, 0)
                in_batch = 0
            else:
                _keep_count(shown, line, "FTS-1", parts, batches or bool(messages), "batches", opened=open_files > 0)
                open_files = max(open_files - 1, 0)
            if name in {"FHS", "BHS"} and declared_at is None and len(parts) > 6 and parts[6]:
                declared_at = _iso(parts[6])
                unreadable = unreadable or (f"{name}-7", line)
        elif inside is not None:
            inside.segments.append((line, segment))
        else:
            if stray is None or stray.segments[-1][0] != line - 1:
                stray = _Raw()
                messages.append(stray)
            stray.segments.append((line, segment))
    if not any(one.segments[0][1].startswith(b"MSH") for one in messages) and not (open_files or batches):
        raise FileRefusedError(
            "not_hl7", shown, "holds no message (no line begins with MSH)", "Ask the sender for HL7 v2 messages"
        )
    if open_files > 0 or open_batches > 0:
        raise FileRefusedError(
            "truncated_file",
            shown,
            f"the {'batch' if open_batches > 0 else 'file'} that is opened is not closed (BTS, FTS): it is cut off",
            "Ask the sender for the whole file",
        )
    return messages, declared_at, unreadable if declared_at is None else None


def _keep_count(
    shown: str, line: int, place: str, parts: Sequence[str], found: int, what: str, *, opened: bool
) -> None:
    """A trailer must count what is there; one without a header must count, since nothing else says where it began."""
    said = parts[1].strip() if len(parts) > 1 else ""
    if not said and not opened:
        raise FileRefusedError(
            "truncated_file",
            shown,
            f"{place[:3]} (line {line}) closes what nothing opened, and counts no {what}: the beginning may be cut off",
            "Ask the sender for the whole file",
        )
    if said and (not said.isdecimal() or int(said) != found):
        counted = f"counts {int(said):,}" if said.isdecimal() else "does not count the"
        raise FileRefusedError(
            "batch_count",
            shown,
            f"{place} (line {line}) {counted} {what}, {found:,} are there",
            "Ask the sender for the whole file",
        )


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _iso(value: str) -> str | None:
    match = TIME.fullmatch(value)
    if match is None:
        return None
    year, month, day, hour, minute, offset = match.groups()
    zone = f"{offset[:3]}:{offset[3:]}" if offset else ""
    said = f"{year}-{month}-{day}" + (f"T{hour}:{minute}{zone}" if hour else "")
    return said if dates.is_moment(said) else None


class _Reading:
    """One source while the messages of a file are read for it."""

    def __init__(self, source: Hl7Source, taken: set[tuple[str, int]]) -> None:
        self.source = source
        self.taken = taken
        self.columns = Columns(source.extract_columns)
        self.malformed: dict[str, list[int]] = {}
        self.places: dict[str, list[int]] = {}
        self.other_types: list[int] = []
        self.several: list[tuple[int, int]] = []
        self.escapes: set[int] = set()
        self.seen: dict[str, int] = {}
        self.unread: dict[str, int] = {}
        self.empty: list[int] = []
        self.loose_notes: list[int] = []
        self.takes_notes = any(one.segment == "NTE" for one in source.fields.values())
        self.numbered: dict[tuple[str, ...], tuple[int, list[bytes]]] = {}
        self.renumbered: set[int] = set()
        self.processed_as: dict[str, list[int]] = {}
        self.needs_specimen = any(one.segment == "SPM" for one in source.fields.values())
        self.line = 0
        self.marks = _Delimiters("|", "^", "~", "\\", "&")
        self.encoding = source.encoding

    def message(self, raw: _Raw) -> None:
        try:
            segments = self.split(raw)
            header = segments[0][1]
            kind = tuple(self.parts(header, 9)[:2])
            if kind != MESSAGE_TYPE:
                self.other_types.extend(raw.result_lines)
                return
            orders = self.orders(segments)
            self.number(raw, header)
        except _MalformedError as error:
            self.malformed.setdefault(error.why, []).extend(raw.result_lines)
            self.places.setdefault(error.why, []).append(error.line)
            return
        if not raw.results:
            self.empty.append(raw.segments[0][0])
        for order in orders:
            for line, under, notes in order.results:
                self.row(line, {**order.patient, **order.context, **under}, order.specimens, notes)

    def number(self, raw: _Raw, header: Sequence[str]) -> None:
        """Remember which message has which control id and what it is for; with another header it is no other one."""
        content = [segment for _, segment in raw.segments[1:]]
        line = raw.segments[0][0]
        first, before = self.numbered.setdefault((header[3], header[4], header[10]), (line, content))
        if before != content:
            self.renumbered |= {first, line}
        self.processed_as.setdefault(self.component(header[11], 1).strip(), []).append(line)

    def split(self, raw: _Raw) -> list[tuple[int, list[str]]]:
        """The segments of a message as fields; MSH-1 is the separator, so that field n stands at n."""
        first, header = raw.segments[0]
        if not header.startswith(b"MSH"):
            raise _MalformedError(first, "it does not begin with MSH")
        self.marks = self.delimiters(first, header)
        plain = header.decode("latin-1").split(self.marks.field)
        charset = plain[17].split(self.marks.repetition)[0].strip() if len(plain) > 17 else ""
        if charset and charset.upper() not in CHARSETS:
            raise _MalformedError(first, "MSH-18 names an unknown character set")
        self.encoding = CHARSETS[charset.upper()] if charset else self.source.encoding
        # Any bytes are letters in ISO 8859, so nothing else would show that they are another character set.
        if codecs.lookup(self.encoding).name.startswith("iso8859"):
            for line, content in raw.segments:
                if not content.isascii() and _is_utf8(content):
                    raise _MalformedError(line, f"it is written in UTF-8 and not in {self.encoding}")
        result = []
        for line, content in raw.segments:
            if len(content) > LONGEST:
                raise _MalformedError(line, f"a segment is longer than {LONGEST:,} bytes")
            try:
                text = content.decode(self.encoding)
            except UnicodeDecodeError as error:
                raise _MalformedError(line, f"it is not written in {self.encoding}") from error
            if CONTROL.search(text):
                raise _MalformedError(line, "it holds a control or replacement character")
            fields = text.split(self.marks.field)
            if not SEGMENT.fullmatch(fields[0]) or len(fields) < 2:
                raise _MalformedError(line, "a line is no segment (a line break inside a field, or other separators)")
            if fields[0] == "MSH":
                fields.insert(1, self.marks.field)
            result.append((line, fields))
        header_fields = result[0][1]
        if len(header_fields) < 13 or not header_fields[10].strip():
            raise _MalformedError(first, "MSH has no message control id (MSH-10) or no version (MSH-12)")
        if not header_fields[12].startswith("2"):
            raise _MalformedError(first, "MSH-12 is no version 2")
        return result

    def delimiters(self, line: int, header: bytes) -> _Delimiters:
        text = header[:10].decode("latin-1")
        separator = text[3:4]
        marks = text[4:].split(separator)[0] if separator else ""
        every = separator + marks
        usable = len(marks) in {4, 5} and len(set(every)) == len(every)
        if not usable or any(one.isalnum() or one.isspace() or ord(one) > 126 for one in every):
            raise _MalformedError(line, "MSH-1 and MSH-2 do not name five different separators")
        return _Delimiters(separator, marks[0], marks[1], marks[2], marks[3])

    def orders(self, segments: Sequence[tuple[int, list[str]]]) -> list[_Order]:
        """The orders of a message, each with its patient: PATIENT_RESULT of ORU_R01 repeats, and begins with PID."""
        context: dict[str, list[str]] = {}
        orders: list[_Order] = []
        ordered: list[str] | None = None
        above = ""
        for line, fields in segments:
            name = fields[0]
            self.remember(line, fields)
            if name == "PID":
                if orders and "PID" not in context:
                    raise _MalformedError(line, "results stand before its first PID")
                if "PID" in context and (ordered or not orders or orders[-1].patient is not context):
                    raise _MalformedError(line, "it has a second PID before an order of the first")
                above_all = {"MSH": context["MSH"]} if "PID" in context else context
                context = {**above_all, name: fields}
            elif name in OF_MESSAGE:
                if name in context:
                    raise _MalformedError(line, f"it has a second {name}")
                context[name] = fields
            elif name == "ORC":
                ordered = fields
            elif name == "OBR":
                orders.append(_Order(context, {"OBR": fields} | ({"ORC": ordered} if ordered else {})))
                ordered = None
            elif name == "OBX":
                if not orders:
                    raise _MalformedError(line, "an OBX stands under no OBR")
                orders[-1].results.append((line, {"OBX": fields}, []))
            elif name == "SPM":
                if not orders:
                    raise _MalformedError(line, "an SPM stands under no OBR")
                orders[-1].specimens.append(fields)
            elif name == "NTE":
                if above == "OBX":
                    orders[-1].results[-1][2].append(fields)
                elif self.takes_notes:
                    self.loose_notes.append(line)
            if name != "NTE":
                above = name
        if "PID" not in context:
            raise _MalformedError(segments[0][0], "it has no PID")
        return orders

    def remember(self, line: int, fields: Sequence[str]) -> None:
        """Which filled fields of the result segments the contract does not take."""
        name = fields[0]
        if name not in OF_RESULT:
            if name not in READ:
                self.unread.setdefault(name, line)
            return
        for number in range(2, len(fields)):
            if fields[number] and (name, number) not in self.taken:
                self.seen.setdefault(f"{name}-{number}", line)

    def row(
        self,
        line: int,
        segments: Mapping[str, list[str]],
        specimens: Sequence[list[str]],
        notes: Sequence[list[str]],
    ) -> None:
        self.line = line
        if self.needs_specimen and len(specimens) > 1:
            self.several.append((len(self.columns), line))
        values: dict[str, str | None] = {}
        for name, place in self.source.fields.items():
            if place.segment in RESULT_FIELDS:
                values[name] = self.result(segments["OBX"], place.segment)
            elif place.segment == "NTE":
                texts = [self.at(fields, place) for fields in notes]
                values[name] = "\n".join(text for text in texts if text) or None
            elif place.segment == "SPM":
                values[name] = self.at(specimens[0], place) if len(specimens) == 1 else None
            else:
                values[name] = self.at(segments.get(place.segment, ()), place)
        self.columns.add(values, line)

    def at(self, fields: Sequence[str], place: FieldPlace) -> str | None:
        if place.field >= len(fields):
            return None
        content = fields[place.field]
        if content in {"", '""'}:
            return None
        # MSH-1 and MSH-2 are the separators themselves.
        if place.segment == "MSH" and place.field <= 2:
            return content
        repetitions = content.split(self.marks.repetition)
        if place.repetition is not None:
            repetitions = repetitions[place.repetition - 1 : place.repetition]
        elif place.chosen is not None:
            by, wanted = place.chosen
            repetitions = [one for one in repetitions if self.component(one, by) == wanted]
        values = [self.part(one, place) for one in repetitions]
        return self.marks.repetition.join(values) if any(values) else None

    def part(self, repetition: str, place: FieldPlace) -> str:
        if place.component is None:
            return self.unescape(repetition)
        components = repetition.split(self.marks.component)
        text = components[place.component - 1] if place.component <= len(components) else ""
        if place.subcomponent is not None:
            parts = text.split(self.marks.subcomponent)
            text = parts[place.subcomponent - 1] if place.subcomponent <= len(parts) else ""
        return "" if text == '""' else self.unescape(text)

    def component(self, repetition: str, number: int) -> str:
        components = repetition.split(self.marks.component)
        return self.unescape(components[number - 1]) if number <= len(components) else ""

    def parts(self, fields: Sequence[str], number: int) -> list[str]:
        return fields[number].split(self.marks.component) if number < len(fields) else []

    def result(self, fields: Sequence[str], word: str) -> str | None:
        """OBX-5 as OBX-2 says it is to be read."""
        if len(fields) < 6 or fields[5] in {"", '""'}:
            return None
        kind = fields[2].strip()
        texts = []
        for repetition in fields[5].split(self.marks.repetition):
            components = [self.unescape(one).strip() for one in repetition.split(self.marks.component)]
            components = ["" if one == '""' else one for one in components]
            if kind in TEXT_TYPES:
                code, text = components[0], components[1] if len(components) > 1 else ""
                original = components[8] if len(components) > 8 else ""
                texts.append(code if word == "result_code" else text or original or code)
            elif word == "result":
                texts.append("".join(components) if kind == "SN" else self.unescape(repetition))
        return self.marks.repetition.join(texts) if any(texts) else None

    def unescape(self, text: str) -> str:
        if self.marks.escape not in text:
            return text
        named = {
            "F": self.marks.field,
            "S": self.marks.component,
            "T": self.marks.subcomponent,
            "R": self.marks.repetition,
            "E": self.marks.escape,
            ".br": "\n",
            ".sp": "\n",
            "H": "",
            "N": "",
        }

        def read(match: re.Match[str]) -> str:
            word = match[1] or ""  # without a word, the mark is not closed
            if word in named:
                return named[word]
            if word[:1] == "X" and len(word) > 1:
                try:
                    return bytes.fromhex(word[1:]).decode(self.encoding)
                except ValueError:
                    pass
            self.escapes.add(self.line)
            return match[0]

        mark = re.escape(self.marks.escape)
        return re.sub(f"{mark}([^{mark}]*){mark}|{mark}", read, text)

    def extract(self, ended: bool, declared_at: str | None, *, first: bool) -> Extract:
        set_aside = [
            Note(
                "hl7_message_malformed",
                Severity.CRITICAL,
                "",
                f"a message cannot be read: {why} (line {', '.join(str(line) for line in self.places[why][:5])})",
                "Ask the sender to correct and resend the message; its results are quarantined",
                tuple(lines),
                why,
            )
            for why, lines in sorted(self.malformed.items())
        ]
        if self.other_types:
            set_aside.append(
                Note(
                    "hl7_message_type",
                    Severity.CRITICAL,
                    "",
                    "a message is no ORU^R01",
                    "Ask the sender for result messages only; these are quarantined",
                    tuple(self.other_types),
                )
            )
        notes = []
        if self.escapes:
            notes.append(
                Note(
                    "hl7_escape_unknown",
                    Severity.ANSWER,
                    "",
                    "an escape sequence is not known, or not closed, and stays as it is written",
                    "Ask the sender what it stands for",
                    tuple(sorted(self.escapes)),
                )
            )
        if self.loose_notes:
            notes.append(
                Note(
                    "hl7_note_not_taken",
                    Severity.ANSWER,
                    "",
                    "a note (NTE) stands under no OBX, so it is the note of no row; it is kept in raw",
                    "Read it: what it says of an order or a specimen is in no dataset. Ask for notes under their OBX",
                    tuple(self.loose_notes),
                )
            )
        if first and self.empty:
            notes.append(
                Note(
                    "hl7_message_without_result",
                    Severity.ANSWER,
                    "",
                    "a result message holds no OBX, so it gives no row",
                    "Ask the sender whether the results were withdrawn or lost",
                    tuple(self.empty),
                )
            )
        if first and self.renumbered:
            notes.append(
                Note(
                    "hl7_control_id_repeated",
                    Severity.ANSWER,
                    "",
                    "different messages carry the same message control id (MSH-10); all are taken",
                    "Ask the sender whether one of them replaces the other",
                    tuple(sorted(self.renumbered)),
                )
            )
        if first and len(self.processed_as) > 1:
            fewest = sorted(self.processed_as.values(), key=len)[:-1]
            notes.append(
                Note(
                    "hl7_processing_id_differs",
                    Severity.ANSWER,
                    "",
                    "messages are for another processing (MSH-11: production, training, debugging) than most others; "
                    "all are taken",
                    "Ask the sender whether they are tests; if so, ask for the file without them",
                    tuple(sorted(line for lines in fewest for line in lines)),
                )
            )
        if first and (self.seen or self.unread):
            names = sorted(self.seen, key=lambda one: (one[:3], int(one[4:]))) + sorted(self.unread)
            notes.append(
                Note(
                    "hl7_fields_not_taken",
                    Severity.INFORMATION,
                    "",
                    f"filled fields of the result segments, and segments, are in no contract and kept in raw: "
                    f"{', '.join(names)}",
                    "Nothing, unless the study needs them",
                    tuple(sorted({*self.seen.values(), *self.unread.values()})),
                )
            )
        settled = []
        if self.several:
            note = Note(
                "hl7_several_specimens",
                Severity.CRITICAL,
                "",
                "an order has several SPM, so the specimen of its results is not known",
                "Ask the sender for one OBR per specimen",
                tuple(line for _, line in self.several),
            )
            settled.append(
                Settled("quarantined", note.rule, np.array([row for row, _ in self.several], dtype=np.int64), note)
            )
        return Extract(
            frame=self.columns.frame(),
            lines=self.columns.line_numbers(),
            set_aside=tuple(set_aside),
            ended=ended,
            notes=tuple(notes),
            settled=tuple(settled),
            declared_at=declared_at,
        )
