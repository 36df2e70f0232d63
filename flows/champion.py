"""Champion and challenger: other settings replace those of the last publication only by the rule.

The champion is the model of the last publication of this lineage (:meth:`flows.night.Night.previous`): its kind and its
``model``, ``baselines`` and ``train`` settings. Where tonight's are the same it goes on, fitted on tonight's data. Where they
differ, both are fitted on the same past histories with the same seed and asked the same questions; tonight's replace the
champion's where ``gate.challenger`` says so, and otherwise the night goes on, and publishes, with the champion's settings.

``evaluation/champion.json`` records the decision; the manifest's ``config`` holds the settings that were published, so that
a replay needs nothing else. A challenger that was refused stands in the metrics as ``challenger``, a champion that was
replaced as ``former_champion``; the model that is published always has the name of its kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pydantic import ValidationError

from data_contracts.storage import file_sha256
from flows.config import RunConfig
from flows.gate.finding import signed
from flows.learn import relevant_pairs
from flows.night import Night
from flows.sections.gate import GateConfig
from lightning_modules.evaluation import rank_tables
from lightning_modules.family import events_read
from lightning_modules.fit import fitted_spec, load_ranker
from lightning_modules.histories import Histories
from reports.evidence_pack import FEWEST_CUSTOMERS
from reports.intervals import bootstrap_mean
from reports.ranking import per_customer

FIRST = "first publication of this preset and source in this home: there is no champion yet"
CHALLENGER, FORMER = "challenger", "former_champion"


@dataclass(frozen=True)
class Champion:
    """What the last publication was made with. ``config`` is tonight's, with the champion's settings in it."""

    run_id: str
    config: RunConfig


def settings_of(config: RunConfig) -> dict[str, Any]:
    """What decides which model is published: its kind and the settings of its shape and its fit."""
    settings = config.model_dump(mode="json", include={"model", "baselines", "train"})
    settings["train"].pop("models")
    return {"kind": config.recommend.model, **settings}


def champion_of(night: Night) -> Champion | None:
    """The champion, or None before the first publication. Raises ValidationError where its settings cannot be read any more."""
    before = night.previous()
    if before is None:
        return None
    recorded = json.loads((before / "manifest.json").read_text(encoding="utf-8"))["config"]
    kind, mine = recorded["recommend"]["model"], night.config.model_dump(mode="json")
    models = mine["train"]["models"]
    train = recorded["train"] | {"models": models if kind in models else [*models, kind]}
    merged = mine | {"model": recorded["model"], "baselines": recorded["baselines"], "train": train}
    merged["recommend"] = mine["recommend"] | {"model": kind}
    return Champion(before.name, RunConfig.model_validate(merged))


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of the settings that differ, e.g. ``["kind", "train.epochs"]``."""
    names = ["kind"] if one["kind"] != other["kind"] else []
    for section in ("model", "baselines", "train"):
        keys = sorted(one[section].keys() | other[section].keys())
        names += [f"{section}.{key}" for key in keys if one[section].get(key) != other[section].get(key)]
    return names


def by_rule(gain: float | None, low: float | None, n: int, settings: GateConfig) -> bool:
    """Whether a challenger with this paired NDCG gain (mean, lower end of its 95 % interval, n customers) replaces the
    champion. Too few customers to believe an interval: it does not."""
    if gain is None or low is None or n < FEWEST_CUSTOMERS:
        return False
    return low > (0.0 if settings.challenger == "above" else -settings.challenger_margin)


def record(night: Night, decision: str, told: str, champion: Champion | None, **more: Any) -> Path:
    """Writes ``evaluation/champion.json``."""
    path = night.folder / "evaluation" / "champion.json"
    path.parent.mkdir(exist_ok=True)
    tonight = settings_of(night.config)
    known = None if champion is None else {"run_id": champion.run_id, **settings_of(champion.config)}
    asked = None if known is None or decision == "continues" else tonight
    published = known if decision == "refused" and known is not None else tonight
    content = {
        "decision": decision,
        "told": told,
        "champion": known,
        "challenger": asked,
        "published": {name: value for name, value in published.items() if name != "run_id"},
        **more,
    }
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return path


def champion_tonight(night: Night) -> Champion | None:
    """The champion that tonight's model has to beat; None, with the reason on record, where there is none to beat."""
    try:
        champion = champion_of(night)
    except ValidationError as error:
        fields = ", ".join(".".join(str(part) for part in problem["loc"]) for problem in error.errors())
        told = f"this version does not know the settings of the last publication ({fields}): its model cannot be fitted again"
        record(night, "unreadable", told, None)
        return None
    if champion is None:
        record(night, "first", FIRST, None)
        return None
    if not differing(settings_of(champion.config), settings_of(night.config)):
        told = f"the champion goes on: same model and settings as run {champion.run_id}, fitted on tonight's data"
        record(night, "continues", told, champion)
        return None
    return champion


def challenge(
    night: Night, snapshot: Path, past: Path, champion: Champion, defending: Path, models: Mapping[str, Path]
) -> tuple[Night, dict[str, Path]]:
    """Decides by the rule whether tonight's model replaces the champion, and records it.

    ``defending`` is the champion's fit on ``past``, ``models`` tonight's fits on it by kind. Returns the night to go on with
    (the champion's settings where the challenger is refused) and every fit by the name that it has in the metrics.
    """
    kind, config = night.config.recommend.model, night.config
    challenging = models[kind]
    names = differing(settings_of(champion.config), settings_of(config))
    if "kind" not in names and _weights(defending) == _weights(challenging):
        told = f"the settings differ ({', '.join(names)}) and the fitted weights do not: the champion goes on"
        record(night, "continues", told, champion, differing=names)
        return night, dict(models)

    k = max(10, config.evaluate.k)
    main = f"ndcg_at_{k}"
    before, after = (_ndcg(night, snapshot, past, folder, k) for folder in (defending, challenging))
    paired = before.join(after, on="customer", suffix="_new").sort("customer")
    gains = (paired[f"{main}_new"] - paired[main]).to_numpy()
    gain, low, high = bootstrap_mean(gains, seed=(config.seed, 31))
    wins = by_rule(gain, low, len(gains), config.gate)
    held, reached = (float(paired[name].to_numpy().mean()) for name in (main, f"{main}_new"))
    told = (
        f"tonight's settings ({', '.join(names)} differ from run {champion.run_id}) "
        + ("replace the champion's" if wins else "did not earn the champion's place, so the champion's were used")
        + f": NDCG@{k} {reached:.4f} against {held:.4f}, paired gain {signed(gain)} [{signed(low)}, {signed(high)}]"
        f" over {len(gains):,} customers"
    )
    record(
        night, "replaced" if wins else "refused", told, champion, differing=names, gain=gain, low=low, high=high,
        n=len(gains), cutoff=k, ndcg={"champion": held, "challenger": reached}, rule=config.gate.challenger,
    )  # fmt: skip
    if wins:
        return night, {**models, FORMER: defending}
    kept = {champion.config.recommend.model: defending}
    others = {name: folder for name, folder in models.items() if name not in (kind, *kept)}
    return replace(night, config=champion.config), {**kept, **others, CHALLENGER: challenging}


def _weights(folder: Path) -> str:
    return file_sha256(folder / "weights.safetensors")


def _ndcg(night: Night, snapshot: Path, past: Path, folder: Path, k: int) -> pl.DataFrame:
    """``customer, ndcg_at_k`` of one fit on what was bought after the cut."""
    torch.set_num_threads(night.config.threads)
    histories = Histories.open(past)
    pairs = relevant_pairs(snapshot, histories, night.evaluation_cut, night.as_of)
    with torch.inference_mode():
        relevant, _ = rank_tables(
            load_ranker(folder, past).score,
            histories,
            pairs["customer"].to_numpy(),
            pairs["item"].to_numpy(),
            k=k,
            max_length=events_read(fitted_spec(folder)),
        )
    frame = pl.from_arrow(relevant)
    assert isinstance(frame, pl.DataFrame)
    return per_customer(frame, cutoffs=(k,)).select("customer", f"ndcg_at_{k}")
