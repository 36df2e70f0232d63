"""The steps as Prefect tasks: thin, and passing paths with hashes, never frames.

Each opens its inputs (which checks that they are as the step before left them), calls one pure step and hands
on what was written. Results are not cached by the orchestrator: the manifest, not its state, is the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import audit, evidence, learn
from flows import champion as champions
from flows import gate as gating
from flows import ingest as landing
from flows import made_tables as making
from flows import publish as publishing
from flows import recheck as checking
from flows import recommend as offering
from flows.artifact import Artifact
from flows.histories import build_histories
from flows.night import Night
from flows.planted import measure_planted
from lightning_modules.settings import ModelKind


def _file_system_hiccup(task: object, run: object, state: object) -> bool:
    """Whether a second try could help: sources may lie on network mounts, which come and go."""
    try:
        state.result()  # type: ignore[attr-defined]
    except (TimeoutError, ConnectionError, InterruptedError):
        return True
    except BaseException:
        return False
    return False


@task(
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=_file_system_hiccup,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def ingest(night: Night) -> Artifact:
    """Landing files to typed tables."""
    with night.step("ingest"):
        return Artifact.of(landing.ingest(night))


@task(cache_policy=NO_CACHE, persist_result=False)
def contracts(night: Night, landed: Artifact) -> Artifact:
    """Typed tables to the accepted snapshot, with the holdings derived from it; bad rows to quarantine."""
    with night.step("contracts"):
        snapshot = landing.check_contracts(night, landed.open())
        making.check_holdings(night)
        return Artifact.of(snapshot)


@task(cache_policy=NO_CACHE, persist_result=False)
def histories(night: Night, snapshot: Artifact, cut: date, name: str) -> Artifact:
    """The snapshot as known on ``cut``, as ragged histories with features."""
    with night.step(f"histories ({name}, to {cut})"):
        out = night.folder / "histories" / name
        return Artifact.of(build_histories(snapshot.open(), cut, night.config.histories, night.as_of, out, night.kept))


@task(cache_policy=NO_CACHE, persist_result=False)
def validation(night: Night, snapshot: Artifact, cut: date, name: str) -> Artifact | None:
    """The last ``train.validation_days`` before the cut, as a training set that ends before them; None: none are set."""
    days = night.config.train.validation_days
    if days is None:
        return None
    earlier = cut - timedelta(days=days)
    with night.step(f"validation ({name}, {days} days to {cut})"):
        out = night.folder / "histories" / f"{name}-validation"
        build_histories(snapshot.open(), earlier, night.config.histories, night.as_of, out, night.kept)
        return Artifact.of(learn.write_validation(snapshot.open(), out, earlier, cut))


@task(cache_policy=NO_CACHE, persist_result=False)
def train(night: Night, histories: Artifact, kind: ModelKind, purpose: str, held_out: Artifact | None) -> Artifact:
    """One model fitted on one histories directory; epochs chosen on ``held_out`` where it is given."""
    with night.step(f"train {kind} ({purpose})"):
        out = night.folder / "models" / f"{kind}-{purpose}"
        earlier = None if held_out is None else held_out.open()
        return Artifact.of(learn.train_model(night.config, kind, histories.open(), out, earlier, resume=night.resumed))


def challenge(
    night: Night, snapshot: Artifact, past: Artifact, models: Mapping[str, Artifact]
) -> tuple[Night, Mapping[str, Artifact]]:
    """Tonight's model against the last publication's, where their settings differ; what the night goes on with."""
    champion = champions.champion_tonight(night)
    if champion is None:
        return night, models
    defender = replace(night, config=champion.config)
    held_out = validation(defender, snapshot, night.evaluation_cut, "champion")
    defending = train(defender, past, champion.config.recommend.model, "champion", held_out)
    return decide_challenge(night, snapshot, past, champion, defending, models)


@task(cache_policy=NO_CACHE, persist_result=False)
def decide_challenge(
    night: Night,
    snapshot: Artifact,
    past: Artifact,
    champion: champions.Champion,
    defending: Artifact,
    models: Mapping[str, Artifact],
) -> tuple[Night, Mapping[str, Artifact]]:
    """By the rule; every fit by the name that it has in the metrics."""
    with night.step("challenge"):
        fits = {name: model.open() for name, model in models.items()}
        night, named = champions.challenge(night, snapshot.open(), past.open(), champion, defending.open(), fits)
        known = {model.path: model for model in (*models.values(), defending)}
        return night, {name: known[path] for name, path in named.items()}


@task(cache_policy=NO_CACHE, persist_result=False)
def evaluate(night: Night, snapshot: Artifact, past: Artifact, models: Mapping[str, Artifact]) -> Artifact:
    """Every model against what customers bought after the cut."""
    with night.step("evaluate"):
        paths = {name: model.open() for name, model in models.items()}
        out = night.folder / "evaluation"
        return Artifact.of(
            learn.evaluate_models(night.config, snapshot.open(), past.open(), paths, night.evaluation_cut, night.as_of, out)
        )


@task(cache_policy=NO_CACHE, persist_result=False)
def ablation(night: Night, snapshot: Artifact, past: Artifact) -> Artifact:
    """The model without each of its parts, on the audit's budget."""
    with night.step("ablation"):
        return Artifact.of(audit.ablate(night, snapshot.open(), past.open(), night.folder / "audit"))


@task(cache_policy=NO_CACHE, persist_result=False)
def consistency(night: Night, past: Artifact, model: Artifact) -> Artifact:
    """Whether similar customers have similar attention under the model that is recommended by."""
    with night.step("attention consistency"):
        kind = night.config.recommend.model
        return Artifact.of(audit.compare_attention(night, past.open(), kind, model.open(), night.folder / "audit"))


@task(cache_policy=NO_CACHE, persist_result=False)
def recommend(night: Night, snapshot: Artifact, present: Artifact, model: Artifact) -> Artifact:
    """Eligible top k per customer with reasons; removed candidates with theirs."""
    with night.step("recommend"):
        out = night.folder / "recommendations"
        offering.recommend(night.config, night.run_id, night.as_of, snapshot.open(), present.open(), model.open(), out)
        measure_planted(night, model.open(), out)
        publishing.write_recommendation_files(night)
        return Artifact.of(out)


@task(cache_policy=NO_CACHE, persist_result=False)
def recheck(night: Night, snapshot: Artifact, ranked: Artifact) -> Artifact:
    """Every suitability rule asked again of the files that will be published, by other code; the gate acts on what it finds."""
    with night.step("recheck"):
        snapshot.open(), ranked.open()
        checking.write_recheck(night.folder, night.as_of)
        return Artifact.of(night.folder / "recommendations")


@task(cache_policy=NO_CACHE, persist_result=False)
def output_contract(night: Night, ranked: Artifact) -> Artifact:
    """The contract of the recommendations, asked of the file that will be published; the gate acts on what it finds."""
    with night.step("output contract"):
        ranked.open()
        making.check_recommendations(night)
        return ranked


@task(cache_policy=NO_CACHE, persist_result=False)
def gate(night: Night, evaluation: Artifact, ranked: Artifact) -> Artifact:
    """Drift, then every check on the run; whether it is published, and whether a person decides first."""
    with night.step("gate"):
        evaluation.open(), ranked.open()
        return Artifact.of(gating.gate(night, evidence.measure_drift(night)))


@task(cache_policy=NO_CACHE, persist_result=False)
def report(
    night: Night, snapshot: Artifact, evaluation: Artifact, audits: list[Artifact], ranked: Artifact, gated: Artifact
) -> Artifact:
    """The evidence pages."""
    with night.step("report"):
        for made in (snapshot, evaluation, *audits, ranked, gated):
            made.open()
        return Artifact.of(evidence.report(night))


@task(cache_policy=NO_CACHE, persist_result=False)
def publish(night: Night, pages: Artifact) -> Path:
    """Manifest, record, then one atomic rename."""
    pages.open()
    return publishing.publish(night)


@task(cache_policy=NO_CACHE, persist_result=False)
def keep(night: Night, kind: str = "training") -> Path:
    """Manifest of a run that publishes nothing (training or ablation), then its move to ``trained/``."""
    return publishing.keep(night, kind)
