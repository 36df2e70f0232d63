"""The model card: what the published model is for, what it learned from, where it fails, and who let it through.

Source of the form: Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelCard:
    """One published model."""

    model_id: str
    """From the hash of its weights, as the register has it."""
    kind: str
    run: str
    what: str
    """What kind of model it is, in one sentence."""
    says: str
    """What it says of a recommendation."""
    purpose: tuple[str, ...]
    not_for: tuple[str, ...]
    data: tuple[tuple[str, str], ...]
    limits: tuple[str, ...]
    failures: tuple[str, ...]
    """What is known to fail, found by tonight's checks and segments."""
    lineage: tuple[tuple[str, str], ...]
    approval: str
    settings: tuple[tuple[str, str], ...]
