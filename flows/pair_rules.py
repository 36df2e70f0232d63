"""The suitability rules that need the customer: for each pair of customer and candidate, which of them it breaks.

A rule comes down to one of three small tests, worked out once for everybody, so that a batch of customers costs a few
comparisons: a list of pairs (what is held), a ceiling (the customer's limit against the candidate's value), or groups of which
the customer has enough already (sectors, issuers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows import suitability
from flows.list_rules import ListRule
from flows.sections.suitability import (
    AboveCapacity,
    AboveRiskProfile,
    AnyRule,
    CapacityReached,
    Concentration,
    Held,
    ListLimit,
    PossiblyHeld,
    PredictedCapacity,
    PredictedProfile,
    PreviouslyHeld,
    ProfileNotAvailable,
    SuitabilityConfig,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
NOT_AVAILABLE = "not_available"


class Test(Protocol):
    """One rule, ready to be asked about the customers ``low`` to ``high`` (not included)."""

    def broken(self, low: int, high: int) -> Bools:
        """[high - low, N]: does the pair break the rule?"""


@dataclass(frozen=True)
class Pairs:
    """``owner``, ``column`` [P]: the pairs that break the rule, sorted by owner, among ``n_items`` candidates."""

    owner: Ints
    column: Ints
    n_items: int

    def broken(self, low: int, high: int) -> Bools:
        first, last = np.searchsorted(self.owner, [low, high])
        out = np.zeros((high - low, self.n_items), bool)
        out[self.owner[first:last] - low, self.column[first:last]] = True
        return out


@dataclass(frozen=True)
class Ceiling:
    """A candidate's ``value`` [N] is above the customer's ``most`` [C]; an unknown value (NaN) is above nothing."""

    most: Floats
    value: Floats

    def broken(self, low: int, high: int) -> Bools:
        return np.asarray(self.value[None, :] > self.most[low:high, None])


@dataclass(frozen=True)
class Groups:
    """``owner``, ``group`` [P]: groups of which a customer has enough, sorted by owner. ``of_item`` [N], -1: none."""

    owner: Ints
    group: Ints
    of_item: Ints
    n_groups: int

    def broken(self, low: int, high: int) -> Bools:
        first, last = np.searchsorted(self.owner, [low, high])
        full = np.zeros((high - low, self.n_groups + 1), bool)  # the last column stands for "no group" and stays empty
        full[self.owner[first:last] - low, self.group[first:last]] = True
        return full[:, self.of_item]


@dataclass(frozen=True)
class PairRule:
    """A rule in force with its test."""

    rule_id: str
    excludes: bool
    test: Test


def pair_rules(
    rules: SuitabilityConfig, items: pl.DataFrame, customers: pl.DataFrame, snapshot: Path, as_of: date
) -> tuple[list[PairRule], list[ListRule]]:
    """The rules in force on pairs and on lists, for the candidates ``items`` [N] and the customers [C], in their order.

    ``items``: asset_id, asset_risk, last_close, sector. ``customers``: customer_id, risk_level, risk_predicted,
    investment_capacity, capacity_predicted.
    """
    items = items.join(suitability.issuers(snapshot, as_of), on="asset_id", how="left", maintain_order="left")
    known = _Known(snapshot, items, customers)
    tests = [(name, rule, known.test(rule)) for name, rule in rules.in_force().items()]
    on_pairs = [PairRule(name, rule.effect == "exclude", test) for name, rule, test in tests if test is not None]
    on_lists = [
        ListRule(name, _grouping(items, rule.by, rule.no_group)[0], rule.most)
        for name, rule in rules.in_force().items()
        if isinstance(rule, ListLimit)
    ]
    return on_pairs, on_lists


class _Known:
    """What the tests are made from."""

    def __init__(self, snapshot: Path, items: pl.DataFrame, customers: pl.DataFrame) -> None:
        self.snapshot, self.items, self.customers = snapshot, items, customers
        self.positions = pl.read_parquet(
            snapshot / "holdings.parquet", columns=["customer_id", "asset_id", "status", "last_value"]
        ).with_columns(valued=(pl.col("status") == "held") & (pl.col("last_value") > 0))

    def test(self, rule: AnyRule) -> Test | None:
        """None for the rules that are asked elsewhere: of the asset, of the list, of the customer altogether."""
        people, items = self.customers, self.items
        unavailable = (people["risk_level"] == NOT_AVAILABLE).to_numpy()
        if isinstance(rule, AboveRiskProfile):
            level = people["risk_level"].replace_strict(dict(rule.highest_class), default=None, return_dtype=pl.Float64)
            steps = people["risk_predicted"].cast(pl.Float64) * rule.predicted_steps_down
            return Ceiling(_or_infinite(level - steps), items["asset_risk"].cast(pl.Float64).to_numpy())
        if isinstance(rule, ProfileNotAvailable):
            most = np.where(unavailable, float(rule.highest_class), np.inf)
            return Ceiling(most, items["asset_risk"].cast(pl.Float64).to_numpy())
        if isinstance(rule, AboveCapacity):
            end = (
                people["investment_capacity"].replace_strict(rule.bands, default=rule.unknown, return_dtype=pl.Float64).to_numpy()
            )
            most = np.where(end > 0, end * rule.share, np.inf)
            return Ceiling(most, items["last_close"].cast(pl.Float64).fill_null(float("nan")).to_numpy())
        if isinstance(rule, CapacityReached):
            return self._everything(self._capacity_reached(rule.bands))
        if isinstance(rule, PredictedProfile):
            return self._everything(people["risk_predicted"].to_numpy())
        if isinstance(rule, PredictedCapacity):
            return self._everything(people["capacity_predicted"].to_numpy())
        if isinstance(rule, Held | PreviouslyHeld):
            status = "held" if isinstance(rule, Held) else "closed"
            return self._pairs(self.positions.filter(pl.col("status") == status))
        if isinstance(rule, PossiblyHeld):
            return self._pairs(possibly_held(self.snapshot, rule.same_asset))
        if isinstance(rule, Concentration):
            return self._groups(rule)
        return None

    def _everything(self, who: Bools) -> Ceiling:
        """Every candidate, for some customers."""
        return Ceiling(np.where(who, 0.0, np.inf), np.ones(self.items.height))

    def _pairs(self, pairs: pl.DataFrame) -> Pairs:
        found = (
            pairs.select("customer_id", "asset_id")
            .unique()
            .join(self.customers.select("customer_id", owner=pl.int_range(pl.len())), on="customer_id")
            .join(self.items.select("asset_id", column=pl.int_range(pl.len())), on="asset_id")
            .sort("owner", "column")
        )
        return Pairs(found["owner"].to_numpy(), found["column"].to_numpy(), self.items.height)

    def _worth(self) -> pl.DataFrame:
        """``customer_id, total`` (EUR) and ``valued``, the number of holdings whose value is known.

        Sorted first: a sum of fractions depends on its order.
        """
        return (
            self.positions.filter("valued").group_by("customer_id").agg(total=pl.col("last_value").sort().sum(), valued=pl.len())
        )

    def _capacity_reached(self, bands: Mapping[str, float]) -> Bools:
        people = self.customers.join(self._worth(), on="customer_id", how="left", maintain_order="left")
        # A band that the rule does not know may be the lowest; a capacity that is not available is not asked about.
        lowest = min((end for end in bands.values() if end > 0), default=0.0)
        ends = {NOT_AVAILABLE: 0.0, **bands}
        end = people["investment_capacity"].fill_null(NOT_AVAILABLE).replace_strict(ends, default=lowest, return_dtype=pl.Float64)
        return ((end > 0) & (people["total"].fill_null(0.0) > end)).to_numpy()

    def _groups(self, rule: Concentration) -> Groups:
        of_item, groups = _grouping(self.items, rule.by, rule.no_group)
        assets = self.items.select("asset_id", group=pl.Series(of_item)).filter(pl.col("group") >= 0)
        full = (
            self.positions.filter("valued")
            .join(assets, on="asset_id")
            .group_by("customer_id", "group")
            .agg(part=pl.col("last_value").sort().sum())
            .join(self._worth(), on="customer_id")
            .filter((pl.col("valued") >= rule.valued_holdings) & (pl.col("part") / pl.col("total") > rule.share))
            .join(self.customers.select("customer_id", owner=pl.int_range(pl.len())), on="customer_id")
            .sort("owner", "group")
        )
        return Groups(full["owner"].to_numpy(), full["group"].to_numpy(), of_item, groups)


def possibly_held(snapshot: Path, same_asset: Mapping[str, str]) -> pl.DataFrame:
    """``customer_id, asset_id`` of the trades and positions that a contract set aside.

    Such a row is no evidence of what the customer owns, but reason enough not to offer it.
    """
    parts = [pl.DataFrame(schema={"customer_id": pl.String, "asset_id": pl.String})]
    for table in ("transactions", "delivered_holdings"):
        path = snapshot.parent / "quarantine" / f"{table}.parquet"
        if path.exists():
            parts.append(
                pl.read_parquet(path, columns=["customer_id", "asset_id"]).select(
                    "customer_id", pl.col("asset_id").replace(dict(same_asset))
                )
            )
    return pl.concat(parts).drop_nulls()


def _grouping(items: pl.DataFrame, by: str, no_group: Sequence[str]) -> tuple[Ints, int]:
    """The group number of each item [N], -1 where it has none, and how many groups there are."""
    column = items["asset_id" if by == "asset" else by]
    names = column.drop_nulls().unique().sort()
    names = names.filter(~names.is_in(list(no_group)))
    number = dict(zip(names.to_list(), range(len(names)), strict=True))
    return column.replace_strict(number, default=-1, return_dtype=pl.Int64).to_numpy(), len(names)


def _or_infinite(values: pl.Series) -> Floats:
    return np.asarray(values.fill_null(float("inf")).to_numpy(), np.float64)
