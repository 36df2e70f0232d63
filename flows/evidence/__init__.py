"""Step: report. Gathers a run's tables into the Evidence bundle, a file a section, and writes files and pages.

To add a section NAME to the evidence page:

1. a field ``NAME: X | Absent`` in :class:`reports.evidence.Evidence`, and an example of it in ``tests/reports/example.py``;
2. ``flows/evidence/NAME.py`` with ``gather(night) -> X | Absent``: it reads the run's files, and where one is not there it
   says why; its line in :func:`flows.evidence.pack.gather`;
3. ``reports/templates/sections/NAME.html``: one section with ``<h2 id="NAME">`` (``parts.absent`` prints the reason), and its
   line in ``contents`` of ``index.html``, which puts it into the contents and onto the page.

What a template must be given besides the field (a picture, grouped rows) is a line in
:func:`reports.evidence_pack.write_evidence`.
"""

from flows.evidence.drift import measure as measure_drift
from flows.evidence.pack import gather, report

__all__ = ["gather", "measure_drift", "report"]
