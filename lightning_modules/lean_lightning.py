"""PyTorch Lightning (``L``) without what its import drags along unused.

- Lightning needs two base classes of torchmetrics. That package's own body imports all its metrics, and with them
  scipy.signal, scipy.stats and more: 890 modules and 74 MiB in every process that trains, while we measure with
  :mod:`lightning_modules.evaluation`. So its body is put off until something else of it is asked for; every name of it
  still works, and its submodules are its own.
- Lightning asks torch's compiler for one class, to know a compiled module when it meets one, and to leave one function
  alone. The compiler brings sympy and 800 modules along: 71 MiB more. A process that never loads it compiles nothing, so
  while Lightning is imported a stand-in answers for it; afterwards ``torch._dynamo`` is whatever its own import makes of it.
  (:class:`lightning_modules.optimiser.Adam` keeps it out of the training itself.)

Measured with Lightning 2.6.6, torchmetrics 1.9.0, torch 2.13.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

__all__ = ["CheckpointIO", "L"]

METRICS = "torchmetrics"
EARLY = {"Metric": "metric", "MetricCollection": "collections", "__version__": "__about__"}
"""What Lightning asks the package for, and the submodule that has it."""
COMPILER = "torch._dynamo"
COMPILED = "OptimizedModule"


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


def _of_compiler(name: str) -> Any:
    """What the compiler has of that name; None while it is not loaded."""
    loaded = sys.modules.get(COMPILER)
    return None if isinstance(loaded, _StandIn) else getattr(loaded, name, None)


class _IfLoaded(type):
    def __instancecheck__(cls, instance: object) -> bool:
        compiled = _of_compiler(COMPILED)
        return compiled is not None and isinstance(instance, compiled)


class _OptimizedModule(metaclass=_IfLoaded):
    """Compiled modules, of which there are none before the compiler was loaded."""


def _disable(function: Callable[..., Any], recursive: bool = True, **named: Any) -> Callable[..., Any]:
    """``function`` as the compiler will leave it alone, once there is one."""

    @wraps(function)
    def plain(*given: Any, **also: Any) -> Any:
        disable = _of_compiler("disable")
        return (function if disable is None else disable(function, recursive, **named))(*given, **also)

    return plain


STAND_INS: dict[str, Any] = {COMPILED: _OptimizedModule, "disable": _disable}
"""What Lightning asks the compiler for while it is imported."""


class _StandIn(ModuleType):
    """The compiler's package while Lightning is imported; makes way for the real one when asked for more."""

    def __getattr__(self, name: str) -> Any:
        if name in STAND_INS:
            return STAND_INS[name]
        if name.startswith("__"):  # what the import machinery asks of any module
            raise AttributeError(name)
        _remove(self)
        return getattr(import_module(COMPILER), name)


def _remove(stand_in: ModuleType) -> None:
    if sys.modules.get(COMPILER) is stand_in:
        del sys.modules[COMPILER]


@contextmanager
def _compiler_stood_in_for() -> Iterator[None]:
    if COMPILER in sys.modules:
        yield
        return
    stand_in = sys.modules[COMPILER] = _StandIn(COMPILER)
    try:
        yield
    finally:
        _remove(stand_in)


_put_off_metrics()
with _compiler_stood_in_for():
    import pytorch_lightning as L
    from pytorch_lightning.plugins.io import CheckpointIO
