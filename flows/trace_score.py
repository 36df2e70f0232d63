"""Where an asset stands for a customer: the stored model asked once more, for one customer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from flows.evaluate_again import stored_config
from flows.reasons import FALLBACK_DAYS
from lightning_modules.days import days_since_epoch
from lightning_modules.family import FAMILY, events_read
from lightning_modules.fit import fitted_spec, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.popularity import popularity_scores


@dataclass(frozen=True)
class Place:
    """``rank`` among the ``eligible`` candidates of the customer (None: not eligible); ``last_listed`` is the k-th's score."""

    score: float
    rank: int | None
    eligible: int
    k: int
    last_listed: float | None
    model: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def place_of(run: Path, manifest: dict[str, Any], customer: str, asset: str) -> Place | None:
    """The pair's score and rank by the published model; None where the model was retired."""
    config, dates = stored_config(run)
    kind, present = config.recommend.model, run / "histories" / "present"
    folder = run / "models" / f"{kind}-published"
    if not (folder / "weights.safetensors").exists():
        return None
    torch.set_num_threads(config.threads)
    histories = Histories.open(present)
    number = histories.customer_ids.index(customer)
    length = int(histories.offsets[number + 1] - histories.offsets[number])
    if length or FAMILY[kind].serves_cold:
        batch = histories.batch(np.array([number]), max_length=events_read(fitted_spec(folder)))
        with torch.inference_mode():
            scores = load_ranker(folder, present).score(batch)[0].float().numpy()
        model = str(kind)
    else:
        since = days_since_epoch(date.fromisoformat(dates["as_of"]) - timedelta(days=FALLBACK_DAYS))
        scores, model = popularity_scores(histories, since_day=since).numpy(), "recent_popularity"
    folder = run / "recommendations"
    personal = pl.scan_parquet(folder / "exclusions.parquet").filter(pl.col("customer_id") == customer).select("asset_id")
    removed = {
        *pl.read_parquet(folder / "asset_exclusions.parquet")["asset_id"],
        *personal.collect()["asset_id"].cast(pl.String),
    }
    whole = pl.read_parquet(folder / "customer_exclusions.parquet").filter(pl.col("customer_id") == customer)
    may = np.array([one not in removed for one in histories.asset_ids]) & whole.is_empty()
    mine, k = histories.asset_ids.index(asset), config.recommend.k
    listed = np.sort(scores[may])[::-1]
    return Place(
        score=float(scores[mine]),
        rank=int((listed > scores[mine]).sum()) + 1 if may[mine] else None,
        eligible=int(may.sum()),
        k=k,
        last_listed=float(listed[min(k, len(listed)) - 1]) if len(listed) else None,
        model=model,
    )
