"""What a process that trains does not load, and that it is there when somebody asks for it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import lightning_modules.fit
from lightning_modules.lean_lightning import L
unused = {"scipy.signal", "torchmetrics.functional", "pandas", "polars", "prefect", "evidently", "plotly", "great_expectations"}
assert not unused & set(sys.modules), unused & set(sys.modules)

import torch, torchmetrics
from torchmetrics import Metric  # what Lightning has: not a second class of that name
from pytorch_lightning.core.module import Metric as known
assert Metric is known and torchmetrics.__version__[0].isdigit()
assert not hasattr(torchmetrics, "__nothing__") and "torchmetrics.functional" not in sys.modules

from torchmetrics import MeanMetric  # runs the package's own body
mean = MeanMetric()
mean.update(torch.tensor([1.0, 3.0]))
assert isinstance(mean, known) and mean.compute() == 2
assert torchmetrics.functional.accuracy is not None and "scipy.signal" in sys.modules
try:
    torchmetrics.no_such_metric
except AttributeError:
    print("whole")
"""


def test_metrics_come_only_when_asked_for() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ended.stdout == "whole\n", ended.stderr
