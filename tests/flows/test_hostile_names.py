"""A whole night on names that attack: whatever the contracts let in stays text on every page."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import polars as pl

from flows.config import load_config
from flows.ingest import simulated_folder
from flows.nightly import nightly
from tests.flows.small_market import LITTLE_AUDIT

AS_OF = date(2024, 6, 28)
SCRIPT = "<script>alert(1)</script>"
TURNED = "Fund\u202etxt.exe\u2066 \u200f"
NAMES = (SCRIPT, '"><img src=x onerror=alert(1)>', "N" * 10_000, "{{ 7 * 7 }}", "</style></svg><svg onload=alert(1)>")
SETTINGS = {
    "model.dim": 16,
    "model.blocks": 1,
    "model.holders": 8,
    "train.epochs": 1,
    "evaluate.horizon_days": 120,
    "gate.popularity": "warn",
    **LITTLE_AUDIT,
}


class Elements(HTMLParser):
    """What a browser would run or load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "object", "embed") or any(name.startswith("on") for name, _ in attrs):
            self.found.append(f"{tag} {attrs}")


def hostile(market: Path, into: Path) -> Path:
    """The market with every asset and every customer under an attacking name."""
    into.mkdir()
    for file in market.glob("*.parquet"):
        frame = pl.read_parquet(file)
        if file.stem == "assets":
            # The same asset keeps its name over all of its rows; a number keeps names apart.
            place = pl.col("asset_id").rank("dense").cast(pl.Int64)
            named = (place % len(NAMES)).replace_strict(dict(enumerate(NAMES)), return_dtype=pl.String)
            # One asset only: a contract sets aside what turns the reading direction, and many of them would stop the night.
            named = pl.when(place == 1).then(pl.lit(TURNED)).otherwise(named)
            frame = frame.with_columns(asset_name=pl.format("{} {}", named, place))
        if "customer_id" in frame.columns:
            frame = frame.with_columns(pl.format("<script>{}</script>", "customer_id").alias("customer_id"))
        frame.write_parquet(into / file.name)
    return into


def test_hostile_names_through_a_whole_night(home: Path, tmp_path: Path, prefect_engine: None) -> None:
    market = simulated_folder(load_config("smoke").simulation, home)
    run = nightly("firm", hostile(market, tmp_path / "landing"), AS_OF, SETTINGS, tmp_path / "home")
    names = pl.read_parquet(run / "snapshot" / "assets.parquet")["asset_name"]
    assert names.str.contains(SCRIPT, literal=True).any(), "the contracts keep what is only odd"
    assert not names.str.contains("\u202e", literal=True).any(), "but not what turns the reading direction"
    index = (run / "evidence" / "index.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in index
    assert Elements(index).found == []
    for page in (run / "evidence").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert SCRIPT not in text, page.name
        assert "onerror=alert(1)>" not in text, page.name
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f]", text), page.name
        assert "N" * 3000 not in text, page.name
        assert page.stat().st_size < 5_000_000, page.name
