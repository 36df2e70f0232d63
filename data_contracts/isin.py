"""The check digit of an ISIN, as one Polars expression.

An ISIN is two letters, nine letters or digits and a check digit. Letters become two digits each (A = 10 ... Z = 35),
then every second digit counted from the right (the check digit excluded) is doubled, the digits of the results are
summed, and the check digit brings the sum to a multiple of ten. Source: ISO 6166:2021, annex on the check digit.
"""

from __future__ import annotations

import polars as pl

PATTERN = r"^[A-Z]{2}[A-Z0-9]{9}[0-9]$"

_LETTERS = {letter: str(ord(letter) - ord("A") + 10) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
# Value of a digit that is doubled: the sum of the digits of twice itself.
_DOUBLED = {"0": 0, "1": 2, "2": 4, "3": 6, "4": 8, "5": 1, "6": 3, "7": 5, "8": 7, "9": 9}


def valid_isin(column: str | pl.Expr) -> pl.Expr:
    """True where the text is an ISIN with the right check digit, false elsewhere, null for null.

    The two digits of a letter sit side by side, so a digit's parity depends on the letters right of it. Reversing the
    expanded text fixes that: its characters at even places (0, 2, ...) are the doubled ones once the check digit is
    off. Twenty characters at most, so the sum is written out place by place: no loop over rows.
    """
    text = pl.col(column) if isinstance(column, str) else column
    body = text.str.slice(0, 11).str.replace_many(list(_LETTERS), list(_LETTERS.values())).str.reverse()
    total = pl.lit(0, dtype=pl.Int32)
    for place in range(22):
        digit = body.str.slice(place, 1)
        if place % 2 == 0:
            value = digit.replace_strict(_DOUBLED, default=0, return_dtype=pl.Int32)
        else:
            value = digit.cast(pl.Int32, strict=False).fill_null(0)
        total = total + value
    check = text.str.slice(11, 1).cast(pl.Int32, strict=False)
    sound = text.str.contains(PATTERN) & (((total + check) % 10) == 0).fill_null(False)
    return pl.when(text.is_not_null()).then(sound)
