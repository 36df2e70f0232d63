"""``nightfolio ablate``: what each part of a model is worth, and whether similar customers have similar attention."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.show_audit import print_audit
from lightning_modules.ablations import ABLATIONS


def budget(
    settings: Mapping[str, Any],
    variants: list[str] | None,
    models: list[str] | None,
    seeds: int | None,
    sample: int | None,
    epochs: int | None,
) -> dict[str, Any]:
    """The settings with the flags' values; without a flag or a setting: every variant, all customers, train.epochs."""
    flags = {
        "audit.ablations": variants and tuple(variants),
        "audit.models": models and tuple(models),
        "audit.seeds": seeds,
        "audit.sample": sample,
        "audit.epochs": epochs,
    }
    whole = {"audit.ablations": tuple(ABLATIONS), "audit.sample": 0, "audit.epochs": 0}
    return {**whole, **settings, **{name: value for name, value in flags.items() if value is not None}}


def ablate(
    console: Console,
    preset: str,
    source: Path | None,
    as_of: date | None,
    settings: dict[str, Any],
    home: Path,
    workers: int | None,
) -> None:
    """Runs the flow and prints its tables."""
    from flows.ablate import ablate as run_ablate

    run = run_ablate(preset, source, as_of, settings, home, workers)
    console.print()
    print_audit(console, run)
    console.print(f"run {run.name}  tables under {run / 'audit'}, models under {run / 'ablations'}", soft_wrap=True)
