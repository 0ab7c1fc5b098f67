"""What deciding costs: multiply-adds, time at several batch sizes, memory."""

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from sensorium.data.table import Table
from sensorium.features import Batch
from sensorium.model import Model

SIZES = (1, 32)
TIMES, SECONDS = 30, 8.0
_HIGHEST = re.compile(r"VmHWM:\s+(\d+) kB")


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """The CPU's fused attention, which torch's counter does not know."""
    return sdpa_flop_count(query, key, value)


def _recurrent(inputs: torch.Size, inner: torch.Size, outer: torch.Size, *_: Any, **__: Any) -> int:
    """A layer of an LSTM on the CPU: at each of L steps two matrices, inputs [L, B, D]."""
    return 2 * inputs[0] * inputs[1] * (inner.numel() + outer.numel())


UNKNOWN_TO_TORCH = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten.mkldnn_rnn_layer: _recurrent,
}


class Costs(NamedTuple):
    """What a model costs.

    multiply_adds: of one record. latency_ms: by batch size, {"p50", "p95"}. peak_bytes: the most that the process held
    while it decided on the largest batch, and of that pass_bytes more than before; None where the system does not say.
    """

    multiply_adds: int
    latency_ms: dict[int, dict[str, float]]
    peak_bytes: int | None
    pass_bytes: int | None
    device: str
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """As metrics.json spells costs."""
        return {
            "multiply_adds": self.multiply_adds,
            "latency_ms": {f"batch_{size}": times for size, times in self.latency_ms.items()},
            "peak_bytes": self.peak_bytes,
            "pass_bytes": self.pass_bytes,
        }


@torch.no_grad()
def costs(model: Model, table: Table) -> Costs:
    """Measures `model` on the first records of `table`, from their tensors to their decisions; where a record lacks an
    input, that input costs nothing. The model is left in evaluation mode.
    """
    model.eval()
    batches = {size: _batch(model, table, size) for size in SIZES}
    for batch in batches.values():
        _decide(model, batch)  # warms up
    work = multiply_adds(lambda: _decide(model, batches[1]))
    peak, pass_bytes = _measure_memory(model, batches[max(SIZES)])
    return Costs(
        multiply_adds=work,
        latency_ms={size: _time_passes(model, batch) for size, batch in batches.items()},
        peak_bytes=peak,
        pass_bytes=pass_bytes,
        device=model.device.type.upper(),
        threads=torch.get_num_threads(),
    )


@torch.no_grad()
def multiply_adds(run: Callable[[], object]) -> int:
    """How many multiplications with an addition the matrix products of `run` take."""
    with FlopCounterMode(display=False, custom_mapping=UNKNOWN_TO_TORCH) as counter:
        run()
    return counter.get_total_flops() // 2


def _batch(model: Model, table: Table, size: int) -> Batch:
    """A batch of `size` records, of which those with the most inputs come first."""
    present = sum(table.present(spec).astype(int) for spec in table.schema.inputs)
    rows = np.argsort(-present, kind="stable")
    return next(iter(model.batches(table.take(rows[np.arange(size) % len(rows)]), batch_size=size)))


def _decide(model: Model, batch: Batch) -> None:
    """From tensors to decisions, or of a model without targets to embeddings; waits for the device."""
    features = model.encode(batch.inputs)
    if model.fusion is not None and model.decides:
        outcome = [tensor for target in model.decide(model.fuse(features)).values() for tensor in target.values()]
    else:
        outcome = [model.embedding(name, encoded) for name, encoded in features.items()]
    for tensor in outcome:
        tensor.cpu()


def _time_passes(model: Model, batch: Batch) -> dict[str, float]:
    times, end = [], time.perf_counter() + SECONDS
    while len(times) < TIMES and (len(times) < 3 or time.perf_counter() < end):
        start = time.perf_counter()
        _decide(model, batch)
        times.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}


def _measure_memory(model: Model, batch: Batch) -> tuple[int | None, int | None]:
    """The process's highest resident set during one pass, in bytes, and how much it rose; Linux says so."""
    status = Path("/proc/self/status")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts again
        before = _highest_resident(status)
        _decide(model, batch)
        after = _highest_resident(status)
        if before is not None and after is not None:
            return after, max(0, after - before)
    return None, None


def _highest_resident(status: Path) -> int | None:
    match = _HIGHEST.search(status.read_text())
    return None if match is None else 1024 * int(match[1])
