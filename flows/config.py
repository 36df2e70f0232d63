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
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, model_validator

from data_contracts.errors import ConfigError
from flows.sections.audit import AuditConfig
from flows.sections.contracts import ContractsConfig, DriftConfig
from flows.sections.explain import ExplainConfig
from flows.sections.gate import GateConfig
from flows.sections.histories import HistoriesConfig
from flows.sections.model import BaselinesConfig, ModelConfig
from flows.sections.recommend import RecommendConfig
from flows.sections.records import RecordsConfig
from flows.sections.schedule import ScheduleConfig
from flows.sections.section import Section
from flows.sections.source import SimulationConfig, SourceConfig
from flows.sections.suitability import SuitabilityConfig, default_rules, read_rules
from flows.sections.train import EvaluateConfig, TrainConfig
from lightning_modules.settings import LIKELIHOODS, WITHOUT_WEIGHTS

PRESETS = Path(__file__).parent / "presets"


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
    audit: AuditConfig = AuditConfig()
    recommend: RecommendConfig = RecommendConfig()
    explain: ExplainConfig = ExplainConfig()
    suitability: SuitabilityConfig = Field(
        default_factory=default_rules,
        description="Filled from the file that recommend.rules names; `nightfolio rules` prints it.",
    )
    drift: DriftConfig = DriftConfig()
    gate: GateConfig = GateConfig()
    records: RecordsConfig = RecordsConfig()
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
        if self.explain.explanation == "attention" and self.recommend.model in WITHOUT_WEIGHTS:
            raise ValueError(
                f"explain.explanation='attention' conflicts with recommend.model={self.recommend.model!r}, which gives no "
                "weight to single holdings; choose auto or leave_one_out"
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
            if name == "suitability":
                rows += self.suitability.facts()
            elif isinstance(value, dict):
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
    _fill_in_rules(tree)
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
        about_rules = any(problem["loc"][:1] == ("suitability",) for problem in error.errors())
        raise ConfigError("; ".join(lines), remedy=_rules_hint() if about_rules else _field_hint()) from error


def _fill_in_rules(tree: dict[str, Any]) -> None:
    """Puts the rules file under ``suitability``, below what a preset or a flag says of single limits."""
    recommend = tree.setdefault("recommend", {})
    name = str(recommend.get("rules", "default")) if isinstance(recommend, dict) else "default"
    own = tree.get("suitability", {})
    tree["suitability"] = _laid_over(read_rules(name), own) if isinstance(own, dict) else own
    if name.endswith(".toml"):
        recommend["rules"] = Path(name).stem  # its place is the machine's business; what it says is kept whole


def _laid_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    return {**base} | {
        key: _laid_over(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in over.items()
    }


def _rules_hint() -> str:
    return "`nightfolio rules` prints the rules in force; flows/suitability_rules/default.toml shows what each may say"


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
