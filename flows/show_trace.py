"""The story of one line as plain text."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

Story = dict[str, Any]
MOST = 12
"""Rows of a kind that are printed; --json has all."""


def print_story(console: Console, story: Story) -> None:
    """From the outcome back to the rows it rests on, then who let it through."""
    run, customer, asset = story["run"], story["customer"], story["asset"]

    def line(text: str = "", style: str | None = None) -> None:
        console.print(escape(text), style=style, soft_wrap=True)

    def rows(title: str, found: list[str], none: str, most: int = MOST) -> None:
        line(f"\n{title}", "bold")
        for text in found[:most] or [none]:
            line(f"  {text}")
        if len(found) > most:
            line(f"  ... and {len(found) - most:,} more (--json has them)")

    line(f"{customer['customer_id']} ({customer['pseudonym']}) and {asset['asset_id']} {asset.get('asset_name') or ''}", "bold")
    line(f"run {run['run_id']}, as of {run['as_of']}, {run['state']}{', in force' if run['in_force'] else ''}")
    rows("Outcome", _outcome(story), "")
    rows("Attention", _attention(story["attention"]), "none was recorded for this pair")
    history = [f"{event['date']}  {event['asset_id']}  {event['asset_name']}" for event in reversed(story["history"])]
    rows(f"History that the model could read ({len(history):,} purchases, newest first)", history, "no purchase up to as_of")
    rules = [
        f"{rule['outcome']:<10}{rule['rule_id']}: where {rule['words']}" for rule in sorted(story["rules"], key=_worst_first)
    ]
    rows("Suitability rules", rules, "", len(rules))
    rows("Source rows", [_source(row) for row in _of_the_asset_first(story)], "none in the snapshot: retired")
    rows("Repairs of these rows", [_repair(row) for row in story["repairs"]], "none")
    rows("Rows set aside", [_aside(row) for row in story["quarantined"]], "none of this customer or asset")
    rows("Contracts", [_contract(table) for table in story["contracts"]], "")
    gate = _gate(story["gate"])
    rows("Gate", gate, "the run has no gate.json", len(gate))
    records = [
        f"record {one['number']}: {one['kind']} on {one['at']} by {one['by']}" + (f": {one['reason']}" if one["reason"] else "")
        for one in run["records"]
    ]
    if run["superseded_by"]:
        records.append(f"superseded by {run['superseded_by']}")
    rows("Records", records, "no record speaks of this run")
    line(f"\nmanifest {run['manifest_sha256']}, settings {run['config_sha256'][:12]}, code {run['code']['source_sha256'][:12]}")


def _outcome(story: Story) -> list[str]:
    found, again = story["outcome"], story["outcome"].get("scored_again") or {}
    if found["verdict"] == "recommended":
        said = [f"recommended at rank {found['rank']}, score {found['score']:.4f}, by {found['model_id']}", found["reason"]]
        said.append(f"explanation: {found['explanation']}")
        if again:
            same = "equal" if abs(again["score"] - found["score"]) <= 1e-5 * max(1.0, abs(found["score"])) else "DIFFERENT"
            said.append(f"scored again from the stored model: {again['score']:.4f} ({same})")
        return said
    if found["verdict"] == "removed":
        said = [f"not offered: removed by {', '.join(found['by'])}"]
        return said + ([f"its score would have been {again['score']:.4f}, by {again['model']}"] if again else [])
    if found["verdict"] == "outranked" and again:
        return [
            f"not offered: ranked {again['rank']} of {again['eligible']} eligible candidates with score {again['score']:.4f}; "
            f"the list ends at {again['k']}, with {again['last_listed']:.4f} (by {again['model']})"
        ]
    return [f"not offered: {found.get('why', 'eligible, and outranked; the model was retired, so its place is not known')}"]


def _attention(methods: Story) -> list[str]:
    return [
        f"{weight['weight']:.3f}  {weight['asset_id']}  {weight['asset_name']}  ({method.replace('_', ' ')})"
        for method, weights in methods.items()
        for weight in weights[: MOST // 2]
    ]


def _worst_first(rule: Story) -> int:
    return {"removed": 0, "flagged": 1, "passed": 2, "not asked": 3}[rule["outcome"]]


def _of_the_asset_first(story: Story) -> list[Story]:
    asset = story["asset"]["asset_id"]
    order = {"customers": 0, "assets": 1, "restricted": 2, "prices": 3, "delivered_holdings": 4, "transactions": 5}
    return sorted(story["source_rows"], key=lambda row: (row.get("asset_id", asset) != asset, order[row["table"]]))


def _source(row: Story) -> str:
    told = {name: value for name, value in row.items() if name not in ("table", "file", "row", "line")}
    place = f"{row['file'] or 'file not recorded'}, row {row['row']:,}" + (f" (line {row['line']:,})" if row["line"] else "")
    return f"{row['table']}: {place}: " + ", ".join(f"{name} {value}" for name, value in told.items())


def _repair(row: Story) -> str:
    change = f"{row['column']} {row['before']!r} became {row['after']!r}"
    return f"{row['table']}: {row['file']}, row {row['row']:,}: {change} ({row['rule']})"


def _aside(row: Story) -> str:
    asset = f" of {row['asset_id']}" if row["asset_id"] else ""
    return f"{row['table']}: {row['file']}, row {row['row']:,}{asset}: {', '.join(row['rule_ids'])} ({'; '.join(row['reasons'])})"


def _contract(table: Story) -> str:
    broken = "; ".join(f"{rule['rule_id']} {rule['failed']:,} ({rule['outcome']})" for rule in table["broken"])
    counts = f"{table['read']:,} rows read, {table['accepted']:,} accepted, {table['quarantined']:,} set aside"
    return f"{table['table']}: {table['outcome']}: {counts}" + (f": {broken}" if broken else "")


def _gate(gate: Story | None) -> list[str]:
    if gate is None:
        return []
    found = [f"{check['outcome'].replace('_', ' '):<16}{check['name']}: {check['measured']}" for check in gate["checks"]]
    return [f"verdict {gate['verdict']}, publish {gate['publish'].replace('_', ' ')}", *found]
