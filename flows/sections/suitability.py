"""The suitability rules in force: what a rules file may say, kind by kind, typed and bounded.

The files are in ``flows/suitability_rules``; ``recommend.rules`` names one, and what it says becomes part of the settings of a
run, so that the run's hash covers it and its manifest holds it. :mod:`flows.recheck` reads the same rules by other code.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from data_contracts.errors import ConfigError
from flows.sections.section import Section, Share

SHIPPED = Path(__file__).parents[1] / "suitability_rules"

Effect = Literal["exclude", "flag"]
RuleId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
RiskClass = Annotated[int, Field(ge=1, le=4)]
Eur = Annotated[float, Field(ge=0, le=1e12)]
Words = Annotated[str, Field(min_length=10, max_length=400)]
Source = Annotated[str, Field(min_length=4, max_length=200)]


class Rule(Section):
    """What every rule says."""

    words: Words = Field(description="Why a candidate was removed, or what a row's flag says.")
    source: Source = Field(description="Where the rule comes from: a regulation's article, or the firm's policy.")
    effect: Effect
    on: bool

    def limits(self) -> dict[str, Any]:
        """What the rule can be set to, besides being on."""
        return self.model_dump(mode="json", exclude={"kind", "words", "source", "effect", "on"})


class NoProfile(Rule):
    """The customer has no accepted row at as_of: nothing is offered."""

    kind: Literal["no_profile"]
    effect: Literal["exclude"]


class ProfileNotAvailable(Rule):
    """The customer's row names no risk profile."""

    kind: Literal["profile_not_available"]
    highest_class: int = Field(ge=0, le=4, description="Highest risk class that is offered all the same; 0: nothing.")


class AboveRiskProfile(Rule):
    """The asset's risk class is above what the customer's profile allows."""

    kind: Literal["above_risk_profile"]
    predicted_steps_down: int = Field(ge=0, le=3, description="A predicted profile counts so many classes lower.")
    highest_class: dict[Literal["conservative", "income", "balanced", "aggressive"], RiskClass] = Field(min_length=4)


class PredictedProfile(Rule):
    """The profile is a guess of the source."""

    kind: Literal["predicted_profile"]


class PredictedCapacity(Rule):
    """The investment capacity is a guess of the source."""

    kind: Literal["predicted_capacity"]


class AboveCapacity(Rule):
    """One unit at the last close is dear for the customer."""

    kind: Literal["above_capacity"]
    share: Share = Field(description="Of the band's upper end, what one unit may cost.")
    unknown: Eur = Field(description="EUR: upper end where the capacity is not available or no band of the table; 0: no limit.")
    bands: dict[str, Eur] = Field(description="EUR: upper end of each band; 0: no upper end, no limit.")


class CapacityReached(Rule):
    """What the customer holds is worth more than the band's upper end."""

    kind: Literal["capacity_reached"]
    bands: dict[str, Eur] = Field(description="EUR: upper end of each band; 0: no upper end, no limit.")


class Held(Rule):
    """The customer holds the asset, or may hold it."""

    kind: Literal["held"]


class PreviouslyHeld(Rule):
    """The customer held the asset and sold it."""

    kind: Literal["previously_held"]


class PossiblyHeld(Rule):
    """A row in quarantine says that the customer may hold the asset."""

    kind: Literal["possibly_held"]
    same_asset: dict[str, str] = Field(description="Identifiers of an asset known under another: old to new.")


class Concentration(Rule):
    """The group is already above its share of the known value of the customer's holdings."""

    kind: Literal["concentration"]
    by: Literal["asset", "sector", "issuer"]
    share: Share
    valued_holdings: int = Field(ge=1, le=1000, description="Asked where at least so many holdings have a known value.")
    no_group: tuple[str, ...] = Field(description="Names that mean no group.")


class ListLimit(Rule):
    """The published list holds enough of the group: candidates further down are passed over."""

    kind: Literal["list_limit"]
    effect: Literal["exclude"]
    by: Literal["sector", "issuer"]
    most: int = Field(ge=1, le=100, description="Assets of one group on one customer's list.")
    no_group: tuple[str, ...] = Field(description="Names that mean no group.")


class NotDescribed(Rule):
    """Nothing is known of the asset."""

    kind: Literal["not_described"]
    effect: Literal["exclude"]


class OnList(Rule):
    """The asset is on the restricted or the watch list, from valid_from to valid_to, both included."""

    kind: Literal["on_list"]
    list: Literal["restricted", "watch"]


class NotTradable(Rule):
    """The asset has no recent close."""

    kind: Literal["not_tradable"]
    price_age_days: int = Field(
        ge=0, le=3650, description="An asset without a close in so many days before as_of is not tradable."
    )


AssetRule = NotDescribed | OnList | NotTradable
AnyRule = Annotated[
    NoProfile
    | ProfileNotAvailable
    | AboveRiskProfile
    | PredictedProfile
    | AboveCapacity
    | CapacityReached
    | PredictedCapacity
    | Held
    | PreviouslyHeld
    | PossiblyHeld
    | Concentration
    | ListLimit
    | NotDescribed
    | OnList
    | NotTradable,
    Field(discriminator="kind"),
]
KINDS = (
    "no_profile",
    "profile_not_available",
    "above_risk_profile",
    "predicted_profile",
    "above_capacity",
    "capacity_reached",
    "predicted_capacity",
    "held",
    "previously_held",
    "possibly_held",
    "concentration",
    "list_limit",
    "not_described",
    "on_list",
    "not_tradable",
)


class AssetRisk(Section):
    """The risk class of an asset whose source declares none."""

    words: Words
    source: Source
    high_volatility: float = Field(gt=0, le=10, description="Yearly volatility from which an undeclared stock is class 4.")
    classes: dict[str, RiskClass] = Field(description="By class/subclass in lower case, then by class; else 4.")


class SuitabilityConfig(Section):
    """The rules in force; `nightfolio rules` prints them."""

    asset_risk: AssetRisk
    rules: dict[RuleId, AnyRule]

    @model_validator(mode="after")
    def _every_kind_is_decided(self) -> SuitabilityConfig:
        """A rule that was left out must have been left out on purpose. Each kind may be there several times."""
        there = {rule.kind for rule in self.rules.values()}
        missing = [kind for kind in KINDS if kind not in there]
        lists = {rule.list for rule in self.rules.values() if isinstance(rule, OnList)}
        missing += [f"on_list for the {name} list" for name in ("restricted", "watch") if name not in lists]
        if missing:
            raise ValueError(f"no rule of kind {', '.join(missing)}: give one, with on = false where it is not wanted")
        return self

    def in_force(self) -> dict[str, AnyRule]:
        """The rules that are on, by id, in the file's order."""
        return {name: rule for name, rule in self.rules.items() if rule.on}

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every setting of every rule; its words and source stand in the rules file."""
        risk = self.asset_risk
        rows = [
            ("suitability.asset_risk.high_volatility", json.dumps(risk.high_volatility)),
            ("suitability.asset_risk.classes", json.dumps(risk.classes)),
        ]
        for name, rule in self.rules.items():
            settings = {"on": rule.on, "effect": rule.effect, **rule.limits()}
            rows += [
                (f"suitability.rules.{name}.{field}", value if isinstance(value, str) else json.dumps(value))
                for field, value in settings.items()
            ]
        return tuple(rows)

    def as_toml(self) -> str:
        """The rules in force as a rules file: what a run keeps."""
        lines = ["# The suitability rules of this run, complete, in the form of a rules file.", ""]
        tables = [("asset_risk", self.asset_risk), *((f"rules.{name}", rule) for name, rule in self.rules.items())]
        for name, table in tables:
            lines.append(f"[{name}]")
            lines += [f"{key} = {_toml(value)}" for key, value in table.model_dump(mode="json").items()]
            lines.append("")
        return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_quoted(key)} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    """A TOML basic string: what JSON escapes is escaped alike, save the one control that JSON leaves."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def read_rules(name: str) -> dict[str, Any]:
    """What a rules file says, unchecked. ``name``: one of the shipped files, or the path of a .toml file. Raises ConfigError.

    TOML itself refuses a rule id that is used twice.
    """
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    if not path.is_file():
        shipped = sorted(file.stem for file in SHIPPED.glob("*.toml"))
        raise ConfigError(
            f"suitability rules {name!r} do not exist",
            remedy=f"use one of {shipped} or the path of a .toml file (recommend.rules)",
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(
            f"suitability rules {path.name}: not valid TOML: {error}", remedy="correct the file; a rule id stands in it once"
        ) from error


def default_rules() -> SuitabilityConfig:
    """The rules of the shipped default file."""
    return SuitabilityConfig.model_validate(read_rules("default"))
