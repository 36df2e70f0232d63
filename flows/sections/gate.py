"""What has to hold before a run is published, and what happens where it does not."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flows.sections.section import Section, Share

Act = Literal["warn", "block"]
"""What failing a check does: ``warn`` publishes and says so, ``block`` keeps the last good publication in force."""


class GateConfig(Section):
    """Limits of the gate's checks; the fields named like a check say what failing it does."""

    approval: Literal["always", "on_warn", "never"] = Field(
        "never", description="Which runs wait for a person's `nightfolio approve` before they are published."
    )

    # Safety and data.
    suitability: Act = Field("block", description="A published row breaks a rule when the rules are applied again.")
    rows: Act = Field("block", description="Rows of a table do not add up: landed, withheld, read, accepted, quarantined.")
    contracts: Act = Field("warn", description="A contract rule gave a warning (a blocking rule stops the run long before).")
    output: Act = Field("block", description="The recommendations, or the holdings behind them, break their own contract.")
    drift: Act = Field("warn", description="A table drifted from the one behind the previous publication.")

    # Accuracy.
    popularity: Act = Field("block", description="The model's paired 95 % interval lies below popularity.")
    ease: Act = Field("warn", description="The model's paired 95 % interval is not above EASE.")
    champion: Act = Field("warn", description="Tonight's settings were refused; the champion's were published instead.")
    challenger: Literal["above", "not_worse"] = Field(
        "above",
        description="When other settings replace the champion's: the paired 95 % interval of their NDCG gain lies above 0, "
        "or above minus challenger_margin.",
    )
    challenger_margin: float = Field(0.005, ge=0, le=1, description="NDCG that a challenger may lose under not_worse.")

    # Explanations.
    ablation: Act = Field("warn", description="Taking attention away costs less than the rule says.")
    consistency: Act = Field("warn", description="Attention is not more alike for similar customers than like holdings make it.")
    faithfulness: Act = Field("warn", description="The explanation is not shown to be better than chance.")
    consistency_p: Share = Field(0.05, description="False discovery rate of attention consistency.")

    # Fairness.
    fairness_accuracy: Act = Field("warn", description="A segment is clearly served less accurately than the rest.")
    fairness_served: Act = Field("warn", description="A segment is clearly served less often than the rest.")
    fairness_least: Share = Field(
        0.8, description="Least ratio of a segment's accuracy or served share to that of all customers (four fifths)."
    )
    fairness_customers: int = Field(30, ge=2, le=1_000_000, description="Segments with fewer customers are not judged.")

    # Stability.
    turnover: Act = Field("warn", description="The lists changed more than expected since the previous publication.")
    turnover_most: Share = Field(0.5, description="Largest mean Jaccard distance between a customer's lists, then and now.")
    turnover_whole_most: Share = Field(0.2, description="Largest share of customers none of whose assets was kept.")
    exclusions: Act = Field("warn", description="The rules remove nearly everything.")
    exclusions_most: Share = Field(0.95, description="Largest share of pairs of customer and asset removed by a rule.")
    served: Act = Field("warn", description="Too few customers with a profile were given anything (nobody: always block).")
    served_least: Share = Field(0.9, description="Least share of customers with a profile who were given a recommendation.")
