"""`nightfolio serve`: registers the nightly and the training deployment on a Prefect server and runs what it triggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.config import load_config
from flows.nightly import nightly
from flows.train import train

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


def deployments(preset: str, source: Path | None, settings: dict[str, Any], home: Path) -> list[RunnerDeployment]:
    """The nightly deployment (cron and time zone from the config) and the ad hoc training deployment."""
    schedule = load_config(preset, source=source, settings=settings).schedule
    parameters: dict[str, Any] = {"preset": preset, "settings": settings, "home": str(home.absolute())}
    if source is not None:
        parameters["source"] = str(source.absolute())
    return [
        RunnerDeployment.from_flow(
            nightly,
            name="nightly",
            schedule=Cron(schedule.cron, timezone=schedule.time_zone),
            parameters=parameters,
            concurrency_limit=ONE_AT_A_TIME,
            entrypoint_type=EntrypointType.MODULE_PATH,
            description="The whole night: landing files to a published recommendation file with its evidence.",
        ),
        RunnerDeployment.from_flow(
            train,
            name="train",
            parameters=parameters,
            concurrency_limit=ONE_AT_A_TIME,
            entrypoint_type=EntrypointType.MODULE_PATH,
            description="Train and evaluate with any setting changed; publishes nothing.",
        ),
    ]


def serve_deployments(preset: str, source: Path | None, settings: dict[str, Any], home: Path) -> None:
    """Registers both deployments and waits for runs, until interrupted."""
    serve(*deployments(preset, source, settings, home), print_starting_message=False)
