"""What a market says about a candidate on one day: signals computed from the purchases known before it, and nothing else.

Three kinds, J in all, for N items:

- of the item alone [N]: how many bought it, ever and in windows of 7 to 365 days, with slow and fast decay, and how long ago;
- of the customer's profile [G, N]: how much more often customers with a trait bought it than others did;
- of what the customer holds: six item-to-item tables T [N, N], each a *sum over holdings* of T[held, candidate], so that a
  holding's part in a signal is known exactly: EASE at two ridges and on recency-weighted purchases (Steck 2019,
  https://arxiv.org/abs/1905.03375), shrunk cosine, the share of a holding's owners who bought the candidate, and its lift.

Purchases on the very first day of the data are stock, not flow (opening positions): they count as holdings, never as
something that was bought recently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from lightning_modules.histories import Histories

WINDOWS = (7, 14, 30, 60, 90, 180, 365)
"""Days over which recent buyers are counted."""
HALF_LIVES = (45.0, 120.0, 300.0)
"""Half-lives, in days, of decayed buyer counts."""
MEMORY_HALF_LIFE = 180.0
"""Days after which a holding counts half in the recency-weighted table."""
OLD_WEIGHT = 0.15
"""What is left of the oldest holding in the recency-weighted table."""
RIDGES = (300.0, 2000.0)
RECENT_RIDGE = 100.0
COSINE_SHRINKAGE = 50.0
SHARE_SHRINKAGE = 20.0
LONGEST_DAYS = 2000
UNKNOWN = "not_available"

ITEM_SIGNALS = (
    "buyers",
    "buyers since the first day",
    *(f"buyers {days} days" for days in WINDOWS),
    "days since last bought",
    "days since first bought",
    *(f"buyers, half-life {int(days)} days" for days in HALF_LIVES),
)
HOLDING_SIGNALS = (
    *(f"EASE {int(ridge)}" for ridge in RIDGES),
    "EASE of recent purchases",
    "cosine",
    "owners who bought it",
    "lift among owners",
)
WEIGHTED = HOLDING_SIGNALS.index("EASE of recent purchases")
"""The one table that is asked with recency-weighted holdings."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Market:
    """The signals of one day."""

    item: Tensor  # [N, len(ITEM_SIGNALS)] float32
    holding: Tensor  # [len(HOLDING_SIGNALS), N, N] float32, row = held, column = candidate; zero diagonals
    profile: Tensor  # [G, N] float32, log-lift of each trait
    known: Tensor  # [N] bool, bought by anybody before the day


def profile_groups(names: tuple[str, ...]) -> dict[str, list[int]]:
    """``("risk=low", "risk=high", "type=mass")`` -> ``{"risk": [0, 1], "type": [2]}``.

    Numbers are no traits, and neither is an unknown value: who has no profile yet is a matter of the day, not of taste.
    """
    groups: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        group, equals, value = name.partition("=")
        if equals and value != UNKNOWN:
            groups.setdefault(group, []).append(column)
    return groups


def market_before(histories: Histories, day: int) -> Market:
    """The market as known before ``day`` (days since 1970-01-01): purchases of that day or later play no part."""
    owner = np.repeat(np.arange(histories.n_customers), histories.lengths.numpy())
    days = histories.days.numpy()
    opening = int(days.min()) if len(days) else 0
    # A pair counts at its first purchase.
    kept = histories.first.numpy().astype(bool) & (days < day)
    owner, items, days = owner[kept], histories.items.numpy()[kept].astype(np.int64) - 1, days[kept].astype(np.int64)
    flow = days > opening
    shape = (histories.n_customers, histories.n_items)

    def pairs(weights: Floats, rows: npt.NDArray[np.bool_] | slice = slice(None)) -> Any:
        return sparse.coo_matrix((weights, (owner[rows], items[rows])), shape=shape).tocsr()

    held = pairs(np.ones(len(items)))
    bought = pairs(np.ones(int(flow.sum())), flow)
    memory = 0.5 ** ((day - days) / MEMORY_HALF_LIFE)
    recent = pairs(OLD_WEIGHT + (1 - OLD_WEIGHT) * memory)
    return Market(
        item=_tensor(_item_signals(items, days, flow, day, histories.n_items)),
        holding=_tensor(np.stack(_holding_tables(held, bought, recent))),
        profile=_tensor(_profile_lifts(histories, pairs(1 + 3 * memory[flow], flow))),
        known=torch.from_numpy(np.bincount(items, minlength=histories.n_items) > 0),
    )


def held_weights(items: Tensor, days: Tensor, now: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
    """Events [B, L] (0 = padding) -> what a customer holds [B, N]: 1 per item, and its recency weight.

    An item's age is that of its first purchase.
    """
    none = torch.iinfo(days.dtype).max
    first = torch.full((len(items), n_items + 1), none, dtype=days.dtype, device=days.device)
    first = first.scatter_reduce(1, items, days, "amin")[:, 1:]
    held = first < none
    age = (now[:, None] - torch.where(held, first, now[:, None])).clamp_min(0).float()
    weight = OLD_WEIGHT + (1 - OLD_WEIGHT) * torch.exp2(-age / MEMORY_HALF_LIFE)
    return held.float(), held * weight


def _item_signals(items: Any, days: Any, flow: Any, day: int, n_items: int) -> Floats:
    def share(counts: npt.NDArray[Any], prior: float) -> Floats:
        """Log of an item's smoothed share of all purchases, 0 where it has just its fair part."""
        return np.asarray(np.log((counts + prior) / (counts.sum() + prior * n_items) * n_items))

    def ago(last: Floats) -> Floats:
        return np.asarray(np.log1p(np.clip(day - last, 0, LONGEST_DAYS)))

    bought, when = items[flow], days[flow]
    latest = np.full(n_items, float(day - LONGEST_DAYS))
    np.maximum.at(latest, bought, when)
    first = np.full(n_items, float(day))
    np.minimum.at(first, items, days)
    columns = [
        np.log1p(np.bincount(items, minlength=n_items)),
        np.log1p(np.bincount(bought, minlength=n_items)),
        *(share(np.bincount(bought[when >= day - d], minlength=n_items), 0.3) for d in WINDOWS),
        ago(latest),
        ago(first),
        *(share(np.bincount(bought, 0.5 ** ((day - when) / d), n_items), 0.1) for d in HALF_LIVES),
    ]
    return np.stack(columns, axis=1)


def _holding_tables(held: Any, bought: Any, recent: Any) -> list[Floats]:
    together = np.asarray((held.T @ held).todense(), np.float64)
    owners = np.maximum(np.diag(together), 1.0)
    np.fill_diagonal(together, 0.0)
    gram = together + np.diag(np.asarray(held.sum(0)).ravel())
    cosine = together / np.sqrt(owners[:, None] * owners + COSINE_SHRINKAGE)
    then_bought = np.asarray((held.T @ bought).todense(), np.float64)
    np.fill_diagonal(then_bought, 0.0)
    share = then_bought / (owners[:, None] + SHARE_SHRINKAGE)
    traders = max(int((np.asarray(bought.sum(1)).ravel() > 0).sum()), 1)
    usual = np.asarray(bought.sum(0)).ravel() / traders
    # A fifth of what active customers do: most owners of an asset never trade again.
    lift = np.log((share + 1e-4) / (0.2 * usual + 1e-4))
    np.fill_diagonal(lift, 0.0)
    memories = np.asarray((recent.T @ recent).todense(), np.float64)
    return [*(_ease(gram, ridge) for ridge in RIDGES), _ease(memories, RECENT_RIDGE), cosine, share, lift]


def _ease(gram: Floats, ridge: float) -> Floats:
    inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def _profile_lifts(histories: Histories, bought: Any) -> Floats:
    """[G, N]: log of how much likelier a trait's customers were to choose an item, shrunk to 0 by five purchases' worth."""
    lifts = np.zeros((len(histories.customer_feature_names), histories.n_items))
    traits = histories.customer_features.numpy().astype(np.float64)
    for columns in profile_groups(histories.customer_feature_names).values():
        counts = np.asarray(bought.T @ traits[:, columns]).T  # [g, N]
        overall = counts.sum(0) / max(counts.sum(), 1.0)
        tiny = 1e-3
        own = (counts + 5 * overall + tiny) / (counts.sum(1, keepdims=True) + 5 + tiny * histories.n_items)
        lifts[columns] = np.log(own) - np.log(overall + tiny / (5 + tiny * histories.n_items))
    return lifts


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
