"""The contracts as pages a person reads: one Markdown page a table, made from the contract and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from data_contracts.contents import COMMON, FEWER
from data_contracts.contract import Before, Contract, Example, Repair, Rule
from data_contracts.errors import StorageError
from data_contracts.table_rules import WITHOUT_AMOUNT

_OUTCOMES = {
    "quarantine": "the row is set aside",
    "warn": "the row stays, the table is marked",
    "block": "the night stops",
}


def contract_page(contract: Contract) -> str:
    """One contract as Markdown: columns, repairs, rules with severity, limit and remedy, an example that breaks each."""
    lines = [
        f"# {contract.table}",
        "",
        f"{contract.description}. Version {contract.version}, sha256 {contract.sha256[:16]}.",
        "",
        f"Key: {', '.join(contract.key)}. "
        + (f"A row belongs to its {contract.date_column}. " if contract.date_column else "Not dated. ")
        + _whose(contract),
        "",
        "## Columns",
        "",
        *_table(("column", "type", "unit", "may be empty", "may be left out", "meaning", "for example"), _columns(contract)),
        "",
    ]
    if contract.repairs:
        lines += [
            "## Repairs",
            "",
            "Made before any rule is asked; what was there before is kept in quarantine/repairs_*.parquet.",
            "",
            *_table(("repair", "what is changed", "for example", "to do"), (_repair(repair) for repair in contract.repairs)),
            "",
        ]
    lines += [
        "## Rules",
        "",
        "Above its limit (share of rows, or of those that can break the rule) even a milder rule stops the night.",
        "",
        *_table(
            ("rule", "what must hold", "if a row breaks it", "limit", "may be released", "breaks it", "to do", "source"),
            (_rule(rule) for rule in contract.rules),
        ),
    ]
    lines += ["", "## Rules on the whole table", "", *(f"- {said}" for said in _whole_table(contract))]
    return "\n".join(lines) + "\n"


def _whose(contract: Contract) -> str:
    """Who makes the table, and whether it may be empty."""
    if contract.made:
        return "The night makes it; it may have no row."
    return "A source must have rows." if contract.rows_required else "A source may have no row."


def _whole_table(contract: Contract) -> Iterable[str]:
    """What is asked of the table as a whole, and what happens where it does not hold."""
    if contract.made:
        yield "columns: the file has the contract's columns, with their types, in their order, and no other; else the night stops"
        return
    if contract.rows_required:
        yield "row_count: it has rows; else the night stops"
    if contract.freshness is not None:
        yield f"freshness: its newest row is at most contracts.freshness_days old at as_of; else {_OUTCOMES[contract.freshness]}"
    yield "volume_change: rows changed by at most contracts.volume_change_limit since the last publication; else the night stops"
    yield "quarantine_share: at most contracts.quarantine_limits of its rows are set aside; else the night stops"
    if contract.without:
        yield "table_delivered: the source delivers it, be it without rows; else the table is marked"
    if contract.table == "transactions":
        yield (
            f"amounts_not_lost: at most {WITHOUT_AMOUNT:.0%} of its trades have no value or no units, where others have both and "
            "the source does not say which; else the table is marked"
        )
    yield (
        f"values_not_lost: no column has less than {FEWER:.0%} of the values that it had at the last publication, of as many "
        "rows; else the table is marked"
    )
    if contract.categories:
        yield (
            f"no_new_words, no_words_gone: in {', '.join(contract.categories)} no word is new since the last publication, and "
            f"none is gone that {COMMON:.0%} of the rows had; else the table is marked"
        )
    yield (
        "schema_new_column, schema_missing_column, schema_renamed_column, schema_retyped_column: its source has the columns of "
        "the last publication, under the contract's names; else the table is marked"
    )
    yield "schema_unlike_files: its files have the same columns, types and filled columns; else the table is marked"


def index_page(contracts: Mapping[str, Contract]) -> str:
    """All contracts with their versions."""
    rows = (
        (
            f"[{contract.table}]({contract.table}.md)",
            contract.version,
            contract.sha256[:16],
            str(len(contract.columns)),
            str(len(contract.rules)),
            contract.description,
        )
        for contract in contracts.values()
    )
    return (
        "\n".join(["# Data contracts", "", *_table(("table", "version", "sha256", "columns", "rules", "what it is"), rows)])
        + "\n"
    )


def write_docs(contracts: Mapping[str, Contract], out: Path) -> list[Path]:
    """Writes index.md and one page a table. Raises StorageError where the folder cannot be written."""
    pages = {"index": index_page(contracts)} | {name: contract_page(contract) for name, contract in contracts.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (out / f"{name}.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}", remedy="choose another --out") from error
    return [out / f"{name}.md" for name in pages]


def example_text(example: Example) -> str:
    """The changes of each row of an example; long ones are cut."""
    said = [", ".join(f"{name}={_value(value)}" for name, value in changes.items()) or "the usual row" for changes in example]
    return "; ".join(said[:4]) + (f"; and {len(said) - 4} more rows" if len(said) > 4 else "")


def _value(value: object) -> str:
    if isinstance(value, Before):
        return "as_of" if value.days == 0 else f"as_of {'-' if value.days > 0 else '+'} {abs(value.days)} days"
    if isinstance(value, date):
        return value.isoformat()
    return "empty" if value is None else repr(value)


def _columns(contract: Contract) -> Iterable[tuple[str, ...]]:
    for column in contract.columns:
        yield (
            column.name,
            str(column.dtype),
            column.unit,
            "yes" if column.nullable else "no",
            "no" if column.required else "yes",
            column.meaning,
            ", ".join(_value(value) for value in column.examples),
        )


def _repair(repair: Repair) -> tuple[str, ...]:
    return repair.repair_id, repair.description, example_text(repair.breaks), repair.remedy


def _rule(rule: Rule) -> tuple[str, ...]:
    return (
        rule.rule_id,
        rule.description,
        _OUTCOMES[rule.severity],
        "" if rule.limit == 1.0 else f"{rule.limit:.0%}" + ("" if rule.among is None else " of those that can"),
        "yes" if rule.releasable else "no",
        example_text(rule.breaks),
        rule.remedy,
        rule.source,
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(head), line("---" for _ in head), *(line(row) for row in rows)]
