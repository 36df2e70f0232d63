"""What the C library keeps of freed memory, given back to the system.

Counting a training set takes arrays of its size for a moment. glibc would keep them, free but resident, for the whole fit.
"""

from __future__ import annotations

import ctypes
import sys


def give_back_memory() -> None:
    """Returns free pages to the system (glibc's malloc_trim; nothing where there is none). Milliseconds."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
