"""HL7 v2 ORU^R01. Expected values are read off the messages, and by hl7apy as a second reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from hl7apy.parser import parse_message

from transforms.errors import FileRefusedError
from transforms.sources.extract import Extract
from transforms.sources.hl7 import read_hl7
from transforms.study.models import Hl7Source

MSH = r"MSH|^~\&|LIS|LAB|CAIRN|CRC|20240310083000||ORU^R01^ORU_R01|{id}|P|2.5.1|||||{country}|{charset}"
MESSAGE = "\r".join(
    [
        "{msh}",
        "PID|1||X9^^^VISIT^VN~4711^^^HOSP^MR||Zhang^San",
        "ORC|RE|A1",
        "OBR|1|A1|F1|CHEM^Panel^L|||20240310080000",
        "OBX|1|NM|ALT^Alanine aminotransferase^L||40|U/L^unit per litre^UCUM|9-50|N|||F|||20240310090000",
        "OBX|2|SN|CRP^C-reactive protein^L||<^5|mg/L|0-8||||C",
        r"OBX|3|ST|COM^Comment^L||a\F\b\S\c\T\d\R\e\E\f\.br\g\X41\||||||P",
        "NTE|1||seen twice",
        "OBX|4|CWE|BG^Blood group^L||A^Group A^L~RH^Rh positive^L||||||X",
        "SPM|1|S1||SER^Serum^HL70487|||||||||||||20240310080000",
        "",
    ]
)


def message(number: str = "1", charset: str = "", **changes: str) -> str:
    return MESSAGE.replace("{msh}", MSH.format(id=number, country="", charset=charset))


FIELDS = {
    "MRN": "PID-3[5=MR].1",
    "ID": "MSH-10",
    "ORDER": "OBR-3.1",
    "PLACER": "ORC-2",
    "CODE": "OBX-3.1",
    "RESULT": "result",
    "RESULT_CODE": "result_code",
    "UNIT": "OBX-6.1",
    "RANGE": "OBX-7",
    "FLAG": "OBX-8",
    "STATUS": "OBX-11",
    "AT": "OBX-14",
    "SPECIMEN": "SPM-4.1",
    "NOTE": "NTE-3",
}


def contract(fields: dict[str, str] | None = None, encoding: str = "utf-8") -> Hl7Source:
    named = fields or FIELDS
    return Hl7Source.model_validate(
        {
            "source": "lis",
            "label": "Laboratory",
            "files": "*.hl7",
            "format": "hl7",
            "encoding": encoding,
            "delivery": "incremental",
            "subject": next(iter(named)),
            "fields": named,
            "columns": {name: {} for name in named},
        }
    )


def read(tmp_path: Path, content: str | bytes, source: Hl7Source | None = None) -> Extract:
    path = tmp_path / "a.hl7"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    extracts, rows = read_hl7(path, "a.hl7", [source or contract()])
    assert rows == extracts["lis"].rows
    return extracts["lis"]


def values(extract: Extract, name: str) -> list[str | None]:
    column = extract.frame[name].astype(object)
    return column.where(column.notna(), None).tolist()


def test_each_result_is_a_row_with_its_context_and_line(tmp_path: Path) -> None:
    extract = read(tmp_path, message())
    assert extract.lines.tolist() == [5, 6, 7, 9]
    assert values(extract, "MRN") == ["4711"] * 4
    assert values(extract, "ID") == ["1"] * 4
    assert values(extract, "ORDER") == ["F1"] * 4
    assert values(extract, "PLACER") == ["A1"] * 4
    assert values(extract, "CODE") == ["ALT", "CRP", "COM", "BG"]
    assert values(extract, "RESULT") == ["40", "<5", "a|b^c&d~e\\f\ngA", "Group A~Rh positive"]
    assert values(extract, "RESULT_CODE") == [None, None, None, "A~RH"]
    assert values(extract, "UNIT") == ["U/L", "mg/L", None, None]
    assert values(extract, "RANGE") == ["9-50", "0-8", None, None]
    assert values(extract, "STATUS") == ["F", "C", "P", "X"]
    assert values(extract, "AT") == ["20240310090000", None, None, None]
    assert values(extract, "SPECIMEN") == ["SER"] * 4
    assert values(extract, "NOTE") == [None, None, "seen twice", None]
    assert extract.ended and not extract.set_aside
    note = next(one for one in extract.notes if one.rule == "hl7_fields_not_taken")
    assert "OBR-4" in note.message and "Zhang" not in note.message


def test_line_ends_frames_and_batches_keep_the_lines(tmp_path: Path) -> None:
    batch = "FHS|^~\\&|LIS||||202403110600\rBHS|^~\\&\r" + message("1") + message("2") + "BTS|2\rFTS|1\r"
    extract = read(tmp_path, batch)
    assert extract.lines.tolist() == [7, 8, 9, 11, 17, 18, 19, 21]
    assert extract.declared_at == "2024-03-11T06:00"
    zoned = read(tmp_path, batch.replace("||||202403110600", "||||20240311060000-0330"))
    assert zoned.declared_at == "2024-03-11T06:00-03:30"
    windows = read(tmp_path, batch.replace("\r", "\r\n"))
    assert windows.lines.tolist() == extract.lines.tolist()
    framed = read(tmp_path, b"\x0b" + message().encode() + b"\x1c\r\x0b" + message("2").encode() + b"\x1c\r")
    assert len(framed.frame) == 8


@pytest.mark.parametrize(
    ("charset", "encoding", "declared"),
    [("GB18030-2000", "gb18030", "utf-8"), ("UNICODE UTF-8", "utf-8", "gb18030"), ("", "gb18030", "gb18030")],
)
def test_the_character_set_is_of_the_message_else_of_the_contract(
    tmp_path: Path, charset: str, encoding: str, declared: str
) -> None:
    # 亅's second byte in GB18030 is 0x7C, the field separator.
    content = message(charset=charset).replace("seen twice", "亅高").encode(encoding)
    extract = read(tmp_path, content, contract(encoding=declared))
    assert values(extract, "NOTE")[2] == "亅高"
    assert not extract.set_aside


MALFORMED = {
    "wrong separators": (lambda text: text.replace("^~\\&", "^^\\&"), "five different separators"),
    "no control id": (lambda text: text.replace("ORU_R01|9|", "ORU_R01||"), "MSH-10"),
    "no patient": (lambda text: text.replace("PID|", "ZID|"), "no PID"),
    "a patient without an order": (
        lambda text: text.replace("ORC|", "PID|2||4712^^^HOSP^MR\rORC|"),
        "a second PID before an order of the first",
    ),
    "an order before the next patient": (
        lambda text: text + "ORC|RE|A2\rPID|2||4712^^^HOSP^MR\rOBR|2|A2\r",
        "a second PID before an order of the first",
    ),
    "results before the patient": (
        lambda text: text.replace("PID|1||X9^^^VISIT^VN~4711^^^HOSP^MR||Zhang^San\r", "") + "PID|1||4711^^^HOSP^MR\r",
        "results stand before its first PID",
    ),
    "no order": (lambda text: text.replace("OBR|", "ZBR|"), "under no OBR"),
    "line break in a field": (lambda text: text.replace("seen twice", "seen\rtwice"), "is no segment"),
    "control character": (lambda text: text.replace("seen twice", "seen\x00twice"), "control"),
    "oversized": (lambda text: text.replace("seen twice", "x" * 1_100_000), "longer than"),
    "another version": (lambda text: text.replace("|2.5.1", "|3.0"), "no version 2"),
    "unknown character set": (lambda text: message("9", charset="KLINGON"), "unknown character set"),
    "specimen before its order": (
        lambda text: text.replace("ORC|", "SPM|1|S1||SER\rORC|"),
        "an SPM stands under no OBR",
    ),
    "UTF-8 that says it is Latin 1": (
        lambda text: message("9", charset="8859/1").replace("seen twice", "高"),
        "written in UTF-8 and not in iso8859_1",
    ),
    "no header": (lambda text: text.replace("MSH|", "MSX|"), None),
}


def test_results_of_several_patients_in_one_message_go_to_their_own(tmp_path: Path) -> None:
    """HL7 v2.5.1, ORU_R01: the group PATIENT_RESULT (PID, PV1 and orders) repeats."""
    second = (
        "PID|2||4712^^^HOSP^MR||Li^Si\rOBR|1|A2|F2|CHEM^Panel^L|||20240311080000\r"
        "OBX|1|NM|ALT^Alanine aminotransferase^L||77|U/L|9-50|N|||F\rNTE|1||second\r"
        "OBR|2|A3|F3\rOBX|1|NM|AST^Aspartate aminotransferase^L||88|U/L|9-50|N|||F\r"
    )
    third = "PID|3||4713^^^HOSP^MR\rOBR|1|A4|F4\rOBX|1|NM|ALT^Alanine aminotransferase^L||99|U/L\r"
    first = message("1").replace("ORC|", "PV1|1|I\rORC|")
    fields = {**FIELDS, "CLASS": "PV1-2"}
    source = contract(fields)
    extract = read(tmp_path, first + second + third + message("2"), source)
    assert not extract.set_aside and extract.rows == 11
    assert values(extract, "MRN") == ["4711"] * 4 + ["4712"] * 2 + ["4713"] + ["4711"] * 4
    assert values(extract, "CLASS") == ["I"] * 4 + [None] * 7
    assert values(extract, "RESULT")[4:7] == ["77", "88", "99"]
    assert values(extract, "NOTE")[4] == "second"


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_message_is_quarantined_and_the_others_are_taken(tmp_path: Path, fault: str) -> None:
    change, why = MALFORMED[fault]
    extract = read(tmp_path, "BHS|^~\\&\r" + message("1") + "BTS|1\r" + change(message("9")) + message("2"))
    taken = extract.lines.tolist()
    if why is None:
        # What follows a message and does not begin with MSH stands under an envelope that is closed.
        why = "does not begin with MSH"
    assert len(taken) == 8
    (note,) = extract.set_aside
    assert note.rule == "hl7_message_malformed" and why in note.message
    assert len(note.lines) == 4
    assert not set(note.lines) & set(taken)
    assert extract.rows == 12
    assert "Zhang" not in note.message


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\x0b"])
def test_files_put_together_with_their_marks_are_read(tmp_path: Path, mark: bytes) -> None:
    extract = read(tmp_path, mark + message("1").encode() + mark + message("2").encode())
    assert extract.lines.tolist() == [5, 6, 7, 9, 15, 16, 17, 19] and not extract.set_aside


def said(extract: Extract, rule: str) -> tuple[int, ...]:
    return next((note.lines for note in extract.notes if note.rule == rule), ())


def without_results(content: str) -> str:
    return "".join(one + "\r" for one in content.split("\r") if one[:3] not in {"OBX", "NTE", ""})


def test_messages_without_results_are_said_and_count_no_row(tmp_path: Path) -> None:
    """The second message has no result, the third is of another kind and has none."""
    other = without_results(message("3")).replace("ORU^R01^ORU_R01", "ADT^A08^ADT_A01")
    path = tmp_path / "a.hl7"
    path.write_text(message("1") + without_results(message("2")) + other, encoding="utf-8", newline="")
    extracts, rows = read_hl7(path, "a.hl7", [contract()])
    assert (rows, len(extracts["lis"].frame)) == (4, 4)
    assert said(extracts["lis"], "hl7_message_without_result") == (11,)
    assert [(note.rule, note.lines) for note in extracts["lis"].set_aside] == [("hl7_message_type", (16,))]


def test_notes_of_no_result_are_said_and_are_notes_of_no_row(tmp_path: Path) -> None:
    loose = message().replace("OBX|1|", "NTE|1||haemolysed\rOBX|1|").replace("SPM|", "SPM|1|S1||SER\rNTE|1||late\rZZZ|")
    extract = read(tmp_path, loose)
    assert values(extract, "NOTE") == [None, None, "seen twice", None]
    assert said(extract, "hl7_note_not_taken") == (5, 12)
    without = contract({name: place for name, place in FIELDS.items() if name != "NOTE"})
    assert said(read(tmp_path, loose, without), "hl7_note_not_taken") == ()


def test_segments_that_no_row_holds_are_said(tmp_path: Path) -> None:
    extract = read(tmp_path, message() + "ZRE|1|ALT|77|U/L\r")
    (note,) = [one for one in extract.notes if one.rule == "hl7_fields_not_taken"]
    assert "ZRE" in note.message and "77" not in note.message
    assert 11 in note.lines


def test_one_control_id_of_different_messages_is_said(tmp_path: Path) -> None:
    changed = message("1").replace("||40|", "||41|")
    again = message("2").replace("20240310083000", "20240310093000")
    extract = read(tmp_path, message("1") + message("2") + again + changed)
    assert said(extract, "hl7_control_id_repeated") == (1, 31)
    assert len(extract.frame) == 16


def test_test_messages_among_others_are_said(tmp_path: Path) -> None:
    test = message("2").replace("|2|P|2.5.1", "|2|D|2.5.1")
    extract = read(tmp_path, message("1") + test + message("3"))
    assert said(extract, "hl7_processing_id_differs") == (11,)
    assert said(read(tmp_path, test), "hl7_processing_id_differs") == ()
    assert len(extract.frame) == 12


def test_another_escape_character_leaves_the_backslash_alone(tmp_path: Path) -> None:
    written = MESSAGE.split("OBX|3|ST|COM^Comment^L||")[1].split("|")[0]
    content = message().replace("^~\\&", "^~!&").replace(written, r"a!F!b\F\c!Zz!")
    extract = read(tmp_path, content)
    assert values(extract, "RESULT")[2] == r"a|b\F\c!Zz!"
    assert said(extract, "hl7_escape_unknown") == (7,)


def test_an_escape_character_alone_is_said(tmp_path: Path) -> None:
    extract = read(tmp_path, message().replace("seen twice", "seen\\twice"))
    assert values(extract, "NOTE")[2] == "seen\\twice"
    assert said(extract, "hl7_escape_unknown") == (7,)


@pytest.mark.parametrize(
    "ends", [("", "BTS|1\r"), ("", "BTS|001\rFTS|1\r"), ("FHS|^~\\&\r", "FTS|1\r"), ("BHS|^~\\&\r", "BTS\r")]
)
def test_a_trailer_that_counts_what_is_there_needs_no_header(tmp_path: Path, ends: tuple[str, str]) -> None:
    assert len(read(tmp_path, ends[0] + message() + ends[1]).frame) == 4


def test_a_message_in_another_encoding_is_quarantined(tmp_path: Path) -> None:
    bad = message("2").replace("seen twice", "高").encode("gb18030")
    extract = read(tmp_path, message("1").encode() + bad)
    assert len(extract.frame) == 4
    assert "is not written in utf-8" in extract.set_aside[0].message


def test_other_messages_and_results_of_several_specimens_are_held(tmp_path: Path) -> None:
    other = message("2").replace("ORU^R01^ORU_R01", "ADT^A01^ADT_A01")
    several = message("3").replace("SPM|1|S1", "SPM|1|S0||URN\rSPM|2|S1")
    extract = read(tmp_path, message("1") + other + several)
    assert [(note.rule, len(note.lines)) for note in extract.set_aside] == [("hl7_message_type", 4)]
    (settled,) = extract.settled
    assert (settled.rule, settled.rows.tolist()) == ("hl7_several_specimens", [4, 5, 6, 7])


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ("empty_file", ""),
        ("not_hl7", "PID|1\rOBX|1\r"),
        ("not_hl7", "SUBJ,RESULT\n001,5\n"),
        ("truncated_file", "BHS|^~\\&\r" + message("1")),
        ("truncated_file", "FHS|^~\\&\rBHS|^~\\&\r" + message("1") + "BTS|1\r"),
        ("truncated_file", message("1") + "BTS\r"),
        ("truncated_file", message("1") + "FTS||x\r"),
        ("wrong_encoding", message("1").encode("utf-16")),
        ("wrong_encoding", message("1").encode("utf-16-le")),
        ("batch_count", message("1") + "BTS|2\r"),
        ("batch_count", "BHS|^~\\&\r" + message("1") + "BTS|one\r"),
        ("batch_count", "BHS|^~\\&\r" + message("1") + "BTS|2\r"),
        ("batch_count", "FHS|^~\\&\rBHS|^~\\&\r" + message("1") + "BTS|1\rFTS|2\r"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, rule: str, content: str | bytes) -> None:
    with pytest.raises(FileRefusedError) as caught:
        read(tmp_path, content)
    assert caught.value.rule == rule


def test_a_time_of_the_file_that_is_none_is_said(tmp_path: Path) -> None:
    header = "FHS|^~\\&|LIS||||{}\rBHS|^~\\&\r"
    for time in ("soon", "20241345", "2024-04-01"):
        extract = read(tmp_path, header.format(time) + message() + "BTS|1\rFTS|1\r")
        assert (extract.declared_at, said(extract, "extract_time_unreadable")) == (None, (1,))
    for time in ("", "202404010600", "20240401060000.0000+0800"):
        extract = read(tmp_path, header.format(time) + message() + "BTS|1\rFTS|1\r")
        assert said(extract, "extract_time_unreadable") == ()


def test_a_file_cut_off_in_its_last_segment_says_so_and_unknown_escapes_stay(tmp_path: Path) -> None:
    extract = read(tmp_path, message().rstrip("\r").replace("seen", "\\Zz\\"))
    assert not extract.ended
    assert values(extract, "NOTE")[2] == "\\Zz\\ twice"
    assert "hl7_escape_unknown" in {note.rule for note in extract.notes}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_messages_of_nist_read_as_hl7apy_reads_them(foreign_formats: Path, number: int) -> None:
    path = foreign_formats / "hl7" / f"ORU_R01_2.5.1_SampleTestCase{number}.hl7"
    fields = {
        "PAT": "PID-3.1", "NAME": "PID-5.2", "ID": "MSH-10", "ORDER": "OBR-3.1", "CODE": "OBX-3.1", "TEXT": "OBX-3.2",
        "RESULT": "result", "UNIT": "OBX-6.1", "RANGE": "OBX-7", "FLAG": "OBX-8", "STATUS": "OBX-11", "AT": "OBX-14",
        "LAB": "OBX-23.6.2", "SPECIMEN": "SPM-4.2", "HELD": "SPM-4.5",
    }  # fmt: skip
    extract = read_hl7(path, path.name, [contract(fields)])[0]["lis"]
    parsed = parse_message(path.read_text(encoding="utf-8").replace("\n", "\r"), find_groups=False)
    pid, obr, obx, spm = parsed.pid, parsed.obr, parsed.obx, parsed.spm
    expected = {
        "PAT": pid.pid_3.pid_3_1, "NAME": pid.pid_5.pid_5_2, "ID": parsed.msh.msh_10, "ORDER": obr.obr_3.obr_3_1,
        "CODE": obx.obx_3.obx_3_1, "TEXT": obx.obx_3.obx_3_2, "RESULT": obx.obx_5, "UNIT": obx.obx_6.obx_6_1,
        "RANGE": obx.obx_7, "FLAG": obx.obx_8, "STATUS": obx.obx_11, "AT": obx.obx_14,
        "LAB": obx.obx_23.xon_6.hd_2, "SPECIMEN": spm.spm_4.spm_4_2, "HELD": spm.spm_4.spm_4_5,
    }  # fmt: skip
    assert len(extract.frame) == len(parsed.obx) == 1
    assert {name: values(extract, name)[0] for name in fields} == {
        name: value.to_er7() for name, value in expected.items()
    }
