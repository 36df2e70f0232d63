"""A real Prefect server on loopback: a cron schedule fires, and a run triggered by the API with parameters completes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 300  # of a machine however busy; nothing waits for it to pass


def _free_port() -> int:
    """A port outside those that the system lends to outgoing connections: none of these takes it before the server does."""
    first = 20_000 + os.getpid() % 10_000
    for port in range(first, first + 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no free port from {first} on")


def _call(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read() or b"null")


def _until(what: str, found: Any, log: Path, seconds: float = DEADLINE_S) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            value = found()
        except (OSError, http.client.HTTPException):
            value = None
        if value:
            return value
        time.sleep(0.5)
    raise AssertionError(f"{what} did not happen within {seconds} s\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Path]]:
    """A server and `nightfolio serve` with a cron that is due every minute: the API's address, the home, the log."""
    place = tmp_path_factory.mktemp("served")
    port = _free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(place / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Look for due runs often, so that the test waits for the minute and not for the polling.
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    log = place / "log.txt"
    binaries = Path(sys.executable).parent
    home = place / "home"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [binaries / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=out,
            stderr=out,
        )
        serve = None
        try:
            _until("the server's start", lambda: _call(f"{api}/health") is True, log)
            serve = subprocess.Popen(
                [
                    binaries / "nightfolio", "serve", "--preset", "smoke", "--home", str(home),
                    "--set", 'train.models=["popularity"]', "--set", "recommend.model=popularity",
                    "--set", "schedule.cron=* * * * *", "--set", "schedule.time_zone=UTC",
                ],
                env=environment, stdout=out, stderr=out,
            )  # fmt: skip
            yield api, home, log
        finally:
            for process in (serve, server):
                if process is not None:
                    process.terminate()
            for process in (serve, server):
                if process is not None:
                    try:
                        process.wait(20)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()


def _deployment(api: str, name: str) -> dict[str, Any]:
    return dict(_call(f"{api}/deployments/name/{name}"))


def _runs(api: str, deployment: str, *states: str) -> list[dict[str, Any]]:
    return list(
        _call(
            f"{api}/flow_runs/filter",
            {
                "deployments": {"id": {"any_": [deployment]}},
                "flow_runs": {"state": {"type": {"any_": list(states)}}},
            },
        )
    )


def test_a_run_triggered_by_the_api_with_parameters_completes_and_the_cron_fires(
    served: tuple[str, Path, Path],
) -> None:
    api, home, log = served
    train = _until("the registration", lambda: _deployment(api, "train/train"), log)
    # The two are registered side by side: either may be there first.
    night = _until("the registration of the night", lambda: _deployment(api, "nightly/nightly"), log)
    (schedule,) = night["schedules"]
    assert schedule["schedule"]["cron"] == "* * * * *"
    assert schedule["schedule"]["timezone"] == "UTC"

    parameters = {
        **train["parameters"],
        "settings": {"train.epochs": 1, "train.models": ["attention_cf"], "seed": 11},
        # Of its own: two runs of one day in one home refuse each other, and here the scheduled night may be first.
        "home": str(home / "of the training"),
    }
    # A server whose database is busy answers 503 and means "again"; the key makes asking again harmless.
    asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}, "idempotency_key": "once"}
    made = _until("the run's creation", lambda: _call(f"{api}/deployments/{train['id']}/create_flow_run", asked), log)
    assert made["parameters"]["settings"]["seed"] == 11

    # One plausible pin of a dependency lets everything start and never fires: this is the test that would see it.
    _until(
        "a scheduled night",
        lambda: [run for run in _runs(api, night["id"], "RUNNING", "COMPLETED") if run["auto_scheduled"]],
        log,
    )

    def end_of_the_training() -> str | None:
        state = str(_call(f"{api}/flow_runs/{made['id']}")["state"]["type"])
        return state if state in {"COMPLETED", "FAILED", "CRASHED"} else None

    assert _until("the triggered training", end_of_the_training, log) == "COMPLETED", log.read_text()[-3000:]
    (trained,) = (home / "of the training" / "trained").iterdir()
    assert json.loads((trained / "manifest.json").read_text())["seeds"]["training"] == 11
