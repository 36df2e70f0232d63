"""The shape of a contract: columns with types and units, and rules with a severity, a limit and a remedy.

A rule says once what a bad row is, as a Polars expression (or, for facts that need more than the row, as a search
for the bad rows), and names the Great Expectations expectation that must come to the same count. The two engines
check each other; ``checkpoint`` stops when they disagree.

What keeps a rule cheap on a hundred million rows. ``bad``: all expressions of a table are summed in one streaming pass,
so it must be one (no sort, no window, no Python function), and it costs what its columns cost to read. ``search``: it
makes passes of its own, so it should select its few columns first, collect with the streaming engine, and bring home only
the rows it finds; join with small tables; group by a hash of a key, not by its text. A search for rows that share a key
is a ``RepeatSearch``: those of one table share one pass, and are cheapest where their keys have columns in common.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from data_contracts.check_context import CheckContext

if TYPE_CHECKING:
    from data_contracts.carried import Continued

Severity = Literal["quarantine", "warn", "block"]

ROW = "_row"  # position in the landed table, 0-based; unique, unlike _source_row when a table has several files
AS_OF = "_as_of"  # the night's date as a column, so that rules stay constants


@dataclass(frozen=True)
class Before:
    """A day of an example: so many days before as_of (after it where negative), whatever day as_of is."""

    days: int


@dataclass(frozen=True)
class Column:
    """One column: its type, what it means, its unit, and whether a value may be absent.

    ``examples``: sound values, the first of them the usual one; samples are drawn from them.
    """

    name: str
    dtype: pl.DataType
    meaning: str
    unit: str = ""
    nullable: bool = False
    # False: a source may leave the column out; it is then null in every row.
    required: bool = True
    examples: tuple[object, ...] = (None,)


@dataclass(frozen=True)
class Expectation:
    """A Great Expectations expectation by class name, so that contracts need not import the library.

    ``constants``: columns of one value each that are added for it, e.g. a bound to compare a column with.
    """

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, float | date] = field(default_factory=dict)


# Finds the rows (values of ROW) that break a rule which needs other rows or other tables.
# None means that the rule cannot be asked here, e.g. the table it refers to is absent.
Search = Callable[[pl.LazyFrame, CheckContext], "pl.Series | None"]

# Answers a search for a table whose first rows were searched before: the rows that break the rule, all of them. None means
# that it has to be asked of all rows again.
Carry = Callable[["Rule", "Continued"], "pl.Series | None"]

# What an example of a failing row says besides its values: (table, ROW numbers shown, context) -> text by ROW number.
Detail = Callable[[pl.LazyFrame, pl.Series, CheckContext], "dict[int, str]"]

# Rows as changes of the contract's sound row: ({"units": 0.0},) is one row with 0 units, ({}, {}) the sound row twice.
Example = tuple[Mapping[str, object], ...]


@dataclass(frozen=True)
class RepeatSearch:
    """A search for rows that agree with another row on all columns of ``key``.

    ``find`` is a Search that is given such rows alone: at least all of them, in the order of the table. Searches of one
    table share the pass that looks for them (see ``repeats``); called by itself, a search makes that pass alone.
    """

    key: tuple[str, ...]
    find: Callable[[pl.LazyFrame, CheckContext], pl.Series]

    def __call__(self, rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        from data_contracts.repeats import find_alone

        return find_alone(self, rows, context)


@dataclass(frozen=True)
class Rule:
    """One rule on rows: ``bad`` (an expression that is true where the row breaks it) or ``search``.

    ``complaint`` completes the sentence "3 rows ..."; ``{is}`` and ``{has}`` agree with the number, ``{as_of}`` and
    ``{jump}`` may stand in it. ``limit``: the share of failing rows above which even a milder severity stops the night;
    of all rows, or of those for which ``among`` is true where only they can break the rule.
    A null never breaks a rule unless the rule is about nulls. ``breaks``: rows of which at least one breaks it;
    ``keeps``: rows that come close and are sound. ``releasable``: a steward may let a row pass it with a reason; not so
    where a later step relies on the rule, or where a row's content cannot tell it from its copy. ``carry``: how its search goes
    on from what the night before found (None: it is asked of all rows every night).
    """

    rule_id: str
    description: str
    columns: tuple[str, ...]
    severity: Severity
    complaint: str
    remedy: str
    bad: pl.Expr | None = None
    search: Search | None = None
    expectation: Expectation | None = None
    limit: float = 1.0
    breaks: Example = ()
    keeps: Example = ()
    releasable: bool = False
    detail: Detail | None = None
    among: pl.Expr | None = None
    carry: Carry | None = None
    # Where the rule comes from: a standard, a regulation, a known fault of a source.
    source: str = ""

    def __post_init__(self) -> None:
        if (self.bad is None) == (self.search is None):
            raise ValueError(f"rule {self.rule_id}: give either bad or search")
        if not 0.0 <= self.limit <= 1.0:
            raise ValueError(f"rule {self.rule_id}: limit {self.limit} is not a share between 0 and 1")

    @property
    def statement(self) -> str:
        """The expression, or the search with its arguments, as text."""
        if self.bad is not None:
            return str(self.bad) + self._of
        search = self.search.find if isinstance(self.search, RepeatSearch) else self.search
        # A search is a closure over its arguments.
        values = [str(cell.cell_contents) for cell in getattr(search, "__closure__", None) or ()]
        name = getattr(search, "__qualname__", type(search).__name__).split(".")[0]
        return f"{name}({', '.join(values)})" + self._of

    @property
    def _of(self) -> str:
        return "" if self.among is None else f" among {self.among}"

    @property
    def looks_at_as_of(self) -> bool:
        """Whether what breaks the rule tonight may keep it another night."""
        return self.bad is not None and AS_OF in self.bad.meta.root_names()

    @property
    def ok_column(self) -> str:
        """The boolean column that says whether a row keeps this rule."""
        return f"_ok_{self.rule_id}"


@dataclass(frozen=True)
class Repair:
    """A documented change of one column, made and counted before any rule is asked.

    ``when`` is true where the value is changed, ``value`` what it becomes. Only what has one possible meaning is
    repaired; whatever is doubtful is for the rules. ``suspect`` is true wherever ``when`` is and cheap to ask of every
    row, since most tables need no repair; None: ``when`` is cheap itself. ``breaks`` and ``keeps`` as in a rule.
    """

    repair_id: str
    description: str
    column: str
    when: pl.Expr
    value: pl.Expr
    remedy: str
    suspect: pl.Expr | None = None
    breaks: Example = ()
    keeps: Example = ()
    # What was there before, where the column does not say it any more; None: the column's own text.
    before: pl.Expr | None = None


@dataclass(frozen=True)
class Contract:
    """What one table must be. ``version`` changes whenever a column, a repair or a rule does.

    ``categories``: columns of few different values: told where one is new since the last publication, or has gone.
    ``without``: what it means for the night that a source does not deliver the table at all; empty: nothing is amiss then.
    """

    table: str
    version: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    # The column whose value after as_of makes a row belong to the future; None: the table is not dated.
    date_column: str | None = None
    # False: an empty table is fine (a source without a restricted list).
    rows_required: bool = True
    # What a newest row older than freshness_days does; None: the table is allowed to be old.
    freshness: Severity | None = None
    repairs: tuple[Repair, ...] = ()
    # True: the night makes the table itself. Nothing is set aside then, for a bad row of our own is a fault to be mended.
    made: bool = False
    # Text columns that are numbered once, for all that groups or looks up by them: worthwhile where a table is large.
    coded: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    without: str = ""
    # Tables on which the answers of searches with ``carry`` depend.
    carry_needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.made and (self.repairs or any(rule.severity == "quarantine" for rule in self.rules)):
            raise ValueError(f"contract {self.table}: a table that the night makes is neither repaired nor quarantined")
        ids = [rule.rule_id for rule in self.rules] + [repair.repair_id for repair in self.repairs]
        if len(set(ids)) != len(ids):
            raise ValueError(f"contract {self.table}: a rule id is used twice")
        repaired = [repair.column for repair in self.repairs]
        if len(set(repaired)) != len(repaired):
            raise ValueError(f"contract {self.table}: a column has two repairs, and one would not see what the other did")

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column name to Polars type, in the table's order."""
        return {column.name: column.dtype for column in self.columns}

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def sound_row(self) -> dict[str, object]:
        """The row that examples are changes of: every column's usual value, days as ``Before``."""
        return {column.name: column.examples[0] for column in self.columns}

    @property
    def sha256(self) -> str:
        """Hash of what the contract says: columns, repairs and rules, with their expressions and the searches' arguments."""
        said: dict[str, Any] = {
            "columns": [[one.name, str(one.dtype), one.meaning, one.unit, one.nullable, one.required] for one in self.columns],
            "table": [self.table, self.key, self.date_column, self.rows_required, self.freshness],
            "repairs": [[r.repair_id, r.description, r.column, str(r.when), str(r.value), r.remedy] for r in self.repairs],
            "rules": [
                [r.rule_id, r.description, r.columns, r.severity, r.complaint, r.remedy, r.limit, r.releasable, r.statement]
                for r in self.rules
            ],
        }
        if self.made:
            said["made"] = True
        if self.categories or self.without:
            said["told"] = [*self.categories, self.without]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
