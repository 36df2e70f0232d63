"""``nightfolio bench scoring``: the ten best of a catalogue for a million customers, against the least it could cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from flows.bench.device import clock, device_line, found_gpu, gpu_peak_bytes
from flows.peak_memory import peak_bytes
from lightning_modules.topk import BLOCK_BYTES, top_items


@dataclass(frozen=True)
class Scoring:
    """What one run measured."""

    seconds: float
    floor_seconds: float
    peak_bytes: int
    gpu_peak_bytes: int | None

    @property
    def multiple(self) -> float:
        """Of the floor."""
        return self.seconds / self.floor_seconds


def bench_scoring(
    customers: int = 1_000_000,
    items: int = 10_000,
    dim: int = 64,
    seen: int = 20,
    k: int = 10,
    threads: int = 2,
    say: Callable[[str], None] = print,
) -> Scoring:
    """Score and rank with exclusion of ``seen`` random items a customer; print figures and the floor's.

    The floor is torch.mm and torch.topk on blocks of the same size, alternating with ours block by block of customers,
    so that both meet the same machine: no exclusion, no order among equal scores, nothing kept.
    """
    gpu = found_gpu()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        generator = torch.Generator().manual_seed(0)
        device = "cpu" if gpu is None else "cuda"
        table = torch.randn(items, dim, generator=generator).to(device)
        part = min(customers, 50_000)
        seconds = floor = 0.0
        rows = max(BLOCK_BYTES // (items * 4), 1)
        buffer = torch.empty(rows, items, device=device)
        for start in range(0, customers, part):
            count = min(part, customers - start)
            vectors = torch.randn(count, dim, generator=generator).to(device)
            columns = torch.randint(0, items, (count * seen,), generator=generator).to(device)
            offsets = torch.arange(0, count * seen + 1, seen, device=device)
            values = torch.empty(count, k, device=device)
            best = torch.empty(count, k, dtype=torch.int64, device=device)
            started = clock()
            for block, scores, chosen in top_items(vectors, table, k, excluded=(offsets, columns)):
                values[block], best[block] = scores, chosen
            between = clock()
            for first in range(0, count, rows):
                some = vectors[first : first + rows]
                torch.topk(torch.mm(some, table.T, out=buffer[: len(some)]), k, 1)
            seconds, floor = seconds + between - started, floor + clock() - between
        peak = peak_bytes()
    finally:
        torch.set_num_threads(before)
    found = Scoring(seconds, floor, peak, gpu_peak_bytes())
    say(
        f"protocol: top {k} of {items:,} items for {customers:,} customers, {dim} dimensions, float32, {seen} seen items of each "
        f"excluded, exact, equal scores by item; {threads} threads; floor: torch.mm and torch.topk alone\n"
        f"{device_line(gpu)}\n"
        f"{found.seconds:.1f} s ({customers / found.seconds:,.0f} customers/s), {found.multiple:.2f} x the floor of "
        f"{found.floor_seconds:.1f} s; peak memory of the process {peak / 2**20:.0f} MiB"
        + ("" if found.gpu_peak_bytes is None else f", on the GPU {found.gpu_peak_bytes / 2**20:.0f} MiB")
    )
    return found
