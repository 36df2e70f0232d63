"""The check digit of an ISIN, as one Polars expression.

An ISIN is two letters, nine letters or digits and a check digit. Letters become two digits each (A = 10 ... Z = 35),
then every second digit counted from the right (the check digit excluded) is doubled, the digits of the results are
summed, and the check digit brings the sum to a multiple of ten. Source: ISO 6166:2021, annex on the check digit.
"""

from __future__ import annotations

import polars as pl

PATTERN = r"^[A-Z]{2}[A-Z0-9]{9}[0-9]$"

# ISO 3166-1 alpha-2 as of 2026, then what numbering agencies give besides: XS for international securities (Euroclear,
# Clearstream), EU for those of the European Union, XA to XD and XF for countries whose agency is a substitute, XK Kosovo;
# AN and CS are of states that are no more but whose securities are still held. QM to QZ are left to private use: a firm
# may number its own instruments so, and the simulated market does.
_COUNTRIES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
    "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK "
    "FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR "
    "IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK "
    "ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF "
    "TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XS EU XA "
    "XB XC XD XF XK AN CS QM QN QO QP QQ QR QS QT QU QV QW QX QY QZ "
)
COUNTRIES = tuple(_COUNTRIES.split())

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
