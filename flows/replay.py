"""Rebuilds a run's recommendations from its recorded inputs and compares every file that comes of it, byte by byte.

The steps are the night's own (:mod:`flows.tasks`): from the recorded snapshot the histories are built, the published model is
fitted with the recorded settings and seed, and recommendations are made. Where the landing files can be had (the simulated
market is generated again; others are named) they are read and put to the contracts first, and the snapshot that comes of
them is compared too. Equal bytes are promised for the same code, packages, processor and threads; where those differ the
result says so beside what differs.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from data_contracts.errors import ConfigError, RunNotFound, StorageError
from data_contracts.releases import Release
from data_contracts.storage import file_sha256
from flows import tasks
from flows.artifact import Artifact
from flows.config import RunConfig
from flows.evaluate_again import stored_config
from flows.ingest import landed_tables
from flows.json_files import read_json_if
from flows.night import Night
from flows.publish import code_version, machine, package_versions
from flows.records import releases
from flows.records.chain import Chain
from flows.records.check import check_run
from flows.records.standing import standings
from flows.run_store import RunStore

Verdict = Literal["equal", "different", "not rebuilt", "not recorded"]
REBUILT = ("histories/present", "recommendations")
"""What starts with one of these, or with ``models/KIND-published``, is rebuilt from the snapshot and compared."""
FROM_LANDING = ("snapshot/", "quarantine/")


@dataclass(frozen=True)
class Compared:
    """One file of the run against the one that was rebuilt. ``not rebuilt``: recorded, and the replay did not make it."""

    path: str
    verdict: Verdict


@dataclass(frozen=True)
class Replay:
    """What a replay came to. ``warnings``: what differs from when the run was made; it can be why bytes differ."""

    run_id: str
    started_from: str
    files: tuple[Compared, ...]
    warnings: tuple[str, ...]
    seconds: float

    @property
    def equal(self) -> bool:
        return bool(self.files) and all(file.verdict == "equal" for file in self.files)


def replay(store: RunStore, run_id: str | None, source: Path | None = None) -> Replay:
    """Replays a run in a scratch folder; changes nothing in the home.

    ``source``: landing folder to start from as well, for runs that were not simulated. Raises RunNotFound where the run has
    no recommendations or its inputs were retired, ConfigError where it was simulated and a source is given, StorageError
    where its recorded inputs are not as they were recorded.
    """
    started = time.perf_counter()
    run = store.find(run_id)
    config, dates = stored_config(run)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    if not (run / "recommendations.parquet").exists():
        raise RunNotFound(f"run {run.name} published no recommendations", remedy="`nightfolio runs` lists runs that did")
    if source is not None and config.source.format == "simulated":
        raise ConfigError(f"run {run.name} was simulated", remedy="leave out --source: its market is generated again")
    warnings = _as_recorded(store, run, manifest) + differences(manifest)
    as_of = date.fromisoformat(dates["as_of"])
    files: list[Compared] = []
    with tempfile.TemporaryDirectory(prefix="nightfolio-replay-") as place:
        scratch = Path(place)
        home = RunStore(scratch / "home").home
        if source is not None or config.source.format == "simulated":
            used, missing = used_releases(store.home, run)
            night = replace(_night(run.name, scratch / "landing", as_of, _reading(config, source), home), replayed_releases=used)
            warnings += missing
            found, more = _from_landing(night, run, manifest)
            files, warnings = files + found, warnings + more
        night = _night(run.name, scratch / "run", as_of, config, home)
        files += _from_snapshot(night, run)
    start = "the recorded snapshot" if source is None else "the landing files and the recorded snapshot"
    if source is None and config.source.format == "simulated":
        start = "the simulated market, generated again, and the recorded snapshot"
    return Replay(run.name, start, tuple(files), tuple(warnings), time.perf_counter() - started)


def used_releases(home: Path, run: Path) -> tuple[tuple[Release, ...], list[str]]:
    """The releases by which the run let quarantined rows pass, whatever was withdrawn since; and what is not known of them."""
    verdicts = read_json_if(run / "contracts" / "verdicts.json") or []
    numbers = sorted({number for verdict in verdicts for number in verdict.get("releases", ())})
    known = releases.standings(Chain(home).links())
    missing = [f"no record speaks of release {number}, which the run used" for number in numbers if number not in known]
    return tuple(known[number].release for number in numbers if number in known), missing


def differences(manifest: dict[str, Any]) -> list[str]:
    """What of the code, the packages and the machine is not as it was when the run was made."""
    code, here = manifest["code"], code_version()
    found = []
    if code["source_sha256"] != here["source_sha256"]:
        then, now = (f"{one['source_sha256'][:12]} (commit {one.get('git_commit', 'unknown')[:20]})" for one in (code, here))
        found.append(f"other code: {then} then, {now} now")
    packages = package_versions()
    found += [
        f"other {name}: {version} then, {packages.get(name, 'none')} now"
        for name, version in manifest["packages"].items()
        if packages.get(name) != version
    ]
    then_machine: dict[str, Any] = manifest["machine"]
    return found + [
        f"other {name}: {then_machine.get(name)} then, {value} now"
        for name, value in machine(then_machine["threads"]).items()
        if value != then_machine.get(name)
    ]


def _as_recorded(store: RunStore, run: Path, manifest: dict[str, Any]) -> list[str]:
    standing = standings(Chain(store.home).links())[0].get(run.name)
    if standing is None:
        faults, retired = check_run(run, file_sha256(run / "manifest.json")).faults, {}
        unknown = ["no record speaks of this run: only its own manifest vouches for its inputs"]
    else:
        faults, retired, unknown = check_run(run, standing.manifest_sha256, standing.retired).faults, standing.retired, []
    if any(path.startswith(FROM_LANDING) for path in retired):
        raise RunNotFound(f"the inputs of run {run.name} were retired", remedy="replay it where a copy was kept")
    where = f"{run.parent.name}/{run.name}/"
    inputs = [str(fault) for fault in faults if fault.where.removeprefix(where).startswith(FROM_LANDING)]
    if inputs:
        raise StorageError(
            f"the recorded inputs of run {run.name} are not as they were recorded: {inputs[0]}",
            remedy="restore the run from a backup; `nightfolio verify` names everything that was altered",
        )
    return unknown + [f"the run is not as it was recorded: {fault}" for fault in faults]


def _reading(config: RunConfig, source: Path | None) -> RunConfig:
    if source is None:
        return config
    return config.model_copy(update={"source": config.source.model_copy(update={"path": source})})


def _night(run_id: str, folder: Path, as_of: date, config: RunConfig, home: Path) -> Night:
    folder.mkdir()
    return Night(run_id, folder, as_of, config, home, datetime.now(UTC))


def _from_landing(night: Night, run: Path, manifest: dict[str, Any]) -> tuple[list[Compared], list[str]]:
    """The landing files against the recorded ones, then the snapshot and the quarantine that the contracts make of them."""
    landed = tasks.ingest.fn(night)
    now = {file.name: file.sha256 for table in landed_tables(landed.path).values() for file in table.files}
    then = {file["name"]: file["sha256"] for file in manifest["inputs"]}
    other = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    tasks.contracts.fn(night, landed)
    warnings = [f"landing file {name} is not the one that was read then" for name in other]
    return _compared(night.folder, run, FROM_LANDING), warnings


def _from_snapshot(night: Night, run: Path) -> list[Compared]:
    """Histories, model and recommendations from the recorded snapshot."""
    kind = night.config.recommend.model
    rebuilt = (*REBUILT, f"models/{kind}-published")
    # What a step may look up beside its inputs is the run's own.
    for folder in (run, run / "histories", run / "models"):
        for entry in folder.iterdir():
            name = entry.relative_to(run).as_posix()
            if entry.is_dir() and name not in ("histories", "models") and not name.startswith(rebuilt):
                (night.folder / name).parent.mkdir(exist_ok=True)
                (night.folder / name).symlink_to(entry)
    snapshot = Artifact.of(night.folder / "snapshot")
    present = tasks.histories.fn(night, snapshot, night.as_of, "present")
    held_out = tasks.validation.fn(night, snapshot, night.as_of, "present")
    model = tasks.train.fn(night, present, kind, "published", held_out)
    tasks.recheck.fn(night, snapshot, tasks.recommend.fn(night, snapshot, present, model))
    return _compared(night.folder, run, rebuilt)


def _compared(made: Path, run: Path, starts: tuple[str, ...]) -> list[Compared]:
    files = [path.relative_to(folder).as_posix() for folder in (run, made) for path in folder.rglob("*") if path.is_file()]
    return [Compared(name, _verdict(run / name, made / name)) for name in sorted(set(files)) if name.startswith(starts)]


def _verdict(recorded: Path, rebuilt: Path) -> Verdict:
    if not recorded.exists():
        return "not recorded"
    if not rebuilt.exists():
        return "not rebuilt"
    same = recorded.stat().st_size == rebuilt.stat().st_size and file_sha256(recorded) == file_sha256(rebuilt)
    return "equal" if same else "different"
