"""A source folder in which something happens while it is read, at moments that do not depend on the machine's speed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PosixPath
from typing import Any

_TICK = 0.02  # seconds; times of files advance in steps of up to 10 ms, and two changes within one look like one


def on_open(folder: Path, happens: Callable[[Path], None]) -> Path:
    """The folder, whose files are opened for reading only after ``happens`` was called with their paths."""

    class Watched(PosixPath):
        def open(self, *arguments: Any, **named: Any) -> Any:
            happens(Path(self))
            return super().open(*arguments, **named)

    return Watched(folder)


@contextlib.contextmanager
def delivered_meanwhile(folder: Path, deliver: Callable[[Path], None]) -> Iterator[Path]:
    """The folder to read from while a thread calls ``deliver`` with it, again and again until the context ends.

    Before each of its files is opened at least one whole delivery begins and ends, however slow the thread is.
    """
    ended, rounds, turn = threading.Event(), 0, threading.Condition()

    def go_on() -> None:
        nonlocal rounds
        try:
            while not ended.is_set():
                deliver(folder)
                with turn:
                    rounds += 1
                    turn.notify_all()
        finally:
            ended.set()
            with turn:
                turn.notify_all()

    def wait(_: Path) -> None:
        time.sleep(_TICK)
        with turn:
            now = rounds  # the one under way may have begun before
            turn.wait_for(lambda: rounds >= now + 2 or ended.is_set())

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield on_open(folder, wait)
    finally:
        ended.set()
        thread.join()
