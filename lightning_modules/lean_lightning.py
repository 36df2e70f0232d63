"""PyTorch Lightning (``L``) without what its import drags along unused.

Lightning needs two base classes of torchmetrics. That package's own body imports all its metrics, and with them
scipy.signal, scipy.stats and more: 890 modules and 74 MiB in every process that trains (measured, Lightning 2.6.6,
torchmetrics 1.9.0), while we measure with :mod:`lightning_modules.evaluation`. So its body is put off until something else
of it is asked for; every name of it still works, and its submodules are its own.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

__all__ = ["CheckpointIO", "L"]

METRICS = "torchmetrics"
EARLY = {"Metric": "metric", "MetricCollection": "collections", "__version__": "__about__"}
"""What Lightning asks the package for, and the submodule that has it."""


class _WhenAsked(ModuleType):
    """The package before its body has run."""

    def __getattr__(self, name: str) -> Any:
        if name in EARLY:
            # metric and utilities import each other: it only works from this side
            import_module(f"{METRICS}.utilities")
            return getattr(import_module(f"{METRICS}.{EARLY[name]}"), name)
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {METRICS!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def _put_off_metrics() -> None:
    spec = None if METRICS in sys.modules else find_spec(METRICS)
    if spec is None:
        return
    package = module_from_spec(spec)
    package._logger = logging.getLogger(METRICS)  # type: ignore[attr-defined]  # its submodules import it from the body
    package.__class__ = _WhenAsked
    sys.modules[METRICS] = package


_put_off_metrics()

import pytorch_lightning as L  # noqa: E402
from pytorch_lightning.plugins.io import CheckpointIO  # noqa: E402
