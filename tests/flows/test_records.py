"""The chain of records: what is published, held and decided, what survives a crash, and that no alteration goes unnamed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_contracts.errors import ConfigError, DecisionRefused, RunNotFound, StorageError
from flows.bench.tamper import attack, key_at, small_home, small_manifest
from flows.bench.tamper_attempts import ATTEMPTS
from flows.bench.tamper_target import Attempt, edit
from flows.records.chain import Chain
from flows.records.publication import approve, finish_interrupted, note_correction, reject, settle
from flows.records.record import GENESIS
from flows.records.standing import standings
from flows.records.verify import verify
from flows.run_store import RunStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    """A small home (:func:`flows.bench.tamper.small_home`), its key outside it."""
    with key_at(tmp_path / "record.key"):
        small_home(tmp_path / "home")
        yield RunStore(tmp_path / "home")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[RunStore]:
    with key_at(tmp_path / "record.key"):
        yield RunStore(tmp_path / "home")


def stage(store: RunStore, run_id: str, publish: str | None = "now") -> Path:
    run = store.home / "staging" / run_id
    run.mkdir()
    (run / "recommendations.csv").write_text(run_id)
    if publish:
        checks = [{"name": "Rows add up", "outcome": "block"}, {"name": "Drift", "outcome": "not_applicable"}]
        (run / "gate.json").write_text(json.dumps({"publish": publish, "checks": checks}))
    return run


def made(store: RunStore, run_id: str, publish: str | None = "now") -> Path:
    run = stage(store, run_id, publish)
    return settle(store, run, small_manifest(run))


def current(store: RunStore) -> str | None:
    found = store.current()
    return None if found is None else found.name


def faults(store: RunStore) -> list[str]:
    return [str(fault) for fault in verify(store).faults]


def test_a_run_that_passed_no_gate_is_not_published(empty: RunStore) -> None:
    with pytest.raises(StorageError, match=r"has no gate\.json"):
        made(empty, "2024-06-28-01", publish=None)
    assert current(empty) is None


def test_a_whole_home_is_found_whole(store: RunStore) -> None:
    found = verify(store)
    assert found.faults == found.notes == ()
    assert (found.records, found.runs) == (12, 7)
    assert found.files == 7 * 5
    assert found.bytes == sum(path.stat().st_size for path in store.home.glob("[ph]*/2*/**/*") if path.is_file())
    assert found.head.number == 12


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_every_attempt_to_alter_a_home_is_caught_and_named(attempt: Attempt) -> None:
    (result,) = attack(attempts=(attempt,))
    assert result.caught, f"{attempt.name}: nothing names it"


def test_an_attempt_that_alters_nothing_is_not_caught() -> None:
    (result,) = attack(attempts=(Attempt("nothing", lambda _: "altered"),))
    assert not result.caught


def test_each_record_holds_the_hash_of_the_one_before_and_each_manifest_the_publication_before(store: RunStore) -> None:
    links = Chain(store.home).links()
    assert [link.record.previous for link in links] == [GENESIS, *(link.sha256 for link in links[:-1])]
    assert [(link.record.kind, link.record.run_id) for link in links[2:5]] == [
        ("held", "2024-06-27-01"),
        ("approved", "2024-06-27-01"),
        ("held", "2024-06-27-02"),
    ]
    last = json.loads((store.home / "published" / "2024-06-29-02" / "manifest.json").read_text())
    assert last["records"] == {"number": 11, "head": links[10].sha256}
    assert last["previous"] == {"run_id": "2024-06-27-01", "manifest_sha256": links[3].record.manifest_sha256}


def test_a_filed_head_is_found_in_the_chain_and_an_unknown_one_is_named(store: RunStore) -> None:
    links = Chain(store.home).links()
    assert verify(store, heads=[links[3].sha256, links[-1].sha256]).faults == ()
    (fault,) = verify(store, heads=["f" * 64]).faults
    assert "the filed head ffff" in fault.what


def test_without_the_key_the_hashes_are_checked_and_the_verdict_says_what_is_not(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "record.key").unlink()
    assert "the record key is gone" in faults(store)[0]
    found = verify(store, without_key=True)
    assert found.faults == ()
    assert "signatures were not checked" in found.notes[0]
    edit(store.home / "records" / "000004.json")
    assert verify(store, without_key=True).faults


def test_no_new_key_is_made_while_there_are_records(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "record.key").unlink()
    with pytest.raises(StorageError, match="the record key is gone"):
        made(store, "2024-07-01-01")
    assert not (tmp_path / "record.key").exists()


def test_the_key_is_its_owners_and_a_readable_one_is_noted(store: RunStore, tmp_path: Path) -> None:
    assert (tmp_path / "record.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "record.key").chmod(0o644)
    assert "others than its owner may read the record key" in verify(store).notes[0]


def test_nothing_is_published_on_a_broken_chain(store: RunStore) -> None:
    edit(store.home / "records" / "000002.json")
    with pytest.raises(StorageError, match=r"(?s)not as it was written.*000002") as caught:
        made(store, "2024-07-01-01")
    assert "nightfolio verify" in caught.value.remedy
    with pytest.raises(StorageError):
        finish_interrupted(store)


def test_one_file_is_read_where_one_run_is_asked_for(store: RunStore) -> None:
    edit(store.home / "published" / "2024-06-25-01" / "recommendations.csv")
    assert verify(store, run_id="2024-06-26-01").faults == ()
    assert [fault.where for fault in verify(store).faults] == ["published/2024-06-25-01/recommendations.csv"]


def test_a_run_without_a_record_is_not_found_whole(store: RunStore) -> None:
    (fault,) = verify(store, run_id="2024-01-01-01").faults
    assert "no record speaks of this run" in fault.what


# ---- the gate's states -----------------------------------------------------------------------------------------------


def test_a_run_is_published_held_or_blocked_as_the_gate_says(empty: RunStore, caplog: pytest.LogCaptureFixture) -> None:
    assert made(empty, "2024-06-28-01").parent.name == "published"
    assert made(empty, "2024-06-29-01", "after_approval").parent.name == "held"
    assert "2024-06-29-01 waits for a decision: nightfolio approve" in caplog.text
    assert made(empty, "2024-06-30-01", "never").parent.name == "held"
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert error == "BLOCKED: run 2024-06-30-01 is NOT published (Rows add up); run 2024-06-28-01 stays in force"
    assert current(empty) == "2024-06-28-01"
    assert {run.run_id: run.state for run in standings(Chain(empty.home).links())[0].values()} == {
        "2024-06-28-01": "published",
        "2024-06-29-01": "held",
        "2024-06-30-01": "blocked",
    }


def test_an_unknown_word_of_the_gate_publishes_nothing(empty: RunStore) -> None:
    with pytest.raises(StorageError, match="publish = 'perhaps'"):
        made(empty, "2024-06-28-01", "perhaps")
    assert Chain(empty.home).links() == []


def test_an_approved_run_is_published_with_who_and_why(empty: RunStore) -> None:
    made(empty, "2024-06-28-01", "after_approval")
    assert current(empty) is None
    assert approve(empty, "2024-06-28-01", " A.  Person ", "looked\nat it").parent.name == "published"
    record = Chain(empty.home).links()[-1].record
    assert (record.kind, record.by, record.reason) == ("approved", "A. Person", "looked at it")
    assert "@" in record.account
    assert current(empty) == "2024-06-28-01"
    assert faults(empty) == []


def test_a_rejected_run_stays_where_it_is(empty: RunStore) -> None:
    made(empty, "2024-06-28-01")
    made(empty, "2024-06-29-01", "after_approval")
    assert reject(empty, "2024-06-29-01", "A. Person", "no").parent.name == "held"
    assert current(empty) == "2024-06-28-01"
    assert faults(empty) == []


@pytest.mark.parametrize("decide", [approve, reject])
def test_a_decision_is_refused_where_there_is_none_to_make(store: RunStore, decide: type(approve)) -> None:  # type: ignore[valid-type]
    before = len(Chain(store.home).links())
    for run_id, error, message in (
        ("2024-06-30-01", RunNotFound, "no run '2024-06-30-01'"),
        ("2024-06-25-01", DecisionRefused, r"was published on .*without a decision"),
        ("2024-06-27-01", DecisionRefused, r"was approved on .* by A. Person: looked at it"),
        ("2024-06-28-01", DecisionRefused, r"was rejected on .* by A. Person"),
        ("2024-06-29-01", DecisionRefused, r"(?s)was blocked by the gate \(Accuracy\).*a block cannot be approved"),
    ):
        with pytest.raises(error, match=message):
            decide(store, run_id, "B. Person", "again")
    for by, reason in (("", "why"), ("who", " \n"), ("who", "bell \a"), ("w" * 3000, "why")):
        with pytest.raises(ConfigError, match=r"--by|--reason"):
            decide(store, "2024-06-27-02", by, reason)
    assert len(Chain(store.home).links()) == before


def test_a_held_run_that_was_altered_cannot_be_approved(store: RunStore) -> None:
    edit(store.home / "held" / "2024-06-27-02" / "recommendations.csv")
    with pytest.raises(DecisionRefused, match=r"(?s)not as it was made.*held/2024-06-27-02/recommendations.csv: altered"):
        approve(store, "2024-06-27-02", "A. Person", "did not look")


# ---- corrections, and what is in force ---------------------------------------------------------------------------------


def test_a_later_run_of_the_same_day_supersedes_and_overwrites_nothing(empty: RunStore) -> None:
    first = made(empty, "2024-06-28-01")
    before = (first / "manifest.json").read_bytes()
    made(empty, "2024-06-28-02")
    runs, _ = standings(Chain(empty.home).links())
    assert runs["2024-06-28-02"].supersedes == "2024-06-28-01"
    assert runs["2024-06-28-01"].superseded_by == "2024-06-28-02"
    assert (first / "manifest.json").read_bytes() == before
    assert current(empty) == "2024-06-28-02"


def test_what_is_older_cannot_correct_what_is_newer(empty: RunStore) -> None:
    made(empty, "2024-06-28-01", "after_approval")
    made(empty, "2024-06-28-02")
    with pytest.raises(DecisionRefused, match="run 2024-06-28-02 of the same day was made after 2024-06-28-01"):
        approve(empty, "2024-06-28-01", "A. Person", "late")
    reject(empty, "2024-06-28-01", "A. Person", "a newer one is published")


def test_current_never_goes_back(empty: RunStore) -> None:
    made(empty, "2024-06-28-01")
    made(empty, "2024-06-27-01")
    assert current(empty) == "2024-06-28-01"
    made(empty, "2024-06-26-01", "after_approval")
    approve(empty, "2024-06-26-01", "A. Person", "for the archive")
    assert current(empty) == "2024-06-28-01"
    assert faults(empty) == []


def test_a_correction_says_what_it_corrects_and_why(empty: RunStore) -> None:
    made(empty, "2024-06-28-01")
    for wrong, message in (("2024-06-27-01", "is not published"), ("2024-06-28-09", "is not published")):
        with pytest.raises(DecisionRefused, match=message):
            note_correction(empty.home / "staging" / "2024-06-28-02", empty, wrong, "why")
    with pytest.raises(DecisionRefused, match="is of another day"):
        note_correction(empty.home / "staging" / "2024-06-29-01", empty, "2024-06-28-01", "why")
    run = stage(empty, "2024-06-28-02", "after_approval")
    note_correction(run, empty, "2024-06-28-01", "prices of one market were late")
    settle(empty, run, small_manifest(run))
    assert Chain(empty.home).links()[-1].record.reason == "prices of one market were late"
    approve(empty, "2024-06-28-02", "A. Person", "checked the prices")
    assert standings(Chain(empty.home).links())[0]["2024-06-28-01"].superseded_by == "2024-06-28-02"
    with pytest.raises(DecisionRefused, match="was superseded by 2024-06-28-02 already"):
        note_correction(empty.home / "staging" / "2024-06-28-03", empty, "2024-06-28-01", "once more")


# ---- crashes and races ---------------------------------------------------------------------------------------------------

DIES = """
import os, sys
from pathlib import Path
from flows.bench.tamper import small_manifest
from flows.records.publication import settle
from flows.run_store import RunStore
setattr(RunStore, sys.argv[2], lambda *_: os._exit(9))
store = RunStore(Path(sys.argv[1]))
run = store.home / "staging" / "2024-06-29-01"
settle(store, run, small_manifest(run))
"""


@pytest.mark.parametrize("at", ["move", "point_current"])
@pytest.mark.parametrize("swept", [False, True])
def test_a_process_that_dies_in_between_is_named_and_finished(empty: RunStore, at: str, swept: bool) -> None:
    made(empty, "2024-06-28-01")
    stage(empty, "2024-06-29-01")
    assert subprocess.run([sys.executable, "-c", DIES, str(empty.home), at], check=False).returncode == 9
    said = faults(empty)
    assert len(Chain(empty.home).links()) == 2
    if at == "move":
        assert "still lies in staging/: its process died in between" in said[0]
    else:
        assert said == ["published/CURRENT: points at 2024-06-28-01, but 2024-06-29-01 is in force by the records"]
    if swept:
        empty.sweep()  # as a night does that began before the other died
    finish_interrupted(empty)
    assert faults(empty) == []
    assert current(empty) == "2024-06-29-01"
    assert len(Chain(empty.home).links()) == 2, "it was recorded already"


def test_what_changed_since_the_process_died_is_not_finished(empty: RunStore) -> None:
    run = stage(empty, "2024-06-29-01")
    assert subprocess.run([sys.executable, "-c", DIES, str(empty.home), "move"], check=False).returncode == 9
    (run / "recommendations.csv").write_text("other")
    with pytest.raises(StorageError, match=r"its process died; since then it changed: .*recommendations.csv: altered"):
        finish_interrupted(empty)


def test_a_folder_that_someone_puts_there_is_never_given_a_record(store: RunStore) -> None:
    forged = store.home / "published" / "2024-06-30-01"
    forged.mkdir()
    (forged / "manifest.json").write_text(json.dumps(small_manifest(forged)))
    finish_interrupted(store)
    made(store, "2024-07-01-01")
    assert faults(store) == ["published/2024-06-30-01: no record speaks of this run: added, or its record was deleted"]


APPENDS = """
import sys
from pathlib import Path
from flows.records.chain import Chain
for number in range(20):
    with Chain(Path(sys.argv[1])).appending() as chain:
        chain.append("published", f"{sys.argv[2]}-{number:02d}", "0" * 64, by="x", detail={})
"""


def test_two_processes_append_one_after_the_other(empty: RunStore) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", APPENDS, str(empty.home), name]) for name in ("a", "b")]
    assert [writer.wait(300) for writer in writers] == [0, 0]
    chain = Chain(empty.home)
    links, found = chain.inspect((Path(os.environ["NIGHTFOLIO_RECORD_KEY_FILE"])).read_bytes())
    assert found == []
    assert [link.record.number for link in links] == list(range(1, 41))
    assert len({link.record.run_id for link in links}) == 40


def test_a_record_is_never_written_over(empty: RunStore) -> None:
    made(empty, "2024-06-28-01")
    with Chain(empty.home).appending() as chain:
        (empty.home / "records" / "000002.json").write_text("someone was faster")
        with pytest.raises(FileExistsError):
            chain.append("published", "2024-06-29-01", "0" * 64, by="x", detail={})
    assert (empty.home / "records" / "000002.json").read_text() == "someone was faster"


def test_records_hold_no_path_of_the_machine(store: RunStore) -> None:
    for path in (store.home / "records").glob("*.json"):
        assert not re.search(r'"/|\\\\|/tmp|/home', path.read_text(encoding="utf-8"))


# ---- homes without a chain, and files edited so that they cannot be read ------------------------------------------------


def test_where_there_is_no_chain_nothing_is_found_whole(tmp_path: Path) -> None:
    with key_at(tmp_path / "record.key"):
        with pytest.raises(RunNotFound, match=r"there is no chain here: .*missing does not exist"):
            verify(RunStore(tmp_path / "missing", write=False))
        with pytest.raises(RunNotFound, match=r"there is no chain here: .*holds no records"):
            verify(RunStore(tmp_path / "home"))


@pytest.mark.parametrize("left", ["record.key", "record.key.head"])
def test_a_wiped_home_is_given_away_by_what_lies_beside_the_key(store: RunStore, tmp_path: Path, left: str) -> None:
    for folder in ("records", "published", "held"):
        shutil.rmtree(store.home / folder)
    assert faults(store)
    for path in tmp_path.glob("record.key*"):
        if path.name != left:
            path.unlink()
    assert faults(store) == [f"records: there are none, but {left} show that there were: deleted"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("records/000004.json", lambda text: re.sub(r'"mac": ".*"', '"mac": "é"', text)),
        ("records/000004.json", lambda text: re.sub(r'"reason": ".*"', r'"reason": "\\ud800"', text)),
        ("records/000004.json", lambda text: re.sub(r'"supersedes": null', '"supersedes": [[]]', text)),
        ("records/000004.json", lambda text: re.sub(r'"previous_publication": \{[^}]*\}', '"previous_publication": "x"', text)),
        ("records/000004.json", lambda text: text.replace('"approved"', '"retired"')),
        ("records/000004.json", lambda _: "[" * 200_000),
        ("published/2024-06-29-02/manifest.json", lambda _: "[" * 200_000),
        ("published/2024-06-29-02/manifest.json", lambda text: json.dumps({**json.loads(text), "records": "x"})),
        ("published/2024-06-29-02/manifest.json", lambda text: json.dumps({**json.loads(text), "previous": "x"})),
        ("published/2024-06-29-02/manifest.json", lambda text: json.dumps({**json.loads(text), "previous": {"run_id": []}})),
        ("published/2024-06-29-02/manifest.json", lambda _: '{"outputs": [{"path": 1, "sha256": "x"}]}'),
    ],
)
def test_no_edit_stops_the_verdict(store: RunStore, name: str, change: Callable[[str], str]) -> None:
    path = store.home / name
    before = path.read_text(encoding="utf-8")
    path.chmod(0o644)
    path.write_text(change(before), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != before
    assert any(fault.startswith(name) for fault in faults(store))


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[" * 200_000, '{"number": 1e999, "sha256": "x", "mac": "x"}', '{"number": 9, "sha256": "x", "mac": "é"}'],
)
def test_a_damaged_filed_head_is_a_fault(store: RunStore, tmp_path: Path, content: str) -> None:
    (tmp_path / "record.key.head").write_text(content, encoding="utf-8")
    (fault,) = faults(store)
    assert fault.startswith("record.key.head: ")
    assert verify(store, without_key=True).faults == ()


def test_a_missing_filed_head_is_noted(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "record.key.head").unlink()
    found = verify(store)
    assert found.faults == ()
    assert "no head is filed beside the record key" in found.notes[0]


def test_a_block_names_the_checks_that_block_and_keeps_warnings_apart(empty: RunStore) -> None:
    run = stage(empty, "2024-06-28-01")
    outcomes = {"Rows add up": "block", "Drift": "warn", "Speed": "not_measured", "Ranks": "pass"}
    checks = [{"name": name, "outcome": outcome} for name, outcome in outcomes.items()]
    (run / "gate.json").write_text(json.dumps({"publish": "never", "checks": checks}))
    settle(empty, run, small_manifest(run))
    detail = Chain(empty.home).links()[-1].record.detail
    assert detail == {"checks": ["Rows add up"], "warnings": ["Drift", "Speed"]}
    with pytest.raises(DecisionRefused, match=r"blocked by the gate \(Rows add up\)"):
        approve(empty, "2024-06-28-01", "A. Person", "why not")
