"""Consistency of attention: planted likeness is found, planted noise is not, and the two nulls are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from lightning_modules.consistency import (
    Attended,
    _other_customers,
    _own_holdings,
    among,
    attended,
    consistency,
    nearest,
    strata,
)


def market(kind: str, seed: int = 0, customers: int = 120, groups: int = 6) -> tuple[Attended, np.ndarray]:
    """Customers of ``groups`` tastes with one profile value a taste, each holding most of the eight assets of his taste.

    kind: "ruled" attention grows with the asset's number; "any" is drawn for each customer.
    """
    draw = np.random.default_rng(seed)
    taste = np.arange(customers) % groups
    rows: list[tuple[int, int, float]] = []
    for customer in range(customers):
        held = np.sort(draw.choice(8, 6, replace=False)) + 8 * taste[customer] + 1
        weight = (held % 8 + 0.2) ** 2 if kind == "ruled" else draw.dirichlet(np.full(6, 0.5))
        rows += zip([customer] * 6, held.tolist(), (weight / weight.sum()).tolist(), strict=True)
    customer, item, share = (np.array(values) for values in zip(*rows, strict=True))
    return attended(customer, np.zeros(len(customer), np.int64), item, share), taste


def measured(attention: Attended, taste: np.ndarray, **changes: Any) -> list[dict[str, Any]]:
    n = len(attention.customers)
    settings: dict[str, Any] = {
        "supports": {"asset": np.arange(49)},
        "segments": {("all", "all"): np.ones(n, bool)},
        "stratum": np.zeros(n, np.int64),
        "permutations": 1000,
        "seed": 0,
    }
    return consistency(attention, nearest(attention, taste[:, None], 4, 0), **(settings | changes))


def test_the_mean_attention_of_a_literal_table() -> None:
    # Customer 7 has two candidates; customer 8 holds one asset only; of customer 9 no holding speaks.
    customer = np.array([7, 7, 7, 7, 8, 9, 9])
    candidate = np.array([1, 1, 2, 2, 1, 1, 1])
    item = np.array([4, 5, 4, 5, 4, 4, 5])
    found = attended(customer, candidate, item, np.array([1.0, 0.0, 0.5, 0.5, 1.0, 0.0, 0.0]))
    assert found.customers.tolist() == [7]
    assert found.item.tolist() == [4, 5]
    assert found.weight.tolist() == [0.75, 0.25]
    sectors = np.array([0, 0, 0, 0, 1, 1])
    assert found.on(sectors).toarray().tolist() == [[0.0, 1.0]]


def test_the_nearest_are_those_with_like_holdings_and_profile() -> None:
    owner = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    item = np.array([1, 2, 1, 2, 1, 3, 4, 5])
    four = Attended(np.arange(4), owner, item, np.full(8, 0.5))
    profiles = np.array([[0, 0], [1, 1], [0, 0], [0, 0]])
    # Of customer 0: Jaccard 1, 1/3, 0 and equal profile fields 0, 1, 1 -> 0.5, 0.667, 0.5 ...
    assert nearest(four, profiles, 1, 0)[0].tolist() == [2]
    # ... and by holdings alone the one with the same holdings.
    assert nearest(four, np.zeros((4, 0), np.int64), 1, 0)[0].tolist() == [1]
    assert nearest(four, profiles, 9, 0).shape == (4, 3)


def test_planted_consistent_attention_beats_both_nulls() -> None:
    (row,) = measured(*market("ruled"))
    assert row["n"] == 120
    assert row["mean_jsd"] < row["holdings_null_mean"] < row["null_mean"]
    assert row["p"] == row["holdings_p"] == pytest.approx(1 / 1001)
    assert row["effect_std"] > 10
    assert row["holdings_effect_std"] > 10


def test_random_attention_on_like_holdings_beats_the_first_null_only() -> None:
    # That similar customers have similar attention is then true, and worth nothing: holdings bring it about.
    (row,) = measured(*market("any"))
    assert row["p"] == pytest.approx(1 / 1001)
    assert row["holdings_p"] > 0.05
    assert abs(row["holdings_effect_std"]) < 2.5
    assert row["uniform_jsd"] < row["mean_jsd"]


def test_neighbours_who_have_nothing_in_common_beat_no_null() -> None:
    attention, _ = market("any")
    strangers = np.random.default_rng(3).permutation(120)
    (row,) = consistency(
        attention,
        np.stack([np.roll(strangers, shift)[np.argsort(strangers)] for shift in (1, 2, 3)], 1),
        {"asset": np.arange(49)},
        {("all", "all"): np.ones(120, bool)},
        np.zeros(120, np.int64),
        permutations=1000,
        seed=0,
    )
    assert row["p"] > 0.05
    assert row["holdings_p"] > 0.05


def test_a_likeness_that_is_the_strata_s_is_not_shown_once_permuted_within_them() -> None:
    attention, taste = market("any")
    same_taste = (np.arange(120)[:, None] + 6 * np.arange(1, 4)) % 120  # and no likeness beyond it
    (free,), (within,) = (
        consistency(
            attention,
            same_taste,
            {"asset": np.arange(49)},
            {("all", "all"): np.ones(120, bool)},
            stratum,
            permutations=1000,
            seed=0,
        )
        for stratum in (np.zeros(120, np.int64), taste.astype(np.int64))
    )
    assert free["p"] < 0.01
    assert within["p"] > 0.05


def test_permutations_stay_within_strata_and_within_a_customer_s_holdings() -> None:
    stratum = np.array([2, 0, 2, 1, 0, 2, 0])
    drawn = _other_customers(stratum, 50, 0)
    assert (np.sort(drawn, 1) == np.arange(7)).all()
    assert (stratum[drawn] == stratum).all()
    assert (drawn[:, 3] == 3).all()  # alone in its stratum
    assert len({tuple(row) for row in drawn.tolist()}) > 10
    attention, _ = market("any", customers=5)
    given = _own_holdings(attention, 50, 0)
    assert (attention.owner[given] == attention.owner).all()
    assert (np.sort(given, 1) == np.arange(len(attention.owner))).all()


def test_strata_are_bands_of_length_by_popularity() -> None:
    owner = np.repeat(np.arange(4), [2, 2, 9, 9])
    item = np.concatenate([[1, 2], [3, 4], np.arange(1, 10), np.arange(1, 10)])
    buyers = np.array([0, 100, 100, 1, 1, *[50] * 5])
    found = strata(Attended(np.arange(4), owner, item, np.ones(len(item))), buyers)
    assert found[0] != found[1]  # as long, but what they hold is not as popular
    assert found[2] == found[3]
    assert len({found[0], found[1], found[2]}) == 3


def test_false_discoveries_are_controlled_over_the_segments_of_a_support() -> None:
    attention, taste = market("any", seed=1)
    segments = {("taste", str(value)): taste == value for value in range(6)} | {("none", "none"): np.zeros(120, bool)}
    rows = measured(attention, taste, segments=segments, supports={"asset": np.arange(49), "half": np.arange(49) % 2})
    assert len(rows) == 12  # a segment without customers has no row
    for support in ("asset", "half"):
        of_it = [row for row in rows if row["support"] == support]
        for prefix in ("", "holdings_"):
            expected = stats.false_discovery_control([row[f"{prefix}p"] for row in of_it])
            assert [row[f"{prefix}q"] for row in of_it] == pytest.approx(list(expected))
    # Two tests at 0.01 and 0.04: the second survives, as 0.04 * 2 / 2 does.
    assert stats.false_discovery_control([0.01, 0.04]).tolist() == [0.02, 0.04]


def test_the_other_seed_is_compared_customer_by_customer() -> None:
    attention, taste = market("any")
    (same,) = measured(attention, taste, seeds=(attention, attention))
    assert same["seed_jsd"] == pytest.approx(0, abs=1e-9)
    turned = Attended(attention.customers, attention.owner, attention.item, attention.weight[_own_holdings(attention, 1, 9)[0]])
    (other,) = measured(attention, taste, seeds=(attention, turned))
    assert other["seed_jsd"] > 0.1
    (one,) = measured(attention, taste)
    assert one["seed_jsd"] is None
    fewer = among(attention, np.arange(0, 120, 2))
    assert fewer.customers.tolist() == list(range(0, 120, 2))
    assert fewer.sizes.tolist() == [6] * 60
    assert fewer.weight.sum() == pytest.approx(60)
    with pytest.raises(ValueError, match="other customers"):
        measured(attention, taste, seeds=(attention, fewer))


def test_the_same_seed_gives_the_same_rows() -> None:
    attention, taste = market("any")
    assert measured(attention, taste) == measured(attention, taste)
    assert measured(attention, taste) != measured(attention, taste, seed=1)
