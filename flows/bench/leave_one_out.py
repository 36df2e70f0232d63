"""Public sequences as training sets, on the leave-one-out protocol.

A customer's last event is the test, the one before it the validation, the rest trains. Three training sets come of it:

- ``train``: everything but the last two events. Models are fitted on this one, for validation and for the test alike.
- ``train``, asked for the second-last event: the validation, and the only figure a setting may be chosen by.
- ``test``: everything but the last event. Nothing is fitted on it; it is what a model reads when asked for the last one.

A customer of fewer than three events is not asked anything: all his events train. The files have no dates, only an
order, so the last event read lies on the cut day and each earlier one 30 days before the next.

Source: Kang and McAuley 2018, section IV-A, https://arxiv.org/abs/1808.09781 (there with 100 sampled negatives; here
the full catalogue, less what the customer already has).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from data_contracts.errors import LandingError
from lightning_modules.days import days_since_epoch
from lightning_modules.history_files import write_histories

Stage = Literal["validation", "test"]
CUT = date(2000, 1, 1)  # any day does: only the order is known
DAYS_APART = 30  # a learned decay starts slow per day: at this distance it tells neighbours apart
LEAST_EVENTS = 3
COLUMNS = ("user", "item", "position")


@dataclass(frozen=True)
class Question:
    """Whom to ask, and what came next."""

    histories: Path  # what a model reads
    customers: npt.NDArray[np.int64]  # [Q] rows of that training set
    items: npt.NDArray[np.int64]  # [Q] 1..N, the event that was left out


@dataclass(frozen=True)
class LeaveOneOut:
    """One data set, split."""

    train: Path
    validation: Question
    test: Question
    counts: dict[str, int]  # customers, items, events, asked, too_short


def read_sequences(path: Path) -> pl.DataFrame:
    """Columns user, item, position of a Parquet file, sorted by user and position.

    Raises LandingError naming the file: absent, unreadable, a column missing or not whole numbers, a null, two events of
    a user at one position, or one item twice for a user.
    """
    if not path.is_file():
        raise LandingError(f"{path} does not exist", remedy="give --data a folder that holds NAME.parquet (user, item, position)")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LandingError(f"{path} cannot be read as Parquet: {error}", remedy="deliver the file again") from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise LandingError(f"{path} lacks {', '.join(missing)}", remedy="give the columns user, item and position")
    frame = frame.select(COLUMNS)
    other = [name for name, kind in frame.schema.items() if not kind.is_integer()]
    if other or sum(frame.null_count().row(0)):
        raise LandingError(f"{path}: {', '.join(other) or 'a column'} is not whole numbers throughout", remedy="number them")
    for pair in (("user", "position"), ("user", "item")):
        repeated = frame.height - frame.n_unique(pair)
        if repeated:
            raise LandingError(
                f"{path}: {repeated} row(s) repeat a {' and '.join(pair)}", remedy="keep each item's first event of a user"
            )
    return frame.sort("user", "position")


def leave_one_out(events: pl.DataFrame, out: Path) -> LeaveOneOut:
    """Write both training sets of ``events`` (as ``read_sequences`` gives them) under ``out``.

    Raises LandingError where no user has three events.
    """
    items = events["item"].unique().sort()
    numbered = events.with_columns(
        item=pl.col("item").replace_strict(items, pl.int_range(1, len(items) + 1, eager=True), return_dtype=pl.Int64),
        place=pl.int_range(pl.len()).over("user"),
        length=pl.len().over("user"),
    )
    users = numbered["user"].unique(maintain_order=True)
    short = pl.col("length") < LEAST_EVENTS
    left_out = numbered.filter(~short).with_columns(left=pl.col("length") - pl.col("place"))
    asked = left_out.filter(pl.col("left") == 1)
    if asked.is_empty():
        raise LandingError(f"no user has {LEAST_EVENTS} events", remedy="give whole histories, one row an event")
    rows = np.searchsorted(users.to_numpy(), asked["user"].to_numpy())
    questions: dict[Stage, Question] = {}
    for stage, last in (("validation", 2), ("test", 1)):
        directory = out / ("train" if stage == "validation" else "test")
        _write(numbered.filter(short | (pl.col("place") < pl.col("length") - last)), users, items, directory)
        answers = left_out.filter(pl.col("left") == last)["item"].to_numpy().astype(np.int64)
        questions["validation" if last == 2 else "test"] = Question(directory, rows.astype(np.int64), answers)
    counts = {
        "customers": len(users),
        "items": len(items),
        "events": events.height,
        "asked": len(asked),
        "too_short": len(users) - len(asked),
    }
    return LeaveOneOut(out / "train", questions["validation"], questions["test"], counts)


def _write(events: pl.DataFrame, users: pl.Series, items: pl.Series, directory: Path) -> None:
    counted = pl.DataFrame({"user": users}).join(events.group_by("user").len(), on="user", how="left", maintain_order="left")
    lengths = counted["len"].fill_null(0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    cut = days_since_epoch(CUT)
    table = events.select(
        pl.col("item").cast(pl.Int32),
        day=(cut + DAYS_APART * (1 + pl.col("place") - pl.len().over("user"))).cast(pl.Int32),
        weight=pl.lit(1.0, pl.Float32),
        first=pl.lit(1, pl.UInt8),
    )
    write_histories(
        directory,
        table.to_arrow(),
        offsets,
        pl.DataFrame({"asset_id": items.cast(pl.String)}).to_arrow(),
        pl.DataFrame({"customer_id": users.cast(pl.String)}).to_arrow(),
        np.zeros((len(items), 0), np.float32),
        (),
        np.zeros((len(users), 0), np.float32),
        (),
        CUT,
    )


def expected_gains(greater: npt.NDArray[Any], ties: npt.NDArray[Any], k: int) -> tuple[Floats, Floats]:
    """NDCG@k and HR@k [Q] of one relevant item each, the mean over every order of those that score the same.

    Args:
        greater: [Q] candidates that score higher. ties: [Q] other candidates that score the same.
    """
    ranks = np.arange(1, k + 1)
    gains = np.concatenate([[0.0], np.cumsum(1 / np.log2(ranks + 1))])  # [k + 1], the sum over the first r ranks
    first = np.minimum(greater, k)
    last = np.minimum(greater + ties + 1, k)
    return (gains[last] - gains[first]) / (ties + 1), (last - first) / (ties + 1)


Floats = npt.NDArray[np.float64]
