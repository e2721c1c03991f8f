"""XML that others wrote, read as events with exact lines, and with nothing in it believed.

libxml2 does not number elements beyond line 65,535 exactly, so this is expat: it knows line and column of every
event, keeps no tree, and fetches nothing. Encoding and characters are checked before the parser sees them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from transforms.errors import FileRefusedError

CHUNK = 1 << 20
DEEPEST = 100
LONGEST = 10_000_000  # characters of one attribute or text
DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]+)["']""")
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\ufffd|锟斤拷")
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    # Without a mark, the first character tells (XML 1.0, appendix F).
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
SEPARATOR = " "


class XmlReader:
    """Feeds a file to the handlers `start(name, attributes)`, `end(name)` and `text(data)`.

    Names are `namespace local`. `line` is where the event at hand begins.
    """

    def __init__(
        self,
        path: Path,
        shown: str,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None],
        text: Callable[[str], None],
    ) -> None:
        self.path = path
        self.shown = shown
        self._start = start
        self._end = end
        self._depth = 0
        self._parser = expat.ParserCreate(namespace_separator=SEPARATOR)
        self._parser.buffer_text = True
        self._parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser.StartElementHandler = self._open
        self._parser.EndElementHandler = self._close
        self._parser.CharacterDataHandler = text
        self._parser.StartDoctypeDeclHandler = self._doctype

    @property
    def line(self) -> int:
        """The line of the event at hand, from 1."""
        return self._parser.CurrentLineNumber

    def read(self) -> None:
        """Read the file to its end.

        Raises FileRefusedError: empty_file, wrong_encoding, nul_byte, control_character, xml_doctype, xml_too_deep,
        xml_text_too_long, malformed_xml, truncated_file.
        """
        if self.path.stat().st_size == 0:
            raise FileRefusedError("empty_file", self.shown, "the file is empty", "Ask the sender for the whole file")
        chunks = self._decoded()
        ahead = next(chunks, "")
        while ahead:
            chunk, ahead = ahead, next(chunks, "")
            try:
                self._parser.Parse(chunk, not ahead)
            except expat.ExpatError as error:
                self._refuse(error, last=not ahead)

    def _decoded(self) -> Iterator[str]:
        with self.path.open("rb") as stream:
            head = stream.read(CHUNK)
            encoding = self._encoding(head)
            decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
            position, line, column = 0, 1, 0
            while head:
                following = stream.read(CHUNK)
                try:
                    text = decoder.decode(head, final=not following)
                except UnicodeDecodeError as error:
                    raise FileRefusedError(
                        "wrong_encoding",
                        self.shown,
                        f"says it is {encoding} and is not: {error.reason} after line {line}, near byte "
                        f"{position + error.start}",
                        "Ask the sender to declare the encoding in which the file is written",
                    ) from error
                bad = FORBIDDEN.search(text)
                if bad is not None:
                    self._forbidden(bad[0], text[: bad.start()], line, column)
                breaks = text.count("\n")
                column = len(text) - text.rfind("\n") - 1 if breaks else column + len(text)
                line += breaks
                position += len(head)
                if text:
                    yield text
                head = following

    def _encoding(self, head: bytes) -> str:
        for mark, encoding in MARKS:
            if head.startswith(mark):
                return encoding
        declared = DECLARED.match(head[:1024])
        if declared is None:
            return "utf-8"
        name, start = declared[1].decode("ascii"), declared[0].lstrip()
        try:
            as_declared = start.decode(name)
        except LookupError as error:
            raise FileRefusedError(
                "wrong_encoding", self.shown, f"declares the encoding {name}, which is unknown", "Ask for UTF-8"
            ) from error
        except UnicodeError:
            as_declared = ""
        if as_declared != start.decode("latin-1"):
            raise FileRefusedError(
                "wrong_encoding",
                self.shown,
                f"says it is {name} and is not: so written, its first line would not say so",
                "Ask the sender to declare the encoding in which the file is written",
            )
        return codecs.lookup(name).name

    def _forbidden(self, found: str, before: str, line: int, column: int) -> NoReturn:
        breaks = before.count("\n")
        at = len(before) - before.rfind("\n") if breaks else column + len(before) + 1
        where = f"line {line + breaks}, column {at}"
        if found in {"\ufffd", "锟斤拷"}:
            raise FileRefusedError(
                "wrong_encoding",
                self.shown,
                f"holds replacement characters ({where}): it was already damaged by a wrong conversion",
                "Ask the sender to export it again in the declared encoding",
            )
        if found == "\0":
            raise FileRefusedError(
                "nul_byte", self.shown, f"holds a NUL character ({where})", "The file is damaged: ask for it again"
            )
        raise FileRefusedError(
            "control_character",
            self.shown,
            f"holds the control character U+{ord(found):04X}, which XML forbids ({where})",
            "Ask the sender to have it removed at the source and to export again",
        )

    def _doctype(self, *_: object) -> NoReturn:
        raise FileRefusedError(
            "xml_doctype",
            self.shown,
            f"declares a document type (line {self.line}); entities could be hidden in it",
            "Ask the sender for a file without DOCTYPE",
        )

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise FileRefusedError(
                "xml_too_deep",
                self.shown,
                f"nests elements deeper than {DEEPEST} (line {self.line})",
                "Ask the sender for a correct file",
            )
        if sum(map(len, attributes.values())) > LONGEST:
            self.too_long()
        self._start(name, attributes)

    def _close(self, name: str) -> None:
        self._depth -= 1
        self._end(name)

    def too_long(self) -> NoReturn:
        """Refuse the file for an overlong text at the event at hand."""
        raise FileRefusedError(
            "xml_text_too_long",
            self.shown,
            f"holds a text of more than {LONGEST:,} characters (line {self.line})",
            "Ask the sender for a correct file",
        )

    def _refuse(self, error: expat.ExpatError, *, last: bool) -> NoReturn:
        where = f"line {error.lineno}, column {error.offset + 1}"
        cut = {"no element found", "unclosed token", "unclosed CDATA section"}
        if last and expat.ErrorString(error.code) in cut:
            raise FileRefusedError(
                "truncated_file",
                self.shown,
                f"ends before its elements do ({where}): the file is cut off",
                "Ask the sender for the whole file",
            ) from error
        raise FileRefusedError(
            "malformed_xml",
            self.shown,
            f"is not well-formed XML: {expat.ErrorString(error.code)} ({where})",
            "Ask the sender for a correct file",
        ) from error
