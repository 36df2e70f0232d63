"""holdings: what each customer holds at as_of, derived from trades and from what the source itself states.

A pair of customer and asset is one of two things. ``held``: the units are positive, or they cannot be known (some
trade has no units), or more was sold than was ever seen bought (then purchases are missing, and something may be
left). ``closed``: the units are known to be zero, or the source's own statement says zero or less.
When in doubt a pair is held, because what a customer may hold must never be recommended to him.

A delivered position is a starting point: trades after its day are added to it, trades up to it are in it already.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import Before, Column, Contract, Rule
from data_contracts.pair_sums import pair_sums
from data_contracts.repairs import RESIDUE
from data_contracts.rules import at_least, flag, not_after_as_of, not_null, one_of
from data_contracts.searches import not_ascending, unknown_reference

# agree: same units, or closed on one side and zero or absent on the other. units_unknown: the trades do not say.
# units_differ: both positive or known, but different. only_derived / only_delivered: open on that side only.
# opening_position: delivered and never traded up to that day, so brought forward from before the first trade.
KINDS: Final = ("agree", "units_unknown", "units_differ", "only_derived", "only_delivered", "opening_position")

COLUMNS = (
    Column(c.CUSTOMER_ID, pl.String(), "whose position", examples=("ann", "bob")),
    Column(c.ASSET_ID, pl.String(), "ISIN", examples=("US0378331005", "GB0002634946")),
    Column(c.UNITS, pl.Float64(), "net position, null where it cannot be known", "shares", True, examples=(1.0,)),
    Column(c.STATUS, pl.String(), "held or closed; unknown counts as held", examples=("held",)),
    Column(c.N_BUYS, pl.Int32(), "purchases seen", examples=(1,)),
    Column(c.N_SELLS, pl.Int32(), "sales seen", examples=(0,)),
    Column(c.FIRST_DATE, pl.Date(), "first trade seen, null where there is only a statement", "day", True, examples=(Before(5),)),
    Column(c.LAST_DATE, pl.Date(), "last trade seen, null where there is only a statement", "day", True, examples=(Before(2),)),
    Column(c.LAST_VALUE, pl.Float64(), "units x last close at or before as_of", "EUR", True, examples=(None,)),
    Column(
        c.SOURCE,
        pl.String(),
        "delivered: starts from the source's own statement; derived: from trades alone",
        examples=("derived",),
    ),
)
_PAIR: Final = (c.CUSTOMER_ID, c.ASSET_ID)

_REMEDY: Final = "this is a fault of Nightfolio: keep the failed run and report it"


def _blocking(rule: Rule) -> Rule:
    return replace(rule, severity="block", limit=0.0, releasable=False, remedy=_REMEDY)


# Tens of millions of rows: every rule is one streaming pass, and a search looks at one or two columns.
CONTRACT = Contract(
    table="holdings",
    version="3",
    description="Positions at as_of, derived from trades and reconciled with delivered positions",
    key=_PAIR,
    columns=COLUMNS,
    date_column=c.LAST_DATE,
    rows_required=False,
    made=True,
    rules=(
        *(
            _blocking(rule)
            for rule in (
                not_null(c.CUSTOMER_ID),
                not_null(c.ASSET_ID),
                not_null(c.STATUS),
                one_of(c.STATUS, c.HOLDING_STATUSES),
                one_of(c.SOURCE, ("derived", "delivered")),
                not_after_as_of(c.LAST_DATE),
            )
        ),
        Rule(
            rule_id="holding_not_negative",
            description="no more was sold than was bought",
            columns=(c.ASSET_ID, c.UNITS),
            severity="warn",
            complaint="{has} more sold than was seen bought",
            remedy="look for purchases or transfers that the source does not contain",
            bad=pl.col(c.UNITS) < -RESIDUE,
            expectation=at_least(c.UNITS, -RESIDUE),
            limit=0.25,
            breaks=({c.UNITS: -1.0},),
            keeps=({c.UNITS: 0.0},),
        ),
        Rule(
            rule_id="asset_known",
            description="asset_id occurs among the accepted assets",
            columns=(c.ASSET_ID,),
            severity="block",
            complaint="{is} of an asset that is not among the accepted assets",
            remedy=_REMEDY,
            search=unknown_reference(c.ASSET_ID, "assets"),
            expectation=flag("asset_known"),
            breaks=({c.ASSET_ID: "IE00B66F4759"},),
            keeps=({},),
            limit=0.0,
        ),
        Rule(
            rule_id="key_ascends",
            description="rows stand in the order of customer and asset, each pair once",
            columns=_PAIR,
            severity="block",
            complaint="{is} of a pair that does not come after the row before",
            remedy=_REMEDY,
            search=not_ascending(_PAIR),
            expectation=flag("key_ascends"),
            breaks=({}, {c.UNITS: 2.0}),
            keeps=({c.ASSET_ID: "GB0002634946"}, {}, {c.CUSTOMER_ID: "bob"}),
            limit=0.0,
        ),
    ),
)


def derive_holdings(
    transactions: Path, prices: Path, delivered: Path | None, as_of: date, kept: Path | None = None
) -> pl.LazyFrame:
    """One row per pair that was ever traded or stated up to ``as_of``, in the order of customer and asset.

    ``transactions``, ``prices``, ``delivered``: accepted tables. ``kept``: the folder in which sums are kept for the next
    night. Lazy: nothing is read before it is collected.
    """
    stated = None if delivered is None else _statements(delivered, as_of)
    last_close = (
        pl.scan_parquet(prices)
        .filter(pl.col(c.DATE) <= as_of)
        .group_by(c.ASSET_ID)
        .agg(pl.col(c.CLOSE).sort_by(c.DATE).last().alias("_last_close"))
    )
    # A trade whose day (or window) does not end before the statement's day is not known to be in it.
    statements = None if stated is None else stated.select(*_PAIR, "_stated_day")
    sums = pair_sums(transactions, last_close, as_of, statements, kept)
    if stated is None:
        pairs = sums.with_columns(pl.lit(None, pl.Float64).alias("_stated"))
    else:
        both = sums.drop("_last_close").join(stated, on=list(_PAIR), how="full", coalesce=True)
        pairs = both.join(last_close, on=c.ASSET_ID, how="left").sort(_PAIR)
    net = pl.col("_stated").fill_null(0.0) + pl.col("_net").fill_null(0.0)
    clean = pl.when(net.abs() < RESIDUE).then(0.0).otherwise(net)
    units = pl.when(~pl.col("_unknown").fill_null(False)).then(clean)
    # Only a statement with nothing traded since is itself the position; a negative sum is a hole in the records.
    says_closed = pl.col("_stated").is_not_null() & ~pl.col("_traded_since").fill_null(False) & (pl.col("_stated") <= 0)
    closed = (pl.col(c.UNITS) == 0.0).fill_null(False) | says_closed
    return pairs.with_columns(units.alias(c.UNITS)).select(
        *_PAIR,
        c.UNITS,
        pl.when(closed).then(pl.lit("closed")).otherwise(pl.lit("held")).alias(c.STATUS),
        pl.col(c.N_BUYS).fill_null(0),
        pl.col(c.N_SELLS).fill_null(0),
        c.FIRST_DATE,
        c.LAST_DATE,
        (pl.col(c.UNITS) * pl.col("_last_close")).alias(c.LAST_VALUE),
        pl.when(pl.col("_stated").is_null()).then(pl.lit("derived")).otherwise(pl.lit("delivered")).alias(c.SOURCE),
    )


def _statements(delivered: Path, as_of: date) -> pl.LazyFrame:
    """The newest statement per pair up to ``as_of``: customer_id, asset_id, _stated, _stated_day."""
    return (
        pl.scan_parquet(delivered)
        .filter(pl.col(c.AS_OF_DATE) <= as_of)
        .group_by(_PAIR)
        .agg(
            pl.col(c.UNITS).sort_by(c.AS_OF_DATE).last().alias("_stated"),
            pl.col(c.AS_OF_DATE).max().alias("_stated_day"),
        )
    )


def reconcile_holdings(derived: pl.LazyFrame | pl.DataFrame, delivered: pl.LazyFrame | pl.DataFrame) -> pl.DataFrame:
    """One row per pair: derived_units, delivered_units, difference (derived - delivered, shares) and kind.

    ``derived``: holdings made without delivered positions, as of the delivered day. ``delivered``: positions of one
    day; of several days the newest counts.
    """
    newest = delivered.lazy().filter(pl.col(c.AS_OF_DATE) == pl.col(c.AS_OF_DATE).max())
    stated = newest.select(*_PAIR, pl.col(c.UNITS).alias("delivered_units"))
    ours = derived.lazy().select(*_PAIR, pl.col(c.UNITS).alias("derived_units"), pl.lit(True).alias("_derived"))
    both = ours.join(stated, on=list(_PAIR), how="full", coalesce=True)
    traded = pl.col("_derived").fill_null(False)
    mine = pl.when(traded).then(pl.col("derived_units")).otherwise(0.0)
    theirs = pl.col("delivered_units").fill_null(0.0)
    # Sums of a thousand fractions differ in their last digits from the source's own sums.
    tolerance = pl.max_horizontal(pl.lit(RESIDUE), 1e-9 * theirs.abs())
    kind = (
        pl.when(mine.is_null())
        .then(pl.lit("units_unknown"))
        .when((mine - theirs).abs() <= tolerance)
        .then(pl.lit("agree"))
        .when(theirs.abs() <= tolerance)
        .then(pl.lit("only_derived"))
        .when(~traded)
        .then(pl.lit("opening_position"))
        .when(mine == 0.0)
        .then(pl.lit("only_delivered"))
        .otherwise(pl.lit("units_differ"))
    )
    return (
        both.select(
            *_PAIR,
            "derived_units",
            "delivered_units",
            (mine - theirs).alias("difference"),
            kind.alias("kind"),
        )
        .sort(_PAIR)
        .collect()
    )


def reconcile_at(transactions: Path, prices: Path, delivered: Path, as_of: date) -> tuple[date | None, pl.DataFrame]:
    """The newest delivered day up to ``as_of`` (None: there is none) and the reconciliation on that day."""
    stated = pl.scan_parquet(delivered).filter(pl.col(c.AS_OF_DATE) <= as_of)
    day = stated.select(pl.col(c.AS_OF_DATE).max()).collect().item()
    derived = derive_holdings(transactions, prices, None, day or as_of)
    return day, reconcile_holdings(derived, stated)


def reconciliation_counts(reconciled: pl.DataFrame) -> dict[str, int]:
    """Pairs per kind, every kind named."""
    found = dict(reconciled.group_by("kind").len().iter_rows())
    return {kind: int(found.get(kind, 0)) for kind in KINDS}
