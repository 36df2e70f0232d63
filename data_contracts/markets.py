"""markets: where assets are traded. Optional in a source; it is not dated."""

from __future__ import annotations

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import Column, Contract, Rule
from data_contracts.repairs import blanks_stripped
from data_contracts.rules import flag, not_null, type_rule
from data_contracts.searches import conflicting_key, exact_repeats

COLUMNS = (
    Column(c.MARKET_ID, pl.String(), "market identifier", examples=("XNGS", "XLON", "XETR")),
    Column(c.NAME, pl.String(), "name of the market", examples=("Nasdaq", "London", "Xetra")),
    Column(c.COUNTRY, pl.String(), "country", nullable=True, required=False, examples=(None, "Greece")),
    Column(
        c.TRADING_DAYS,
        pl.String(),
        "open days, e.g. Mon,Tue,Wed,Thu,Fri",
        nullable=True,
        required=False,
        examples=("Mon,Tue,Wed,Thu,Fri",),
    ),
)
_DAY = "|".join(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
_KEY = (c.MARKET_ID,)
_VALUES = (c.NAME, c.COUNTRY, c.TRADING_DAYS)

CONTRACT = Contract(
    table="markets",
    version="2",
    description="Markets that assets and trades refer to",
    key=_KEY,
    columns=COLUMNS,
    rows_required=False,
    repairs=(blanks_stripped(c.MARKET_ID, "XNGS"), blanks_stripped(c.NAME, "Nasdaq")),
    rules=(
        type_rule(),
        not_null(c.MARKET_ID),
        not_null(c.NAME),
        Rule(
            rule_id="trading_days_readable",
            description="trading_days is a list of Mon, Tue, Wed, Thu, Fri, Sat, Sun",
            columns=(c.MARKET_ID, c.TRADING_DAYS),
            severity="warn",
            complaint="{has} trading days that are no list of weekdays, so trades there are not asked for their day",
            remedy="give trading_days in the form Mon,Tue,Wed,Thu,Fri, or leave it empty",
            bad=~pl.col(c.TRADING_DAYS).str.contains(rf"^\s*({_DAY})(\s*,\s*({_DAY}))*\s*$"),
            expectation=flag("trading_days_readable"),
            breaks=({c.TRADING_DAYS: "Monday to Friday"},),
            keeps=({c.TRADING_DAYS: "Sun, Mon"}, {c.TRADING_DAYS: None}),
        ),
        Rule(
            rule_id="exact_repeat",
            description="no row repeats an earlier one",
            columns=_KEY,
            severity="quarantine",
            complaint="{is} equal to an earlier row",
            remedy="export each market once",
            search=exact_repeats((*_KEY, *_VALUES)),
            expectation=flag("exact_repeat"),
            breaks=({}, {}),
            keeps=({}, {c.MARKET_ID: "XATH"}),
        ),
        Rule(
            rule_id="key_conflict",
            description="one row per market; of several, the last in the file counts as the correction",
            columns=_KEY,
            severity="quarantine",
            complaint="{is} contradicted by a later row for the same market",
            remedy="export one row per market_id",
            search=conflicting_key(_KEY, _VALUES, keep="last"),
            expectation=flag("key_conflict"),
            breaks=({}, {c.NAME: "Nasdaq Stock Market"}),
            keeps=({}, {c.MARKET_ID: "XATH", c.NAME: "Athens"}),
        ),
    ),
)
