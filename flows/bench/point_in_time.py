"""``nightfolio bench point-in-time``: whether anything dated after as_of reaches the files of a night.

The night's own steps (ingest, contracts, histories, a fit, recommendations) run once on the source as it is and once on
each mutation of its later rows; then every file is compared by its bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl
from rich.console import Console
from rich.table import Table

from flows import ingest as landing
from flows.bench.later_rows import MUTATIONS, Mutation, mutate
from flows.config import RunConfig, load_config
from flows.histories import build_histories
from flows.learn import train_model
from flows.night import Night
from flows.recommend import recommend

# Of a verdict: what was found. Row numbers in examples, and how many later rows were left unread, are told besides.
_FOUND = ("table", "read", "accepted", "quarantined", "outcome")
_FOUND_BY_RULE = ("rule_id", "severity", "outcome", "failed", "checked", "limit")
MODEL: Final = "ease"


@dataclass(frozen=True)
class Compared:
    """One mutation of all tables: rows touched by table, and the night's files by how they compare with those before.

    ``renumbered``: the rows are equal, but their numbers in the source file are others, since rows before them went.
    """

    mutation: Mutation
    touched: dict[str, int]
    equal: list[str]
    renumbered: list[str]
    different: list[str]


def prove(
    source: Path,
    layout: str,
    as_of: date,
    preset: str,
    into: Path,
    mutations: Sequence[Mutation] = MUTATIONS,
    told: Callable[[str], None] = lambda text: None,
) -> list[Compared]:
    """Runs the steps on the source as it is and on each mutation. ``into``: an empty folder for all of it.

    ``layout``: nightfolio or far_trans. ``preset``: whose settings the steps take, but for the model, which is MODEL.
    """
    settings = {
        "source.format": layout,
        "source.future_rows": "withhold",
        "train.models": [MODEL],
        "recommend.model": MODEL,
        "contracts.freshness_days": 3650,  # an earlier as_of of a source with gaps; not what is asked here
    }
    folders: dict[Mutation, Path] = {}
    touched: dict[Mutation, dict[str, int]] = {}
    every: tuple[Mutation, ...] = ("as it was", *mutations)
    for mutation in every:
        name = mutation.replace(" ", "_")
        changed = into / "sources" / name
        touched[mutation] = mutate(source, layout, as_of, mutation, changed)
        config = load_config(preset, source=changed, as_of=as_of, settings=settings)
        folders[mutation] = _steps(config, as_of, into / "nights" / name)
        told(f"{mutation}: {sum(touched[mutation].values()):,} rows touched")
    return [compare(mutation, touched[mutation], folders["as it was"], folders[mutation]) for mutation in mutations]


def _steps(config: RunConfig, as_of: date, folder: Path) -> Path:
    """Ingest to recommendations, by the steps that the night's tasks call."""
    folder.mkdir(parents=True)
    night = Night("point-in-time", folder, as_of, config, folder / "home", datetime.now(UTC))
    snapshot = landing.check_contracts(night, landing.ingest(night))
    present = build_histories(snapshot, as_of, config.histories, as_of, folder / "histories")
    model = train_model(config, MODEL, present, folder / "model")
    recommend(config, "point-in-time", as_of, snapshot, present, model, folder / "recommendations")
    return folder


def _files(night: Path) -> dict[str, str]:
    """Hash of every file that says what the night knew, by its path."""
    found = {}
    for part in ("snapshot", "quarantine", "histories", "model", "recommendations"):
        for path in sorted((night / part).rglob("*")):
            if path.is_file():
                found[path.relative_to(night).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    verdicts = json.loads((night / "contracts" / "verdicts.json").read_text(encoding="utf-8"))
    kept = [
        [*(verdict[name] for name in _FOUND), *([rule[name] for name in _FOUND_BY_RULE] for rule in verdict["rules"])]
        for verdict in verdicts
    ]
    found["contracts/verdicts.json"] = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    return found


def compare(mutation: Mutation, touched: dict[str, int], before: Path, after: Path) -> Compared:
    """The files of a night on the mutated source beside those of the night before it was mutated."""
    was, found = _files(before), _files(after)
    equal, renumbered, different = [], [], []
    for name in sorted({*was, *found}):
        if was.get(name) == found.get(name):
            equal.append(name)
        elif name in was and name in found and _same_rows(before / name, after / name):
            renumbered.append(name)
        else:
            different.append(name)
    return Compared(mutation, touched, equal, renumbered, different)


def _same_rows(one: Path, other: Path) -> bool:
    if one.suffix != ".parquet":
        return False
    left, right = pl.read_parquet(one), pl.read_parquet(other)
    return "_source_row" in left.columns and left.drop("_source_row").equals(right.drop("_source_row"))


def bench_point_in_time(console: Console, preset: str, source: Path | None, as_of: date | None) -> bool:
    """Proves it for a preset's source, prints table x mutation x files; True where no file differs.

    Without ``as_of`` a simulated market is asked as of 90 days before its end, any other source as of the preset's day.
    """
    config = load_config(preset, source=source)
    folder = Path(tempfile.mkdtemp(prefix="nightfolio-point-in-time-"))
    try:
        layout = "nightfolio" if config.source.format == "simulated" else config.source.format
        day = as_of or (
            config.resolved_as_of() - timedelta(days=90) if config.source.format == "simulated" else config.resolved_as_of()
        )
        place = config.source.path or landing.simulated_folder(config.simulation, folder / "home")
        based_on = "firm" if config.source.format == "simulated" else preset
        found = prove(place, layout, day, based_on, folder / "proof", told=console.print)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(_table(found, day))
    for one in found:
        for name in one.different:
            console.print(f"{one.mutation}: {name} differs", style="red", markup=False)
    return not any(one.different for one in found)


def _table(found: Sequence[Compared], as_of: date) -> Table:
    table = Table(
        title=f"rows dated after {as_of}, mutated in every table at once; files of the night compared by bytes",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    names = list(found[0].touched)
    table.add_column("mutation")
    for name in (*names, "files compared", "equal", "equal but for row numbers", "different"):
        table.add_column(name, justify="right")
    for one in found:
        files = (one.equal, one.renumbered, one.different)
        counts = [one.touched[name] for name in names] + [sum(map(len, files)), *map(len, files)]
        table.add_row(one.mutation, *(f"{count:,}" for count in counts))
    return table
