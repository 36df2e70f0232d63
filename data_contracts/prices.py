"""prices: the closing price of an asset on a day, in EUR. Gaps are legitimate; nothing is filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import Before, Column, Contract, Example, Rule, Severity
from data_contracts.market_gaps import SPARSE, Hole, hole_detail, market_holes
from data_contracts.price_searches import (
    Jump,
    jump_detail,
    missing_closes,
    on_closed_weekday,
    price_jumps,
    stale_closes,
    unchanged_closes,
)
from data_contracts.repairs import day_padded, isin_capitals
from data_contracts.rules import above, flag, not_after_as_of, not_before_1990, not_null, type_rule
from data_contracts.searches import conflicting_key, exact_repeats, unknown_reference

# Closes further apart than this are not neighbours: a long week-end is four days.
NEIGHBOUR_DAYS = 5
# Within so many closes an outlier reverts; a jump that stays longer is a new level.
REVERT_CLOSES = 3
# Trading days of its market without a close of the asset.
MISSING_DAYS = 5
# Weekdays in a row that a market has off at the most in Europe and America; longer holidays elsewhere are named as holes.
HOLIDAYS = 3
# So many closes equal to the one before stand for a price that is carried forward, not made.
UNCHANGED_CLOSES = 20
# A day of the examples on which no market in them is open.
SATURDAY = date(2021, 6, 26)

COLUMNS = (
    Column(c.ASSET_ID, pl.String(), "ISIN", examples=("US0378331005", "GB0002634946")),
    Column(c.DATE, pl.Date(), "day of the close", "day", examples=(Before(2), Before(1))),
    Column(c.CLOSE, pl.Float64(), "closing price", "EUR per unit", examples=(100.0, 101.0)),
)
_KEY = (c.ASSET_ID, c.DATE)


def _closes(*values: float) -> Example:
    """Closes of one asset on successive days, the last the day before as_of."""
    return tuple({c.DATE: Before(len(values) - place), c.CLOSE: value} for place, value in enumerate(values))


def _with_others(days: int, *closes: Mapping[str, object]) -> Example:
    """Closes of an asset beside those of two others of its market, which have one on every day."""
    others = ("GB0002634946", "DE000BAY0017")
    every = [{c.ASSET_ID: other, c.DATE: Before(day + 2)} for other in others for day in range(days)]
    return (*closes, *every)


def _every_weekday(days: int, without: Iterable[int] = (), fresh: int = 0) -> Example:
    """Closes of an asset on the last so many weekdays before as_of, but for those ``without`` (0 the newest).

    ``fresh``: closes of an asset of another market, on so many weekdays after them.
    """
    last = date(2021, 6, 29)  # a Tuesday, the day before the examples' as_of
    weekdays = [day for day in (last - timedelta(days=n) for n in range(2 * days)) if day.weekday() < 5][: days + fresh]
    own = [{c.DATE: day} for place, day in enumerate(weekdays[fresh:]) if place not in without]
    return (*own, *({c.ASSET_ID: "GB0002634946", c.DATE: day} for day in weekdays[:fresh]))


def _hole(rule_id: str, kind: Hole, description: str, complaint: str, remedy: str, breaks: Example, keeps: Example) -> Rule:
    """Weekdays on which a whole market has no close, see ``market_gaps``."""
    return Rule(
        rule_id=rule_id,
        description=description,
        columns=_KEY,
        severity="warn",
        complaint=complaint,
        remedy=remedy,
        search=market_holes(kind, HOLIDAYS),
        detail=hole_detail(kind, HOLIDAYS),
        expectation=flag(rule_id),
        breaks=breaks,
        keeps=keeps,
    )


def _jump(
    rule_id: str,
    kind: Jump,
    description: str,
    complaint: str,
    remedy: str,
    severity: Severity = "warn",
    breaks: Example = (),
    keeps: Example = (),
) -> Rule:
    """One kind of jump between closes at most NEIGHBOUR_DAYS apart, see ``price_searches``."""
    return Rule(
        rule_id=rule_id,
        description=description,
        columns=(*_KEY, c.CLOSE),
        severity=severity,
        complaint=complaint,
        remedy=remedy,
        search=price_jumps(kind, NEIGHBOUR_DAYS, REVERT_CLOSES),
        detail=jump_detail(NEIGHBOUR_DAYS, REVERT_CLOSES),
        expectation=flag(rule_id),
        limit=0.05,
        releasable=severity == "quarantine",
        breaks=breaks,
        keeps=keeps,
    )


CONTRACT = Contract(
    table="prices",
    version="3",
    description="Daily closes",
    key=_KEY,
    columns=COLUMNS,
    date_column=c.DATE,
    freshness="block",
    repairs=(isin_capitals(), day_padded(c.DATE)),
    rules=(
        type_rule(),
        not_null(c.ASSET_ID),
        not_null(c.DATE),
        not_null(c.CLOSE),
        above(c.CLOSE, 0.0, "EUR", keeps=({c.CLOSE: 0.0001},)),
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
            breaks=({c.ASSET_ID: "IE00B66F4759"},),
            keeps=({},),
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
            breaks=({}, {}),
            keeps=({}, {c.DATE: Before(1)}),
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
            breaks=({}, {c.CLOSE: 100.5}),
            keeps=({}, {c.DATE: Before(1), c.CLOSE: 100.5}),
        ),
        _jump(
            "price_outlier",
            "outlier",
            f"no close jumps and reverts within {REVERT_CLOSES} closes",
            "{is} an outlier: more than {jump} away from the closes before and after",
            "look for a misplaced decimal point or a price of another asset; release it where the market really did that",
            severity="quarantine",
            breaks=_closes(100.0, 900.0, 101.0),
            keeps=_closes(100.0, 149.0, 101.0),
        ),
        _jump(
            "price_split",
            "split",
            "no close jumps by a usual split ratio and stays there",
            "{is} a usual split ratio away from the previous close and {is} followed by closes of that level",
            "deliver closes adjusted for splits, the history with them; trades before the split keep their units",
            breaks=_closes(100.0, 25.1, 25.0, 25.3, 25.2),
            keeps=_closes(100.0, 70.0, 71.0, 70.0, 70.5),
        ),
        _jump(
            "price_level_shift",
            "level_shift",
            "no close jumps by another ratio and stays there",
            "{is} more than {jump} away from the previous close and {is} followed by closes of that level",
            "look for a change of currency or of the unit that is quoted; a crash needs no correction",
            breaks=_closes(100.0, 44.0, 44.5, 44.2, 44.3),
            keeps=_closes(100.0, 67.0, 67.5, 67.2, 67.3),
        ),
        _jump(
            "price_jump",
            "undecided",
            "no close jumps with too few closes after it to tell an outlier from a new level",
            "{is} more than {jump} away from the asset's previous close, and too few closes follow to say why",
            "look for a split, a change of currency or a misplaced decimal point",
            breaks=_closes(100.0, 151.0),
            keeps=_closes(100.0, 149.0),
        ),
        Rule(
            rule_id="price_missing",
            description=f"no more than {MISSING_DAYS} trading days of its market lie between two closes of an asset",
            columns=_KEY,
            severity="warn",
            complaint=f"{{is}} the first after more than {MISSING_DAYS} trading days of its market without a close",
            remedy="deliver the missing closes, or see whether the asset was suspended",
            search=missing_closes(MISSING_DAYS),
            expectation=flag("price_missing"),
            breaks=_with_others(10, *({c.DATE: Before(days)} for days in (12, 5))),
            keeps=_with_others(10, *({c.DATE: Before(days)} for days in (12, 6))),
        ),
        _hole(
            "price_market_gap",
            "gap",
            f"no market is without a close on more than {HOLIDAYS} of its weekdays in a row",
            f"{{is}} the first of a market after more than {HOLIDAYS} of its weekdays in a row without any close",
            "deliver the days that are missing for the whole market; a long holiday needs no correction",
            breaks=_every_weekday(40, without=range(10, 14)),
            keeps=_every_weekday(40, without=range(10, 13)),
        ),
        _hole(
            "price_market_stale",
            "stale",
            f"no market's newest close lies more than {HOLIDAYS} of its weekdays before the newest of all",
            f"{{is}} the newest of a market, and other markets have closes more than {HOLIDAYS} of its weekdays later",
            "deliver the market's newest closes, or see whether its feed has ended",
            breaks=_every_weekday(40, fresh=4),
            keeps=_every_weekday(40, fresh=3),
        ),
        _hole(
            "price_market_sparse",
            "sparse",
            f"no market is without a close on more than {SPARSE:.0%} of its weekdays, longer runs not counted",
            f"{{is}} the newest of a market without a close on more than {SPARSE:.0%} of its weekdays",
            "see whether a weekday or single days are missing for the whole market; correct trading_days where it is closed then",
            breaks=_every_weekday(80, without=range(1, 80, 5)),
            keeps=_every_weekday(80, without=range(1, 80, 7)),
        ),
        Rule(
            rule_id="price_stale",
            description=f"the newest close of an asset has at most {MISSING_DAYS} trading days of its market after it",
            columns=_KEY,
            severity="warn",
            complaint=f"{{is}} the newest of an asset whose market has traded on more than {MISSING_DAYS} days since",
            remedy="deliver the newest closes, or mark the asset as delisted in the assets table",
            search=stale_closes(MISSING_DAYS),
            expectation=flag("price_stale"),
            breaks=_with_others(9, {c.DATE: Before(8)}),
            keeps=_with_others(9, {c.DATE: Before(7)}),
        ),
        Rule(
            rule_id="price_on_closed_day",
            description="no close is of a weekday on which the asset's market is closed",
            columns=_KEY,
            severity="warn",
            complaint="{is} of a weekday on which the market is closed",
            remedy="deliver the close of the market's own day; a close carried over a week-end is left out",
            search=on_closed_weekday(),
            expectation=flag("price_on_closed_day"),
            limit=0.25,
            breaks=({c.DATE: SATURDAY},),
            keeps=({c.DATE: SATURDAY - timedelta(days=1)},),
        ),
        Rule(
            rule_id="price_unchanged",
            description=f"no close equals the {UNCHANGED_CLOSES} closes before it",
            columns=(*_KEY, c.CLOSE),
            severity="warn",
            complaint=f"{{is}} equal to the {UNCHANGED_CLOSES} closes before",
            remedy="see whether the source carries the last price forward; leave a day without a price out",
            search=unchanged_closes(UNCHANGED_CLOSES, NEIGHBOUR_DAYS),
            expectation=flag("price_unchanged"),
            breaks=_closes(*(100.0,) * (UNCHANGED_CLOSES + 1)),
            keeps=_closes(*(100.0,) * UNCHANGED_CLOSES),
        ),
    ),
)
