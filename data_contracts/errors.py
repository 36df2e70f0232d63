"""Every error Nightfolio raises on purpose.

::

    NightfolioError            a message a person can act on, and its remedy
    ├── ConfigError            a setting is unknown, out of bounds or in conflict
    ├── LandingError           a source file is missing, unreadable or not what its format says
    ├── ContractBlocked        a table broke a rule that stops the night
    ├── LookAheadError         something dated after as_of reached a step
    ├── TrainingError          a fit cannot start or went wrong (no events, NaN loss)
    ├── LeaseHeld              another run holds this as_of
    ├── RunNotFound            no such run, customer or asset in the store
    ├── DecisionRefused        a run cannot be approved, rejected, corrected or retired as asked
    └── StorageError           the home is full, read-only or damaged
"""

from __future__ import annotations


class NightfolioError(Exception):
    """Base of the tree: ``message`` says what is wrong, ``remedy`` what to do about it."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        # The orchestrator copies exceptions between processes; keyword-only arguments need help to survive.
        return (_rebuild, (type(self), self.message, self.remedy))


def _rebuild(kind: type[NightfolioError], message: str, remedy: str) -> NightfolioError:
    return kind(message, remedy=remedy)


class ConfigError(NightfolioError):
    """A setting is unknown, out of bounds or in conflict with another."""


class LandingError(NightfolioError):
    """A source file is missing, unreadable or not what its format says."""


class ContractBlocked(NightfolioError):
    """A table broke a rule whose severity stops the night."""


class LookAheadError(NightfolioError):
    """Something dated after as_of reached a step."""


class TrainingError(NightfolioError):
    """A fit cannot start or went wrong."""


class LeaseHeld(NightfolioError):
    """Another run holds the lease of this as_of."""


class RunNotFound(NightfolioError):
    """No such run, customer or asset in the store."""


class DecisionRefused(NightfolioError):
    """A run cannot be approved, rejected, corrected or retired as asked."""


class StorageError(NightfolioError):
    """The home is full, read-only or damaged."""
