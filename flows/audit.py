"""Step: audit. What the night proves of its model beyond its accuracy: what its parts are worth, how consistent it is."""

from __future__ import annotations

from pathlib import Path

from flows import ablation, consistency
from flows.ablation import REFERENCE, Fit
from flows.night import Night
from lightning_modules.settings import ModelKind


def ablate(night: Night, snapshot: Path, past: Path, out: Path) -> Path:
    """``ablation.parquet`` of the configured variants, one fit after another."""
    config, shared = night.config, night.work / "ablation"
    learnt = ablation.prepare(config, snapshot, past, night.evaluation_cut, night.as_of, shared)
    for one in ablation.planned(config):
        ablation.tell(one, ablation.fit_and_ask(config, one, learnt, past, shared, config.threads))
    return ablation.write_tables(config, learnt, shared, out)


def compare_attention(night: Night, past: Path, kind: ModelKind, model: Path, out: Path) -> Path:
    """``consistency.parquet`` of the evaluated model, beside two fits of the audit's size from two seeds if that is asked for.

    Call it after :func:`ablate`, whose reference is the first of the two.
    """
    config, shared, seeds = night.config, night.work / "ablation", None
    if config.audit.second_seed and config.audit.consistency_sample and consistency.has_a_seed(kind):
        learnt = shared / "sample" if (shared / "sample").exists() else past
        fits = [shared / Fit(kind, REFERENCE, seed).name for seed in (config.seed, config.seed + 1)]
        for seed, folder in enumerate(fits, config.seed):
            if not folder.exists():
                ablation.fit_and_ask(config, Fit(kind, REFERENCE, seed), learnt, past, shared, config.threads)
        if not any((folder / "failed.txt").exists() for folder in fits):
            seeds = (fits[0], fits[1])
    return consistency.measure(config, kind, model, seeds, past, out)
