"""The check digit of an ISIN."""

from __future__ import annotations

import string

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.isin import valid_isin


def judged(*texts: str | None) -> list[bool | None]:
    frame = pl.DataFrame({"asset_id": list(texts)}, schema={"asset_id": pl.String})
    return frame.select(valid_isin("asset_id")).to_series().to_list()


def check_digit(body: str) -> str:
    """Luhn over the expanded digits, one character at a time: independent of the Polars expression."""
    digits = "".join(str(int(character, 36)) for character in body)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return str(-total % 10)


@pytest.mark.parametrize("isin", ["US0378331005", "AU0000XVGZA3", "GB0002634946", "DE000BAY0017", "IE00B66F4759", "GRS434003000"])
def test_published_isins_are_valid(isin: str) -> None:
    assert judged(isin) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "US0378331006",  # wrong check digit
        "US0373831005",  # two digits swapped
        "100974271034",  # no country
        "XSTITANBOND27",  # thirteen characters
        "us0378331005",
        "US037833100",
        "US037833100X",
        "",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert judged(text) == [False]


def test_null_stays_null() -> None:
    assert judged("US0378331005", None) == [True, None]


bodies = st.builds(
    "{}{}".format,
    st.text(string.ascii_uppercase, min_size=2, max_size=2),
    st.text(string.ascii_uppercase + string.digits, min_size=9, max_size=9),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=20))
def test_exactly_one_check_digit_of_ten_is_right(listed: list[str]) -> None:
    texts = [body + digit for body in listed for digit in string.digits]
    expected = [digit == check_digit(body) for body in listed for digit in string.digits]
    assert judged(*texts) == expected
