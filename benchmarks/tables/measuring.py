"""A command in a process of its own: its seconds, processor seconds and peak memory, and on which class of machine."""

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import psutil

PAUSE = 0.2  # seconds between two looks at the memory
VECTORS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")  # of a CPU, the fastest first

RELEASES = """
import json, sys
from importlib.metadata import distributions
releases = {package.name: package.version for package in distributions()}
print(json.dumps({name: releases[name] for name in sys.argv[1:] if name in releases}))
"""


class Usage(NamedTuple):
    """Of a process and all it started: exit status, seconds, processor seconds, peak resident megabytes (a page that
    two processes share counts in each).
    """

    status: int
    seconds: float
    processor_seconds: float
    megabytes: float


def measure_command(command: list[str], log: Path, longest: float) -> Usage:
    """Runs a command, what it prints added to `log`; killed, with what it started, after `longest` seconds."""
    began, peak = time.monotonic(), 0
    with open(log, "ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    while True:
        identity, status, usage = os.wait4(process.pid, os.WNOHANG)
        if identity:
            break
        peak = max(peak, resident(process.pid))
        if time.monotonic() - began > longest:
            os.killpg(process.pid, 9)
        time.sleep(PAUSE)
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = max(peak, usage.ru_maxrss * 1024)
    seconds = time.monotonic() - began
    return Usage(process.returncode, seconds, usage.ru_utime + usage.ru_stime, peak / 1e6)


def resident(identity: int) -> int:
    """Bytes of a process and its descendants."""
    try:
        process = psutil.Process(identity)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total


def machine() -> dict:
    """The class of this machine: cores, how many of them this process may use, the CPU's widest vectors, memory."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    vectors = next((name for name in VECTORS if name in flags), platform.machine())
    return {
        "cores": os.cpu_count(), "used_cores": len(os.sched_getaffinity(0)), "vectors": vectors,
        "gigabytes": round(psutil.virtual_memory().total / 2**30),
    }  # fmt: skip


def versions(python: str, packages: list[str]) -> dict:
    """The releases of packages as `python` has them; one that is missing is left out."""
    printed = subprocess.run([python, "-c", RELEASES, *packages], capture_output=True, text=True, check=True).stdout
    return json.loads(printed)
