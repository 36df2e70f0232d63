"""Shapes of the models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from flows.sections.section import Days, Section
from lightning_modules.settings import Attention, DecayShape, RegimeMode


class ModelConfig(Section):
    """Shape of the models that are trained by gradient."""

    dim: int = Field(64, ge=8, le=1024)
    heads: int = Field(2, ge=1, le=32)
    blocks: int = Field(2, ge=1, le=24)
    dropout: float = Field(0.2, ge=0, lt=1)
    max_length: int = Field(50, ge=2, le=4096, description="Most recent events of a history that a model sees.")
    attention: Attention = Field(
        "learned",
        description="uniform: all attention weights alike, the rest is kept; pooled: no attention, plain means (for ablations).",
    )
    item_side: bool = Field(True, description="attention_cf: do the customer's holdings speak, or a candidate's holders alone?")
    holders: int = Field(16, ge=0, le=1024, description="attention_cf: holders of a candidate that user attention looks at.")
    top_k: int = Field(0, ge=0, le=10_000, description="Each query looks at its so many best holdings only; 0: at all.")
    decay: DecayShape = Field("power", description="How a holding's weight falls with its age: off, exponential or power.")
    decay_half_life_days: float = Field(
        3650.0, ge=1, le=100_000, description="Age at which a holding's weight has halved: where learning starts, or fixed."
    )
    step_decay: float = Field(
        0.9,
        ge=0.01,
        le=1,
        description="What each later purchase costs a holding's weight, as a factor; 1: nothing.",
    )
    decay_learned: bool = Field(True, description="Are the rates of both decays learned, per head?")
    regime: RegimeMode = Field(
        "off", description="Do recent winners weigh more in a bull market, calm assets in a bear market? off, learned or set."
    )
    regime_strength: float = Field(
        0.0, ge=-5, le=5, description="Log of that factor per standard deviation: where learning starts, or what is set."
    )
    candidates: int = Field(
        0, ge=0, le=1_000_000, description="attention_cf: items retrieved per customer before scoring; 0: the whole catalogue."
    )
    mlp_dim: int = Field(32, ge=1, le=4096, description="sequential_attention: hidden width over (context, item).")
    feature_dim: int = Field(16, ge=1, le=1024, description="portfolio_attention: width of a feature group's vector.")
    horizon_days: Days = Field(164, description="signal_attention: how far ahead the question looks, asked on past days.")
    anchors: int = Field(8, ge=1, le=64, description="signal_attention: past days that are asked on.")
    anchor_spacing_days: Days = Field(30, description="signal_attention.")
    norm: Literal["pre", "post"] = Field("pre", description="Transformer: LayerNorm before a part, or after its sum.")
    positions: Literal["sinusoidal", "learned", "none"] = Field("sinusoidal", description="Transformer.")
    kernel: Literal["softmax", "linear"] = Field("softmax", description="Transformer: linear costs no square of the length.")
    temporal_decay: Literal["none", "learned"] = Field(
        "none", description="Transformer: attention times exp(-rate * age in days), the rate learned per head."
    )
    cosine_scale: float | None = Field(
        None, gt=0, le=1000, description="Transformer, gru4rec: a score is this times a cosine; unset: an inner product."
    )
    item_start: Literal["random", "covisits"] = Field(
        "random", description="Item vectors begin at random, or with who was bought near whom (not bpr_mf)."
    )
    item_features: bool = Field(True, description="Items are described by their features too, and not by their buyers alone.")
    profile: bool = Field(True, description="Transformer, gru4rec: the customer's profile is read.")
    item_bias: bool = Field(True, description="Transformer, gru4rec: one learned number an item, from its popularity on.")
    exclude_owned: bool = Field(True, description="Transformer, gru4rec: what a customer ever bought is no negative of his.")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Transformer, gru4rec: of the products in training. Scores are always float32."
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> ModelConfig:
        if self.dim % self.heads:
            raise ValueError(f"model.dim={self.dim} is not a multiple of model.heads={self.heads}")
        if self.holders == 0 and not self.item_side:
            raise ValueError("model.holders=0 and model.item_side=false leave attention_cf nobody to ask")
        return self


class BaselinesConfig(Section):
    """Settings of the models that are counted or computed rather than trained, and of BPR-MF."""

    recent_days: Days = Field(90, description="recent_popularity: buyers of this many days before the cut are counted.")
    markov_steps: int = Field(20, ge=1, le=1000, description="markov: a transition leads to one of this many events after.")
    markov_step_decay: float = Field(0.95, gt=0, le=1, description="markov: what each further event between two costs.")
    markov_half_life_days: float | None = Field(
        None, gt=0, description="markov: events this many days apart count half; unset: days do not matter."
    )
    knn_neighbours: int = Field(100, ge=1, le=10_000, description="item_knn: neighbours kept per item.")
    knn_shrinkage: float = Field(50.0, ge=0, le=1e6, description="item_knn: added to the cosine's denominator, in customers.")
    ease_ridge: float = Field(250.0, gt=0, le=1e9, description="ease: L2 penalty, in customers. EASE is always evaluated.")
    bpr_ridge: float = Field(1e-4, ge=0, le=1e3, description="bpr_mf: L2 penalty on the vectors of an example.")
