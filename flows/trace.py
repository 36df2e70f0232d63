"""The whole story of one line: a customer and an asset in one run, from the landed rows to the record of publication.

Everything is read from the run's own files; only the place of an asset that was not recommended is worked out again, from
the stored model. What retention removed is named as missing, never guessed.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from data_contracts import columns as c
from data_contracts.errors import RunNotFound
from data_contracts.repairs import AFTER, BEFORE, COLUMN, REPAIR_ID
from flows.json_files import read_json_if
from flows.pseudonyms import known_key, pseudonym, resolved
from flows.recorded_rules import recorded_rules
from flows.records.chain import Chain
from flows.records.standing import standings
from flows.run_store import RunStore
from flows.trace_score import Place, place_of
from lightning_modules.days import EPOCH

Story = dict[str, Any]
_SHOWN = {
    "customers": (c.RISK_LEVEL, c.RISK_PREDICTED, c.INVESTMENT_CAPACITY, c.VALID_FROM),
    "assets": (c.ASSET_NAME, c.ASSET_CLASS, c.SECTOR, c.RISK_CLASS, c.VALID_FROM),
    "restricted": (c.LIST_KIND, c.VALID_FROM, c.VALID_TO, c.REASON),
    "transactions": (c.ASSET_ID, c.SIDE, c.DATE, c.VALUE, c.UNITS),
    "delivered_holdings": (c.AS_OF_DATE, c.UNITS),
    "prices": (c.DATE, c.CLOSE),
}


def trace(store: RunStore, run_id: str | None, customer: str, asset: str) -> Story:
    """The story of ``customer`` (an identifier, or a pseudonym from a page) and ``asset`` in a run (None: the one in force).

    Keys: run, customer, asset, outcome, source_rows, repairs, contracts, quarantined, history, attention, rules, gate. Raises
    RunNotFound where the run has no recommendations, or knows no such customer or asset.
    """
    run = store.find(run_id)
    if not (run / "recommendations.parquet").exists():
        raise RunNotFound(f"run {run.name} made no recommendations", remedy="`nightfolio runs` lists runs that did")
    customer = resolved(store.home, run, customer)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    present = run / "histories" / "present"
    profile = pl.read_parquet(present / "customers.parquet").filter(pl.col(c.CUSTOMER_ID) == customer).row(0, named=True)
    items = pl.read_parquet(present / "items.parquet")
    described = items.filter(pl.col(c.ASSET_ID) == asset)
    aside = _quarantined(run, customer, asset)
    if described.is_empty() and not any(row[c.ASSET_ID] == asset for row in aside):
        raise RunNotFound(
            f"run {run.name} knows no asset {asset!r}", remedy="use an asset_id of the source's assets table, as the run read it"
        )
    rules = _rules(run, customer, asset, bool(profile["has_profile"]))
    source = _source_rows(run, manifest, customer, asset, date.fromisoformat(manifest["as_of"]))
    known = None if described.is_empty() else place_of(run, manifest, customer, asset)
    return {
        "run": _run(store, run, manifest),
        "customer": {**profile, "pseudonym": pseudonym(known_key(store.home), customer)},
        "asset": described.row(0, named=True) if described.height else {c.ASSET_ID: asset},
        "outcome": _outcome(run, customer, asset, rules, known, described.is_empty()),
        "source_rows": source,
        "repairs": _repairs(run, source),
        "contracts": _contracts(run),
        "quarantined": aside,
        "history": _history(run, customer),
        "attention": _attention(run, customer, asset),
        "rules": rules,
        "gate": read_json_if(run / "gate.json"),
    }


def _run(store: RunStore, run: Path, manifest: Story) -> Story:
    standing = standings(Chain(store.home).links())[0].get(run.name)
    current = store.current()
    keys = ("number", "kind", "at", "by", "reason")
    return {
        "run_id": run.name,
        "as_of": manifest["as_of"],
        "state": run.parent.name if standing is None else standing.state,
        "in_force": current is not None and current.name == run.name,
        "manifest_sha256": None if standing is None else standing.manifest_sha256,
        "records": [] if standing is None else [link.record.model_dump(include=set(keys)) for link in standing.records],
        "superseded_by": None if standing is None else standing.superseded_by,
        "config_sha256": manifest["config_sha256"],
        "code": manifest["code"],
    }


def _rules(run: Path, customer: str, asset: str, has_profile: bool) -> list[Story]:
    """Every suitability rule, and whether this pair passed it."""
    folder = run / "recommendations"
    of_asset = pl.read_parquet(folder / "asset_exclusions.parquet").filter(pl.col(c.ASSET_ID) == asset)
    pairs = (
        pl.scan_parquet(folder / "exclusions.parquet")
        .filter((pl.col(c.CUSTOMER_ID) == customer) & (pl.col(c.ASSET_ID) == asset))
        .select(pl.col("rule_id").cast(pl.String))
        .collect()
    )
    whole = pl.read_parquet(folder / "customer_exclusions.parquet").filter(pl.col(c.CUSTOMER_ID) == customer)
    broken = {*of_asset["rule_id"], *pairs["rule_id"], *whole["rule_id"]}
    # A candidate that nobody may be offered is not asked again for each customer.
    asked = of_asset.is_empty() and has_profile
    flags = (
        pl.scan_parquet(run / "recommendations.parquet")
        .filter((pl.col(c.CUSTOMER_ID) == customer) & (pl.col(c.ASSET_ID) == asset))
        .collect()
    )
    # Rules that flag, and those of the list, are asked of what is published alone; an earlier version flagged nothing.
    flagged = set(flags["flags"][0]) if flags.height and "flags" in flags.columns else set()
    story: list[Story] = []
    for name, rule in recorded_rules(run).rules.items():
        unasked = not rule.on or not (asked if rule.effect == "exclude" and rule.kind != "list_limit" else flags.height)
        outcome = "removed" if name in broken else "flagged" if name in flagged else "not asked" if unasked else "passed"
        story.append({"rule_id": name, "words": rule.words, "source": rule.source, "outcome": outcome})
    return story


def _outcome(run: Path, customer: str, asset: str, rules: list[Story], known: Place | None, undescribed: bool) -> Story:
    rows = (
        pl.scan_parquet(run / "recommendations.parquet")
        .filter((pl.col(c.CUSTOMER_ID) == customer) & (pl.col(c.ASSET_ID) == asset))
        .collect()
    )
    again = {} if known is None else known.as_json()
    if rows.height:
        return {"verdict": "recommended", **rows.row(0, named=True), "scored_again": again}
    removed = [rule["rule_id"] for rule in rules if rule["outcome"] == "removed"]
    if removed:
        return {"verdict": "removed", "by": removed, "scored_again": again}
    if undescribed:
        return {"verdict": "not in the catalogue", "why": "its rows were set aside in quarantine, so no model knows it"}
    return {"verdict": "outranked", "scored_again": again}


def _source_rows(run: Path, manifest: Story, customer: str, asset: str, as_of: date) -> list[Story]:
    mine, its = pl.col(c.CUSTOMER_ID) == customer, pl.col(c.ASSET_ID) == asset
    asked = {
        "customers": mine,
        "assets": its,
        "restricted": its,
        "transactions": mine,
        "delivered_holdings": mine & its,
        "prices": its & (pl.col(c.DATE) <= as_of),
    }
    rows: list[Story] = []
    for table, wanted in asked.items():
        path = run / "snapshot" / f"{table}.parquet"
        if not path.exists():
            continue
        found = pl.scan_parquet(path).filter(wanted).collect()
        if table == "prices":
            found = found.sort(c.DATE).tail(1)  # the newest close is what a rule or a feature of the last day rests on
        rows += [_place(table, row, manifest) for row in found.iter_rows(named=True)]
    return rows


def _place(table: str, row: Story, manifest: Story) -> Story:
    files = [file["name"] for file in manifest["inputs"] if file["table"] == table]
    name = row.get(c.SOURCE_FILE) or (files[0] if len(files) == 1 else None)
    number = row[c.SOURCE_ROW]
    is_text = name is not None and ".csv" in name
    shown = {key: row[key] for key in _SHOWN[table] if row.get(key) is not None}
    # Of a text file the header is line 1, unless a field holds a line break.
    return {"table": table, "file": name, "row": number, "line": number + 1 if is_text else None, **shown}


def _repairs(run: Path, rows: list[Story]) -> list[Story]:
    """What a contract repaired in these rows before it accepted them."""
    found: list[Story] = []
    for table in sorted({row["table"] for row in rows}):
        path = run / "quarantine" / f"repairs_{table}.parquet"
        if path.exists():
            places = {(row["file"], row["row"]) for row in rows if row["table"] == table}
            near = pl.scan_parquet(path).filter(pl.col(c.SOURCE_ROW).is_in([row for _, row in places])).collect()
            found += [
                {
                    "table": table,
                    "file": row[c.SOURCE_FILE],
                    "row": row[c.SOURCE_ROW],
                    "rule": row[REPAIR_ID],
                    "column": row[COLUMN],
                    "before": row[BEFORE],
                    "after": row[AFTER],
                }
                for row in near.iter_rows(named=True)
                if (row[c.SOURCE_FILE], row[c.SOURCE_ROW]) in places
            ]
    return found


def _quarantined(run: Path, customer: str, asset: str) -> list[Story]:
    rows: list[Story] = []
    for path in sorted((run / "quarantine").glob("*.parquet")):
        frame = pl.scan_parquet(path)
        names = frame.collect_schema().names()
        by = [pl.col(name) == value for name, value in ((c.CUSTOMER_ID, customer), (c.ASSET_ID, asset)) if name in names]
        if not by or c.RULE_IDS not in names:
            continue
        # Of a table of trades the customer's; of a table of assets or closes the asset's.
        found = frame.filter(by[0]).collect()
        rows += [
            {
                "table": path.stem,
                "file": row[c.SOURCE_FILE],
                "row": row[c.SOURCE_ROW],
                c.ASSET_ID: row.get(c.ASSET_ID),
                "rule_ids": row[c.RULE_IDS],
                "reasons": row[c.REASONS],
            }
            for row in found.iter_rows(named=True)
        ]
    return rows


def _contracts(run: Path) -> list[Story]:
    return [
        {
            **{name: verdict[name] for name in ("table", "outcome", "read", "accepted", "quarantined")},
            "broken": [
                {name: rule[name] for name in ("rule_id", "outcome", "failed", "description")}
                for rule in verdict["rules"]
                if rule["failed"]
            ],
        }
        for verdict in read_json_if(run / "contracts" / "verdicts.json")
    ]


def _history(run: Path, customer: str) -> list[Story]:
    """What the model could read of the customer, oldest first."""
    from lightning_modules.histories import Histories

    histories = Histories.open(run / "histories" / "present")
    number = histories.customer_ids.index(customer)
    low, high = (int(histories.offsets[number + step]) for step in (0, 1))
    items = pl.read_parquet(run / "histories" / "present" / "items.parquet", columns=[c.ASSET_ID, c.ASSET_NAME])
    return [
        {
            c.DATE: EPOCH + timedelta(days=int(histories.days[event])),
            **items.row(int(histories.items[event]) - 1, named=True),
        }
        for event in range(low, high)
    ]


def _attention(run: Path, customer: str, asset: str) -> Story:
    """Weights of the pair over the customer's purchases, by every method that was recorded; heaviest first."""
    present = run / "histories" / "present"
    who = pl.read_parquet(present / "customers.parquet", columns=[c.CUSTOMER_ID])[c.CUSTOMER_ID].index_of(customer)
    items = pl.read_parquet(present / "items.parquet", columns=[c.ASSET_ID, c.ASSET_NAME]).with_columns(
        item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32)
    )
    what = items.filter(pl.col(c.ASSET_ID) == asset)["item"]
    found: Story = {}
    for method in ("attention", "leave_one_out"):
        path = run / "recommendations" / f"{method}.parquet"
        if path.exists() and len(what):
            weights = (
                pl.scan_parquet(path)
                .filter((pl.col("customer") == who) & (pl.col("candidate") == what[0]))
                .collect()
                .join(items, on="item", how="left", maintain_order="left")
                .sort("weight", descending=True)
            )
            found[method] = weights.select(c.ASSET_ID, c.ASSET_NAME, "weight").to_dicts()
    return found
