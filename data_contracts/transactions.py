"""transactions: what customers bought and sold.

Three kinds of row are legitimate and are told apart by ``record_kind``: ``full`` rows have value and units,
``dated_only`` rows have a day and nothing else, ``window`` rows say that the trade happened within
``date_window_days``, with ``date`` in the middle of the window. What a row does not know stays null.

Numbers are re-used by sources (across customers), so no id is a key on its own; negative ids are corporate
actions and are kept.
"""

from __future__ import annotations

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import AS_OF, Column, Contract, Rule
from data_contracts.rules import above, at_least, flag, not_after_as_of, not_before_1990, not_null, one_of, type_rule
from data_contracts.searches import conflicting_key, exact_repeats, unknown_reference

COLUMNS = (
    Column(c.TRANSACTION_ID, pl.String(), "the source's number of the trade", nullable=True, required=False),
    Column(c.CUSTOMER_ID, pl.String(), "who traded"),
    Column(c.ASSET_ID, pl.String(), "ISIN"),
    Column(c.SIDE, pl.String(), "buy or sell"),
    Column(c.DATE, pl.Date(), "day of the trade; of a window row, the middle of its window", "day"),
    Column(c.VALUE, pl.Float64(), "amount of the trade", "EUR", True),
    Column(c.UNITS, pl.Float64(), "number of shares", "shares", True),
    Column(c.CHANNEL, pl.String(), "how the order came in", nullable=True, required=False),
    Column(c.MARKET_ID, pl.String(), "where it was executed", nullable=True, required=False),
    Column(c.RECORD_KIND, pl.String(), "full, dated_only or window", required=False),
    Column(c.DATE_WINDOW_DAYS, pl.Int32(), "last minus first possible day", "days", True, False),
)
_WHAT = (c.CUSTOMER_ID, c.ASSET_ID, c.SIDE, c.DATE)
_NUMBERED = (*_WHAT, c.TRANSACTION_ID)
_ALL = tuple(column.name for column in COLUMNS)
_BARE = pl.col(c.TRANSACTION_ID).is_null() & pl.col(c.UNITS).is_null() & pl.col(c.VALUE).is_null()


def last_possible_date() -> pl.Expr:
    """The last day on which the trade can have happened: ``date``, or the end of a window row's window.

    ``date`` is the first day plus half the window, rounded down; the end is therefore half a window later, rounded up.
    """
    half = (pl.col(c.DATE_WINDOW_DAYS).fill_null(0) + 1) // 2
    return pl.col(c.DATE) + pl.duration(days=half)


CONTRACT = Contract(
    table="transactions",
    version="1",
    description="Trades of customers, dated, with what is known of their amount",
    key=_NUMBERED,
    columns=COLUMNS,
    date_column=c.DATE,
    freshness="block",
    rules=(
        type_rule(),
        not_null(c.CUSTOMER_ID),
        not_null(c.ASSET_ID),
        not_null(c.SIDE),
        not_null(c.DATE),
        not_null(c.RECORD_KIND),
        one_of(c.SIDE, c.SIDES),
        one_of(c.RECORD_KIND, c.RECORD_KINDS),
        above(c.UNITS, 0.0, "shares"),
        Rule(
            rule_id="value_not_negative",
            description="value is not negative",
            columns=(c.VALUE,),
            severity="quarantine",
            complaint="{has} a negative value",
            remedy="give amounts without sign; side says whether it was a buy or a sell",
            bad=pl.col(c.VALUE) < 0.0,
            expectation=at_least(c.VALUE, 0.0),
        ),
        Rule(
            rule_id="full_has_amount",
            description="a full row has value and units",
            columns=(c.RECORD_KIND, c.VALUE, c.UNITS),
            severity="quarantine",
            complaint="{is} called full but {has} no value or units",
            remedy="deliver value and units, or call the row dated_only",
            bad=(pl.col(c.RECORD_KIND) == "full") & (pl.col(c.VALUE).is_null() | pl.col(c.UNITS).is_null()),
            expectation=flag("full_has_amount"),
        ),
        not_after_as_of(c.DATE),
        Rule(
            rule_id="window_not_after_as_of",
            description="the last possible day of the trade is not after as_of",
            columns=(c.DATE, c.DATE_WINDOW_DAYS),
            severity="block",
            complaint="{is} of a window that ends after as_of {as_of}",
            remedy="deliver a source cut at as_of, or replay with future_rows = 'withhold'",
            bad=(pl.col(c.DATE) <= pl.col(AS_OF)) & (last_possible_date() > pl.col(AS_OF)),
            expectation=flag("window_not_after_as_of"),
            limit=0.0,
        ),
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
            # The trade is sound; what is missing is the profile. Without one the customer gets no recommendation.
            rule_id="customer_known",
            description="customer_id occurs among the accepted customers",
            columns=(c.CUSTOMER_ID,),
            severity="warn",
            complaint="{is} of a customer without a row at as_of",
            remedy="deliver the customer's row as of the trade; until then he is not recommended to",
            search=unknown_reference(c.CUSTOMER_ID, "customers"),
            expectation=flag("customer_known"),
            limit=0.10,
        ),
        Rule(
            rule_id="market_known",
            description="market_id occurs in the markets table",
            columns=(c.MARKET_ID,),
            severity="warn",
            complaint="{is} of a market that the markets table does not list",
            remedy="add the market to the markets table, or correct market_id",
            search=unknown_reference(c.MARKET_ID, "markets"),
            expectation=flag("market_known"),
        ),
        Rule(
            rule_id="exact_repeat",
            description="no row with a number or an amount repeats an earlier one",
            columns=_NUMBERED,
            severity="quarantine",
            complaint="{is} equal to an earlier row",
            remedy="export each trade once; give executions of one order their own transaction_id",
            search=exact_repeats(_ALL, among=~_BARE),
            expectation=flag("exact_repeat"),
        ),
        Rule(
            # Without number and amount nothing tells a second purchase from a second listing.
            rule_id="unnumbered_repeat",
            description="no row without number and amount repeats customer, asset, side and day",
            columns=_WHAT,
            severity="quarantine",
            complaint="{has} no number and no amount and {is} equal to an earlier row",
            remedy="export the trade once, or give both rows their transaction_id",
            search=exact_repeats((*_WHAT, c.RECORD_KIND), among=_BARE),
            expectation=flag("unnumbered_repeat"),
        ),
        Rule(
            rule_id="key_conflict",
            description="one amount per customer, asset, side, day and number; the last in the file is the correction",
            columns=_NUMBERED,
            severity="quarantine",
            complaint="{is} contradicted by a later row of the same trade",
            remedy="export each trade once, with its final amount",
            search=conflicting_key(_NUMBERED, tuple(n for n in _ALL if n not in _NUMBERED), keep="last"),
            expectation=flag("key_conflict"),
        ),
        Rule(
            rule_id="same_trade_two_numbers",
            description="no two numbers for the same customer, asset, side, day, value, units, channel and market",
            columns=(*_WHAT, c.VALUE, c.UNITS),
            severity="warn",
            complaint="{is} equal to an earlier row in all but the transaction_id",
            remedy="see whether the order was executed in equal parts or booked twice",
            search=exact_repeats(tuple(n for n in _ALL if n != c.TRANSACTION_ID), among=pl.col(c.TRANSACTION_ID).is_not_null()),
            expectation=flag("same_trade_two_numbers"),
        ),
    ),
)
