"""Which device and which precision."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sensorium.errors import UserError


def choose_device(asked: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises UserError for a device this machine does not have."""
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise UserError(f"--device {asked} is no device; give auto, cpu, cuda or cuda:N.") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {asked} is not supported; give auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device {asked}: this machine has {torch.cuda.device_count()} CUDA devices; give --device cpu."
        )
    return device


def choose_precision(asked: str, device: torch.device) -> tuple[str, str]:
    """(`bf16` or `fp32`, the reason in a few words)."""
    if asked != "auto":
        return asked, "as asked"
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "this GPU has it") if has else ("fp32", "this GPU has no bf16")
    flags = _cpu_flags()
    for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16")):
        if flag in flags:
            return "bf16", f"this CPU has {name}"
    return "fp32", "this CPU has neither AMX nor AVX512-BF16"


@contextmanager
def half_the_cores() -> Iterator[None]:
    """While entered, torch computes on half of the cores: the other half read records, or belong to other programs.

    Threads that wait for a core another process holds are several times slower than fewer threads. The number does not
    depend on the workers, so that a run resumes to the same bits with more or fewer of them. OMP_NUM_THREADS, when set,
    overrides it."""
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())
