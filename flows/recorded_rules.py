"""The suitability rules that a run was made with, read back from its folder."""

from __future__ import annotations

import tomllib
from pathlib import Path

from flows.recheck import RULES
from flows.sections.suitability import SuitabilityConfig, default_rules


def recorded_rules(run: Path) -> SuitabilityConfig:
    """As ``recommendations/suitability_rules.toml`` has them; the shipped ones for a run of an earlier version."""
    path = run / RULES
    return SuitabilityConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))) if path.exists() else default_rules()
