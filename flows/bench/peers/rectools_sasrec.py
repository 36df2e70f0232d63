# mypy: ignore-errors
"""RecTools SASRec on a prepared data set; runs in .venv-peers-rectools, see flows/bench/speed.py for what it reads and writes."""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models import SASRecModel

warnings.simplefilter("ignore")


SECONDS = []  # of each epoch; global, since a trainer may copy its callbacks


class Clock(Callback):
    """Fills SECONDS."""

    def on_train_epoch_start(self, trainer, module):
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer, module):
        SECONDS.append(time.perf_counter() - self.started)


def peak_bytes():
    """Of this program alone: ru_maxrss starts at what the process that started it held."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def main(request):
    memory = {"baseline_bytes": peak_bytes()}
    torch.set_num_threads(request["threads"])
    seed_everything(request["seed"])
    items, offsets = np.load(request["items"]), np.load(request["offsets"])
    lengths = np.diff(offsets)
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(len(lengths)), lengths),
            "item_id": items,
            "weight": 1.0,
            "datetime": pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(items)), unit="s"),
        }
    )
    dataset = Dataset.construct(frame)

    def trainer():
        return Trainer(
            max_epochs=request["epochs"],
            accelerator="auto",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Clock()],
        )

    model = SASRecModel(
        n_blocks=request["blocks"],
        n_heads=request["heads"],
        n_factors=request["dim"],
        dropout_rate=request["dropout"],
        session_max_len=request["length"],
        loss="softmax",
        lr=request["learning_rate"],
        batch_size=request["batch_size"],
        get_trainer_func=trainer,
    )
    model.fit(dataset)
    memory["peak_bytes"] = peak_bytes()
    memory["gpu_peak_bytes"] = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    top = np.zeros((0, 10), dtype=np.int64)
    if request["rank"]:
        found = model.recommend(np.arange(len(lengths)), dataset, k=10, filter_viewed=True)
        top = np.zeros((len(lengths), 10), dtype=np.int64)
        top[found["user_id"].to_numpy(), found["rank"].to_numpy() - 1] = found["item_id"].to_numpy()
    np.save(request["top"], top)
    Path(request["report"]).write_text(json.dumps({"epoch_seconds": SECONDS, **memory}))


main(json.loads(Path(sys.argv[1]).read_text()))
