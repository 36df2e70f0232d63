"""Whether erasing the most attended holding hurts more than erasing a random one."""

from __future__ import annotations

import json

from flows.evidence import attention
from flows.night import Night
from reports.evidence import Absent, Faithfulness


def gather(night: Night) -> tuple[Faithfulness, ...] | Absent:
    """The proof that ``recommend`` measured."""
    proof = json.loads((night.folder / "recommendations" / "faithfulness.json").read_text(encoding="utf-8"))
    if not proof.get("n_pairs"):
        return Absent(attention.why_none(night.config))
    return (
        Faithfulness(
            model=night.config.recommend.model,
            n=proof["n_pairs"],
            drop_attended=proof["mean_drop_attended"],
            drop_random=proof["mean_drop_random"],
            difference=proof["mean_difference"],
            difference_low=proof["ci_low"],
            difference_high=proof["ci_high"],
            share_attended_larger=proof["share_attended_larger"],
            better_than_random=proof["better_than_random"],
            protocol=f"Recommendations of {proof['n_customers']:,} served customers with at least two holdings (seeded sample), "
            "scored again with one holding erased; the drop is in log-probability over the catalogue (nats); "
            "95 % bootstrap over customers.",
        ),
    )
