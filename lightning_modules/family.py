"""The family: every kind of model by name, what it is built from, and what it can say for itself.

To add one: write its class in a file of its own (``Ranker`` is what it must do), name its kind in
``settings.ModelKind`` and enter it in ``FAMILY``; then presets can name it in ``train.models`` and ``recommend.model``.
The file is imported when a model of it is built, so a process that trains one model carries what that one needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from lightning_modules.histories import Histories
from lightning_modules.ranker import Ranker
from lightning_modules.settings import ModelKind, ModelSpec

Speaks = Literal["attention", "contribution", "partial contribution", "none"]


@dataclass(frozen=True)
class Member:
    """One kind of model."""

    made_by: str  # its file in this folder, and its class there
    # What its ``attention`` is: where it looked; each event's exact share of a score, or of that part of a score which comes
    # from events (the rest comes from the market and the profile); or nothing.
    speaks: Speaks = "attention"
    packed: bool = False  # it computes no padding: its batches need not be of similar length and are drawn at random
    reads_all: bool = False  # scores from the whole history, whatever ``max_length`` is
    serves_cold: bool = False  # ranks for a customer who never bought, by his profile
    reads_holdings: bool = True  # a score depends on what the customer bought, so leaving a purchase out can explain it
    of_customers: bool = False  # its weights belong to the customers it was fitted on, as well as to the items

    def build(self, spec: ModelSpec, histories: Histories) -> Ranker:
        """A model of this kind, before it has learned anything."""
        file, name = self.made_by.split(".")
        made: Ranker = getattr(import_module(f"lightning_modules.{file}"), name)(spec, histories)
        return made


FAMILY: dict[ModelKind, Member] = {
    "attention_cf": Member("attention_cf.AttentionCF"),
    "sequential_attention": Member("sequential_attention.SequentialAttention"),
    "portfolio_attention": Member("portfolio_attention.PortfolioAttention", serves_cold=True),
    "transformer": Member("transformer.CausalTransformer", packed=True),
    "popularity": Member("popularity.Popularity", speaks="none", reads_all=True, reads_holdings=False),
    "recent_popularity": Member("popularity.Popularity", speaks="none", reads_all=True, reads_holdings=False),
    "markov": Member("markov.DecayedMarkov", speaks="contribution", reads_all=True),
    "item_knn": Member("item_knn.ItemKNN", speaks="contribution", reads_all=True),
    "ease": Member("ease.EASE", speaks="contribution", reads_all=True),
    "bpr_mf": Member("bpr_mf.MatrixFactorisation", speaks="none", reads_holdings=False, of_customers=True),
    "gru4rec": Member("gru.GRU4Rec", speaks="none"),
    "signal_attention": Member("signal_attention.SignalAttention", speaks="partial contribution", reads_all=True),
}


def build_ranker(spec: ModelSpec, histories: Histories) -> Ranker:
    """A model of ``spec`` for the vocabulary of ``histories``, before it has learned anything."""
    return FAMILY[spec.kind].build(spec, histories)


def computed_ranker(spec: ModelSpec, histories: Histories) -> Ranker:
    """A closed-form model of ``spec``, ready to score. Raises ValueError for a kind that must be trained."""
    model = build_ranker(spec, histories)
    if model.examples != "none":
        raise ValueError(f"{spec.kind} is trained, not computed: use fit")
    model.prepare(histories, None)
    return model


def events_read(spec: ModelSpec) -> int | None:
    """How many of the most recent events a model must be given to score as it should; None: all."""
    return None if FAMILY[spec.kind].reads_all else spec.max_length
