"""Every check of the gate in every state that it can take, on literal tables with exact answers."""

from __future__ import annotations

from typing import Any, get_args

import polars as pl
import pytest

from flows.gate import accuracy, data, explanation, fairness, offer
from flows.gate.finding import Finding
from flows.gate.step import decide
from flows.sections.gate import GateConfig
from reports.drift_columns import DriftVerdict
from reports.evidence import Absent

DEFAULT = GateConfig()
ACTS = [name for name, field in GateConfig.model_fields.items() if get_args(field.annotation) == ("warn", "block")]
BLOCKING = GateConfig.model_validate(dict.fromkeys(ACTS, "block"))
"""Every check that may block does."""


def metrics(model: str = "ours", **values: Any) -> pl.DataFrame:
    """One model over all customers; ``values`` replace what is not at stake."""
    row = {
        "model": model,
        "segment_kind": "all",
        "segment": "all",
        "n_customers": 400,
        "ndcg_at_10": 0.2,
        "ndcg_at_10_low": 0.19,
        "ndcg_at_10_high": 0.21,
        "ndcg_gain": 0.05,
        "ndcg_gain_low": 0.04,
        "ndcg_gain_high": 0.06,
        "ease_gain": 0.02,
        "ease_gain_low": 0.01,
        "ease_gain_high": 0.03,
    }
    return pl.DataFrame([row | values])


@pytest.mark.parametrize(
    ("low", "high", "n", "outcome"),
    [
        (0.04, 0.06, 400, "pass"),
        (-0.01, 0.06, 400, "warn"),
        (-0.06, -0.01, 400, "block"),
        (0.04, 0.06, 19, "warn"),
        (-0.06, -0.01, 19, "warn"),
        (None, None, 1, "warn"),
    ],
)
def test_popularity(low: float | None, high: float | None, n: int, outcome: str) -> None:
    table = metrics(ndcg_gain_low=low, ndcg_gain_high=high, n_customers=n)
    found = accuracy.against_popularity(table, "ours", DEFAULT)
    assert found.outcome == outcome
    if outcome == "block":
        assert "worse than a list that is the same for all" in found.measured
        assert accuracy.against_popularity(table, "ours", GateConfig(popularity="warn")).outcome == "warn"
    if low is None:
        assert "[unknown, unknown]" in found.measured


def test_popularity_itself_has_no_rival() -> None:
    assert accuracy.against_popularity(metrics("popularity"), "popularity", DEFAULT).outcome == "not_applicable"
    assert accuracy.against_ease(metrics("ease"), "ease", DEFAULT).outcome == "not_applicable"


@pytest.mark.parametrize(("low", "outcome"), [(0.001, "pass"), (0.0, "warn"), (-0.01, "warn"), (None, "warn")])
def test_ease(low: float | None, outcome: str) -> None:
    table = metrics(ease_gain_low=low)
    assert accuracy.against_ease(table, "ours", DEFAULT).outcome == outcome
    if outcome == "warn":
        assert accuracy.against_ease(table, "ours", BLOCKING).outcome == "block"
    assert accuracy.against_ease(metrics(ease_gain=None), "ours", DEFAULT).outcome == "not_applicable"


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        ("first", "not_applicable"),
        ("continues", "not_applicable"),
        ("replaced", "pass"),
        ("refused", "warn"),
        ("unreadable", "not_measured"),
    ],
)
def test_champion(decision: str, outcome: str) -> None:
    found = accuracy.against_champion({"decision": decision, "told": "what happened"}, DEFAULT)
    assert found.outcome == outcome
    assert found.measured == ("nothing was compared: " if decision == "continues" else "") + "what happened"
    if outcome == "warn":
        assert accuracy.against_champion({"decision": decision, "told": ""}, BLOCKING).outcome == "block"
    assert accuracy.against_champion(None, DEFAULT).outcome == "not_measured"


def verdict(**values: Any) -> dict[str, Any]:
    counts = {"landed": 105, "withheld": 5, "read": 100, "accepted": 98, "quarantined": 2}
    rules = [{"table": "prices", "rule_id": "jump", "outcome": values.pop("outcome", "pass")}]
    return {"table": "prices", "rules": rules, **counts, **values}


@pytest.mark.parametrize("odd", [{"landed": 106}, {"accepted": 97}])
def test_rows(odd: dict[str, int]) -> None:
    assert data.rows_conserved([verdict()], DEFAULT).outcome == "pass"
    found = data.rows_conserved([verdict(), verdict(table="assets", **odd)], DEFAULT)
    assert (found.outcome, found.measured) == ("block", "rows of assets do not add up")
    assert data.rows_conserved([verdict(**odd)], GateConfig(rows="warn")).outcome == "warn"
    missing = data.rows_conserved([], DEFAULT)
    assert missing.outcome == "not_measured"
    assert missing.enforced(DEFAULT).outcome == "block"


def test_contracts() -> None:
    assert data.contract_verdicts([verdict(outcome="quarantine")], DEFAULT).outcome == "pass"
    found = data.contract_verdicts([verdict(), verdict(outcome="warn")], DEFAULT)
    assert found.outcome == "warn"
    assert "warnings: prices.jump" in found.measured
    assert data.contract_verdicts([verdict(outcome="warn")], BLOCKING).outcome == "block"


def test_drift() -> None:
    def drift(outcome: Any) -> DriftVerdict:
        return DriftVerdict("trades", outcome, (), 0.5, 0.6, 10, 10, 10, 10, 0)

    assert data.drifted_tables((drift("pass"), drift("not_compared")), 0.5, DEFAULT).outcome == "pass"
    assert data.drifted_tables((drift("drift"),), 0.5, DEFAULT).outcome == "warn"
    assert data.drifted_tables((drift("drift"),), 0.5, BLOCKING).outcome == "block"
    assert data.drifted_tables((drift("not_compared"),), 0.5, DEFAULT).outcome == "not_measured"
    assert data.drifted_tables(Absent("first"), 0.5, DEFAULT).outcome == "not_applicable"


def ablated(*verdicts: str, applies: bool = True) -> pl.DataFrame:
    rows = [
        {"model": "attention_cf", "variant": variant, "applies": applies, "verdict": said, "said": f"{variant}: {said}."}
        for variant, said in zip(explanation.TAKEN_AWAY, verdicts, strict=True)
    ]
    other = {"model": "attention_cf", "variant": "no_positions", "applies": True, "verdict": "hurts", "said": "unasked"}
    drops = dict.fromkeys(("drop", "drop_low", "drop_high"), 0.1)
    return pl.DataFrame([row | drops for row in (*rows, other)])


def test_ablation() -> None:
    found = explanation.ablation(ablated("helps", "helps"), "attention_cf", DEFAULT)
    assert (found.outcome, found.measured) == ("pass", "no_attention: helps. uniform_attention: helps.")
    for verdicts in (("helps_little", "helps"), ("helps", "helps_perhaps"), ("does_not_help", "too_few")):
        assert explanation.ablation(ablated(*verdicts), "attention_cf", DEFAULT).outcome == "warn", verdicts
        assert explanation.ablation(ablated(*verdicts), "attention_cf", BLOCKING).outcome == "block"
    assert explanation.ablation(ablated("helps", "too_few"), "attention_cf", DEFAULT).outcome == "warn", "an open one"
    assert explanation.ablation(ablated("helps", "did_not_train"), "attention_cf", BLOCKING).outcome == "warn"
    assert explanation.ablation(ablated("hurts", "did_not_train"), "attention_cf", BLOCKING).outcome == "block"
    told = explanation.ablation(ablated("helps", "helps").with_columns(sample=2000, epochs=3), "attention_cf", DEFAULT)
    assert told.outcome == "pass"
    assert told.measured.endswith("on 2,000 customers, 3 epochs; not the published fit.")
    assert explanation.ablation(ablated("too_few", "did_not_train"), "attention_cf", DEFAULT).outcome == "not_measured"
    assert explanation.ablation(None, "attention_cf", DEFAULT).outcome == "not_measured"
    assert explanation.ablation(ablated("", "", applies=False), "attention_cf", DEFAULT).outcome == "not_applicable"
    assert explanation.ablation(ablated("helps", "helps"), "transformer", DEFAULT).outcome == "not_measured"
    assert explanation.ablation(None, "popularity", DEFAULT).outcome == "not_applicable"


def consistent(**asset: Any) -> pl.DataFrame:
    """Alike beyond holdings by asset, where ``asset`` says nothing else; by sector only as far as holdings are."""
    row = {
        "support": "asset", "segment_kind": "all", "segment": "all", "mean_jsd": 0.1, "null_mean": 0.3, "p": 0.001, "q": 0.001,
        "holdings_null_mean": 0.2, "holdings_effect": 0.1, "holdings_p": 0.001, "holdings_q": 0.001, "n": 900,
    }  # fmt: skip
    return pl.DataFrame(
        [row | asset, row | {"support": "sector", "holdings_q": 0.4, "segment_kind": asset.get("segment_kind", "all")}]
    )


def test_consistency() -> None:
    found = explanation.consistency(consistent(), "attention_cf", DEFAULT)
    assert found.outcome == "pass"
    assert "asset: alike, beyond what holdings alone give" in found.measured
    assert "sector: alike only as far as holdings are" in found.measured  # no more is claimed than was shown
    # Uniform or random weights beat any customer, because like customers hold alike; they do not beat their holdings.
    for odd, said in (
        ({"holdings_effect": 0.0}, "asset: alike only as far as holdings are"),
        ({"holdings_effect": -0.002, "holdings_q": 0.9}, "asset: alike only as far as holdings are"),
        ({"holdings_q": 0.051}, "asset: alike only as far as holdings are"),
        ({"q": 0.2}, "asset: not shown to be alike"),
    ):
        found = explanation.consistency(consistent(**odd), "attention_cf", DEFAULT)
        assert found.outcome == "warn"
        assert said in found.measured
        assert explanation.consistency(consistent(**odd), "attention_cf", BLOCKING).outcome == "block"
    assert explanation.consistency(consistent(n=19), "attention_cf", DEFAULT).outcome == "not_measured"
    assert explanation.consistency(consistent(segment_kind="risk_level"), "attention_cf", DEFAULT).outcome == "not_measured"
    assert explanation.consistency(None, "attention_cf", DEFAULT).outcome == "not_measured"
    for kind in ("bpr_mf", "ease"):
        assert explanation.consistency(None, kind, DEFAULT).outcome == "not_applicable"  # type: ignore[arg-type]


def erased(**lows: float) -> pl.DataFrame:
    """Every interval of both methods above 0, but those of ``lows``: the first letters of method, measure and rival."""
    return pl.DataFrame(
        [
            {"method": method, "measure": measure, "k": k, "against": against,
                "low": lows.get(f"{method[0]}{measure[0]}{k[0]}{against[:2]}", 0.1),
            }
            for method in ("attention", "leave_one_out")
            for measure in ("comprehensiveness", "sufficiency")
            for k in ("1", "50 %")
            for against in ("random", "recent")
        ]
    )  # fmt: skip


PROOF = {"n_pairs": 500, "better_than_random": True, "mean_difference": 0.4, "ci_low": 0.3, "ci_high": 0.5, "method": "attention"}


def test_faithfulness_of_own_weights() -> None:
    found = explanation.faithfulness(PROOF, erased(), "attention_cf", DEFAULT)
    assert found.outcome == "pass"
    assert found.measured.startswith("method attention; ")
    assert "own weights (" not in found.measured
    for act in ("warn", "block"):
        settings = GateConfig.model_validate({"faithfulness": act})
        worse = PROOF | {"better_than_random": False}
        assert explanation.faithfulness(worse, erased(), "attention_cf", settings).outcome == act
    latest = explanation.faithfulness(PROOF, erased(ac1re=-0.01), "attention_cf", DEFAULT)
    assert latest.outcome == "warn"
    assert "not shown: erasing 1 hurts more than recent: low -0.010" in latest.measured
    assert explanation.faithfulness(PROOF, None, "attention_cf", DEFAULT).outcome == "not_measured"
    assert explanation.faithfulness({"n_pairs": 0}, None, "attention_cf", DEFAULT).outcome == "not_measured"
    assert explanation.faithfulness(None, None, "attention_cf", DEFAULT).outcome == "not_measured"
    assert explanation.faithfulness({"n_pairs": 0}, None, "popularity", DEFAULT).outcome == "not_applicable"


def test_faithfulness_of_leaving_one_out() -> None:
    # A model without attention is explained by leaving holdings out; erasing one holding is then won by construction.
    proof = PROOF | {"method": "leave_one_out"}
    assert explanation.faithfulness(proof, erased(lc1ra=-1.0, lc1re=-1.0), "gru4rec", DEFAULT).outcome == "pass"
    for low in ("lc5ra", "lc5re", "ls1ra", "ls1re"):
        assert explanation.faithfulness(proof, erased(**{low: 0.0}), "gru4rec", BLOCKING).outcome == "block", low
    assert explanation.faithfulness(proof, erased().head(8), "gru4rec", DEFAULT).outcome == "not_measured"
    instead = proof | {"weights": "attention", "methods": {"attention": {"better_than_random": False}}}
    told = explanation.faithfulness(instead, erased(), "attention_cf", BLOCKING)
    assert told.outcome == "warn"
    assert told.measured.endswith("the model's own weights (attention) failed the same test and are not published as the reason")


def segmented(ndcg: float, high: float, n: int = 100) -> pl.DataFrame:
    worse = {"segment_kind": "risk_level", "segment": "income", "ndcg_at_10": ndcg, "ndcg_at_10_high": high, "n_customers": n}
    return pl.concat([metrics(), metrics(segment_kind="risk_level", segment="balanced"), metrics(**worse)])


def test_fairness_of_accuracy() -> None:
    assert fairness.by_accuracy(segmented(0.1, 0.17), "ours", DEFAULT).outcome == "pass"
    found = fairness.by_accuracy(segmented(0.1, 0.15), "ours", DEFAULT)
    assert found.outcome == "warn"
    assert "below the limit: risk level income 0.50" in found.measured
    assert fairness.by_accuracy(segmented(0.1, 0.15), "ours", BLOCKING).outcome == "block"
    small = fairness.by_accuracy(segmented(0.1, 0.15, n=29), "ours", DEFAULT)
    assert small.outcome == "pass"
    assert "1 segments with fewer than 30 customers are not judged" in small.measured
    assert fairness.by_accuracy(metrics(), "ours", DEFAULT).outcome == "not_measured"
    assert fairness.by_accuracy(segmented(0.0, 0.1).with_columns(ndcg_at_10=0.0), "ours", DEFAULT).outcome == "not_measured"


def people(n: int = 100) -> pl.DataFrame:
    """``n`` balanced and ``n`` income customers of one type; the first is balanced."""
    return pl.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(2 * n)],
            "has_profile": [True] * (2 * n),
            "customer_type": ["mass"] * (2 * n),
            "risk_level": ["balanced"] * n + ["income"] * n,
        }
    )


def test_fairness_of_service() -> None:
    customers = people()
    everybody = customers["customer_id"]
    assert fairness.by_served(customers, everybody, DEFAULT).outcome == "pass"
    half = everybody.head(150)
    found = fairness.by_served(customers, half, DEFAULT)
    assert found.outcome == "warn"
    assert "risk level income 0.67" in found.measured
    assert fairness.by_served(customers, half, BLOCKING).outcome == "block"
    assert fairness.by_served(customers, everybody.head(0), DEFAULT).outcome == "not_measured"
    few = people(14)
    assert fairness.by_served(few, few["customer_id"], DEFAULT).outcome == "not_measured"


def test_wilson_against_the_textbook() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    assert fairness.wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_recheck() -> None:
    def found(checked: int, violations: int, settings: GateConfig = DEFAULT) -> str:
        return offer.recheck({"rows_checked": checked, "n_violations": violations}, 10, settings).outcome

    assert found(10, 0) == "pass"
    assert found(10, 1) == "block"
    assert found(9, 0) == "block", "a row that was not looked at"
    assert found(10, 1, GateConfig(suitability="warn")) == "warn"
    missing = offer.recheck(None, 10, DEFAULT)
    assert missing.outcome == "not_measured"
    told = missing.enforced(DEFAULT).as_json()
    assert (told["outcome"], told["means"]) == ("block", "Not checked tonight: every row suits its customer.")
    assert missing.enforced(GateConfig(suitability="warn")).outcome == "not_measured"


def test_served() -> None:
    customers = people(50)
    lists = customers.select("customer_id")
    assert offer.served(customers, lists.head(90), DEFAULT).outcome == "pass"
    assert offer.served(customers, lists.head(89), DEFAULT).outcome == "warn"
    assert offer.served(customers, lists.head(89), BLOCKING).outcome == "block"
    nobody = customers.with_columns(has_profile=False)
    assert offer.served(nobody, lists, DEFAULT).outcome == "not_measured"
    for some in (customers, nobody):
        assert offer.served(some, lists.head(0), DEFAULT).outcome == "block", "a file without a row"


def test_exclusions() -> None:
    assert offer.removed_share(950, 10, 100, DEFAULT).outcome == "pass"
    assert offer.removed_share(951, 10, 100, DEFAULT).outcome == "warn"
    assert offer.removed_share(951, 10, 100, BLOCKING).outcome == "block"
    assert offer.removed_share(0, 0, 100, DEFAULT).outcome == "not_measured"


def lists(**assets: str) -> pl.DataFrame:
    return pl.DataFrame([(customer, asset) for customer, some in assets.items() for asset in some],
                        schema={"customer_id": pl.String, "asset_id": pl.String}, orient="row")  # fmt: skip


def test_list_changes_are_jaccard_distances() -> None:
    before = lists(same="abc", half="abc", all="abc", gone="abc")
    now = lists(same="cab", half="abd", all="def", new="abc")
    assert offer.list_changes(now, before).rows() == [("all", 1.0), ("half", 0.5), ("same", 0.0)]


def test_turnover() -> None:
    def changes(*distances: float) -> pl.DataFrame:
        return pl.DataFrame({"customer_id": [str(i) for i in range(len(distances))], "distance": distances})

    assert offer.turnover(changes(0.5, 0.5), DEFAULT).outcome == "pass"
    assert offer.turnover(changes(0.5, 0.52), DEFAULT).outcome == "warn"
    # The mean is small, but one customer in four has nothing left.
    assert offer.turnover(changes(1.0, 0.0, 0.0, 0.0), DEFAULT).outcome == "warn"
    assert offer.turnover(changes(0.5, 0.52), BLOCKING).outcome == "block"
    assert offer.turnover(None, DEFAULT, "first").outcome == "not_applicable"
    assert offer.turnover(changes(), DEFAULT).outcome == "not_applicable"


def test_the_worst_finding_decides() -> None:
    subject = offer.RECHECK
    passed, warned, blocked = (subject.found(outcome, "", "") for outcome in ("pass", "warn", "block"))  # type: ignore[arg-type]
    unmeasured, nothing = offer.TURNOVER.not_measured("no file"), subject.not_applicable("first night")

    def decided(*findings: Finding, approval: Any = "never") -> tuple[Any, ...]:
        told = decide(findings, GateConfig(approval=approval))
        return told["verdict"], told["publish"], told["needs_decision"]

    assert decided(passed, nothing) == ("pass", "now", False)
    assert decided(passed, warned) == ("warn", "now", False)
    assert decided(passed, unmeasured) == ("warn", "now", False)
    assert decided(passed, subject.not_measured("no file")) == ("block", "never", False)
    assert decided(warned, blocked) == ("block", "never", False)
    assert decided(passed, approval="always") == ("pass", "after_approval", True)
    assert decided(passed, approval="on_warn") == ("pass", "now", False)
    assert decided(unmeasured, approval="on_warn") == ("warn", "after_approval", True)
    assert decided(blocked, approval="always") == ("block", "never", False)


def test_every_check_has_its_setting_and_every_setting_a_check() -> None:
    subjects = {
        subject.id
        for module in (accuracy, data, explanation, fairness, offer)
        for subject in vars(module).values()
        if type(subject).__name__ == "Subject"
    }
    assert subjects == set(ACTS)


def test_made_tables() -> None:
    def made(*outcomes: str, read: int = 3) -> list[dict[str, Any]]:
        rules = [{"table": "recommendations", "rule_id": f"r{n}", "outcome": outcome} for n, outcome in enumerate(outcomes)]
        return [
            {"table": "holdings", "read": 5, "rules": []},
            {"table": "recommendations", "read": read, "rules": rules},
        ]

    assert data.made_tables(made("pass", "pass"), 3, DEFAULT).outcome == "pass"
    assert data.made_tables(made("pass", "warn"), 3, DEFAULT).outcome == "warn"
    found = data.made_tables(made("pass", "block"), 3, DEFAULT)
    assert (found.outcome, found.values["broken"]) == ("block", ["recommendations.r1"])
    assert data.made_tables(made("pass", "block"), 3, GateConfig(output="warn")).outcome == "warn"
    # A row that came in after the check was not asked.
    assert data.made_tables(made("pass"), 4, DEFAULT).outcome == "block"
    missing = data.made_tables(made("pass")[:1], 3, DEFAULT)
    assert missing.outcome == "not_measured"
    assert missing.enforced(DEFAULT).outcome == "block"
