"""When and in what order: the flows, their steps and the command line."""

import os

# Telemetry is off unless the firm turns it on; the libraries read these when they are first imported, and every
# module of this room imports this one first.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}.items():
    os.environ.setdefault(_name, _value)
