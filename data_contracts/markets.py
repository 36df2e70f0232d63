"""markets: where assets are traded. Optional in a source; it is not dated."""

from __future__ import annotations

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import Column, Contract, Rule
from data_contracts.rules import flag, not_null, type_rule
from data_contracts.searches import conflicting_key, exact_repeats

COLUMNS = (
    Column(c.MARKET_ID, pl.String(), "market identifier"),
    Column(c.NAME, pl.String(), "name of the market"),
    Column(c.COUNTRY, pl.String(), "country", nullable=True, required=False),
    Column(c.TRADING_DAYS, pl.String(), "open days, e.g. Mon,Tue,Wed,Thu,Fri", nullable=True, required=False),
)
_KEY = (c.MARKET_ID,)
_VALUES = (c.NAME, c.COUNTRY, c.TRADING_DAYS)

CONTRACT = Contract(
    table="markets",
    version="1",
    description="Markets that assets and trades refer to",
    key=_KEY,
    columns=COLUMNS,
    rows_required=False,
    rules=(
        type_rule(),
        not_null(c.MARKET_ID),
        not_null(c.NAME),
        Rule(
            rule_id="exact_repeat",
            description="no row repeats an earlier one",
            columns=_KEY,
            severity="quarantine",
            complaint="{is} equal to an earlier row",
            remedy="export each market once",
            search=exact_repeats((*_KEY, *_VALUES)),
            expectation=flag("exact_repeat"),
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
        ),
    ),
)
