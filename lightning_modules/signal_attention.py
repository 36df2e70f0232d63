"""Signal attention: a customer attends over what the market says about a candidate.

    z[u, c, j]  signal j about candidate c for customer u, standardised (see market_signals)
    a[u, j]     softmax over j of key[j] . query(context of u)
    score(u, c) = J * sum_j a[u, j] * strength[j] * z[u, c, j]

Which signal is to be believed differs between customers: one who has traded weekly follows what is bought now, one whose
only holding is an opening position follows its co-holders. The context is how much, how recently and how often the
customer bought, and the profile. The model is trained on the question itself, asked on past days (see anchors).

Six of the signals are sums over the customer's holdings, so each holding's part in a score is known exactly;
``attention`` is its share of what holdings say in favour. ``signal_weights`` says which signals were attended to.

For ablations: with ``spec.attention`` "uniform" every a[u, j] is 1 / J and the strengths stand, so that all customers are
served by one weighting; "pooled" has one strength for all signals besides: their plain mean.

Sources: softmax attention with a learned key per signal, after Vaswani et al. 2017, https://arxiv.org/abs/1706.03762;
EASE as a signal, Steck 2019, https://arxiv.org/abs/1905.03375.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from data_contracts.errors import TrainingError
from lightning_modules.anchors import AnchorExamples, anchor_days
from lightning_modules.changed_weights import as_changed
from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.interactions import latest_of_each, shares
from lightning_modules.market_signals import (
    HOLDING_SIGNALS,
    ITEM_SIGNALS,
    LONGEST_DAYS,
    WEIGHTED,
    Market,
    held_weights,
    market_before,
    profile_groups,
)
from lightning_modules.ranker import Examples
from lightning_modules.settings import ModelSpec

MOST_ITEMS = 2_000
"""Every anchor holds six dense tables of all pairs: at this size 100 MB."""
ACTIVITY = 4
"""Numbers that say how much, how recently and how often a customer bought."""
QUERY_WIDTH = 16
EVER = ("buyers", "buyers since the first day", "days since first bought")
"""Signals of an item that say nothing of when it was bought."""
LOW, HIGH = -8.0, 12.0
"""Bounds of a standardised signal."""


class SignalAttention(nn.Module):
    """Ranker of one vocabulary of at most ``MOST_ITEMS`` items."""

    examples: Examples = "anchors"
    item: Tensor
    holding: Tensor
    trait: Tensor
    item_mean: Tensor
    item_spread: Tensor
    context_mean: Tensor
    context_spread: Tensor
    opening: Tensor
    days: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        if histories.n_items > MOST_ITEMS:
            raise TrainingError(
                f"signal_attention keeps dense tables of all pairs of items: {histories.n_items} are more than {MOST_ITEMS}",
                remedy="name attention_cf, transformer or portfolio_attention instead",
            )
        self.spec = spec
        self.n_items = n = histories.n_items
        traits = len(histories.customer_feature_names)
        self.groups = list(profile_groups(histories.customer_feature_names).values())
        profile = tuple(profile_groups(histories.customer_feature_names))
        self.signals = (*ITEM_SIGNALS, *HOLDING_SIGNALS, *profile)
        self.feature_names = ("buyers ever", "recent buyers", "holdings", *profile)
        self._feature_of = [
            *(0 if name in EVER else 1 for name in ITEM_SIGNALS),
            *(2 for _ in HOLDING_SIGNALS),
            *range(3, 3 + len(profile)),
        ]
        # The market of the cut day, by which the fitted model scores; those of the anchors come with the training set.
        self.register_buffer("item", torch.zeros(1, n, len(ITEM_SIGNALS)))
        self.register_buffer("holding", torch.zeros(1, len(HOLDING_SIGNALS), n, n))
        self.register_buffer("trait", torch.zeros(1, traits, n))
        self.register_buffer("days", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("opening", torch.zeros((), dtype=torch.int64))
        self.register_buffer("item_mean", torch.zeros(len(ITEM_SIGNALS)))
        self.register_buffer("item_spread", torch.ones(len(ITEM_SIGNALS)))
        self.register_buffer("context_mean", torch.zeros(ACTIVITY + traits))
        self.register_buffer("context_spread", torch.ones(ACTIVITY + traits))
        self.anchors: dict[str, Tensor] = {}
        self.query = nn.Sequential(nn.Linear(ACTIVITY + traits, QUERY_WIDTH), nn.SiLU(), nn.Dropout(spec.dropout))
        self.keys = nn.Linear(QUERY_WIDTH, len(self.signals))
        self.strength = nn.Parameter(torch.full((1 if spec.attention == "pooled" else len(self.signals),), 0.3))

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        """Computes the market of the cut and of every anchor, and the scales of signals and contexts over the anchors."""
        del half_life_days  # the anchors decide how old a target may be
        first = int(histories.days.min()) if histories.n_events else 0
        with torch.no_grad():
            self.opening.fill_(first)
            self._remember(histories.cut_day + 1, market_before(histories, histories.cut_day + 1))
            asked = self.anchor_days(histories)
            if not asked:
                return
            markets = [market_before(histories, day) for day in asked]
            self.anchors = {
                "days": torch.tensor(asked, dtype=torch.int64),
                "item": torch.stack([market.item for market in markets]),
                "holding": torch.stack([market.holding for market in markets]),
                "trait": torch.stack([market.profile for market in markets]),
            }
            items = self.anchors["item"]
            self.item_mean.copy_(items.mean((0, 1)))
            self.item_spread.copy_(items.std(1, unbiased=False).mean(0) + 1e-3)
            self._learn_contexts(AnchorExamples(histories, asked, self.spec.horizon_days))

    def anchor_days(self, histories: Histories) -> list[int]:
        """The past days that training asks on, newest first."""
        first = int(histories.days.min()) if histories.n_events else 0
        spec = self.spec
        return anchor_days(histories.cut_day, first, spec.horizon_days, spec.anchors, spec.anchor_spacing_days)

    def _learn_contexts(self, examples: AnchorExamples) -> None:
        """Takes the scale of the customers' contexts from the training examples."""
        if len(examples):
            rows = np.array_split(np.arange(len(examples)), -(-len(examples) // 4096))
            contexts = torch.cat([self._raw_context(examples[row].history) for row in rows])
            self.context_mean.copy_(contexts.mean(0))
            self.context_spread.copy_(contexts.std(0, unbiased=False) + 1e-3)

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Mean over customers of the mean -log softmax of what they bought, over the catalogue less what they held."""
        held = owned_columns(batch.owned, self.n_items)
        logits = self.score(batch.history)
        candidates = held.logical_not() & (self._market(batch.history)["item"][:, 0] > 0)  # bought by anybody before
        logits = logits.masked_fill(~candidates, torch.finfo(logits.dtype).min)
        chosen = torch.log_softmax(logits, 1).gather(1, batch.targets)  # [B, M]
        return -torch.where(batch.weights > 0, chosen * batch.weights, 0.0).sum(1).mean()

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        z, _ = self._signals(batch)
        return torch.einsum("bnj,bj->bn", z, self._worth(batch))

    def signal_weights(self, batch: HistoryBatch) -> Tensor:
        """[B, J], the attention over ``signals``; each row sums to 1."""
        asked = self.keys(self.query(self._context(batch)))
        asked = asked if self.spec.attention == "learned" else torch.zeros_like(asked)
        return as_changed(torch.softmax(asked, -1), None, over="signals")

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L], each holding's share of what holdings say in favour of a candidate (at its last event)."""
        return shares(self.contributions(batch, candidates))

    @property
    def head_names(self) -> tuple[str, ...]:
        return HOLDING_SIGNALS

    def head_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, 1, Jh, L], each holding's share of what one signal says in favour of a candidate."""
        return shares(self._said_by_holdings(batch, candidates)).permute(1, 2, 0, 3)[:, :, None]

    def feature_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, F], each kind of signal's share of what speaks in favour of a candidate; 0 where none does."""
        return shares(self._by_feature(batch, candidates))

    def score_without(self, batch: HistoryBatch, items: Tensor, features: Tensor) -> Tensor:
        """[B, N] where for customer b the signals ``features[b]`` say of item ``items[b]`` what they say of the average one."""
        scores = self.score(batch)
        row = torch.arange(len(items), device=items.device)
        scores[row, items - 1] -= self._by_feature(batch, items[:, None])[row, 0, features]
        return scores

    def _by_feature(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, F], what each kind of signal adds to each candidate's score."""
        z, _ = self._signals(batch)
        said = z.gather(1, (candidates - 1).clamp_min(0)[..., None].expand(-1, -1, z.shape[2]))  # [B, K, J]
        kind = torch.tensor(self._feature_of, device=z.device)
        return said.new_zeros(*said.shape[:2], len(self.feature_names)).index_add(2, kind, said * self._worth(batch)[:, None])

    def contributions(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L]: what each holding adds to a candidate's score, 0 at padding; their sum is the score's part from holdings.

        A holding says T[held, c] less what it says of the mean candidate; where a signal is clipped, all its holdings' parts
        are scaled alike.
        """
        first = len(ITEM_SIGNALS)
        worth = self._worth(batch)[:, first : first + len(HOLDING_SIGNALS)]  # [B, Jh]
        return torch.einsum("jbkl,bj->bkl", self._said_by_holdings(batch, candidates), worth)

    def _said_by_holdings(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[Jh, B, K, L], what each holding says of each candidate by each signal, standardised and not yet weighed."""
        _, spread = self._signals(batch)  # [B, Jh]
        tables = self._market(batch)["holding"]  # [Jh, N, N]
        row, column = (batch.items - 1).clamp_min(0), (candidates - 1).clamp_min(0)
        said = tables[:, row[:, None, :], column[:, :, None]] - tables.mean(2)[:, row][:, :, None, :]  # [Jh, B, K, L]
        _, recency = held_weights(batch.items, batch.days, batch.now, self.n_items)
        asked = torch.ones_like(said[:, :, :1])  # [Jh, B, 1, L]
        asked[WEIGHTED] = recency.gather(1, row)[:, None, :]
        counted = latest_of_each(batch.items)[:, None, :] & (candidates > 0)[:, :, None]
        parts = torch.where(counted, said * asked / spread.T[:, :, None, None], 0.0)
        whole = parts.sum(-1, keepdim=True)  # [Jh, B, K, 1], the signal before it is clipped
        clipped = torch.where(whole == 0, 1.0, whole.clamp(LOW, HIGH) / torch.where(whole == 0, 1.0, whole))
        return parts * clipped

    def _worth(self, batch: HistoryBatch) -> Tensor:
        """[B, J], what one unit of each signal adds to a score."""
        return self.signal_weights(batch) * self.strength * len(self.signals)

    def _signals(self, batch: HistoryBatch) -> tuple[Tensor, Tensor]:
        """Standardised signals [B, N, J], and the spread [B, Jh] by which those of holdings were divided."""
        market = self._market(batch)
        held, recent = held_weights(batch.items, batch.days, batch.now, self.n_items)
        by_holding = torch.stack(
            [(recent if j == WEIGHTED else held) @ table for j, table in enumerate(market["holding"])], -1
        )  # [B, N, Jh]
        by_trait = [batch.features[:, columns] @ market["trait"][columns] for columns in self.groups]
        by_profile = torch.stack(by_trait, -1) if by_trait else by_holding[:, :, :0]  # [B, N, G]
        personal = torch.cat([by_holding, by_profile], -1)
        spread = personal.std(1, unbiased=False, keepdim=True) + 1e-4
        personal = (personal - personal.mean(1, keepdim=True)) / spread
        item = ((market["item"] - self.item_mean) / self.item_spread).expand(len(personal), -1, -1)
        z = torch.cat([item, personal], -1).clamp(LOW, HIGH)
        return z, spread[:, 0, : len(HOLDING_SIGNALS)]

    def _context(self, batch: HistoryBatch) -> Tensor:
        return ((self._raw_context(batch) - self.context_mean) / self.context_spread).clamp(LOW, HIGH)

    def _raw_context(self, batch: HistoryBatch) -> Tensor:
        """[B, ACTIVITY + G]: distinct holdings, those bought since the first day, days since the last one, the last 90 days."""
        real = batch.mask
        held, _ = held_weights(batch.items, batch.days, batch.now, self.n_items)
        flow = real & (batch.days > self.opening)
        traded, _ = held_weights(batch.items * flow, batch.days, batch.now, self.n_items)
        age = batch.now[:, None] - batch.days
        since = torch.where(real, age, LONGEST_DAYS).amin(1).clamp(0, LONGEST_DAYS)
        lately, _ = held_weights(batch.items * (flow & (age <= 90)), batch.days, batch.now, self.n_items)
        counts = torch.stack([held.sum(1), traded.sum(1), since.float(), lately.sum(1)], 1)
        return torch.cat([torch.log1p(counts), batch.features], 1)

    def _market(self, batch: HistoryBatch) -> dict[str, Tensor]:
        """The market that a batch may see: its anchor's in training, the cut's when scoring. A batch asks on one day."""
        now = int(batch.now[0]) if len(batch.now) else int(self.days[0])
        if self.training and self.anchors:
            place = torch.nonzero(self.anchors["days"] == now).flatten()
            if len(place) != 1 or bool((batch.now != now).any()):
                raise ValueError(f"a batch asks on day {now}, which is no anchor, or on several days")
            return {name: self.anchors[name][place[0]].to(batch.items.device) for name in ("item", "holding", "trait")}
        return {"item": self.item[0], "holding": self.holding[0], "trait": self.trait[0]}

    def _remember(self, day: int, market: Market) -> None:
        """Keeps the one market that the fitted model scores by; it travels with the weights."""
        self.days.fill_(day)
        self.item.copy_(market.item[None])
        self.holding.copy_(market.holding[None])
        self.trait.copy_(market.profile[None])
