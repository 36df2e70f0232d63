"""What every group of settings is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1, le=3650)]
Table = Literal["assets", "markets", "customers", "prices", "transactions", "delivered_holdings", "restricted"]


class Section(BaseModel):
    """A group of settings: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
