"""What came of a trial, held against what had to come of it."""

from __future__ import annotations

from data_contracts.corruptions.case import Corruption, Expected
from data_contracts.corruptions.trial import Clean, Found


def complaints(corruption: Corruption, found: Found, clean: Clean) -> list[str]:
    """What is not as expected: empty where the trial went as it must."""
    expected, wrong = corruption.expected, []
    if found.crash:
        return [f"a bare error: {found.crash.strip().splitlines()[-1]}"]
    if not found.conserved:
        wrong.append("rows are not conserved")
    if found.outcome != expected.outcome:
        wrong.append(f"{found.outcome} instead of {expected.outcome}")
    if expected.outcome == "refused":
        wrong += _missing_words(found.error, expected.file, expected.says, "remedy: ")
        return wrong
    if expected.rule:
        wrong += _rule_complaints(expected, found)
    if expected.outcome == "withheld" and found.withheld.get(expected.table) != expected.count:
        wrong.append(f"{found.withheld.get(expected.table)} rows withheld instead of {expected.count}")
    if expected.outcome == "reported":
        wrong += _missing_words(" ".join(found.notes.get(expected.table, ())), expected.says)
    if expected.outcome in ("identical", "reported") and not (found.same_bytes if expected.in_bytes else found.same_rows):
        wrong.append("accepted tables differ from those of the sound delivery")
    if expected.outcome != "blocked":
        lost = {table: clean.accepted[table] - rows for table, rows in found.accepted.items() if clean.accepted[table] != rows}
        if lost != {table: rows for table, rows in expected.lost.items() if rows}:
            wrong.append(f"accepted rows lost: {lost} instead of {dict(expected.lost)}")
    return wrong


def told(found: Found) -> list[str]:
    """What a person is told of a spoilt delivery: the error that stopped the night, or every finding with its remedy."""
    if found.crash or found.error:
        return (found.crash or found.error).splitlines()
    findings = [f"{one.message} [{one.rule}] remedy: {one.remedy}" for one in found.findings]
    return findings + [note for notes in found.notes.values() for note in notes]


def _rule_complaints(expected: Expected, found: Found) -> list[str]:
    findings = [one for one in found.findings if (one.table, one.rule) == (expected.table, expected.rule)]
    if not findings:
        return [f"{expected.table}.{expected.rule} found nothing"]
    (finding,) = findings
    wrong = [] if finding.count == expected.count else [f"{finding.count} found instead of {expected.count}"]
    said = found.error if found.outcome == "blocked" else finding.message
    if "(no file)" not in said:
        wrong += _missing_words(said, f"{expected.table} (")
        wrong += [] if ".csv" in said or ".parquet" in said else [f"no file is named in the message {said!r}"]
    if found.outcome == "blocked":
        wrong += _missing_words(said, f"[{expected.rule}]", "remedy: ")
    if not finding.remedy:
        wrong.append(f"{expected.rule} has no remedy")
    return wrong


def _missing_words(said: str, *words: str) -> list[str]:
    return [f"{word!r} is not in the message {said!r}" for word in words if word not in said]
