"""What a bench runs on: the GPU where there is one, else the processor; what it is called, how fast it multiplies."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

CPU_SIZE, GPU_SIZE = 2048, 8192
"""Rows and columns of the matrices that are multiplied: enough to keep the device busy, quick enough to repeat."""


@dataclass(frozen=True)
class Gpu:
    """The CUDA device that Lightning's ``accelerator="auto"`` takes."""

    name: str
    memory_bytes: int


def found_gpu() -> Gpu | None:
    """The first CUDA device; None where there is none."""
    if not torch.cuda.is_available():
        return None
    about = torch.cuda.get_device_properties(0)
    return Gpu(about.name, about.total_memory)


def device_line(gpu: Gpu | None) -> str:
    """What a report says of where its figures were taken."""
    if gpu is None:
        return "device: no GPU is present, so every figure is of the CPU; nothing was measured on a GPU"
    return f"device: GPU {gpu.name}, {gpu.memory_bytes / 2**30:.0f} GiB"


def gpu_peak_bytes() -> int | None:
    """The most that torch held on the GPU in this process; None without one."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def clock() -> float:
    """Seconds, once the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def matmul_rate(dtype: torch.dtype, threads: int, gpu: Gpu | None = None, size: int | None = None) -> float:
    """Floating-point operations a second of a square matrix product on the device: the best of ten."""
    size = size or (CPU_SIZE if gpu is None else GPU_SIZE)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        one = torch.randn(size, size).to("cpu" if gpu is None else "cuda", dtype)
        seconds = []
        for _ in range(10):
            started = clock()
            one @ one
            seconds.append(clock() - started)
        return float(2 * size**3 / min(seconds))
    finally:
        torch.set_num_threads(before)


def rate_line(rates: dict[torch.dtype, float], threads: int, gpu: Gpu | None) -> str:
    """The measured rates, with what they are of."""
    size, whose = (CPU_SIZE, f"this machine's matrix products, {threads} threads") if gpu is None else (GPU_SIZE, "the GPU's")
    told = ", ".join(f"{str(kind)[6:]} {rate / 1e9:.0f}" for kind, rate in rates.items())
    return f"{whose} ({size} x {size}), GFLOP/s: {told}"
