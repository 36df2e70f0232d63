"""What a model is (ModelSpec) and how it is trained (TrainSettings): plain values, refused when out of bounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from data_contracts.errors import ConfigError
from lightning_modules.warmup import Decay

ModelKind = Literal[
    "attention_cf",
    "sequential_attention",
    "portfolio_attention",
    "transformer",
    "popularity",
    "recent_popularity",
    "markov",
    "item_knn",
    "ease",
    "bpr_mf",
    "gru4rec",
    "signal_attention",
]
Loss = Literal["softmax", "sampled_softmax", "gbce", "bpr"]
KINDS: tuple[ModelKind, ...] = get_args(ModelKind)
LIKELIHOODS: tuple[ModelKind, ...] = (
    "attention_cf",
    "transformer",
    "gru4rec",
    "signal_attention",
    "sequential_attention",
    "portfolio_attention",
)
"""Kinds whose softmaxed scores are probabilities of a purchase, as they were trained to be."""
WITHOUT_WEIGHTS: tuple[ModelKind, ...] = ("popularity", "recent_popularity", "bpr_mf", "gru4rec")
"""Kinds that give no weight to single holdings."""
ItemStart = Literal["random", "covisits"]
Norm = Literal["pre", "post"]
Positions = Literal["sinusoidal", "learned", "none"]
Kernel = Literal["softmax", "linear"]
TemporalDecay = Literal["none", "learned"]
Precision = Literal["float32", "bfloat16"]
DecayShape = Literal["off", "exponential", "power"]
RegimeMode = Literal["off", "learned", "set"]
Attention = Literal["learned", "uniform", "pooled"]
Order = Literal["kept", "shuffled"]


@dataclass(frozen=True)
class ModelSpec:
    """Shape of a model; everything that must be known to load its weights."""

    kind: ModelKind = "attention_cf"
    dim: int = 64  # width of an item's vector
    heads: int = 2  # attention heads; dim is a multiple of it
    blocks: int = 2  # transformer, gru4rec: stacked layers
    dropout: float = 0.2  # probability, training only
    attention: Attention = "learned"  # uniform: all weights alike, the rest is kept; pooled: no attention, plain means
    max_length: int = 50  # most recent events that are read
    item_start: ItemStart = "random"  # where the items' vectors begin; covisits: with who was bought near whom
    holders: int = 16  # attention_cf only: most recent holders of a candidate that are asked; 0 asks none
    holder_dim: int = 16  # attention_cf only: width of a customer's vector in the attention over holders
    item_side: bool = True  # attention_cf only: False leaves out what holdings say, holders alone speak
    recent_days: int = 90  # recent_popularity only: buyers of this many days before the cut are counted
    markov_steps: int = 20  # markov only: a transition leads to one of this many events that follow
    markov_step_decay: float = 0.95  # markov only: what each further event between two costs, as a factor
    markov_half_life_days: float | None = None  # markov only: what lies this long apart counts half; None: days do not matter
    knn_neighbours: int = 100  # item_knn only: neighbours kept per item
    knn_shrinkage: float = 50.0  # item_knn only: added to the cosine's denominator, in customers
    ease_ridge: float = 250.0  # ease only: the L2 penalty, in customers
    bpr_ridge: float = 1e-4  # bpr_mf only: L2 penalty on the vectors of an example
    horizon_days: int = 164  # signal_attention only: how far ahead the question looks, asked on past days
    anchors: int = 8  # signal_attention only: past days that are asked on
    anchor_spacing_days: int = 30  # signal_attention only
    item_features: bool = True  # an item's vector is learned plus what its features say; False: learned only
    # transformer and gru4rec only, from here on
    cosine_scale: float | None = None  # a score is this times a cosine instead of an inner product; None: it is not
    profile: bool = True  # the customer's profile is added to every position
    item_bias: bool = True  # one learned number an item, starting at its log popularity
    exclude_owned: bool = True  # what a customer ever bought is no negative of his
    precision: Precision = "float32"  # of the products in training; weights, optimiser and scores stay float32
    # transformer only
    norm: Norm = "pre"  # LayerNorm before each part of a block, or after its residual sum
    positions: Positions = "sinusoidal"
    kernel: Kernel = "softmax"  # linear: feature maps, whose cost grows with the length and not its square
    temporal_decay: TemporalDecay = "none"  # learned: softmax(score - rate * age in days), one rate a head and block
    top_k: int = 0  # also of the models below: a query looks at its so many best holdings only; 0: at all
    # What follows is for the models whose attention reads holdings: attention_cf, sequential_attention, portfolio_attention.
    decay: DecayShape = "power"  # how a holding's weight falls with its age
    decay_half_life_days: float = 3650.0  # age at which a weight has halved: where learning starts, or fixed
    step_decay: float = 0.9  # what each later purchase costs a holding's weight, as a factor; 1: order does not matter
    decay_learned: bool = True  # both decays, a rate per head
    regime: RegimeMode = "off"  # recent winners weigh more in a bull market, calm assets in a bear market
    regime_strength: float = 0.0  # log of that factor per standard deviation: where learning starts, or what is set
    candidates: int = 0  # attention_cf only: items retrieved per customer before scoring; 0: all
    mlp_dim: int = 32  # sequential_attention only: width of the hidden layer over (context, item)
    feature_dim: int = 16  # portfolio_attention only: width of a feature group's vector

    def __post_init__(self) -> None:
        _check("kind", self.kind, self.kind in KINDS, f"one of {', '.join(KINDS)}")
        _check("dim", self.dim, 2 <= self.dim <= 1024 and self.dim % 2 == 0, "even, 2 to 1024")
        _check("heads", self.heads, self.heads >= 1 and self.dim % self.heads == 0, "a divisor of dim")
        _check("blocks", self.blocks, 1 <= self.blocks <= 24, "1 to 24")
        _check("dropout", self.dropout, 0 <= self.dropout < 1, "at least 0, below 1")
        _check("attention", self.attention, self.attention in get_args(Attention), "learned, uniform or pooled")
        _check("item_side", self.item_side, self.item_side or self.holders > 0, "true where holders is 0: somebody must speak")
        _check("max_length", self.max_length, 1 <= self.max_length <= 10_000, "1 to 10000")
        scale = self.cosine_scale
        _check("cosine_scale", scale, scale is None or 0 < scale <= 1000, "above 0, at most 1000, or none")
        _check("item_start", self.item_start, self.item_start in ("random", "covisits"), "random or covisits")
        _check("holders", self.holders, 0 <= self.holders <= 1024, "0 to 1024")
        _check("holder_dim", self.holder_dim, 1 <= self.holder_dim <= 1024, "1 to 1024")
        _check("recent_days", self.recent_days, 1 <= self.recent_days <= 3650, "1 to 3650")
        _check("markov_steps", self.markov_steps, 1 <= self.markov_steps <= 1000, "1 to 1000")
        _check("markov_step_decay", self.markov_step_decay, 0 < self.markov_step_decay <= 1, "above 0, at most 1")
        half_life = self.markov_half_life_days
        _check("markov_half_life_days", half_life, half_life is None or half_life > 0, "above 0, or none")
        _check("knn_neighbours", self.knn_neighbours, 1 <= self.knn_neighbours <= 10_000, "1 to 10000")
        _check("knn_shrinkage", self.knn_shrinkage, self.knn_shrinkage >= 0, "at least 0")
        _check("ease_ridge", self.ease_ridge, self.ease_ridge > 0, "above 0")
        _check("bpr_ridge", self.bpr_ridge, self.bpr_ridge >= 0, "at least 0")
        _check("horizon_days", self.horizon_days, 1 <= self.horizon_days <= 3650, "1 to 3650")
        _check("anchors", self.anchors, 1 <= self.anchors <= 64, "1 to 64")
        _check("anchor_spacing_days", self.anchor_spacing_days, 1 <= self.anchor_spacing_days <= 3650, "1 to 3650")
        _check("norm", self.norm, self.norm in ("pre", "post"), "pre or post")
        positions = ("sinusoidal", "learned", "none")
        _check("positions", self.positions, self.positions in positions, "sinusoidal, learned or none")
        _check("kernel", self.kernel, self.kernel in ("softmax", "linear"), "softmax or linear")
        both = self.kernel == "linear" and self.top_k > 0
        _check("top_k", self.top_k, not both, "0 with kernel linear, which never forms a score")
        _check("temporal_decay", self.temporal_decay, self.temporal_decay in ("none", "learned"), "none or learned")
        _check("precision", self.precision, self.precision in ("float32", "bfloat16"), "float32 or bfloat16")
        _check("top_k", self.top_k, 0 <= self.top_k <= 10_000, "0 (all) to 10000")
        _check("decay", self.decay, self.decay in get_args(DecayShape), "off, exponential or power")
        _check("decay_half_life_days", self.decay_half_life_days, 1 <= self.decay_half_life_days <= 100_000, "1 to 100000")
        _check("step_decay", self.step_decay, 0.01 <= self.step_decay <= 1, "0.01 to 1")
        _check("regime", self.regime, self.regime in get_args(RegimeMode), "off, learned or set")
        _check("regime_strength", self.regime_strength, -5 <= self.regime_strength <= 5, "-5 to 5")
        _check("candidates", self.candidates, 0 <= self.candidates <= 1_000_000, "0 (all) to 1000000")
        _check("mlp_dim", self.mlp_dim, 1 <= self.mlp_dim <= 4096, "1 to 4096")
        _check("feature_dim", self.feature_dim, 1 <= self.feature_dim <= 1024, "1 to 1024")


@dataclass(frozen=True)
class TrainSettings:
    """How a fit goes."""

    epochs: int = 12
    batch_size: int = 128  # purchases (attention_cf) or customers (transformer) per step
    base_lr: float = 1e-3  # Adam's learning rate at the end of the warm-up
    warmup_fraction: float = 0.1  # of all steps
    decay: Decay = "linear"
    floor: float = 0.01  # the last step's rate, as a fraction of base_lr
    recency_half_life_days: float | None = 90.0  # a purchase this old counts half as much as a target; None: all alike
    loss: Loss = "softmax"  # of models that score by inner product (transformer, gru4rec); the others have their own
    negatives: int = 256  # drawn a batch, for the losses other than the full softmax
    negatives_power: float = 0.0  # a negative is drawn in proportion to (1 + buyers) to this power: 0 all alike
    gbce_calibration: float = 0.75  # gbce only: 0 is plain binary cross-entropy, 1 undoes the sampling altogether
    order: Order = "kept"  # shuffled: a customer's purchases change days with each other (lightning_modules.shuffled)
    patience: int = 3  # epochs without a better NDCG@10 on the validation slice, where there is one, that end the fit
    seed: int = 0
    threads: int = 2  # torch's CPU threads: a different number gives different last bits

    def __post_init__(self) -> None:
        _check("epochs", self.epochs, 1 <= self.epochs <= 10_000, "1 to 10000")
        _check("batch_size", self.batch_size, 1 <= self.batch_size <= 1_000_000, "1 to 1000000")
        _check("base_lr", self.base_lr, 0 < self.base_lr <= 1, "above 0, at most 1")
        _check("warmup_fraction", self.warmup_fraction, 0 <= self.warmup_fraction < 1, "at least 0, below 1")
        _check("decay", self.decay, self.decay in ("linear", "exponential"), "linear or exponential")
        _check("floor", self.floor, 0 < self.floor <= 1, "above 0, at most 1")
        half_life = self.recency_half_life_days
        _check("recency_half_life_days", half_life, half_life is None or half_life > 0, "above 0, or none")
        _check("loss", self.loss, self.loss in get_args(Loss), f"one of {', '.join(get_args(Loss))}")
        _check("negatives", self.negatives, 1 <= self.negatives <= 100_000, "1 to 100000")
        _check("negatives_power", self.negatives_power, 0 <= self.negatives_power <= 2, "0 to 2")
        _check("gbce_calibration", self.gbce_calibration, 0 <= self.gbce_calibration <= 1, "0 to 1")
        _check("order", self.order, self.order in get_args(Order), "kept or shuffled")
        _check("patience", self.patience, 1 <= self.patience <= 10_000, "1 to 10000")
        _check("seed", self.seed, 0 <= self.seed < 2**31, "0 to 2147483647")
        _check("threads", self.threads, 1 <= self.threads <= 1024, "1 to 1024")


def _check(name: str, value: object, fine: bool, range_text: str) -> None:
    if not fine:
        raise ConfigError(f"{name} is {value!r}", remedy=f"set {name} to {range_text}")


def as_json(spec: ModelSpec, settings: TrainSettings) -> dict[str, Any]:
    """Both as plain values, in the order of the fields."""
    return {"spec": asdict(spec), "settings": asdict(settings)}
