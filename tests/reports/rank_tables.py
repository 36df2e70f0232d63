"""Builds the rank tables that an evaluation leaves, from plain score and relevance matrices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from reports.ranking import Ranking


def ranking_of(
    scores: npt.NDArray[np.float64],  # [C, N]
    relevant: npt.NDArray[np.bool_],  # [C, N]
    excluded: npt.NDArray[np.bool_] | None = None,  # [C, N]
    k: int = 10,
) -> Ranking:
    """One obvious loop: the slow and plain way to say what the tables hold."""
    ranks: list[tuple[int, ...]] = []
    top: list[tuple[int, int, int, float, bool]] = []
    for customer in range(scores.shape[0]):
        allowed = np.arange(scores.shape[1])
        if excluded is not None:
            allowed = allowed[~excluded[customer]]
        mine = scores[customer]
        order = sorted(allowed.tolist(), key=lambda item: (-mine[item], item))
        wanted = [item for item in order if relevant[customer, item]]
        for item in wanted:
            greater = int(sum(mine[other] > mine[item] for other in allowed))
            ties = int(sum(mine[other] == mine[item] for other in allowed)) - 1
            place = order.index(item) + 1
            ranks.append((customer, item + 1, greater, ties, place, len(allowed), len(wanted)))
        top += [
            (customer, place + 1, item + 1, float(mine[item]), bool(relevant[customer, item]))
            for place, item in enumerate(order[:k])
        ]
    names = ["customer", "item", "greater", "ties", "rank", "n_candidates", "n_relevant"]
    return Ranking(
        pl.DataFrame(ranks, schema=dict.fromkeys(names, pl.Int64), orient="row"),
        pl.DataFrame(top, schema=["customer", "rank", "item", "score", "relevant"], orient="row"),
    )
