"""prices: the closing price of an asset on a day, in EUR. Gaps are legitimate; nothing is filled in."""

from __future__ import annotations

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import Column, Contract, Rule
from data_contracts.rules import above, flag, not_after_as_of, not_before_1990, not_null, type_rule
from data_contracts.searches import conflicting_key, exact_repeats, price_jumps, unknown_reference

# Closes further apart than this are not neighbours: a long week-end is four days.
NEIGHBOUR_DAYS = 5

COLUMNS = (
    Column(c.ASSET_ID, pl.String(), "ISIN"),
    Column(c.DATE, pl.Date(), "day of the close", "day"),
    Column(c.CLOSE, pl.Float64(), "closing price", "EUR per unit"),
)
_KEY = (c.ASSET_ID, c.DATE)

CONTRACT = Contract(
    table="prices",
    version="1",
    description="Daily closes",
    key=_KEY,
    columns=COLUMNS,
    date_column=c.DATE,
    freshness="block",
    rules=(
        type_rule(),
        not_null(c.ASSET_ID),
        not_null(c.DATE),
        not_null(c.CLOSE),
        above(c.CLOSE, 0.0, "EUR"),
        not_after_as_of(c.DATE),
        not_before_1990(c.DATE),
        Rule(
            rule_id="asset_known",
            description="asset_id occurs among the accepted assets",
            columns=(c.ASSET_ID,),
            severity="quarantine",
            complaint="{is} of an asset that is not among the accepted assets",
            remedy="deliver the asset's row, or see why the assets checkpoint quarantined it",
            search=unknown_reference(c.ASSET_ID, "assets"),
            expectation=flag("asset_known"),
        ),
        Rule(
            rule_id="exact_repeat",
            description="no row repeats an earlier one",
            columns=(*_KEY, c.CLOSE),
            severity="quarantine",
            complaint="{is} equal to an earlier row",
            remedy="export each close once",
            search=exact_repeats((*_KEY, c.CLOSE)),
            expectation=flag("exact_repeat"),
        ),
        Rule(
            rule_id="key_conflict",
            description="one close per asset and day; of two that differ neither is believed",
            columns=(*_KEY, c.CLOSE),
            severity="quarantine",
            complaint="{is} contradicted by another close of the same asset and day",
            remedy="export one close per asset and day (one market, one currency)",
            search=conflicting_key(_KEY, (c.CLOSE,), keep="none"),
            expectation=flag("key_conflict"),
        ),
        Rule(
            rule_id="price_jump",
            description=f"closes at most {NEIGHBOUR_DAYS} days apart do not differ by more than the price jump limit",
            columns=(*_KEY, c.CLOSE),
            severity="warn",
            complaint="{is} more than {jump} away from the asset's previous close",
            remedy="look for a split, a change of currency or a misplaced decimal point",
            search=price_jumps(NEIGHBOUR_DAYS),
            expectation=flag("price_jump"),
            limit=0.05,
        ),
    ),
)
