"""assets: what can be held and recommended. One row per asset and day on which its record changed."""

from __future__ import annotations

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import Before, Column, Contract, Rule
from data_contracts.repairs import blanks_stripped, code_spelt, day_padded, isin_capitals
from data_contracts.rules import (
    between,
    flag,
    isin_check_digit,
    isin_country,
    not_after_as_of,
    not_before_1990,
    not_null,
    one_of,
    type_rule,
)
from data_contracts.searches import conflicting_key, exact_repeats, unknown_reference

# The securities of the examples: real ones, so that their check digits are too.
APPLE, BAE, BAYER = "US0378331005", "GB0002634946", "DE000BAY0017"

COLUMNS = (
    Column(c.ASSET_ID, pl.String(), "ISIN", examples=(APPLE, BAE, BAYER)),
    Column(c.ASSET_NAME, pl.String(), "full name", examples=("Apple Inc", "BAE Systems", "Bayer AG")),
    Column(c.ASSET_SHORT_NAME, pl.String(), "short name", nullable=True, required=False, examples=(None, "AAPL")),
    Column(c.ASSET_CLASS, pl.String(), "stock, bond or fund", examples=("stock", "bond", "fund")),
    Column(
        c.ASSET_SUBCLASS, pl.String(), "kind within the class", nullable=True, required=False, examples=(None, "Common Stock")
    ),
    Column(c.MARKET_ID, pl.String(), "market on which it is traded", nullable=True, required=False, examples=("XNGS",)),
    Column(c.SECTOR, pl.String(), "economic sector", nullable=True, required=False, examples=(None, "Technology")),
    Column(c.INDUSTRY, pl.String(), "industry", nullable=True, required=False, examples=(None, "Software")),
    Column(c.ISSUER, pl.String(), "who issued it", nullable=True, required=False, examples=(None, "Apple Inc")),
    Column(c.DIVIDEND_YIELD, pl.Float64(), "dividend yield", "fraction per year", True, False, (None, 0.031)),
    Column(c.RISK_CLASS, pl.Int8(), "declared risk, 1 conservative to 4 aggressive", "", True, False, (None, 3)),
    Column(c.VALID_FROM, pl.Date(), "first day on which this row holds", "day", examples=(Before(400),)),
)
_KEY = (c.ASSET_ID, c.VALID_FROM)
_VALUES = tuple(column.name for column in COLUMNS if column.name not in _KEY)

CONTRACT = Contract(
    table="assets",
    version="4",
    description="Securities with their class, sector and market, dated",
    key=_KEY,
    columns=COLUMNS,
    date_column=c.VALID_FROM,
    categories=(c.ASSET_CLASS,),
    repairs=(
        isin_capitals(),
        code_spelt(c.ASSET_CLASS, c.ASSET_CLASSES),
        blanks_stripped(c.ASSET_NAME, "Apple Inc"),
        blanks_stripped(c.MARKET_ID, "XNGS"),
        blanks_stripped(c.SECTOR, "Technology"),
        blanks_stripped(c.INDUSTRY, "Software"),
        blanks_stripped(c.ASSET_SUBCLASS, "Common Stock"),
        day_padded(c.VALID_FROM),
    ),
    rules=(
        type_rule(),
        not_null(c.ASSET_ID),
        not_null(c.ASSET_NAME),
        not_null(c.ASSET_CLASS),
        not_null(c.VALID_FROM),
        isin_check_digit(),
        isin_country(),
        one_of(c.ASSET_CLASS, c.ASSET_CLASSES),
        one_of(c.RISK_CLASS, (1, 2, 3, 4)),
        between(c.DIVIDEND_YIELD, 0.0, 1.0),
        not_after_as_of(c.VALID_FROM),
        not_before_1990(c.VALID_FROM),
        Rule(
            rule_id="market_known",
            description="market_id occurs in the markets table",
            columns=(c.MARKET_ID,),
            severity="warn",
            complaint="{is} of a market that the markets table does not list",
            remedy="add the market to the markets table, or correct market_id",
            search=unknown_reference(c.MARKET_ID, "markets"),
            expectation=flag("market_known"),
            breaks=({c.MARKET_ID: "NOWHERE"},),
            keeps=({c.MARKET_ID: None},),
        ),
        Rule(
            rule_id="exact_repeat",
            description="no row repeats an earlier one",
            columns=_KEY,
            severity="quarantine",
            complaint="{is} equal to an earlier row",
            remedy="export each dated row of an asset once",
            search=exact_repeats((*_KEY, *_VALUES)),
            expectation=flag("exact_repeat"),
            breaks=({}, {}),
            keeps=({}, {c.VALID_FROM: Before(30)}),
        ),
        Rule(
            rule_id="key_conflict",
            description="one statement per asset and day; of several, the last in the file counts as the correction",
            columns=(*_KEY, c.ASSET_CLASS),
            severity="quarantine",
            complaint="{is} contradicted by a later row for the same asset and day",
            remedy="export one row per asset and valid_from",
            search=conflicting_key(_KEY, _VALUES, keep="last"),
            expectation=flag("key_conflict"),
            breaks=({}, {c.ASSET_CLASS: "fund"}),
            keeps=({}, {c.VALID_FROM: Before(30), c.ASSET_CLASS: "fund"}),
        ),
    ),
)
