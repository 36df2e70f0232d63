"""A small sound source in Nightfolio's own CSV layout, and what a check needs besides it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from data_contracts.check_context import CheckContext

AS_OF = date(2021, 6, 30)

SOUND = {
    "customers.csv": """customer_id,customer_type,risk_level,valid_from
ann,mass,income,2018-01-02
bob,premium,aggressive,2018-01-02
cid,mass,,2019-03-01
""",
    "assets.csv": """asset_id,asset_name,asset_class,market_id,valid_from
US0378331005,Apple Inc,stock,XNGS,2018-01-02
GB0002634946,BAE Systems,stock,XLON,2018-01-02
DE000BAY0017,Bayer AG,stock,XETR,2018-01-02
""",
    "prices.csv": """asset_id,date,close
US0378331005,2021-06-28,100.0
US0378331005,2021-06-29,101.5
GB0002634946,2021-06-29,5.25
""",
    "transactions.csv": """transaction_id,customer_id,asset_id,side,date,value,units
1,ann,US0378331005,buy,2020-05-04,1000.0,10
2,ann,GB0002634946,buy,2020-05-05,50.0,10
3,bob,US0378331005,buy,2021-06-28,500.0,5
4,ann,US0378331005,sell,2021-06-29,406.0,4
""",
    "restricted.csv": "asset_id,list_kind,valid_from,valid_to\n",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the sound source; tests spoil one file of it."""
    return write_sound(tmp_path / "source")


def write_sound(folder: Path) -> Path:
    folder.mkdir()
    for name, content in SOUND.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


CONTEXT = CheckContext.by_default(AS_OF)


@pytest.fixture
def context() -> CheckContext:
    return CONTEXT
