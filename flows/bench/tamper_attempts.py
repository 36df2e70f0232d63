"""Every way that we know to alter a home's files and records, by kind."""

from __future__ import annotations

from flows.bench import tamper_records, tamper_releases, tamper_runs

ATTEMPTS = (*tamper_runs.ATTEMPTS, *tamper_records.ATTEMPTS, *tamper_releases.ATTEMPTS)
