"""The expectations of Great Expectations that a rule may name, and how each is run.

Known here, so that a rule book is checked without importing Great Expectations (seconds); a test holds this table
against the version installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shape = Literal["rows", "column", "table"]


@dataclass(frozen=True)
class Known:
    """One expectation: the keyword arguments that name columns, the others, and what it is about.

    `shape` says what decides about a row: the row's own values (`rows`: checked once per distinct combination of
    values), the whole column (`column`), or the frame as such (`table`: a breach has no rows). `numbers` says that
    the columns must hold numbers. `nulls` is the keyword that says which rows with missing values are left out.
    `names_only` says that the names of the columns decide, whatever they hold.
    """

    columns: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    shape: Shape = "rows"
    numbers: bool = False
    nulls: tuple[str, ...] = ()
    names_only: bool = False

    @property
    def options(self) -> frozenset[str]:
        """Every keyword argument that a rule may write."""
        own = {*self.columns, *self.required, *self.optional}
        return frozenset(own | {"ignore_row_if"} if self.nulls else own)


BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
PAIR_NULLS = ("both_values_are_missing", "either_value_is_missing", "neither")
RECORD_NULLS = ("all_values_are_missing", "any_value_is_missing", "never")

KNOWN = {
    "expect_column_values_to_not_be_null": Known(("column",)),
    "expect_column_values_to_be_null": Known(("column",)),
    "expect_column_values_to_be_in_set": Known(("column",), ("value_set",)),
    "expect_column_values_to_not_be_in_set": Known(("column",), ("value_set",)),
    "expect_column_values_to_be_between": Known(("column",), (), BOUNDS, numbers=True),
    "expect_column_values_to_match_regex": Known(("column",), ("regex",)),
    "expect_column_values_to_not_match_regex": Known(("column",), ("regex",)),
    "expect_column_value_lengths_to_be_between": Known(("column",), (), BOUNDS),
    "expect_column_pair_values_a_to_be_greater_than_b": Known(
        ("column_A", "column_B"), (), ("or_equal",), numbers=True, nulls=PAIR_NULLS
    ),
    "expect_column_pair_values_to_be_equal": Known(("column_A", "column_B"), nulls=PAIR_NULLS),
    "expect_multicolumn_sum_to_equal": Known(("column_list",), ("sum_total",), numbers=True, nulls=RECORD_NULLS),
    "expect_select_column_values_to_be_unique_within_record": Known(("column_list",), nulls=RECORD_NULLS),
    "expect_column_values_to_be_unique": Known(("column",), shape="column"),
    "expect_compound_columns_to_be_unique": Known(("column_list",), shape="column", nulls=RECORD_NULLS),
    "expect_table_row_count_to_be_between": Known((), (), ("min_value", "max_value"), shape="table"),
    "expect_table_columns_to_match_set": Known((), ("column_set",), ("exact_match",), shape="table", names_only=True),
    "expect_column_distinct_values_to_contain_set": Known(("column",), ("value_set",), shape="table"),
}
