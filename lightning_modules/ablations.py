"""Ablations: named changes of a model's spec or of its fit, each of which takes one part away.

A variant is refitted with everything else as it was. How much worse it ranks says what the part is worth. Where a variant
would change nothing, or would have no meaning for a kind of model, it says so instead of being fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from data_contracts.errors import ConfigError
from lightning_modules.settings import ModelKind, ModelSpec, TrainSettings

ATTENDS: tuple[ModelKind, ...] = (
    "attention_cf",
    "sequential_attention",
    "portfolio_attention",
    "transformer",
    "signal_attention",
)
"""Kinds with a learned attention."""
TRAINED: tuple[ModelKind, ...] = (*ATTENDS, "gru4rec", "bpr_mf")
READS_HISTORY: tuple[ModelKind, ...] = (*ATTENDS, "gru4rec")
DECAYING: tuple[ModelKind, ...] = ("attention_cf", "sequential_attention", "portfolio_attention")
"""Kinds whose attention to a holding falls with its age, by the settings decay and step_decay."""
READS_FEATURES: tuple[ModelKind, ...] = (*DECAYING, "transformer", "gru4rec")
WhyNot = Callable[[ModelSpec, TrainSettings], str | None]


@dataclass(frozen=True)
class Ablation:
    """One variant."""

    name: str
    part: str
    """What is taken away, as a sentence about its worth names it: "attention", "the order of purchases"."""
    meaning: str
    """What the variant is, in a sentence."""
    why_not: WhyNot
    """Why it does not apply to a model, or None."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    of_kind: Mapping[ModelKind, str] = field(default_factory=dict)
    """What it comes down to for single kinds: added to the meaning."""

    def meaning_for(self, kind: ModelKind) -> str:
        """The meaning, with what it comes down to for ``kind``."""
        return f"{self.meaning} {self.of_kind[kind]}" if kind in self.of_kind else self.meaning

    def of(self, spec: ModelSpec, settings: TrainSettings) -> tuple[ModelSpec, TrainSettings]:
        """The changed model. Raises ConfigError where the variant does not apply."""
        reason = self.why_not(spec, settings)
        if reason is not None:
            raise ConfigError(f"{self.name} does not apply to {spec.kind}: {reason}", remedy="leave the variant out")
        return replace(spec, **self.spec), replace(settings, **self.settings)


def ablation(name: str) -> Ablation:
    """The variant of that name. Raises ConfigError for an unknown one."""
    if name not in ABLATIONS:
        raise ConfigError(f"no ablation {name!r}", remedy=f"choose among {', '.join(ABLATIONS)}")
    return ABLATIONS[name]


def _no_attention(spec: ModelSpec, _: TrainSettings) -> str | None:
    if spec.kind not in ATTENDS:
        return "the model has no attention"
    return None if spec.attention == "learned" else f"its attention is already {spec.attention}"


def _order(spec: ModelSpec, settings: TrainSettings) -> str | None:
    if spec.kind not in READS_HISTORY:
        return "the model is not trained on histories that it reads"
    if settings.order == "shuffled":
        return "the order is shuffled already"
    if spec.kind in ("attention_cf", "portfolio_attention") and spec.decay == "off" and spec.step_decay == 1:
        return "without decay the model reads a set of purchases: their order reaches no score"
    return None


def _positions(spec: ModelSpec, _: TrainSettings) -> str | None:
    if spec.kind != "transformer":
        return "the model has no positions" + (": order enters by the decays" if spec.kind in DECAYING else "")
    return None if spec.positions != "none" else "the transformer has no positions in these settings"


def _decay(spec: ModelSpec, _: TrainSettings) -> str | None:
    if spec.kind == "transformer":
        return None if spec.temporal_decay != "none" else "the transformer has no temporal decay in these settings"
    if spec.kind == "signal_attention":
        return "no weight of its attention falls with a holding's age: age is in the signals, which are counted, not learned"
    if spec.kind not in DECAYING:
        return "the model has no temporal decay"
    return None if spec.decay != "off" or spec.step_decay < 1 else "both decays are off in these settings"


def _regime(spec: ModelSpec, _: TrainSettings) -> str | None:
    if spec.kind not in DECAYING:
        return "the model has no regime factor"
    return None if spec.regime != "off" else "the regime factor is off in these settings"


def _features(spec: ModelSpec, _: TrainSettings) -> str | None:
    if spec.kind not in READS_FEATURES:
        return "the model reads no item features"
    return None if spec.item_features else "item features are off in these settings"


def _two_sides(spec: ModelSpec, _: TrainSettings) -> str | None:
    if spec.kind != "attention_cf":
        return "only attention_cf has an item side and a user side"
    if spec.holders < 2 or not spec.item_side:
        return "the model has only one of its two sides in these settings"
    return None


def _warm_up(spec: ModelSpec, settings: TrainSettings) -> str | None:
    if spec.kind not in TRAINED:
        return "the model is computed, not trained in steps"
    return None if settings.warmup_fraction > 0 else "there is no warm-up in these settings"


ABLATIONS: Mapping[str, Ablation] = {
    one.name: one
    for one in (
        Ablation(
            "no_attention",
            "attention",
            "Mean pooling: no attention and none of its maps; a plain mean stands in its place.",
            _no_attention,
            spec={"attention": "pooled"},
            of_kind={
                "attention_cf": "Holdings speak by the mean of their vectors, holders by the mean of theirs.",
                "sequential_attention": "The context is what asked, plus the mean vector of the history.",
                "portfolio_attention": "Each feature speaks by the mean over holdings, and all features alike.",
                "transformer": "Each event is read alone, and a customer is the mean of what was read.",
                "signal_attention": "One strength for all signals: their plain mean, the same for every customer.",
            },
        ),
        Ablation(
            "uniform_attention",
            "weighing by attention",
            "Every attention weight is the same; the maps and all the rest are learned as before.",
            _no_attention,
            spec={"attention": "uniform"},
            of_kind={
                "attention_cf": "Unlike mean pooling, holdings and holders still pass through learned value maps.",
                "sequential_attention": "Unlike mean pooling, the history's mean still passes through learned maps.",
                "portfolio_attention": "Unlike mean pooling, values still pass through a learned map per feature.",
                "transformer": "Unlike mean pooling, every block still mixes events: by their mean, with learned maps.",
                "signal_attention": "Unlike mean pooling, each signal keeps a learned strength: a linear model, one for all.",
            },
        ),
        Ablation(
            "shuffled_order",
            "the order of purchases",
            "Within a customer purchases change days with each other, in training and in scoring; the days stay.",
            _order,
            settings={"order": "shuffled"},
            of_kind={
                "transformer": "Every position is a question, so what is asked for moves along.",
                "gru4rec": "Every position is a question, so what is asked for moves along.",
            },
        ),
        Ablation(
            "no_positions",
            "positions",
            "No position is added to an event.",
            _positions,
            spec={"positions": "none"},
        ),
        Ablation(
            "no_temporal_decay",
            "temporal decay",
            "A holding's weight does not fall with its age, nor with what was bought after it.",
            _decay,
            spec={"decay": "off", "step_decay": 1.0, "temporal_decay": "none"},
        ),
        Ablation(
            "no_regime",
            "the regime factor",
            "Bull and bear markets are read alike.",
            _regime,
            spec={"regime": "off"},
        ),
        Ablation(
            "no_item_features",
            "item features",
            "An item is its learned vector alone: class, sector, yield, volatility, momentum and buyers are not read.",
            _features,
            spec={"item_features": False},
            of_kind={"portfolio_attention": "Of the feature groups only who buys an item is left."},
        ),
        Ablation(
            "item_only",
            "the user side (who holds a candidate)",
            "Attention over the customer's holdings alone; nobody else's is asked.",
            _two_sides,
            spec={"holders": 0},
        ),
        Ablation(
            "user_only",
            "the item side (what the customer holds)",
            "Attention over a candidate's holders alone; the customer's holdings tell only who is like him.",
            _two_sides,
            spec={"item_side": False},
        ),
        Ablation(
            "no_warmup",
            "the learning rate's warm-up",
            "The learning rate starts at its peak.",
            _warm_up,
            settings={"warmup_fraction": 0.0},
        ),
    )
}
"""Every variant, by name."""
