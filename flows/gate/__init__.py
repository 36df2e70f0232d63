"""Step: gate. One table of checks, each with its threshold, owner and remedy; what fails warns or blocks as the settings say.

To add a check: a :class:`flows.gate.finding.Subject` and a pure function that returns a Finding in the file of its kind, its
line in :func:`flows.gate.step.checks`, its field in ``flows/sections/gate.py``, and a test in which it fails.
"""

from flows.gate.step import gate

__all__ = ["gate"]
