"""One run in the making: its folder, settings, clock and what happens when it stops."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from data_contracts.errors import NightfolioError
from data_contracts.releases import Release
from flows.config import RunConfig
from flows.lineage import lineage
from flows.peak_memory import forget_peak, peak_bytes
from flows.records.publication import finish_interrupted
from flows.records.releases import releases_in_force
from flows.resume import remember, reopen
from flows.run_store import RunStore, as_storage_error

log = logging.getLogger("nightfolio")


@dataclass(frozen=True)
class Night:
    """What every step knows. ``folder`` is the staged run; ``work`` in it is scratch and never published."""

    run_id: str
    folder: Path
    as_of: date
    config: RunConfig
    home: Path
    started_at: datetime
    resumed: bool = False  # goes on with what a killed or stopped run left: models continue from their checkpoints
    replayed_releases: tuple[Release, ...] | None = None  # of a replay: those that the run used; else the home's count

    @property
    def work(self) -> Path:
        folder = self.folder / "work"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def kept(self) -> Path | None:
        """The home's folder of what nights keep for the next one; None where every night is to work out everything."""
        return self.home / "partitions" if self.config.contracts.reuse else None

    @property
    def evaluation_cut(self) -> date:
        """The last day that the evaluated models may learn from: as_of minus the horizon."""
        return date.fromordinal(self.as_of.toordinal() - self.config.evaluate.horizon_days)

    @property
    def store(self) -> RunStore:
        return RunStore(self.home)

    @property
    def releases(self) -> tuple[Release, ...]:
        """What stewards released from quarantine and holds tonight. Raises StorageError where the records are not whole."""
        return releases_in_force(self.home) if self.replayed_releases is None else self.replayed_releases

    def previous(self) -> Path | None:
        """The newest published run that this one continues: same preset and source, as_of not later than this one's.

        A home may hold nights of several presets; comparing the volumes or the drift of different markets says nothing.
        """
        mine = lineage(self.config.model_dump(mode="json"))
        return self.store.newest_published(self.as_of, lambda config: lineage(config) == mine)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announces a step, measures its wall time (s) and peak resident memory (MiB), appends to ``steps.jsonl``."""
        log.info("%s ...", name)
        forget_peak()
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            (self.folder / "stopped_at").write_text(name, encoding="utf-8")
            raise
        seconds, peak = time.perf_counter() - started, peak_bytes() / 2**20
        with (self.folder / "steps.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps({"step": name, "seconds": round(seconds, 3), "peak_mib": round(peak, 1)}) + "\n")
        log.info("%s done in %.1f s (peak %.0f MiB)", name, seconds, peak)


@contextlib.contextmanager
def staged_run(config: RunConfig, home: Path, kind: str = "night", resume: str | None = None) -> Iterator[Night]:
    """Holds the as_of's lease, stages a run, and on any error moves it to ``failed/`` with the reason.

    ``kind`` is night, training or ablation; ``resume`` names a failed run of that kind to go on with instead of a new one.
    The body is responsible for moving the folder to its final place.
    """
    store = RunStore(home)
    as_of = config.resolved_as_of() if resume is None else date.fromisoformat(resume[:10])
    finish_interrupted(store)
    for name in store.sweep():
        log.warning("run %s was left unfinished by a process that died; moved to failed/", name)
    with store.lease(as_of):
        folder = store.new_run(as_of) if resume is None else reopen(store, resume, kind)
        night = Night(folder.name, folder, as_of, config, store.home, datetime.now(UTC), resume is not None)
        remember(folder, kind, config)
        try:
            yield night
        except BaseException as error:
            problem: BaseException = error
            if isinstance(error, OSError):
                problem = as_storage_error(error, store.home) or error
            if isinstance(problem, NightfolioError):
                # The files it speaks of are about to move.
                kept = str(store.home / "failed" / folder.name)
                problem.message = problem.message.replace(str(folder), kept)
                problem.remedy = problem.remedy.replace(str(folder), kept)
            if folder.exists():
                stopped = folder / "stopped_at"
                store.fail(
                    folder,
                    {
                        "run_id": night.run_id,
                        "as_of": str(as_of),
                        "step": stopped.read_text(encoding="utf-8") if stopped.exists() else "unknown",
                        "error": getattr(problem, "message", f"{type(problem).__name__}: {problem}"),
                        "remedy": getattr(problem, "remedy", "see the log; if it repeats, report it"),
                    },
                )
            if problem is error:
                raise
            raise problem from error
