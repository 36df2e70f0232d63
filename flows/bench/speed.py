"""``nightfolio bench speed``: training speed, memory and quality against other SASRecs, on one data set and one machine.

Every contestant trains in a process of its own, with the same allocator settings and the same threads, on the same
prepared arrays. Runs are interleaved: round 1 of everybody, then round 2, and so on. A process reports the seconds of each
epoch; the first epoch is warm-up (kernels are compiled, memory is fetched) and does not count.

A contestant is a program that takes the path of a request in JSON: ``items`` and ``offsets`` (npy: item 1..N of each event
by customer and time; where each customer starts), ``n_items``, the shape, ``epochs``, ``seed``, ``threads``, ``rank``. It
writes ``report`` and ``top`` (npy [C, 10], each customer's ten best items, none of them seen before; empty unless
``rank``). The report is {"epoch_seconds": [...], "baseline_bytes": ..., "peak_bytes": ..., "gpu_peak_bytes": ...}: the
high-water mark of the program's memory once its imports are done, the same before ranking, and torch's on the GPU (null
without one). One function scores everybody's lists.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data_contracts.errors import NightfolioError
from flows.bench.device import Gpu, device_line, found_gpu, matmul_rate, rate_line
from flows.bench.leave_one_out import leave_one_out, read_sequences
from lightning_modules.histories import Histories

Integers = npt.NDArray[np.int64]
K = 10
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = {"rectools": "RecTools 0.19 SASRec", "replay": "RePlay 0.22 SASRec"}
OURS = {"nightfolio": "bfloat16", "nightfolio-float32": "float32"}
# For everybody alike. Large transient buffers are fetched from the system at every step; in huge pages that costs a five
# hundredth of the page faults. Raising malloc's thresholds instead made the peers' peak memory grow by half.
ALLOCATORS: dict[str, dict[str, str]] = {"default": {}, "huge-pages": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}}


@dataclass(frozen=True)
class Shape:
    """The model and its training, the same for every contestant."""

    dim: int = 64
    blocks: int = 2
    heads: int = 2  # the feed-forward layer is as wide as dim
    dropout: float = 0.2
    batch_size: int = 128
    learning_rate: float = 1e-3  # Adam's, constant


@dataclass(frozen=True)
class Run:
    """One process."""

    contestant: str
    length: int
    sequences_per_second: float  # customers an epoch, over the median of the epochs after the first
    baseline_bytes: int  # once everything is imported
    peak_bytes: int
    gpu_peak_bytes: int | None
    ndcg: float | None


class Contest:
    """The data, prepared once, and a folder for what the processes write."""

    def __init__(self, data: Path, name: str, folder: Path, allocator: str = "huge-pages") -> None:
        self.folder = folder
        self.allocator = allocator
        split = leave_one_out(read_sequences(data / f"{name}.parquet"), folder / "split")
        # Everything but the last event trains; the last one is asked for.
        histories = Histories.open(split.test.histories)
        self.histories_dir = split.test.histories
        self.n_items = histories.n_items
        self.customers, self.answers = split.test.customers, split.test.items
        self.items = histories.items.numpy().astype(np.int64)
        self.offsets = histories.offsets.numpy().astype(np.int64)
        np.save(folder / "items.npy", self.items)
        np.save(folder / "offsets.npy", self.offsets)

    @property
    def sequences(self) -> int:
        """Customers with two events or more: those that every contestant trains on, once an epoch."""
        return int((np.diff(self.offsets) >= 2).sum())

    def run(self, contestant: str, length: int, epochs: int, seed: int, threads: int, shape: Shape, *, rank: bool) -> Run:
        """Start the contestant's process and read what it wrote.

        Raises:
            NightfolioError: the process failed; with the end of what it said.
        """
        paths = {kind: self.folder / f"{contestant}.{kind}" for kind in ("request.json", "report.json", "top.npy")}
        request: dict[str, Any] = {
            **asdict(shape),
            "items": str(self.folder / "items.npy"),
            "offsets": str(self.folder / "offsets.npy"),
            "histories": str(self.histories_dir),
            "n_items": self.n_items,
            "length": length,
            "epochs": epochs,
            "seed": seed,
            "threads": threads,
            "rank": rank,
            "precision": OURS.get(contestant),
            "report": str(paths["report.json"]),
            "top": str(paths["top.npy"]),
        }
        paths["request.json"].write_text(json.dumps(request))
        environment = {**os.environ, **ALLOCATORS[self.allocator], "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        command = [*_program(contestant), str(paths["request.json"])]
        ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise NightfolioError(f"{contestant} failed: {ended.stderr.strip()[-500:]}", remedy="run `make bench-peers` again")
        report = json.loads(paths["report.json"].read_text())
        seconds = report["epoch_seconds"]
        rate = self.sequences / statistics.median(seconds[1:] or seconds)
        ndcg = self.ndcg(np.load(paths["top.npy"])) if rank else None
        memory = (report["baseline_bytes"], report["peak_bytes"], report["gpu_peak_bytes"])
        return Run(contestant, length, rate, *memory, ndcg)

    def ndcg(self, top: Integers) -> float:
        """Mean NDCG@10 of lists [C, 10]: 1 / log2(1 + rank) of the left-out item, 0 where it is not in the list.

        Raises:
            NightfolioError: a list names an item that its customer had already, or an item twice.
        """
        asked = top[self.customers]
        for row, customer in zip(asked, self.customers, strict=True):
            mine = row[row > 0]
            seen = self.items[self.offsets[customer] : self.offsets[customer + 1]]
            if len(np.unique(mine)) != len(mine) or np.isin(mine, seen).any():
                raise NightfolioError(f"the list of customer {customer} repeats an item or names one he has", remedy="correct it")
        hit = asked == self.answers[:, None]
        return float((hit / np.log2(np.arange(2, K + 2))).sum() / len(asked))

    def training_flops(self, length: int, shape: Shape) -> float:
        """Mean floating-point operations of one training step of one sequence, at its real length.

        Matrix products only, backward twice the forward: 12 D^2 a row and block, 4 D (place + 1) for causal attention,
        2 D N for the scores.
        """
        rows = np.minimum(np.diff(self.offsets) - 1, length)
        rows = rows[rows > 0].astype(np.float64)
        attention = 4 * shape.dim * rows * (rows + 1) / 2
        forward = shape.blocks * (12 * shape.dim**2 * rows + attention) + 2 * shape.dim * self.n_items * rows
        return float(3 * forward.mean())


def bench_speed(
    data: Path,
    name: str = "ml_1m",
    *,
    lengths: tuple[int, ...] = (50, 200),
    rounds: int = 3,
    epochs: int = 3,
    quality_epochs: int = 0,
    contestants: tuple[str, ...] = (),
    allocator: str = "huge-pages",
    threads: int = 2,
    say: Callable[[str], None] = print,
) -> list[Run]:
    """Measure and print; the protocol first.

    Args:
        epochs: of a timed process; the first is warm-up.
        quality_epochs: of one further process each, whose lists are scored; 0 for none.
        contestants: names among OURS and PEERS; none: all that are installed.
        allocator: a name in ALLOCATORS, for everybody alike.
    """
    unknown = set(contestants) - {*OURS, *PEERS}
    if unknown:
        raise NightfolioError(f"no contestant {', '.join(sorted(unknown))}", remedy=f"name some of {', '.join([*OURS, *PEERS])}")
    if allocator not in ALLOCATORS:
        raise NightfolioError(f"no allocator setting {allocator!r}", remedy=f"name one of {', '.join(ALLOCATORS)}")
    shape = Shape()
    chosen = []
    for one in contestants or (*OURS, *PEERS):
        if one in PEERS and not Path(_program(one)[0]).is_file():
            say(f"NOT MEASURED: {PEERS[one]} is not installed; `make bench-peers` installs it")
        else:
            chosen.append(one)
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(data, name, Path(folder), allocator)
        _say_protocol(contest, name, rounds, epochs, threads, shape, say)
        gpu = found_gpu()
        say(device_line(gpu))
        rates = {kind: matmul_rate(kind, threads, gpu) for kind in (torch.float32, torch.bfloat16)}
        say(rate_line(rates, threads, gpu))
        every: list[Run] = []
        for length in lengths:
            flops = contest.training_flops(length, shape)
            runs = [
                contest.run(one, length, epochs, round_, threads, shape, rank=False) for round_ in range(rounds) for one in chosen
            ]
            quality = {
                one: contest.run(one, length, quality_epochs, 0, threads, shape, rank=True) for one in chosen if quality_epochs
            }
            say(f"\nmaximum length {length}: {flops / 1e6:.0f} MFLOP a sequence in training at real length")
            _say_table(runs, quality, quality_epochs, flops, rates, gpu, say)
            every += [*runs, *quality.values()]
        return every


def _say_protocol(
    contest: Contest, name: str, rounds: int, epochs: int, threads: int, shape: Shape, say: Callable[[str], None]
) -> None:
    say(
        f"protocol: {name}, {contest.sequences:,} customers with two events or more (the sequences of an epoch), "
        f"{len(contest.items):,} events, {contest.n_items:,} items; the last event of each customer is left out and asked for\n"
        f"model: hidden {shape.dim}, {shape.blocks} blocks, {shape.heads} heads, feed-forward {shape.dim}, dropout "
        f"{shape.dropout}, full softmax over the catalogue, batch {shape.batch_size}, Adam {shape.learning_rate} constant\n"
        f"speed: processes of {epochs} epochs, the first not counted, interleaved, {rounds} rounds; median over the rounds of "
        f"each one's median epoch; {threads} threads; allocator {contest.allocator} {ALLOCATORS[contest.allocator] or ''}\n"
        "ours differs in its arithmetic: bfloat16 products and activations (weights, sums and Adam in float32), no dropout on "
        "attention weights, dropout masks from a pool of patterns; nightfolio-float32 has the latter two only\n"
        "ours also differs in its start: item vectors begin at a spectrum of the training set's co-visits, not at random "
        "(a few seconds, once, outside the epochs timed); chosen on the second-last event\n"
        "memory: high-water mark of each process once its imports are done, what it rises by until the fit ends, and both\n"
        "NDCG@10: full catalogue less what the customer has, one scorer for all lists"
    )


def _say_table(
    runs: list[Run],
    quality: dict[str, Run],
    quality_epochs: int,
    flops: float,
    rates: dict[torch.dtype, float],
    gpu: Gpu | None,
    say: Callable[[str], None],
) -> None:
    grouped = {one: [run for run in runs if run.contestant == one] for one in dict.fromkeys(run.contestant for run in runs)}
    speeds = {one: statistics.median(run.sequences_per_second for run in mine) for one, mine in grouped.items()}
    peaks = {one: statistics.median(run.peak_bytes for run in mine) for one, mine in grouped.items()}
    scored = f"  NDCG@10 after {quality_epochs} epochs" if quality else ""
    on_gpu, whose = ("", "the") if gpu is None else ("  GPU peak MiB", "the GPU's")
    say(f"{'contestant':20s} {'seq/s (min-max)':24s}imports MiB  fit adds  peak MiB{on_gpu}  of {whose} matmul rate{scored}")
    for one, mine in grouped.items():
        spread = [run.sequences_per_second for run in mine]
        base = statistics.median(run.baseline_bytes for run in mine)
        held = statistics.median(run.gpu_peak_bytes or 0 for run in mine)
        kind = torch.bfloat16 if OURS.get(one) == "bfloat16" else torch.float32
        ndcg = quality[one].ndcg if one in quality else None
        say(
            f"{one:20s} {speeds[one]:7.0f} ({min(spread):.0f}-{max(spread):.0f})".ljust(45)
            + f"{base / 2**20:11.0f}{(peaks[one] - base) / 2**20:10.0f}{peaks[one] / 2**20:10.0f}"
            + ("" if gpu is None else f"{held / 2**20:14.0f}")
            + f"  {speeds[one] * flops / rates[kind]:6.1%} {str(kind)[6:]:9s}"
            + ("" if ndcg is None else f"  {ndcg:.4f}")
        )
    peers = [one for one in grouped if one in PEERS]
    if peers and "nightfolio" in grouped:
        faster = max(peers, key=lambda one: speeds[one])
        leanest = min(peaks[one] for one in peers)
        say(
            f"nightfolio over the faster peer ({faster}): {speeds['nightfolio'] / speeds[faster]:.2f} x the speed; "
            f"peak memory {peaks['nightfolio'] / leanest:.2f} x the leaner peer's"
        )


def _program(contestant: str) -> list[str]:
    if contestant in PEERS:
        return [str(ROOT / f".venv-peers-{contestant}" / "bin" / "python"), str(HERE / "peers" / f"{contestant}_sasrec.py")]
    return [sys.executable, "-m", "flows.bench.speed_run"]
