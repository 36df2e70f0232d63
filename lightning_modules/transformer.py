"""A causal transformer over the purchase history: each position predicts the next new item.

A start token stands before the history, so that a customer who never traded gets scores too; the customer's profile is
added everywhere. Pre- or post-LN blocks, sinusoidal, learned or no positions, attention with or without a learned decay
in the age of an event, output tied to the items' vectors. What is read from features, and which negatives are left out,
can be switched off for plain sequences (:class:`lightning_modules.settings.ModelSpec`).

For ablations: with ``spec.attention`` "uniform" every position weighs all that it may see alike, and the rest stands;
"pooled" has no attention in its blocks: each event is read alone and a customer is the mean of what was read.

The batch is packed: no row is padding (:mod:`lightning_modules.packed`). There is no dropout on attention weights: the
fused kernels of a CPU have none.

Sources: Kang and McAuley 2018 (SASRec), https://arxiv.org/abs/1808.09781; Xiong et al. 2020 (pre-LN),
https://arxiv.org/abs/2002.04745
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.dropout import PooledDropout
from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.item_table import ItemTable
from lightning_modules.objective import Questions, full_softmax
from lightning_modules.packed import Packing
from lightning_modules.packed_attention import packed_attention, packed_weights
from lightning_modules.positions import sinusoidal_positions
from lightning_modules.settings import ModelSpec

# A decay rate starts at softplus(-5), about 0.007 a day: an event 100 days older weighs half.
DECAY_START = -5.0
QUIET = 0.1  # of torch's usual initial weights
# Training rows are filled up to a multiple of this: few shapes, whose kernels are compiled once.
ROW_MULTIPLE = 256
# Where a smaller share of the rows is asked for, picking them costs less than scoring the others in vain.
ENOUGH_ASKED = 0.9


class Block(nn.Module):
    """Attention, then feed-forward, each with a residual; normed before (pre) or after the sum (post)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        dim = spec.dim
        self.pre = spec.norm == "pre"
        self.attention = spec.attention
        self.kernel, self.top_k = spec.kernel, spec.top_k
        self.attention_norm = nn.LayerNorm(dim)
        self.mix = nn.Linear(dim, 3 * dim)  # query, key, value
        self.output = nn.Linear(dim, dim)
        self.forward_norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, dim)
        self.contract = nn.Linear(dim, dim)
        self.dropout = PooledDropout(spec.dropout)
        self.decay = nn.Parameter(torch.full((spec.heads,), DECAY_START)) if spec.temporal_decay == "learned" else None

    def quieten(self) -> None:
        """Begin as a whisper beside what the block reads: where items stand already says much, noise would drown it."""
        for layer in (self.output, self.contract):
            layer.weight.mul_(QUIET)
            layer.bias.zero_()

    def forward(
        self, values: Tensor, packing: Packing, days: Tensor, *, weights: bool = False
    ) -> tuple[Tensor, list[Tensor] | None]:
        """[T, D] -> [T, D], and if asked the attention [b, H, W, W] of each group of the packing.

        ``days`` [T] float32: days of a row relative to the last row of its sequence, so never above 0.
        """
        given: list[Tensor] | None = None
        if self.attention == "pooled":
            return self._fed_forward(values), given
        mixed = _linear(self.mix, _norm(self.attention_norm, values) if self.pre else values)
        key_bias = None if self.decay is None else days[:, None] * F.softplus(self.decay)  # [T, H]
        if self.attention == "uniform":
            mixed, key_bias = as_means(mixed.chunk(3, -1)[2]), None
        if weights:
            attended, given = packed_weights(mixed, packing, key_bias, self.kernel, self.top_k)
        else:
            attended = packed_attention(mixed, packing, key_bias, self.kernel, self.top_k)
        values = values + self.dropout(_linear(self.output, attended))
        if not self.pre:
            values = _norm(self.attention_norm, values)
        return self._fed_forward(values), given

    def _fed_forward(self, values: Tensor) -> Tensor:
        """[T, D] -> [T, D], row by row."""
        inner = self.dropout(F.gelu(_linear(self.expand, _norm(self.forward_norm, values) if self.pre else values)))
        values = values + self.dropout(_linear(self.contract, inner))
        return values if self.pre else _norm(self.forward_norm, values)


class CausalTransformer(ItemTable):
    """Ranker of one vocabulary; needs the training set's item features as well as its weights."""

    examples: Literal["purchases", "sequences"] = "sequences"
    positions: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__(spec, histories)
        dim = spec.dim
        if spec.positions == "learned":
            self.place = nn.Parameter(torch.randn(spec.max_length + 1, dim) * dim**-0.5)
        elif spec.positions == "sinusoidal":
            self.register_buffer("positions", sinusoidal_positions(spec.max_length + 1, dim), persistent=False)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.blocks))
        self.norm = nn.LayerNorm(dim) if spec.norm == "pre" else None

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        super().prepare(histories, half_life_days)
        if self.spec.item_start == "covisits":
            with torch.no_grad():
                for block in self.blocks:
                    assert isinstance(block, Block)
                    block.quieten()

    def questions(self, batch: TrainingBatch) -> Questions:
        table = self.item_table()
        # Row p of a customer reads the start token and events 0 .. p - 1, and asks for event p.
        hidden, packing = self.encode(batch.history, table, drop_last=True)  # [T, D]
        cell = packing.owner * batch.targets.shape[1] + packing.place
        targets, weights, owner = batch.targets.flatten()[cell], batch.weights.flatten()[cell], packing.owner
        weights[packing.real :] = 0
        asked = torch.nonzero(weights > 0).flatten()
        if len(asked) < ENOUGH_ASKED * len(weights):  # else what is not asked for just weighs nothing
            hidden, targets, weights, owner = (values.index_select(0, asked) for values in (hidden, targets, weights, owner))
        owned = owned_columns(batch.owned, self.n_items) if self.spec.exclude_owned else None
        return Questions(hidden, table[1:], self.bias, targets, weights, owner, owned)

    def loss(self, batch: TrainingBatch) -> Tensor:
        return full_softmax(self.questions(batch))

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        table = self.item_table()
        hidden, packing = self.encode(batch, table)
        return self.scores(hidden.index_select(0, packing.last), table)

    def scores(self, hidden: Tensor, table: Tensor) -> Tensor:
        """[T, D] x [N + 1, D] -> [T, N]."""
        scores = hidden @ table[1:].T
        return scores if self.bias is None else scores + self.bias

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L], the last position's attention of the last block, mean over heads; the same for every candidate."""
        mean = self._last_position(batch)[-1].mean(1, keepdim=True)  # [B, 1, L]
        return _to_one(mean).expand(-1, candidates.shape[1], -1)

    @property
    def head_names(self) -> tuple[str, ...]:
        return tuple(f"head {number + 1}" for number in range(self.spec.heads))

    def head_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, blocks, H, L], the last position's attention of every block; the same for every candidate."""
        return _to_one(torch.stack(self._last_position(batch), 1))[:, None].expand(-1, candidates.shape[1], -1, -1, -1)

    def _last_position(self, batch: HistoryBatch) -> list[Tensor]:
        """Of each block the last position's attention over the history, [B, H, L], without what fell on the start token."""
        if self.spec.attention == "pooled":
            alike = batch.mask / batch.lengths[:, None].clamp_min(1)
            return [alike[:, None].expand(-1, self.spec.heads, -1)] * len(self.blocks)
        packing = Packing.of(batch.lengths + 1, self.spec.heads, group=len(batch.lengths))
        values, days = self._embed(batch, self.item_table(), packing, drop_last=False)
        group = packing.groups[0]  # the one group, in the order of its sequences
        ends = batch.lengths[group.sequences]
        found: list[Tensor] = []
        for block in self.blocks:
            values, given = block(values, packing, days, weights=True)
            last = torch.empty_like(given[0][:, :, 0])  # [B, H, W]
            last[group.sequences] = given[0][torch.arange(len(ends), device=ends.device), :, ends]
            found.append(F.pad(last[..., 1:], (0, batch.items.shape[1] + 1 - group.width)) * batch.mask[:, None])
        return found

    def encode(self, batch: HistoryBatch, table: Tensor, *, drop_last: bool = False) -> tuple[Tensor, Packing]:
        """Hidden states [T, D] of the start token and the events of every customer (but the last one if asked).

        In training they are computed in the precision of the spec; else in that of the weights.
        """
        lengths = batch.lengths if drop_last else batch.lengths + 1
        packing = Packing.of(lengths, self.spec.heads, row_multiple=ROW_MULTIPLE if self.training else 1)
        values, days = self._embed(batch, table, packing, drop_last=drop_last)
        for block in self.blocks:
            values, _ = block(values, packing, days)
        if self.norm is not None:
            values = _norm(self.norm, values)
        if self.spec.attention == "pooled":
            values = packed_attention(as_means(values), packing)
        if self.spec.cosine_scale is not None:
            values = self.spec.cosine_scale * F.normalize(values, dim=-1)
        return values, packing

    def _embed(self, batch: HistoryBatch, table: Tensor, packing: Packing, *, drop_last: bool) -> tuple[Tensor, Tensor]:
        """What the first block reads, [T, D], and each row's days relative to its sequence's last row, [T] float32."""
        cell = packing.owner * batch.items.shape[1] + packing.place - 1  # of the padded batch; the start token's is wrong
        begins = packing.place == 0
        cell = cell.clamp_min(0)
        items = batch.items.flatten()[cell].masked_fill(begins, 0)
        values = table.index_select(0, items)
        if self.spec.positions == "learned":
            # More events than in training: the last learned place stands for every later one.
            values = values + self.place.index_select(0, packing.place.clamp_max(self.spec.max_length))
        elif self.spec.positions == "sinusoidal":
            values = values + self._sinusoidal(int(packing.lengths.max())).index_select(0, packing.place)
        if self.spec.profile:
            values = values + self.from_profile(self.profile_scale(batch.features)).index_select(0, packing.owner)
        if self.training and self.spec.precision == "bfloat16":
            values = values.to(torch.bfloat16)
        # The start token is as old as the first event; with no event there is nothing to compare it with.
        first = torch.where(begins, batch.days[packing.owner, 0] if batch.items.shape[1] else 0, batch.days.flatten()[cell])
        days = (first - first[packing.last][packing.owner]).clamp_max(0).float()
        return self.dropout(values), days

    def _sinusoidal(self, length: int) -> Tensor:
        table = self.positions
        if length > len(table):
            table = sinusoidal_positions(length, self.spec.dim).to(table)
        return table * self.spec.dim**-0.5


def _to_one(weights: Tensor) -> Tensor:
    """[..., L], each row to a sum of 1; a row of zeros stays one."""
    return weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)


def as_means(values: Tensor) -> Tensor:
    """[T, D] -> [T, 3 * D]: with queries and keys of 0, attention of any kernel is the mean of the values it may see."""
    return F.pad(values, (2 * values.shape[-1], 0))


def _linear(layer: nn.Linear, values: Tensor) -> Tensor:
    """The layer in the precision of ``values``."""
    return F.linear(values, layer.weight.to(values.dtype), layer.bias.to(values.dtype))


def _norm(layer: nn.LayerNorm, values: Tensor) -> Tensor:
    return F.layer_norm(values, layer.normalized_shape, layer.weight.to(values.dtype), layer.bias.to(values.dtype), layer.eps)
