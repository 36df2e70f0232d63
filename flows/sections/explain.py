"""How recommendations are explained, and how the explanation is proven."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flows.sections.section import Section


class ExplainConfig(Section):
    """Which explanation is published, and how large a sample proves it."""

    explanation: Literal["auto", "attention", "leave_one_out"] = Field(
        "auto",
        description="attention: the model's own weights of holdings; leave_one_out: what leaving each holding out costs; "
        "auto: the weights where erasing what they put first is shown to cost more than erasing at random, else leave_one_out.",
    )
    sample_customers: int = Field(300, ge=10, le=100_000, description="Served customers whose explanations are put to the proof.")
    sample_candidates: int = Field(3, ge=1, le=100, description="Recommendations of each of them, drawn at random.")
    most_holdings: int = Field(
        50,
        ge=1,
        le=10_000,
        description="leave_one_out: so many of a customer's most recently bought holdings are left out.",
    )
