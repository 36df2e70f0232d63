"""transactions: what customers bought and sold.

Three kinds of row are legitimate and are told apart by ``record_kind``: ``full`` rows have value and units,
``dated_only`` rows have a day and nothing else, ``window`` rows say that the trade happened within
``date_window_days``, with ``date`` in the middle of the window. What a row does not know stays null.

Numbers are re-used by sources (across customers), so no id is a key on its own; negative ids are corporate
actions and are kept.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from data_contracts import columns as c
from data_contracts.asset_rules import asset_has_close
from data_contracts.asset_searches import before_listing, listing_detail
from data_contracts.contract import AS_OF, Before, Column, Contract, Example, Rule
from data_contracts.oversold import sold_beyond_holdings, sold_by_those_who_traded
from data_contracts.repairs import RESIDUE, blanks_stripped, code_spelt, day_padded, isin_capitals
from data_contracts.rules import above, at_least, between, flag, not_after_as_of, not_before_1990, not_null, one_of, type_rule
from data_contracts.searches import conflicting_key, exact_repeats, unknown_reference
from data_contracts.trade_searches import (
    amount_contradicts,
    amount_detail,
    brought_forward,
    by_itself,
    far_from_close,
    numbers_shared_with_new_ones,
    on_closed_day,
    price_detail,
    shared_numbers,
)

COLUMNS = (
    Column(c.TRANSACTION_ID, pl.String(), "the source's number of the trade", nullable=True, required=False, examples=("1",)),
    Column(c.CUSTOMER_ID, pl.String(), "who traded", examples=("ann", "bob")),
    Column(c.ASSET_ID, pl.String(), "ISIN", examples=("US0378331005", "GB0002634946")),
    Column(c.SIDE, pl.String(), "buy or sell", examples=("buy", "sell")),
    Column(
        c.DATE, pl.Date(), "day of the trade; of a window row, the middle of its window", "day", examples=(Before(2), Before(1))
    ),
    Column(c.VALUE, pl.Float64(), "amount of the trade", "EUR", True, examples=(100.0,)),
    Column(c.PRICE, pl.Float64(), "price of a unit as executed", "EUR per unit", True, False, (None, 100.0)),
    Column(c.UNITS, pl.Float64(), "number of shares", "shares", True, examples=(1.0,)),
    Column(c.CHANNEL, pl.String(), "how the order came in", nullable=True, required=False, examples=(None, "branch")),
    Column(c.MARKET_ID, pl.String(), "where it was executed", nullable=True, required=False, examples=("XNGS",)),
    Column(c.RECORD_KIND, pl.String(), "full, dated_only or window", required=False, examples=("full",)),
    Column(c.DATE_WINDOW_DAYS, pl.Int32(), "last minus first possible day", "days", True, False, (None,)),
)
_WHAT = (c.CUSTOMER_ID, c.ASSET_ID, c.SIDE, c.DATE)
_NUMBERED = (*_WHAT, c.TRANSACTION_ID)
_ALL = tuple(column.name for column in COLUMNS)
# A day of the examples that is no trading day of any market in them.
SATURDAY = date(2021, 6, 26)
# A trade known to lie in a longer window is known to lie nowhere; a negative one would end before it begins.
LONGEST_WINDOW = 366  # days
LISTING_DAYS = 30
# A first day with so many times the median day's trades, and so many at the least, is where a source begins.
OPENING_TIMES, OPENING_LEAST = 10, 50
_BARE_ROW: dict[str, object] = {
    **dict.fromkeys((c.TRANSACTION_ID, c.VALUE, c.UNITS, c.CHANNEL, c.MARKET_ID)),
    c.RECORD_KIND: "dated_only",
}
_BARE = pl.col(c.TRANSACTION_ID).is_null() & pl.col(c.UNITS).is_null() & pl.col(c.VALUE).is_null()


def _many_first(buys: int) -> Example:
    """So many buys, each of a customer of his own, ten days before one on each of the days that follow."""
    first = tuple({c.TRANSACTION_ID: f"o{n}", c.CUSTOMER_ID: f"customer {n}", c.DATE: Before(12)} for n in range(buys))
    return (*first, *({c.TRANSACTION_ID: f"d{n}", c.DATE: Before(n)} for n in range(1, 8)))


def last_possible_date() -> pl.Expr:
    """The last day on which the trade can have happened: ``date``, or the end of a window row's window.

    ``date`` is the first day plus half the window, rounded down; the end is therefore half a window later, rounded up.
    """
    half = (pl.col(c.DATE_WINDOW_DAYS).fill_null(0) + 1) // 2
    return pl.col(c.DATE) + pl.duration(days=half)


CONTRACT = Contract(
    table="transactions",
    version="6",
    description="Trades of customers, dated, with what is known of their amount",
    key=_NUMBERED,
    columns=COLUMNS,
    date_column=c.DATE,
    freshness="block",
    coded=(c.CUSTOMER_ID, c.ASSET_ID),
    carry_needs=("prices", "delivered_holdings"),
    repairs=(
        blanks_stripped(c.TRANSACTION_ID, "1"),
        blanks_stripped(c.CUSTOMER_ID, "ann"),
        isin_capitals(),
        code_spelt(c.SIDE, c.SIDES),
        blanks_stripped(c.CHANNEL, "branch"),
        blanks_stripped(c.MARKET_ID, "XNGS"),
        code_spelt(c.RECORD_KIND, c.RECORD_KINDS),
        day_padded(c.DATE),
    ),
    rules=(
        type_rule(),
        not_null(c.CUSTOMER_ID),
        not_null(c.ASSET_ID),
        not_null(c.SIDE),
        not_null(c.DATE),
        not_null(c.RECORD_KIND),
        one_of(c.SIDE, c.SIDES),
        one_of(c.RECORD_KIND, c.RECORD_KINDS),
        # No judgement: a longer window would say nothing of the day.
        replace(between(c.DATE_WINDOW_DAYS, 0, LONGEST_WINDOW), releasable=False),
        Rule(
            # Without its length the window would end on its middle day, and the trade be known before it may have happened.
            rule_id="window_has_days",
            description="a window row has date_window_days",
            columns=(c.RECORD_KIND, c.DATE_WINDOW_DAYS),
            severity="quarantine",
            complaint="{is} called window but {has} no date_window_days",
            remedy="deliver the length of the window, or call the row dated_only where its day is certain",
            bad=(pl.col(c.RECORD_KIND) == "window") & pl.col(c.DATE_WINDOW_DAYS).is_null(),
            expectation=flag("window_has_days"),
            breaks=(_BARE_ROW | {c.RECORD_KIND: "window"},),
            keeps=(_BARE_ROW | {c.RECORD_KIND: "window", c.DATE_WINDOW_DAYS: 0},),
        ),
        above(c.UNITS, 0.0, "shares", keeps=({c.UNITS: 0.001, c.VALUE: 0.1},)),
        Rule(
            rule_id="value_not_negative",
            description="value is not negative",
            columns=(c.VALUE,),
            severity="quarantine",
            complaint="{has} a negative value",
            remedy="give amounts without sign; side says whether it was a buy or a sell",
            bad=pl.col(c.VALUE) < 0.0,
            expectation=at_least(c.VALUE, 0.0),
            breaks=({c.VALUE: -100.0},),
            keeps=({c.VALUE: 0.0},),
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
            breaks=({c.UNITS: None},),
            keeps=({c.UNITS: None, c.VALUE: None, c.RECORD_KIND: "dated_only"},),
        ),
        Rule(
            # The position it leaves cannot be known; the trade itself is sound.
            rule_id="amount_not_half_known",
            description="a row that is not full has neither value nor units",
            columns=(c.RECORD_KIND, c.VALUE, c.UNITS),
            severity="warn",
            complaint="{has} a value without units, or units without a value",
            remedy="deliver both value and units, or neither where the amount is not known",
            bad=(pl.col(c.RECORD_KIND) != "full") & (pl.col(c.VALUE).is_null() != pl.col(c.UNITS).is_null()),
            expectation=flag("amount_not_half_known"),
            breaks=({c.UNITS: None, c.RECORD_KIND: "dated_only"},),
            keeps=({c.UNITS: None, c.VALUE: None, c.RECORD_KIND: "dated_only"},),
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
            breaks=(_BARE_ROW | {c.RECORD_KIND: "window", c.DATE_WINDOW_DAYS: 5, c.DATE: Before(2)},),
            keeps=(_BARE_ROW | {c.RECORD_KIND: "window", c.DATE_WINDOW_DAYS: 5, c.DATE: Before(3)},),
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
            breaks=({c.ASSET_ID: "IE00B66F4759"},),
            keeps=({},),
        ),
        asset_has_close(),
        Rule(
            # A security is subscribed, and booked, some weeks before its first close at the most.
            rule_id="trade_before_listing",
            description=f"no trade is more than {LISTING_DAYS} days older than its asset's first close or valid_from",
            columns=(c.ASSET_ID, c.DATE),
            severity="warn",
            complaint=f"{{is}} more than {LISTING_DAYS} days older than the first close or valid_from of the asset",
            remedy="see whether the day of the trade or its asset is wrong, or deliver the asset's earlier closes and rows",
            search=before_listing(LISTING_DAYS),
            detail=listing_detail(LISTING_DAYS),
            expectation=flag("trade_before_listing"),
            limit=0.5,
            breaks=({c.ASSET_ID: "DE000BAY0017", c.DATE: Before(331)},),
            keeps=({c.ASSET_ID: "DE000BAY0017", c.DATE: Before(330)}, {c.DATE: Before(331)}),
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
            breaks=({c.CUSTOMER_ID: "nobody"},),
            keeps=({},),
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
            breaks=({c.MARKET_ID: "NOWHERE"},),
            keeps=({c.MARKET_ID: None},),
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
            breaks=({}, {}),
            keeps=({}, {c.TRANSACTION_ID: "2"}),
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
            breaks=(_BARE_ROW, _BARE_ROW),
            keeps=(_BARE_ROW, _BARE_ROW | {c.DATE: Before(1)}),
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
            breaks=({}, {c.VALUE: 101.0}),
            keeps=({}, {c.VALUE: 101.0, c.TRANSACTION_ID: "2"}),
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
            breaks=({}, {c.TRANSACTION_ID: "2"}),
            keeps=({}, {c.TRANSACTION_ID: "2", c.CHANNEL: "branch"}),
        ),
        Rule(
            rule_id="id_of_two_customers",
            description="no transaction_id is borne by trades of two customers; negative ones are corporate actions",
            columns=(c.ASSET_ID, c.DATE),
            severity="warn",
            complaint="{has} a transaction_id that a trade of another customer bears too",
            remedy="number trades once for all customers; till then no join may rely on transaction_id alone",
            search=shared_numbers(),
            carry=numbers_shared_with_new_ones,
            expectation=flag("id_of_two_customers"),
            source="FAR-Trans re-uses 23,388 numbers across customers",
            breaks=({}, {c.CUSTOMER_ID: "bob"}),
            keeps=({c.TRANSACTION_ID: "-1"}, {c.TRANSACTION_ID: "-1", c.CUSTOMER_ID: "bob"}),
        ),
        Rule(
            # Executions of a day differ from its close, and some sources quote a bond in per cent: no row is set aside.
            rule_id="trade_price_near_close",
            description="value / units of a full trade lies within trade_price_tolerance of that day's close",
            columns=(c.ASSET_ID, c.DATE),
            severity="warn",
            complaint="{has} value / units further from that day's close than the tolerance",
            remedy="see whether value, units and close are in the same currency and unit, and adjusted for the same splits",
            search=far_from_close(),
            carry=by_itself(needs="prices"),
            detail=price_detail(),
            expectation=flag("trade_price_near_close"),
            limit=0.20,
            breaks=({c.VALUE: 126.0},),
            keeps=({c.VALUE: 124.0},),
        ),
        Rule(
            rule_id="amount_is_units_times_price",
            description="value is units x price within amount_tolerance, where the source delivers a price",
            columns=(c.ASSET_ID, c.DATE),
            severity="quarantine",
            complaint="{has} a value that is not units x price",
            remedy="correct value, units or price; fees belong in neither",
            search=amount_contradicts(),
            carry=by_itself(),
            detail=amount_detail(),
            expectation=flag("amount_is_units_times_price"),
            limit=0.05,
            releasable=True,
            breaks=({c.PRICE: 94.0},),
            keeps=({c.PRICE: 95.5},),
        ),
        Rule(
            rule_id="sell_beyond_holdings",
            description="no sale exceeds what was bought before it, the opening position included",
            columns=(c.ASSET_ID, c.DATE, c.UNITS),
            severity="warn",
            complaint="{is} the first sale of a customer and asset that exceeds what was held",
            remedy="deliver the purchase or the opening position (holdings at an earlier day); transfers in are buys",
            search=sold_beyond_holdings(RESIDUE),
            carry=sold_by_those_who_traded(RESIDUE),
            expectation=flag("sell_beyond_holdings"),
            # Of the sales: where every fourth sells what nobody bought, purchases are missing, and holdings are wrong.
            among=(pl.col(c.SIDE) == "sell") & (pl.col(c.UNITS) > 0),
            limit=0.25,
            breaks=({c.DATE: Before(2)}, {c.DATE: Before(1), c.SIDE: "sell", c.UNITS: 1.5, c.VALUE: 150.0}),
            keeps=({c.DATE: Before(2)}, {c.DATE: Before(1), c.SIDE: "sell", c.UNITS: 1.0, c.VALUE: 101.0}),
        ),
        Rule(
            rule_id="opening_position",
            description="the first day has no more buys than others: positions brought forward are no decisions",
            columns=(c.ASSET_ID, c.DATE),
            severity="warn",
            complaint=f"{{is}} of the source's first day, which has {OPENING_TIMES} times the usual trades and no sale",
            remedy="deliver positions from before the first day as holdings of the day before, not as buys",
            search=brought_forward(OPENING_TIMES, OPENING_LEAST),
            expectation=flag("opening_position"),
            source="FAR-Trans books what was held before as buys of 2018-01-02",
            breaks=_many_first(OPENING_LEAST),
            keeps=_many_first(OPENING_LEAST - 1),
        ),
        Rule(
            rule_id="trade_on_closed_day",
            description="no trade is dated on a day on which its market is closed",
            columns=(c.ASSET_ID, c.MARKET_ID, c.DATE),
            severity="warn",
            complaint="{is} dated on a day on which the market was closed",
            remedy="deliver the trade's day in the market's time zone, not that of booking or settlement",
            search=on_closed_day(),
            expectation=flag("trade_on_closed_day"),
            limit=0.25,
            breaks=({c.DATE: SATURDAY},),
            keeps=({c.DATE: SATURDAY - timedelta(days=1)},),
        ),
    ),
)
