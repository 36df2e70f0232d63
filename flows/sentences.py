"""The reason of a recommendation as a sentence that a client adviser can read out, true to the numbers in its row.

Names stand in quotation marks, for they may hold commas and brackets; each is followed by its weight, in brackets::

    For this recommendation the model looked most at the customer's purchases of “Velmora” (62 %) and “Quill, Inc.”
    (21 %, since sold); the 3 others share 17 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Method = Literal["attention", "contribution", "partial contribution", "leave_one_out", "none"]
"""What an explanation is: the model's own weights (attention or a contribution), leave_one_out, or none."""

# How a sentence begins and what it says behind the names, by method.
LEADS: Mapping[Method, tuple[str, str]] = {
    "attention": ("For this recommendation the model looked most at", ""),
    "contribution": ("The score comes from", ""),
    "partial contribution": ("What speaks for it among holdings are", "; what other customers buy and the profile count besides"),
    "leave_one_out": (
        "This recommendation depends most on",
        "; a percentage is a purchase's share of the likelihood lost when each is left out in turn",
    ),
    "none": ("", ""),
}
NO_HOLDING: Mapping[Method, str] = {
    "attention": "The model looked at none of this customer's purchases for it: it follows the profile and other customers.",
    "contribution": "None of this customer's purchases speaks for it: it follows those for which one does.",
    "partial contribution": "None of this customer's purchases speaks for it: it follows the profile and other customers.",
    "leave_one_out": "Without any single one of this customer's purchases it is as likely: no one of them is the reason.",
    "none": "Customers with similar purchases bought it; this model reads no single purchase.",
}
FEATURES: Mapping[str, str] = {
    "class": "its asset class",
    "market": "its market",
    "yield": "its dividend yield",
    "risk": "its risk",
    "sector": "its sector",
    "industry": "its industry",
    "momentum": "its recent return",
    "buyers": "who buys it",
    "recent buyers": "how much it is bought of late",
    "holdings": "the customer's holdings",
    "buyers ever": "how many bought it",
    "customer_type": "the customer's type",
    "risk_level": "the customer's risk profile",
    "investment_capacity": "the customer's investment capacity",
}
"""Groups of features as they are called in a sentence; another one is called by its name."""
MOST_NAMED = 3


@dataclass(frozen=True)
class Named:
    """A holding or feature that is named, with its weight as it stands in the row (four decimals)."""

    name: str
    weight: float
    sold: bool = False


def share(weight: float) -> str:
    """A weight in whole percent; one that is not zero never reads as 0 %, and one that is not all never as 100 %."""
    if 0 < weight < 0.005:
        return "under 1 %"
    if 0.995 <= weight < 1:
        return "over 99 %"
    return f"{math.floor(weight * 100 + 0.5)} %"


def quoted(name: str) -> str:
    """A name on one line in quotation marks that occur nowhere within it."""
    return f"“{' '.join(name.replace('“', chr(39)).replace('”', chr(39)).split())}”"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def holdings_sentence(method: Method, named: Sequence[Named], others: int, rest: float, tied: int, purchases: int) -> str:
    """Why, in terms of holdings, without the full stop.

    Args:
        named: the heaviest holdings, heaviest first; not empty.
        others: holdings that have a weight and are not named; rest: their weights' sum; tied: how many of them weigh as
            much as the last named one.
        purchases: distinct holdings that the model read.
    """
    lead, tail = LEADS[method]
    words = [f"{quoted(one.name)} ({share(one.weight)}{', since sold' if one.sold else ''})" for one in named]
    if purchases == 1:
        whole = f"{lead} the customer's only purchase, {words[0]}"
    else:
        whole = f"{lead} the customer's {'purchase' if len(words) == 1 else 'purchases'} of {listed(words)}"
    if others:
        whole += f"; {'one other has' if others == 1 else f'{others} others share'} {share(rest)}"
    if tied:
        whole += f", {'' if others == 1 else f'{tied} of them weighing '}as much as the last one named"
    # One purchase alone has nothing to share with.
    return whole + ("" if method == "leave_one_out" and purchases == 1 else tail)


def features_sentence(named: Sequence[Named], left_out: bool) -> str:
    """``Of what the model reads of it, its sector (34 %) and its risk (21 %) count most.``

    ``left_out``: the weights are shares of the likelihood that is lost when one feature at a time is hidden.
    """
    lead, tail = ("Among features", ", each hidden in turn") if left_out else ("Of what the model reads of it", "")
    words = [f"{FEATURES.get(one.name, one.name)} ({share(one.weight)})" for one in named]
    return f"{lead}, {listed(words)} {'counts' if len(words) == 1 else 'count'} most{tail}."


def doubt(method: Method) -> str:
    """What stands behind an explanation that failed its proof."""
    return f" {method.replace('_', '-').capitalize()} was not shown to be better than chance as an explanation in this run."
