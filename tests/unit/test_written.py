"""One value of a study's file is changed; comments, layout, quotes and line ends of the rest stay."""

from __future__ import annotations

import pytest

from transforms.study.written import WrittenCsv, WrittenYaml

BLOCK = """# the dataset
dataset: AE   # as published
variables:
  AETERM: {assign_no_ct: term}  # verbatim
  AESEV:
    assign_ct: severity   # three grades
    comment: >-
      Old words
      over two lines.

keys: [USUBJID, AETERM]
"""


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        (("dataset",), "AX", "dataset: AE   #", "dataset: AX   #"),
        (("variables", "AETERM", "comment"), "As said", "term}", "term, comment: As said}"),
        (("variables", "AETERM", "comment"), "a: b # c", "term}", 'term, comment: "a: b # c"}'),
        (("variables", "AESEV", "method"), "true", "two lines.\n", 'two lines.\n    method: "true"\n'),
        (("variables", "AESEV", "comment"), "New.", "Old words\n      over two lines.", "New."),
        (("variables", "AESEV", "assign_ct"), "1.5", "severity   #", '"1.5"   #'),
        (("keys",), ["USUBJID", "AESTDTC"], "[USUBJID, AETERM]", "[USUBJID, AESTDTC]"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_one_value_of_yaml(path: tuple[str, ...], value: str | list[str], old: str, new: str, newline: str) -> None:
    text = BLOCK.replace("\n", newline)
    expected = BLOCK.replace(old, new).replace("\n", newline)
    assert expected != text
    assert WrittenYaml(text).replaced(path, value).text == expected


def test_a_value_that_other_names_share_is_not_changed() -> None:
    shared = WrittenYaml("one: &same {label: A}\ntwo: *same\n")
    with pytest.raises(ValueError, match="cannot be changed without changing others"):
        shared.replaced(("one", "label"), "B")
    with pytest.raises(ValueError, match="nothing is written at three"):
        shared.replaced(("three", "label"), "B")


@pytest.mark.parametrize(
    ("value", "written"), [("plain", "plain"), ("a, b", '"a, b"'), ('say "x"', '"say ""x"""'), ("", "")]
)
def test_one_cell_of_a_table(value: str, written: str) -> None:
    text = '\ufeffCODE,LABEL,NOTE\r\n\r\nA,"old, one","line one\nline two"\r\nB,two,\r\n'
    assert WrittenCsv(text).replaced(0, "LABEL", value).text == text.replace('"old, one"', written)
    assert WrittenCsv(text).replaced(1, "NOTE", value).text == text.replace("B,two,", f"B,two,{written}")
