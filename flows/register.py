"""The register of all models of a home, with their lineage: read from the runs themselves, so that nothing can be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from data_contracts.storage import file_sha256
from flows.champion import CHALLENGER, FORMER
from flows.json_files import read_json_if
from flows.records.standing import Standing
from flows.records.tell import standings_of
from flows.run_store import RunStore
from reports.ranking import main_cutoff

WEIGHTS = "weights.safetensors"
COLUMNS: dict[str, type[pl.DataType]] = {
    "model_id": pl.String,
    "kind": pl.String,
    "run": pl.String,
    "status": pl.String,
    "trained_to": pl.String,
    "trained_on": pl.String,
    "parent": pl.String,
    "ndcg": pl.Float64,
    "n_customers": pl.Int64,
    "approval": pl.String,
}
"""``model_id`` and ``trained_on`` from SHA-256 of the weights and of the training set's events (12 digits); ``parent`` the
model id of the champion that it followed or challenged; ``ndcg`` at the run's cut-off, of the fit on the past for a published
model; null where it was not scored."""


def model_id(weights_sha256: str) -> str:
    """``m-`` and the first 12 digits of the hash of the weights: equal weights are the same model."""
    return f"m-{weights_sha256[:12]}"


def register(store: RunStore, newest: int | None = None) -> pl.DataFrame:
    """Every model of every finished run, newest run first, with :data:`COLUMNS`. ``newest``: of that many runs only."""
    entries = [entry for entry in reversed(store.runs()) if (entry.path / "manifest.json").exists()]
    rows = []
    for entry in entries[:newest]:
        rows += list(models_of(entry.path, entry.state, current=entry.current, store=store))
    return pl.DataFrame(rows, schema=COLUMNS)


def models_of(run: Path, state: str, *, current: bool, store: RunStore) -> Iterator[dict[str, Any]]:
    """The models of one run, finished or in the making; ``state`` is the folder of the home that it lies in."""
    hashes = _hashes(run)
    fits: dict[str, str] = read_json_if(run / "evaluation" / "models.json") or {}
    champion = read_json_if(run / "evaluation" / "champion.json") or {}
    held = champion.get("champion")
    parent = "" if held is None else published_id(store, held["run_id"])
    metrics, known = _metrics(run), standings_of(store)
    names = {folder: name for name, folder in fits.items()}
    for folder in _folders(run):
        about = read_json_if(run / "models" / folder / "model.json")
        is_published = folder.endswith("-published")
        # An earlier version's retention removed model.json too; the folder is called after the kind.
        kind = folder.rpartition("-")[0] if about is None else about["spec"]["kind"]
        name = kind if is_published else names.get(folder, "")
        ndcg, n = metrics.get(name, (None, None))
        present = "present" if is_published else "past"
        yield {
            "model_id": model_id(hashes(f"models/{folder}/{WEIGHTS}")),
            "kind": kind,
            "run": run.name,
            "status": _status(name, is_published, state, current),
            "trained_to": "" if about is None else about["cut"],
            "trained_on": hashes(f"histories/{present}/events.arrow")[:12],
            "parent": parent if is_published or name == CHALLENGER else "",
            "ndcg": ndcg,
            "n_customers": n,
            "approval": approval(run, known.get(run.name)) if is_published else "",
        }


def _folders(run: Path) -> list[str]:
    """The names of a run's model folders: as the manifest recorded them, so that retention takes none away."""
    manifest = read_json_if(run / "manifest.json")
    if manifest is None:
        paths = [path.relative_to(run) for path in (run / "models").glob(f"*/{WEIGHTS}")]
    else:
        paths = [Path(entry["path"]) for entry in manifest["outputs"]]
    return sorted(path.parts[1] for path in paths if path.match(f"models/*/{WEIGHTS}") and len(path.parts) == 3)


def published_id(store: RunStore, run_id: str) -> str:
    """The model id of what a run published; empty where the run is gone."""
    for entry in store.runs():
        if entry.run_id == run_id:
            found = [folder for folder in _folders(entry.path) if folder.endswith("-published")]
            if found:
                return model_id(_hashes(entry.path)(f"models/{found[0]}/{WEIGHTS}"))
    return ""


def approval(run: Path, standing: Standing | None) -> str:
    """Who let the run through: a person, by the chain's record, or the gate alone. ``standing`` None: not in the chain yet."""
    gate = read_json_if(run / "gate.json")
    if gate is None:
        return ""
    if gate["publish"] == "never":
        return "blocked by the gate"
    if not gate["needs_decision"]:
        return f"not asked for (gate.approval = {gate['approval']})"
    if standing is None or standing.state == "held":
        return "waits for a person"
    return f"{standing.last.kind} by {standing.last.by}: {standing.last.reason}"


def _status(name: str, is_published: bool, state: str, current: bool) -> str:
    if is_published:
        if state == "published":
            return "champion" if current else "retired"
        return "in the making" if state == "staging" else "not published"
    if name == CHALLENGER:
        return "challenger refused"
    if name == FORMER:
        return "champion replaced"
    return "evaluated"


def _hashes(run: Path) -> Any:
    """SHA-256 by path in the run: as the manifest recorded it, computed where the run is still in the making."""
    manifest = read_json_if(run / "manifest.json")
    listed = {} if manifest is None else {entry["path"]: entry["sha256"] for entry in manifest["outputs"]}
    return lambda path: listed.get(path) or file_sha256(run / path)


def _metrics(run: Path) -> dict[str, tuple[float, int]]:
    path = run / "evaluation" / "metrics.parquet"
    if not path.exists():
        return {}
    table = pl.read_parquet(path).filter(pl.col("segment_kind") == "all")
    main = f"ndcg_at_{main_cutoff(table)}"
    return {name: (value, n) for name, value, n in table.select("model", main, "n_customers").iter_rows()}
