"""The simulated market's trades, one after the other for each customer, each purchase with its true reason.

All customers of a chunk make their t-th trade together: the loop runs over trades, and numpy over customers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_contracts.simulate_assets import COMPANION_WEIGHTS, Catalogue, listed_on
from data_contracts.simulate_customers import TASTE_WEIGHTS, TRADE_STREAM, Customers
from data_contracts.simulate_draws import Bools, ChoiceTable, Floats, Ints, uniforms
from data_contracts.simulate_prices import BEAR, BULL, REGIME_NAMES, Weather
from data_contracts.simulate_sectors import FUND, SECTOR_DEFENSIVE, SECTOR_NAMES, STOCK

HOLDING, TASTE, FASHION, REGIME, TOP_UP = range(5)
REASON_NAMES = ("holding", "taste", "fashion", "regime", "top_up")
#: What a purchase is meant to follow, given that the customer holds something.
REASON_SHARES = np.array([0.48, 0.24, 0.08, 0.06, 0.14])
SELL_SHARE = 0.16
#: The holding that drives a purchase is the latest with chance 40 %, else the one before with 40 %, and so on.
RECENCY = 0.6
#: Chance that a purchase goes one risk class above the customer's profile.
STRETCH_SHARE = 0.06
#: A customer likes an asset one class below his limit this much less.
CAUTION = 0.6
_ATTEMPTS = 5
# Draw numbers within a trade; each attempt at a purchase has four of its own (its first is the reason's).
_WHEN, _SIDE, _STRETCH, _SALE, _SALE_2, _PART, _MANY, _ATTEMPT = range(8)
_PER_ATTEMPT = 4
_PER_TRADE = _ATTEMPT + _PER_ATTEMPT * _ATTEMPTS


@dataclass(frozen=True)
class Trades:
    """Trades in customer, then time order, one entry each [m]. ``who`` counts customers within the chunk.

    ``reason_asset`` is the holding that drove a purchase, -1 where none did; a sale has -1 for both reasons.
    """

    who: Ints
    asset: Ints
    day: Ints
    buy: Bools
    units: Floats
    reason: Ints
    reason_asset: Ints
    #: Net units [n, N] after the last trade, exactly 0 where closed.
    held: Floats


@dataclass(frozen=True)
class Market:
    """What every customer finds: the assets, the weather, and ``close`` [N, D] in EUR (NaN where not listed)."""

    seed: int
    catalogue: Catalogue
    weather: Weather
    close: Floats


class Tastebuds:
    """The weights by which assets are chosen, by reason, for each risk limit 0..3 (allowed: classes 1..limit + 1)."""

    def __init__(self, catalogue: Catalogue) -> None:
        limit = np.arange(4)
        gap = limit[:, None] + 1 - catalogue.risk_class
        allowed = np.where(gap >= 0, CAUTION**gap, 0.0) * catalogue.appeal  # [4, N]
        in_sector = catalogue.sector == np.arange(len(SECTOR_NAMES))[:, None]  # [S, N]
        # A little of everything allowed, so that no sector is empty for anyone.
        self.sector_weights: Floats = (allowed[:, None, :] * (in_sector + 0.004)).reshape(-1, catalogue.size)
        defensive = SECTOR_DEFENSIVE[catalogue.sector]
        lean = np.ones((len(REGIME_NAMES), catalogue.size))
        lean[BEAR] = np.where(defensive, 1.0, 0.03)
        lean[BULL] = np.where(~defensive & (catalogue.asset_class == STOCK), 1.0, 0.15)
        self.regime_weights: Floats = (allowed[:, None, :] * lean).reshape(-1, catalogue.size)
        self.by_sector = ChoiceTable(self.sector_weights)
        self.by_regime = ChoiceTable(self.regime_weights)
        self.companion = ChoiceTable(COMPANION_WEIGHTS[None, :])
        self.taste = ChoiceTable(TASTE_WEIGHTS[None, :])
        self.reason = ChoiceTable(REASON_SHARES[None, :])


def draw_trades(market: Market, tastebuds: Tastebuds, customers: Customers) -> Trades:
    """Every trade of ``customers``."""
    chunk = _Chunk(market, tastebuds, customers)
    for turn in range(int(customers.trades.max(initial=0))):
        chunk.trade(turn)
    return chunk.trades()


class _Chunk:
    """The state of a chunk of customers between two trades."""

    def __init__(self, market: Market, tastebuds: Tastebuds, customers: Customers) -> None:
        self.market, self.tastebuds, self.customers = market, tastebuds, customers
        self.catalogue, self.weather = market.catalogue, market.weather
        size, longest = len(customers.number), int(customers.trades.max(initial=0))
        self.clock = np.zeros(size)  # how far each is between joining (0) and the last day (1)
        self.held = np.zeros((size, self.catalogue.size))
        self.ever = np.zeros((size, self.catalogue.size), dtype=np.bool_)
        self.bought = np.zeros((size, longest), dtype=np.int32)  # assets, oldest first
        self.buys = np.zeros(size, dtype=np.int64)
        self.done: list[tuple[Ints, Ints, Ints, Bools, Floats, Ints, Ints]] = []

    def trade(self, turn: int) -> None:
        """The ``turn``-th trade of everyone who makes that many."""
        who = np.flatnonzero(self.customers.trades > turn)
        day = self._advance(who, turn)
        sold = self._sell(who, day, turn)
        self._buy(who[~sold], day[~sold], turn)

    def trades(self) -> Trades:
        if not self.done:
            none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
            return Trades(none, none, none, none.astype(np.bool_), nothing, none, none, self.held)
        who, asset, day, buy, units, reason, reason_asset = (
            np.concatenate([part[field] for part in self.done]) for field in range(7)
        )
        order = np.argsort(who, kind="stable")  # appended turn by turn, so each customer stays in time order
        return Trades(
            who[order],
            asset[order],
            day[order],
            buy[order].astype(np.bool_),
            units[order].astype(np.float64),
            reason[order],
            reason_asset[order],
            self.held,
        )

    def _draw(self, who: Ints, turn: int, question: int) -> Floats:
        return uniforms(self.market.seed, TRADE_STREAM + turn * _PER_TRADE + question, self.customers.number[who])

    def _advance(self, who: Ints, turn: int) -> Ints:
        """The day of the trade: the next of k uniform numbers in order, between joining and the end."""
        left = self.customers.trades[who] - turn
        step = 1.0 - (1.0 - self._draw(who, turn, _WHEN)) ** (1.0 / left)
        self.clock[who] += (1.0 - self.clock[who]) * step
        join_day = self.customers.join_day[who]
        days = len(self.weather.calendar)
        return np.minimum(join_day + (self.clock[who] * (days - join_day)).astype(np.int64), days - 1)

    def _sell(self, who: Ints, day: Ints, turn: int) -> Bools:
        """Sells all or half of one holding; never more than is held. Returns who [n] did sell."""
        wants = self._draw(who, turn, _SIDE) < SELL_SHARE
        buys = self.buys[who]
        asset = np.full(len(who), -1, dtype=np.int64)
        for question in (_SALE, _SALE_2):
            pick = (self._draw(who, turn, question) * buys).astype(np.int64)
            choice = self.bought[who, pick].astype(np.int64)
            fits = wants & (asset < 0) & (buys > 0)
            fits &= (self.held[who, choice] > 0) & listed_on(self.catalogue, choice, day)
            asset[fits] = choice[fits]
        sold = asset >= 0
        seller, what, when = who[sold], asset[sold], day[sold]
        has = self.held[seller, what]
        part = np.where(self.catalogue.asset_class[what] == FUND, np.round(has / 2, 4), np.floor(has / 2))
        whole = (self._draw(seller, turn, _PART) < 0.65) | (part <= 0)
        units = np.where(whole, has, part)
        # Rounded to the four decimals in which units are kept, so that sums of units close exactly.
        self.held[seller, what] = np.where(whole, 0.0, np.round(has - units, 4))
        nothing = np.full(len(seller), -1, dtype=np.int64)
        self.done.append((seller, what, when, np.zeros(len(seller), dtype=np.bool_), units, nothing, nothing))
        return sold

    def _buy(self, who: Ints, day: Ints, turn: int) -> None:
        """One purchase each, for the reason drawn where an asset fits it, else for taste."""
        asset, reason, reason_asset = self._choose(who, day, turn)
        bought = asset >= 0
        who, day = who[bought], day[bought]
        asset, reason, reason_asset = asset[bought], reason[bought], reason_asset[bought]
        price = self.market.close[asset, day]
        wish = self.customers.ticket[who] * (0.4 + 1.4 * self._draw(who, turn, _MANY)) / price
        fund = self.catalogue.asset_class[asset] == FUND  # funds sell fractions, exchanges do not
        units = np.where(fund, np.maximum(np.round(wish, 4), 0.0001), np.maximum(np.round(wish), 1.0))
        self.held[who, asset] = np.round(self.held[who, asset] + units, 4)
        self.ever[who, asset] = True
        self.bought[who, self.buys[who]] = asset
        self.buys[who] += 1
        self.done.append((who, asset, day, np.ones(len(who), dtype=np.bool_), units, reason, reason_asset))

    def _choose(self, who: Ints, day: Ints, turn: int) -> tuple[Ints, Ints, Ints]:
        """Asset [n] (-1: nothing fits, no trade), reason [n], and the holding behind it [n] (-1: none)."""
        people = self.customers
        risk = np.where(day >= people.update_day[who], people.later_risk[who], people.risk[who])
        limit = np.minimum(risk + (self._draw(who, turn, _STRETCH) < STRETCH_SHARE), 3)
        asset = np.full(len(who), -1, dtype=np.int64)
        reason = np.full(len(who), -1, dtype=np.int64)
        reason_asset = np.full(len(who), -1, dtype=np.int64)
        todo = np.arange(len(who))
        for attempt in range(_ATTEMPTS):
            base = _ATTEMPT + attempt * _PER_ATTEMPT
            whom, when, cap = who[todo], day[todo], limit[todo]
            # The reason is drawn once; after three attempts it falls back to taste.
            reason_draw = self._draw(whom, turn, _ATTEMPT)
            why = self.tastebuds.reason.draw(np.zeros(len(todo), dtype=np.int64), reason_draw)
            source = self._recent(whom, self._draw(whom, turn, base + 1))
            why[((why == TOP_UP) | (why == HOLDING)) & (source < 0)] = TASTE
            if attempt > 2:
                why[:] = TASTE
            pick, which = self._draw(whom, turn, base + 2), self._draw(whom, turn, base + 3)
            sector = self._sector(whom, when, why, which)
            choice = self.tastebuds.by_sector.draw(cap * len(SECTOR_NAMES) + sector, pick)
            season = why == REGIME
            regime_row = cap[season] * len(REGIME_NAMES) + self.weather.regime[when[season]]
            choice[season] = self.tastebuds.by_regime.draw(regime_row, pick[season])
            led, again = why == HOLDING, why == TOP_UP
            choice[led] = self._companion(source[led], pick[led])
            choice[again] = source[again]
            fits = listed_on(self.catalogue, choice, when) & (self.catalogue.risk_class[choice] <= cap + 1)
            if attempt < _ATTEMPTS - 1:
                fits &= (why == TOP_UP) | ~self.ever[whom, choice]
            found = todo[fits]
            asset[found], reason[found] = choice[fits], why[fits]
            reason_asset[found] = np.where(led | again, source, -1)[fits]
            todo = todo[~fits]
            if len(todo) == 0:
                break
        return asset, reason, reason_asset

    def _recent(self, who: Ints, uniform: Floats) -> Ints:
        """A purchase [n], likelier the more recent; -1 where there is none or the one drawn is held no more."""
        buys = self.buys[who]
        lag = (np.log1p(-uniform) / np.log(RECENCY)).astype(np.int64) % np.maximum(buys, 1)
        asset = self.bought[who, np.maximum(buys - 1 - lag, 0)].astype(np.int64)
        return np.where((buys > 0) & (self.held[who, asset] > 0), asset, -1)

    def _sector(self, who: Ints, day: Ints, why: Ints, uniform: Floats) -> Ints:
        """The sector [n] in fashion on ``day`` for a purchase of fashion, else one that the customer likes."""
        liked = self.customers.tastes[who, self.tastebuds.taste.draw(np.zeros_like(who), uniform)]
        return np.where(why == FASHION, self.weather.fashion[day], liked)

    def _companion(self, source: Ints, uniform: Floats) -> Ints:
        return self.catalogue.companions[source, self.tastebuds.companion.draw(np.zeros_like(source), uniform)]
