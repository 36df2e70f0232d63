"""RunConfig: every setting of a run, typed, bounded, hashed.

A setting comes from a preset file (``flows/presets/NAME.toml`` or a path), then from ``section.field=value`` overrides.
An unknown key, a value out of bounds or two settings in conflict raise :class:`ConfigError` with the field's name.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from data_contracts.errors import ConfigError
from lightning_modules.settings import LIKELIHOODS, DecayShape, Loss, ModelKind, RegimeMode

PRESETS = Path(__file__).parent / "presets"
Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1, le=3650)]
Table = Literal["assets", "markets", "customers", "prices", "transactions", "delivered_holdings", "restricted"]


class Section(BaseModel):
    """A group of settings: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(Section):
    """Where the landing files are and how to read them."""

    format: Literal["simulated", "far_trans", "nightfolio"] = "simulated"
    path: Path | None = Field(None, description="Landing folder; not for the simulated source.")
    future_rows: Literal["withhold", "block"] = Field(
        "block",
        description="Rows dated after as_of: stop the night, or leave them unread (point-in-time replay).",
    )


class SimulationConfig(Section):
    """The embedded market. Sizes are counts; ``years`` of daily prices end at as_of."""

    customers: int = Field(3000, ge=200, le=1_000_000)
    assets: int = Field(240, ge=60, le=5_000)
    years: float = Field(3.0, ge=1.0, le=20.0)
    trades_per_customer: float = Field(24.0, ge=2.0, le=200.0)
    as_of: date = date(2024, 6, 28)
    seed: int = Field(7, ge=0)


class ContractsConfig(Section):
    """Limits of the table-level rules."""

    freshness_days: int = Field(7, ge=0, le=3650, description="Newest trade and price at most this many days before as_of.")
    volume_change_limit: Share = Field(0.5, description="Largest relative fall in rows since the previous publication.")
    price_jump_limit: float = Field(0.5, gt=0, le=10, description="Largest relative move between two closes without a warning.")
    quarantine_limits: dict[Table, Share] = Field(
        default_factory=dict,
        description="Per table: share of quarantined rows above which the night is blocked.",
    )


class HistoriesConfig(Section):
    """How features and regimes are derived from prices; days are calendar days."""

    momentum_days: Annotated[tuple[Days, ...], Field(min_length=1)] = (30, 90, 180)
    popularity_days: Annotated[tuple[Days, ...], Field(min_length=1)] = (30, 90, 365)
    price_stale_days: int = Field(30, ge=1, le=365, description="A close older than this says nothing about a day.")
    regime_window_days: int = Field(90, ge=10, le=730)
    regime_threshold: float = Field(0.05, gt=0, lt=1, description="Window return above = bull, below minus = bear.")


class ModelConfig(Section):
    """Shape of the models that are trained by gradient."""

    dim: int = Field(64, ge=8, le=1024)
    heads: int = Field(2, ge=1, le=32)
    blocks: int = Field(2, ge=1, le=24)
    dropout: float = Field(0.2, ge=0, lt=1)
    max_length: int = Field(50, ge=2, le=4096, description="Most recent events of a history that a model sees.")
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
    item_features: bool = Field(True, description="Transformer, gru4rec: items are described by their features too.")
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


class TrainConfig(Section):
    """How models are fitted. Adam, linear warm-up, then decay, as a pure function of the step."""

    models: tuple[ModelKind, ...] = ("attention_cf", "transformer")
    epochs: int = Field(12, ge=1, le=1000)
    batch_size: int = Field(
        128, ge=1, le=65536, description="Purchases (attention_cf, bpr_mf) or customers (transformer, gru4rec) a step."
    )
    learning_rate: float = Field(1e-3, gt=0, le=1)
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    decay: Literal["linear", "exponential"] = "linear"
    recency_half_life_days: float | None = Field(
        90.0, gt=0, description="A purchase this old counts half as much as a target; unset: all count alike."
    )

    loss: Loss = Field(
        "softmax", description="Of models that score by inner product (transformer, gru4rec); the others have their own."
    )
    negatives: int = Field(256, ge=1, le=100_000, description="Items drawn a batch, for losses other than the full softmax.")
    negatives_power: float = Field(
        0.0, ge=0, le=2, description="A negative is drawn in proportion to (1 + buyers) to this power: 0 all alike."
    )
    gbce_calibration: Share = Field(0.75, description="gbce only: 0 is plain binary cross-entropy, 1 undoes the sampling.")
    validation_days: Days | None = Field(
        None,
        description="Last days before the cut that choose how many epochs to train; unset: train.epochs, no early stopping.",
    )
    patience: int = Field(
        3, ge=1, le=1000, description="Epochs without a better NDCG@10 on the validation days that end the search."
    )

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: tuple[ModelKind, ...]) -> tuple[ModelKind, ...]:
        if not models or len(set(models)) != len(models):
            raise ValueError("train.models must name each model once, and at least one")
        return models


class EvaluateConfig(Section):
    """Global time split: train on what is dated up to as_of - horizon_days, score what follows, up to as_of."""

    horizon_days: int = Field(120, ge=1, le=3650)
    k: int = Field(10, ge=1, le=100)


class RecommendConfig(Section):
    """What a customer is offered, and what never."""

    model: ModelKind = "attention_cf"
    k: int = Field(10, ge=1, le=100)
    tradable_price_age_days: int = Field(
        7,
        ge=0,
        le=3650,
        description="An asset without a close in this many days before as_of is not tradable.",
    )
    dial: Share = Field(
        0.0, description="Weight of the profit view in what is listed (never in the order); 0: preference alone decides."
    )
    offer_previously_held: bool = Field(False, description="May an asset the customer sold be offered again?")
    same_asset: dict[str, str] = Field(
        default_factory=dict,
        description="Identifiers of an asset known under another: never offer what is held as either.",
    )
    high_volatility: float = Field(
        0.4, gt=0, le=10, description="Yearly volatility at or above which an undeclared stock is class 4."
    )
    asset_risk: dict[str, Annotated[int, Field(ge=1, le=4)]] = Field(
        default_factory=lambda: {
            "fund/money market": 1,
            "bond/government": 2,
            "bond/corporate": 2,
            "bond": 2,
            "fund/bond": 2,
            "fund/bonds": 2,
            "fund/balanced": 3,
            "fund/other": 3,
            "fund/equity": 3,
            "fund/structured": 4,
            "fund": 3,
            "stock": 3,
        },
        description="Risk class (1 conservative to 4 aggressive) of an asset whose source declares none.",
    )


class DriftConfig(Section):
    """Drift against the previous publication; methods and thresholds per column are pinned in reports."""

    sample: int = Field(50_000, ge=100, le=1_000_000)
    drift_share: Share = Field(0.5, description="Share of drifted columns from which a table counts as drifted.")


class ScheduleConfig(Section):
    """When the night runs by itself."""

    cron: str = "30 2 * * 2-6"
    time_zone: str = "Europe/Athens"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"schedule.time_zone={zone!r} is not an IANA time zone")
        return zone

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, cron: str) -> str:
        if len(cron.split()) != 5:
            raise ValueError(f"schedule.cron={cron!r} needs five fields: minute hour day month weekday")
        try:
            CronSim(cron, datetime(2024, 1, 1))
        except CronSimError as error:
            raise ValueError(f"schedule.cron={cron!r}: {error}") from error
        return cron


class RunConfig(Section):
    """Everything that decides what a run computes."""

    preset: str = "default"
    as_of: date | None = Field(None, description="None: the simulated market's last day, else yesterday.")
    seed: int = Field(42, ge=0)
    threads: int = Field(2, ge=1, le=256, description="CPU threads; results are only bit-identical at equal threads.")
    source: SourceConfig = SourceConfig()
    simulation: SimulationConfig = SimulationConfig()
    contracts: ContractsConfig = ContractsConfig()
    histories: HistoriesConfig = HistoriesConfig()
    model: ModelConfig = ModelConfig()
    baselines: BaselinesConfig = BaselinesConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    recommend: RecommendConfig = RecommendConfig()
    drift: DriftConfig = DriftConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    @model_validator(mode="after")
    def _no_conflict(self) -> RunConfig:
        if self.source.format == "simulated" and self.source.path is not None:
            raise ValueError("source.path conflicts with source.format='simulated': the simulated market has no folder")
        if self.source.format != "simulated" and self.source.path is None:
            raise ValueError(f"source.path is needed for source.format={self.source.format!r} (flag --source)")
        if self.recommend.model not in self.train.models:
            raise ValueError(f"recommend.model={self.recommend.model!r} is not among train.models={self.train.models}")
        if self.recommend.dial > 0 and self.recommend.model not in LIKELIHOODS:
            raise ValueError(
                f"recommend.dial={self.recommend.dial} needs scores that are likelihoods of a purchase, which "
                f"recommend.model={self.recommend.model!r} does not give; choose one of {', '.join(LIKELIHOODS)}, or dial 0"
            )
        if self.source.format == "simulated" and self.as_of not in (None, self.simulation.as_of):
            raise ValueError(
                f"as_of={self.as_of} conflicts with simulation.as_of={self.simulation.as_of}: set simulation.as_of instead"
            )
        return self

    def resolved_as_of(self, now: datetime | None = None) -> date:
        """The run's as_of: as set; else the simulated market's last day; else yesterday in the schedule's zone."""
        if self.as_of is not None:
            return self.as_of
        if self.source.format == "simulated":
            return self.simulation.as_of
        zone = ZoneInfo(self.schedule.time_zone)
        return ((now or datetime.now(zone)).astimezone(zone) - timedelta(days=1)).date()

    def sha256(self) -> str:
        """Hash of every setting but the source's folder: moving the same files changes no result."""
        settings = self.model_dump(mode="json")
        settings["source"].pop("path")
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def facts(self) -> tuple[tuple[str, str], ...]:
        """``("train.epochs", "15")`` for every setting, in order; the source's folder is named, not placed."""
        rows: list[tuple[str, str]] = []
        for name, value in self.model_dump(mode="json").items():
            if isinstance(value, dict):
                rows += [
                    (f"{name}.{field}", _plain(entry)) for field, entry in value.items() if (name, field) != ("source", "path")
                ]
            else:
                rows.append((name, _plain(value)))
        return tuple(rows)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def preset_names() -> list[str]:
    """Names of the presets that the product ships."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_config(
    preset: str = "default",
    *,
    source: Path | None = None,
    as_of: date | None = None,
    settings: Mapping[str, Any] | None = None,
) -> RunConfig:
    """A RunConfig from a preset's name or path, then ``source``/``as_of``, then dotted ``settings``.

    Raises ConfigError naming the field for anything unknown, out of bounds or in conflict.
    """
    path = Path(preset) if preset.endswith(".toml") else PRESETS / f"{preset}.toml"
    if not path.is_file():
        raise ConfigError(
            f"preset {preset!r} does not exist",
            remedy=f"use one of {preset_names()} or the path of a .toml file",
        )
    try:
        tree: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"preset {path.name}: not valid TOML: {error}", remedy="correct the file") from error
    tree["preset"] = path.stem
    overrides = dict(settings or {})
    if source is not None:
        overrides["source.path"] = str(source)
    for key, value in overrides.items():
        *sections, field = key.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
            if not isinstance(branch, dict):
                raise ConfigError(f"setting {key!r}: {section!r} is a value, not a section", remedy=_field_hint())
        branch[field] = value
    if as_of is not None:
        # The market's own setting decides where the simulated data end; only then is the flag's meaning known.
        if tree.get("source", {}).get("format", "simulated") == "simulated":
            tree.setdefault("simulation", {})["as_of"] = as_of
        else:
            tree["as_of"] = as_of
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                message = "no such setting"
            lines.append(f"{field}: {message}" if field else message)
        raise ConfigError("; ".join(lines), remedy=_field_hint()) from error


def _field_hint() -> str:
    return "`nightfolio settings` lists every setting with its bounds"


def parse_setting(text: str) -> tuple[str, Any]:
    """``"train.epochs=5"`` -> ``("train.epochs", 5)``; the value is TOML, or plain text where it is not."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text!r} is not of the form section.field=value", remedy=_field_hint())
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
