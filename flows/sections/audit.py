"""What a night proves of its model: which parts are taken away, on what budget, and how consistency is measured."""

from __future__ import annotations

from pydantic import Field, field_validator

from flows.sections.section import Section
from lightning_modules.ablations import ABLATIONS
from lightning_modules.settings import ModelKind


class AuditConfig(Section):
    """Ablation and attention consistency, in the night and in ``nightfolio ablate``."""

    ablations: tuple[str, ...] = Field(
        ("uniform_attention", "shuffled_order", "no_temporal_decay"),
        description="Parts that are taken away, one at a time; the model is fitted anew without each. None: no ablation.",
    )
    models: tuple[ModelKind, ...] = Field((), description="Models whose parts are taken away; none named: recommend.model.")
    sample: int = Field(
        1000, ge=0, le=10_000_000, description="Customers that reference and variants learn from; 0: all. Everybody is asked."
    )
    epochs: int = Field(3, ge=0, le=1000, description="Epochs of reference and variants; 0: train.epochs.")
    seeds: int = Field(1, ge=1, le=20, description="Fits of the reference and of each variant.")
    consistency_sample: int = Field(
        1000, ge=0, le=3000, description="Customers whose attention is compared with that of similar ones; 0: not measured."
    )
    neighbours: int = Field(5, ge=1, le=100, description="Most similar customers that each one is compared with.")
    permutations: int = Field(1000, ge=1000, le=100_000, description="Draws of each null distribution.")
    second_seed: bool = Field(
        True, description="Fit the audit's reference once more with another seed: the yardstick of consistency?"
    )

    @field_validator("ablations")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in ABLATIONS]
        if unknown or len(set(names)) != len(names):
            raise ValueError(f"audit.ablations names each variant once, of {', '.join(ABLATIONS)}; found {names}")
        return names
