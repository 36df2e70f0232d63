# mypy: ignore-errors
"""RePlay SASRec on a prepared data set; runs in .venv-peers-replay, see flows/bench/speed.py for what it reads and writes.

Its own model, loss (full softmax), optimiser and Lightning module; batches come from arrays padded once beforehand, which
is less work for it than its Parquet reader.
"""

import json
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from lightning import Callback, Trainer, seed_everything
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.sequential import SasRec

warnings.simplefilter("ignore")


SECONDS = []  # of each epoch; global, since a trainer may copy its callbacks


class Clock(Callback):
    """Fills SECONDS."""

    def on_train_epoch_start(self, trainer, module):
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer, module):
        SECONDS.append(time.perf_counter() - self.started)


class Batches(torch.utils.data.Dataset):
    """Left-padded windows; indexed by a list of rows."""

    def __init__(self, windows, padding):
        self.windows, self.padding = windows, padding

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, rows):
        window = self.windows[rows]
        read, asked = window[:, :-1], window[:, 1:]
        return {
            "feature_tensors": {"item_id": read},
            "padding_mask": read != self.padding,
            "positive_labels": asked[..., None],
            "negative_labels": None,
            "target_padding_mask": (asked != self.padding)[..., None],
        }


def peak_bytes():
    """Of this program alone: ru_maxrss starts at what the process that started it held."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def main(request):
    memory = {"baseline_bytes": peak_bytes()}
    torch.set_num_threads(request["threads"])
    seed_everything(request["seed"])
    items, offsets = np.load(request["items"]) - 1, np.load(request["offsets"])
    n_items, length = request["n_items"], request["length"]
    windows = np.full((len(offsets) - 1, length + 1), n_items, dtype=np.int64)
    for row, (start, end) in enumerate(pairwise(offsets)):
        mine = items[max(start, end - length - 1) : end]
        windows[row, length + 1 - len(mine) :] = mine
    schema = TensorSchema(
        [
            TensorFeatureInfo(
                "item_id",
                is_seq=True,
                feature_type=FeatureType.CATEGORICAL,
                embedding_dim=request["dim"],
                padding_value=n_items,
                cardinality=n_items,
                feature_hint=FeatureHint.ITEM_ID,
                feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, "item_id")],
            )
        ]
    )
    model = SasRec.from_params(
        schema=schema,
        embedding_dim=request["dim"],
        num_heads=request["heads"],
        num_blocks=request["blocks"],
        max_sequence_length=length,
        dropout=request["dropout"],
    )
    module = LightningModule(model, optimizer_factory=OptimizerFactory(learning_rate=request["learning_rate"]))
    trainer = Trainer(
        max_epochs=request["epochs"],
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Clock()],
    )
    enough = torch.from_numpy(windows[np.diff(offsets) >= 2])
    sampler = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(enough), request["batch_size"], drop_last=False)
    trainer.fit(module, torch.utils.data.DataLoader(Batches(enough, n_items), sampler=sampler, batch_size=None))
    memory["peak_bytes"] = peak_bytes()
    memory["gpu_peak_bytes"] = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    tops = []
    if request["rank"]:
        module.eval()
        whole = torch.from_numpy(windows[:, 1:])
        for start in range(0, len(whole), 256):
            read = whole[start : start + 256]
            with torch.no_grad():
                logits = module.model(feature_tensors={"item_id": read}, padding_mask=read != n_items)["logits"]
            for row in range(len(read)):
                at = start + row
                logits[row, items[offsets[at] : offsets[at + 1]]] = -torch.inf
            tops.append(torch.topk(logits, 10).indices.numpy() + 1)
    np.save(request["top"], np.concatenate(tops) if tops else np.zeros((0, 10), np.int64))
    Path(request["report"]).write_text(json.dumps({"epoch_seconds": SECONDS, **memory}))


main(json.loads(Path(sys.argv[1]).read_text()))
