"""When the night runs."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import field_validator

from flows.sections.section import Section


class ScheduleConfig(Section):
    """When the night runs by itself."""

    cron: str = "30 2 * * 2-6"
    time_zone: str = "Europe/Athens"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"schedule.time_zone={zone!r} is not an IANA time zone")
        return zone

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, cron: str) -> str:
        if len(cron.split()) != 5:
            raise ValueError(f"schedule.cron={cron!r} needs five fields: minute hour day month weekday")
        try:
            CronSim(cron, datetime(2024, 1, 1))
        except CronSimError as error:
            raise ValueError(f"schedule.cron={cron!r}: {error}") from error
        return cron
