"""What a process that trains does not load, and that it is there when somebody asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


FITS = """
import sys
from pathlib import Path
from lightning_modules.fit import ModelSpec, TrainSettings, fit
from tests.lightning_modules.small_histories import planted_market

home = Path(sys.argv[1])
planted_market(home / "set", customers=12)
spec = ModelSpec(kind="transformer", dim=16, blocks=1, max_length=8)
fit(spec, TrainSettings(epochs=2, batch_size=4, recency_half_life_days=None), home / "set", home / "whole")
fit(spec, TrainSettings(epochs=2, batch_size=4, recency_half_life_days=None), home / "set", home / "whole", resume=True)
loaded = {"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)
assert not loaded, loaded

import torch, torch._dynamo
from lightning_fabric.wrappers import _unwrap_compiled
from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultCollection
plain = torch.nn.Linear(1, 1)
compiled = torch.compile(plain, backend="eager")
assert type(compiled) is torch._dynamo.OptimizedModule  # the real one, and Lightning knows it
assert _unwrap_compiled(compiled)[0] is plain and _unwrap_compiled(plain)[0] is plain
results = _ResultCollection(training=True)
results.log("training_step", "loss", torch.tensor(2.0))  # a function that Lightning hides from the compiler
assert [item.value.item() for _, item in results.valid_items()] == [2.0]
print("fitted")
"""


def said(program: str, *given: str) -> str:
    ended = subprocess.run([sys.executable, "-c", program, *given], capture_output=True, text=True, check=False)
    return ended.stdout or ended.stderr


def test_metrics_come_only_when_asked_for() -> None:
    assert said(PROGRAM) == "whole\n"


def test_a_fit_and_its_resume_do_not_load_the_compiler(tmp_path: Path) -> None:
    assert said(FITS, str(tmp_path)) == "fitted\n"
