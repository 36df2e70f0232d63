"""From expectation to artefact: what rules and guidance ask of records, suitability and models, what a night produces for it,
and what remains the firm's. A pointer for a reader, not an opinion of law: software complies with nothing, firms do.

Sources: Commission Delegated Regulation (EU) 2017/565 (MiFID II); Regulation (EU) 2024/1689 (AI Act); Regulation (EU)
2022/2554 (DORA); Federal Reserve SR 26-2, "Revised Guidance on Model Risk Management" (17 April 2026), which replaced SR 11-7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reports.pages import write_page


@dataclass(frozen=True)
class Expectation:
    """One thing that is asked."""

    where: str
    """Article and paragraph, or part of the guidance."""
    asks: str
    """In our words, shortened."""
    produces: str
    """What a night produces for it. Files of the run and commands stand between backticks: a test finds every one."""
    remains: str
    """What no software of ours can do for the firm."""


@dataclass(frozen=True)
class Source:
    """A regulation or guidance, and the expectations of it that a night touches."""

    title: str
    note: str
    expectations: tuple[Expectation, ...]


MAPPING: tuple[Source, ...] = (
    Source(
        "MiFID II, Delegated Regulation (EU) 2017/565, Article 54: suitability",
        "For firms that advise or manage portfolios. A list of recommendations is a proposal to an adviser; whether and when "
        "it becomes advice is the firm's to decide.",
        (
            Expectation(
                "54(1)",
                "The firm answers for the assessment, also where a system makes all or part of it.",
                "The evidence page says what was decided by which rule and by which check: `evidence/index.html`, `gate.json`.",
                "The responsibility itself; telling clients what the assessment is for.",
            ),
            Expectation(
                "54(2), (4), (5)",
                "A recommendation meets the client's objectives and risk tolerance, he can bear its risks, and he understands"
                " them.",
                "Rules on risk profile, investment capacity and concentration, each with an id and its source: "
                "`recommendations/suitability_rules.toml`. Every removed candidate keeps its rule: "
                "`recommendations/exclusions.parquet`, `recommendations/asset_exclusions.parquet`. Every published row is "
                "checked again by other code: `recommendations/recheck.json`.",
                "Knowledge and experience are not assessed: no data on them are read. The limits in the rules file, the risk "
                "classes of assets that declare none, and objectives that the profile does not hold.",
            ),
            Expectation(
                "54(7)",
                "Information about clients is reliable: up to date, accurate, complete.",
                "Contracts on every table, with bad rows set aside and listed: `contracts/verdicts.json`, "
                "`quarantine/customers.parquet`. A predicted profile is marked in the row itself: `recommendations.csv`.",
                "The questionnaire, its age, and whether the client's answers are true.",
            ),
            Expectation(
                "54(8)",
                "Without the information needed, nothing is recommended.",
                "A customer without an accepted profile is offered nothing, with the rule: "
                "`recommendations/customer_exclusions.parquet`.",
                "What to do with these customers.",
            ),
            Expectation(
                "54(9), (11)",
                "Costs and complexity of equivalent products, and costs and benefits of switching, are weighed.",
                "Nothing: no costs are read and no sale is proposed.",
                "All of it.",
            ),
            Expectation(
                "54(10)",
                "Where nothing is suitable, nothing is recommended.",
                "A list is never filled up: fewer rows, or none, mean that no more candidates were eligible: "
                "`recommendations.parquet`.",
                "Explaining it to the client.",
            ),
            Expectation(
                "54(12), (13)",
                "Retail clients get a report that outlines the advice and why it suits them; periodic ones where that was "
                "agreed.",
                "A sentence per row about what moved the model, and what was held back by which rule: `nightfolio explain`.",
                "The report. The sentence says why the model lists an asset, not why it suits the client.",
            ),
        ),
    ),
    Source(
        "MiFID II, Delegated Regulation (EU) 2017/565, Article 72: retention of records",
        "How records are kept, whatever the technology. Which records a firm must keep stands in Annex I.",
        (
            Expectation(
                "72(1)(a)",
                "The authority can get at records readily and reconstitute each key stage.",
                "Inputs, settings, code, seeds and outputs with hashes: `manifest.json`; the accepted rows themselves: "
                "`snapshot/transactions.parquet`. One line's whole story: `nightfolio trace`; the same bytes again: "
                "`nightfolio replay`.",
                "Records of orders, conversations and what the client was told; the storage; access for the authority.",
            ),
            Expectation(
                "72(1)(b)",
                "Corrections, and what stood there before them, are easy to see.",
                "A correction is a new run that names the one it supersedes; nothing is overwritten: `nightfolio verify`.",
                "Corrections in the source systems.",
            ),
            Expectation(
                "72(1)(c)",
                "Records cannot otherwise be manipulated or altered.",
                "A chain over all publications and decisions; each manifest holds the hash of every file: `nightfolio verify`"
                " names what was altered.",
                "An altered file is found, not prevented. Who may write to the disk, and keeping the head of the chain "
                "elsewhere.",
            ),
            Expectation(
                "72(1)(d), (e)",
                "Records can be worked on, whatever the technology.",
                "Parquet, CSV, JSON and pages that open without a network: `recommendations.parquet`, `recommendations.csv`, "
                "`evidence/index.html`.",
                "How long records are kept is the firm's obligation; the retention setting follows it and deletes nothing "
                "that a later record needs.",
            ),
        ),
    ),
    Source(
        "EU AI Act, Regulation (EU) 2024/1689, Article 12: record-keeping",
        "Asked of high-risk systems. Whether this use is one, and who is its provider or deployer, the firm must find out.",
        (
            Expectation(
                "12(1)",
                "The system records events automatically over its lifetime.",
                "Every step with time and memory, every run with its manifest, every decision in the chain: `steps.jsonl`, "
                "`manifest.json`, `nightfolio runs`.",
                "Keeping the logs as long as they must be kept (Articles 19 and 26).",
            ),
            Expectation(
                "12(2)(a)",
                "Logs show situations that may bring risk, and substantial changes.",
                "Checks that warn or block, changed settings and refused challengers: `gate.json`, "
                "`evaluation/champion.json`, `nightfolio models`.",
                "Judging what a risk is, and what is a substantial modification.",
            ),
            Expectation(
                "12(2)(b), (c)",
                "Logs serve monitoring after the market placement, and of operation.",
                "Accuracy of every model and segment, drift, attention and faithfulness, every night: "
                "`evaluation/metrics.parquet`, `audit/drift.json`, `recommendations/faithfulness.json`.",
                "Human oversight (Article 14), the monitoring plan, and reporting of incidents.",
            ),
        ),
    ),
    Source(
        "DORA, Regulation (EU) 2022/2554, Articles 10, 12 and 17",
        "For the firm's ICT as a whole, of which this is one small part.",
        (
            Expectation(
                "10: detection",
                "Anomalous activities are detected promptly, with thresholds that alert.",
                "Contract rules and gate checks with thresholds; a blocked night says so loudly and exits with its own "
                "status; altered files are named: `contracts/verdicts.json`, `gate.json`, `nightfolio verify`.",
                "Monitoring of networks, accounts and machines; somebody who is woken up.",
            ),
            Expectation(
                "12: backup, restoration, recovery",
                "Backups exist, and restored systems are checked.",
                "The last good publication stays in force when a night fails or is blocked; a killed night goes on "
                "(`nightfolio nightly` with --resume); restored files can be proven (`nightfolio verify`) and rebuilt "
                "(`nightfolio replay`).",
                "The backups, their place, their tests, and the times within which service must be back.",
            ),
            Expectation(
                "17: incident management",
                "Incidents are detected, recorded, followed up; their causes are found.",
                "A stopped run is kept with the step, the cause and a remedy: `nightfolio show`, `nightfolio runs`; rows that"
                " broke a rule with file and row number: `quarantine/transactions.parquet`.",
                "Classification, root causes, reporting to the authority (Articles 18 and 19), telling clients.",
            ),
        ),
    ),
    Source(
        "US model-risk guidance SR 26-2 (17 April 2026), formerly SR 11-7",
        "Most relevant to banking organisations above 30 billion dollars of assets; risk-based; it names principles, not forms.",
        (
            Expectation(
                "Development, implementation and use",
                "Purpose, data, assumptions and limits of a model are sound and written down.",
                "`evidence/model_card.html`; the data behind it, checked: `contracts/verdicts.json`; every setting: "
                "`manifest.json`.",
                "Whether the purpose is the right one, and how people use the lists.",
            ),
            Expectation(
                "Validation",
                "Conceptual soundness is tested and outcomes are compared with expectations.",
                "Outcomes: first buys after the cut against popularity and a linear rival, with paired intervals: "
                "`evaluation/metrics.parquet`, scored again from the stored weights by `nightfolio evaluate`. Soundness: what"
                " the model loses without its attention (`audit/ablation.parquet`), whether its reasons are real "
                "(`recommendations/faithfulness.json`).",
                "Independence: whoever validates is not who built it. Effective challenge by people.",
            ),
            Expectation(
                "Ongoing monitoring",
                "Performance, inputs and use are watched as risk demands.",
                "Drift of data and recommendations, fairness by segment, turnover, each with a threshold: `audit/drift.json`,"
                " `gate.json`.",
                "Thresholds that fit the firm's risk; acting on them.",
            ),
            Expectation(
                "Governance, policies and controls; inventory",
                "Models are known, owned and approved; changes are controlled.",
                "The register with lineage: `nightfolio models`. Other settings replace the champion's only by a rule: "
                "`evaluation/champion.json`. Approval by a named person with a reason: `nightfolio approve`, `nightfolio "
                "reject`.",
                "Policy, roles, materiality, internal audit, and models outside this software.",
            ),
        ),
    ),
)


def named(part: str) -> Iterator[str]:
    """Every piece between backticks of every expectation that begins with ``part`` (empty: all)."""
    for source in MAPPING:
        for expectation in source.expectations:
            yield from (piece for piece in expectation.produces.split("`")[1::2] if piece.startswith(part))


def write_mapping(directory: Path) -> Path:
    """``mapping.html`` beside the index: the table as a page."""
    return write_page("mapping_page.html", directory / "mapping.html", sources=MAPPING)
