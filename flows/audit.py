"""Step: audit. What the night proves of its model beyond its accuracy: what its parts are worth, how consistent it is."""

from __future__ import annotations

from pathlib import Path

from flows import ablation, consistency
from flows.learn import train_model
from flows.night import Night
from lightning_modules.settings import ModelKind


def ablate(night: Night, snapshot: Path, past: Path, out: Path) -> Path:
    """``ablation.parquet`` of the configured variants, one fit after another."""
    config, shared = night.config, night.work / "ablation"
    fits = ablation.planned(config)
    learnt = ablation.prepare(config, snapshot, past, night.evaluation_cut, night.as_of, shared) if fits else past
    for one in fits:
        ablation.tell(one, ablation.fit_and_ask(config, one, learnt, past, shared, config.threads))
    return ablation.write_tables(config, learnt, shared, out)


def compare_attention(night: Night, past: Path, kind: ModelKind, model: Path, validation: Path | None, out: Path) -> Path:
    """``consistency.parquet`` of the evaluated model, beside one more fit of it with another seed if that is asked for."""
    config, other = night.config, None
    if config.audit.second_seed and config.audit.consistency_sample and consistency.has_a_seed(kind):
        seeded = config.model_copy(update={"seed": config.seed + 1})
        other = train_model(seeded, kind, past, night.work / f"{kind}-second-seed", validation)
    return consistency.measure(config, kind, model, other, past, out)
