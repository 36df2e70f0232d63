"""The JSON files of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """What the file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_json_if(path: Path) -> Any:
    """What the file holds; None where there is none."""
    return read_json(path) if path.exists() else None
