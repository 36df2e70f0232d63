"""Drift of one table against the same table of the previous publication, measured by Evidently.

Which columns, methods and thresholds: :mod:`reports.drift_columns`. What this file adds to Evidently: a
sample that depends on the rows and the seed only (not on their order), columns that Evidently could not
take are said instead of killing the report, and a page that loads nothing from a network and cannot be
broken by a category's name.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from reports.drift_columns import (
    DEFAULT_DRIFT_SHARE,
    DEFAULT_SAMPLE,
    ColumnDrift,
    DriftColumn,
    DriftVerdict,
)
from reports.pages import script_json, write_page

EVIDENTLY_FILE = "evidently.js"
"""The one copy of Evidently's library that the drift pages of a pack share."""

MISSING = "(missing)"
"""The category that stands for a missing value."""


def drift_report(
    name: str,
    reference: pl.DataFrame | None,
    current: pl.DataFrame,
    columns: tuple[DriftColumn, ...],
    drift_share: float = DEFAULT_DRIFT_SHARE,
    sample: int = DEFAULT_SAMPLE,
    seed: int = 0,
    html: Path | None = None,
) -> DriftVerdict:
    """Compare ``current`` with ``reference`` column by column; write the page to ``html`` if given.

    ``reference`` None: a first publication, nothing to compare (no page is written). ``sample`` is the most
    rows a side. The table has drifted where the share of drifted among compared columns reaches
    ``drift_share``.

    A column that is missing on one side, or empty on both, is not compared and says so; a number that had
    values and has lost all of them (or the reverse) counts as drifted, although no distance can be
    computed.

    Raises ValueError where a column pinned to a numeric method is not numeric.
    """
    if not 0.0 < drift_share <= 1.0:
        raise ValueError(f"drift_share must be in (0, 1], got {drift_share}")
    if sample < 1:
        raise ValueError(f"sample must be at least 1, got {sample}")

    def verdict(outcome: Any, found: tuple[ColumnDrift, ...] = (), **values: Any) -> DriftVerdict:
        shown = {"reference_sampled": 0, "current_sampled": 0, "drifted_share": None} | values
        rows = 0 if reference is None else reference.height
        return DriftVerdict(
            table=name,
            outcome=outcome,
            columns=found,
            drift_share=drift_share,
            reference_rows=rows,
            current_rows=current.height,
            seed=seed,
            **shown,
        )

    if reference is None:
        return verdict("not_compared", note="First publication: there is nothing to compare with.")
    if reference.height == 0:
        return verdict("not_compared", note="The table of the previous publication is empty.")
    if current.height == 0:
        return verdict("drift", note="The table is empty; that of the previous publication was not.")

    before = _sampled(_prepared(reference, columns), sample, seed)
    after = _sampled(_prepared(current, columns), sample, seed)
    screened = [_screen(column, before, after) for column in columns]
    measurable = tuple(column for column, seen in zip(columns, screened, strict=True) if seen is None)
    snapshot = _evidently(before, after, measurable) if measurable else None
    scores = _scores(snapshot, measurable)
    found = tuple(
        seen if seen is not None else _measured(column, scores[column.name], before, after)
        for column, seen in zip(columns, screened, strict=True)
    )
    compared = [column for column in found if column.drifted is not None]
    sampled = {"reference_sampled": before.height, "current_sampled": after.height}
    if not compared:
        return verdict("not_compared", found, note="No watched column could be compared.", **sampled)
    share = sum(bool(column.drifted) for column in compared) / len(compared)
    result = verdict(
        "drift" if share >= drift_share else "pass",
        found,
        drifted_share=share,
        page=html.name if html is not None and snapshot is not None else "",
        **sampled,
    )
    if html is not None and snapshot is not None:
        _write_page(html, result, snapshot)
    return result


def _prepared(frame: pl.DataFrame, columns: tuple[DriftColumn, ...]) -> pl.DataFrame:
    """The watched columns that exist: numbers as floats with non-finite as missing, categories as text."""
    wanted: list[pl.Expr] = []
    for column in columns:
        if column.name not in frame.columns:
            continue
        kind = frame.schema[column.name]
        if column.method == "wasserstein":
            if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
                raise ValueError(f"{column.name!r} is {kind}: {column.method} needs a number")
            number = pl.col(column.name).cast(pl.Float64)
            wanted.append(pl.when(number.is_finite()).then(number).alias(column.name))
        else:
            wanted.append(pl.col(column.name).cast(pl.String).fill_null(MISSING))
    return frame.select(wanted)


def _sampled(frame: pl.DataFrame, sample: int, seed: int) -> pl.DataFrame:
    # Sorted first: the same rows in another order give the same sample.
    frame = frame.sort(frame.columns, nulls_last=True) if frame.columns else frame
    if frame.height <= sample:
        return frame
    chosen = np.random.default_rng(seed).choice(frame.height, size=sample, replace=False)
    return frame[np.sort(chosen)]


def _null_share(frame: pl.DataFrame, column: DriftColumn) -> float:
    values = frame[column.name]
    missing = values.is_null() if column.method == "wasserstein" else values == MISSING
    return float(missing.sum() or 0) / frame.height


def _screen(column: DriftColumn, before: pl.DataFrame, after: pl.DataFrame) -> ColumnDrift | None:
    """The verdict on a column that no distance can be computed for; None where one can."""
    absent = [side for side, frame in (("previous", before), ("current", after)) if column.name not in frame.columns]
    if absent:
        note = f"Not compared: the {' and the '.join(absent)} table has no such column."
        return ColumnDrift(column.name, column.method, column.threshold, None, None, note)
    shares = _null_share(before, column), _null_share(after, column)
    if shares == (1.0, 1.0):
        note = "Not compared: every value is missing on both sides."
        return ColumnDrift(column.name, column.method, column.threshold, None, None, note, *shares)
    if column.method == "wasserstein" and 1.0 in shares:
        note = f"Every {'previous' if shares[0] == 1.0 else 'current'} value is missing, the others are not."
        return ColumnDrift(column.name, column.method, column.threshold, None, True, note, *shares)
    return None


def _measured(column: DriftColumn, score: float, before: pl.DataFrame, after: pl.DataFrame) -> ColumnDrift:
    return ColumnDrift(
        name=column.name,
        method=column.method,
        threshold=column.threshold,
        score=score,
        drifted=score >= column.threshold,
        reference_null_share=_null_share(before, column),
        current_null_share=_null_share(after, column),
    )


def _evidently(before: pl.DataFrame, after: pl.DataFrame, columns: tuple[DriftColumn, ...]) -> Any:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        # Evidently 0.7 touches deprecated names of numpy and litestar while it is imported.
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

    definition = DataDefinition(
        numerical_columns=[column.name for column in columns if column.method == "wasserstein"],
        categorical_columns=[column.name for column in columns if column.method == "jensenshannon"],
    )
    names = [column.name for column in columns]
    old, new = (Dataset.from_pandas(frame.select(names).to_pandas(), data_definition=definition) for frame in (before, after))
    metrics = [ValueDrift(column=column.name, method=column.method, threshold=column.threshold) for column in columns]
    return Report(metrics).run(new, old)


def _scores(snapshot: Any, columns: tuple[DriftColumn, ...]) -> dict[str, float]:
    if snapshot is None:
        return {}
    scores = {metric["config"]["column"]: float(metric["value"]) for metric in snapshot.dict()["metrics"]}
    if set(scores) != {column.name for column in columns}:
        raise RuntimeError(f"Evidently measured {sorted(scores)}, not the columns it was asked for")
    return scores


# Evidently's page holds its data as two one-line JSON documents. It does not escape them: a category named
# "</script>" would end the script. JSON never holds a raw line break, so this finds exactly the documents.
_DATA = re.compile(r"<script>\n *var (metric_\w+) = (.*);\n *var additional_graphs_\1 = (.*);\n</script>")
_FONT = re.compile(r"url\(data:font/ttf;base64,[A-Za-z0-9+/=]+\)")
_IDS = re.compile(r'"id": "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})')


def _write_page(html: Path, result: DriftVerdict, snapshot: Any) -> None:
    page = snapshot.get_html_str(as_iframe=False)
    data, font = _DATA.search(page), _FONT.search(page)
    if data is None or font is None:
        raise RuntimeError("this version of Evidently writes another kind of page than 0.7: pin it")
    dashboard, graphs = data.group(2), data.group(3)
    # Evidently draws new random ids every time; numbered ones make the page the same for the same data.
    for number, identifier in enumerate(dict.fromkeys(_IDS.findall(dashboard))):
        dashboard = dashboard.replace(identifier, f"w{number}")
        graphs = graphs.replace(identifier, f"w{number}")
    write_page(
        "drift.html",
        html,
        drift=result,
        dashboard=script_json(dashboard),
        graphs=script_json(graphs),
        library=EVIDENTLY_FILE,
        font=font.group(0),
    )
    import evidently

    library = html.parent / EVIDENTLY_FILE
    if not library.exists():
        shutil.copyfile(Path(evidently.__path__[0]) / "nbextension" / "static" / "index.js", library)
