"""Our contestant in ``nightfolio bench speed``: the product's own fit, in a process of its own. See flows/bench/speed.py."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flows.bench.device import gpu_peak_bytes
from flows.peak_memory import peak_bytes
from lightning_modules.evaluation import top_columns
from lightning_modules.examples import owned_columns
from lightning_modules.fit import ModelSpec, TrainSettings, fit, load_ranker
from lightning_modules.histories import Histories


def run(request: dict[str, Any]) -> None:
    """Fit as asked, write the seconds of each epoch and what memory it took, then the lists."""
    memory: dict[str, int | None] = {"baseline_bytes": peak_bytes()}
    spec = ModelSpec(
        kind="transformer",
        dim=request["dim"],
        heads=request["heads"],
        blocks=request["blocks"],
        dropout=request["dropout"],
        max_length=request["length"],
        positions="learned",
        # Chosen on the second-last event of ml_1m, 8 epochs: NDCG@10 0.1469, with random vectors 0.0532.
        item_start="covisits",
        item_features=False,
        profile=False,
        item_bias=False,
        exclude_owned=False,
        precision=request["precision"],
    )
    settings = TrainSettings(
        epochs=request["epochs"],
        batch_size=request["batch_size"],
        base_lr=request["learning_rate"],
        warmup_fraction=0.0,
        floor=1.0,
        recency_half_life_days=None,
        seed=request["seed"],
        threads=request["threads"],
    )
    histories_dir = Path(request["histories"])
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        fit(spec, settings, histories_dir, Path(out), on_epoch=lambda *_: ends.append(time.perf_counter()))
        memory |= {"peak_bytes": peak_bytes(), "gpu_peak_bytes": gpu_peak_bytes()}
        top = _lists(Path(out), histories_dir, request["length"]) if request["rank"] else np.zeros((0, 10), np.int64)
    np.save(request["top"], top)
    seconds = np.diff([started, *ends]).tolist()  # the first one has the start of the fit in it: it is the warm-up
    Path(request["report"]).write_text(json.dumps({"epoch_seconds": seconds, **memory}))


def _lists(model_dir: Path, histories_dir: Path, length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    histories = Histories.open(histories_dir)
    model = load_ranker(model_dir, histories_dir)
    top = np.zeros((histories.n_customers, 10), dtype=np.int64)
    with torch.inference_mode():
        for batch in histories.batches(batch_size=256, max_length=length):
            seen = owned_columns(histories.batch(batch.customers).items, histories.n_items)
            order, real = top_columns(model.score(batch), ~seen, 10)
            top[batch.customers.numpy(), : order.shape[1]] = ((order + 1) * real).numpy()
    return top


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
