"""Memory of a fit on tar shards of 1,000 and of 50,000 records: proportional set size of parent and workers over time.

    python benchmarks/shard_memory.py [--records 1000 50000] [--steps 200] [--workers 2]

Made-up records: a picture of 32 x 32 pixels, a caption and a class that the picture tells. Each size is fitted in a
process of its own with the same model, and every half second the proportional set sizes of that process and of all its
workers (/proc/PID/smaps_rollup: a page that k processes share counts a k-th in each) are summed. Training is counted
from its step 50 on, when the workers run and the optimiser has its state, to step `--steps`, where the fit is killed.

Libraries are files that every process of the machine which uses them shares, so the whole changes with the neighbours;
beside it stands what is no file: the memory that the fit itself took. Linux only; needs pip install 'sensorium[test]'.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import simplejpeg
from webdataset import TarWriter

BATCH = 128
WARM = 50  # steps
SHARD = 1000  # records
WORDS = ["small", "large", "red", "old", "new", "bright", "calm", "lamp", "chair", "clock", "radio", "garden", "river"]


def make(folder: Path, count: int) -> None:
    """`count` records as shards in `folder`."""
    chance = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for start in range(0, count, SHARD):
        with open(folder / f"{start // SHARD:06}.tar", "wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
            for row in range(start, min(start + SHARD, count)):
                label = row % 4
                pixels = chance.integers(0, 200, (32, 32, 3), dtype=np.uint8)
                pixels[16 * (label // 2) :, 16 * (label % 2) :] //= 2
                caption = " ".join(chance.choice(WORDS, 8))
                tar.write(
                    {
                        "__key__": f"record-{row:08}",
                        "jpg": simplejpeg.encode_jpeg(pixels, quality=80),
                        "json": json.dumps({"caption": caption, "kind": "abcd"[label]}).encode(),
                    }
                )


def fit(shards: Path, out: Path, workers: int, steps: "Synchronized[int]") -> None:
    """A fit that counts its steps in `steps`."""
    import sensorium
    from sensorium.training.loop import Training

    real = Training._optimise

    def counted(training, pieces) -> None:
        steps.value += 1
        real(training, pieces)

    Training._optimise = counted
    sensorium.fit(
        shards, out, target="kind", columns={"caption": "text"}, epochs=999, batch_size=BATCH, patience=999,
        workers=workers, refit=False, device="cpu", precision="fp32", quiet=True,
        encoders={"image": "image_conv,width=16,size=32", "caption": "text,width=32,depth=1,vocabulary=300"},
    )  # fmt: skip


class Size(NamedTuple):
    """Megabytes of proportional set size: of all pages, and of those that are no file's."""

    whole: float
    own: float


def pss(process: psutil.Process) -> Size:
    """The size of a process and its descendants."""
    kilobytes = {"Pss": 0, "Pss_Anon": 0, "Pss_Shmem": 0}
    for one in [process, *process.children(recursive=True)]:
        try:
            lines = Path(f"/proc/{one.pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in kilobytes:
                kilobytes[name] += int(value.split()[0])
    return Size(kilobytes["Pss"] / 1024, (kilobytes["Pss_Anon"] + kilobytes["Pss_Shmem"]) / 1024)


def watch(shards: Path, out: Path, workers: int, most: int) -> list[tuple[int, Size]]:
    """(step, size) every half second while a fit runs, up to its step `most`."""
    context = multiprocessing.get_context("spawn")
    steps = context.Value("i", 0)
    process = context.Process(target=fit, args=(shards, out, workers, steps))
    process.start()
    watched, seen = psutil.Process(process.pid), []
    while process.is_alive() and steps.value < most:
        seen.append((steps.value, pss(watched)))
        time.sleep(0.5)
    if not process.is_alive():
        raise SystemExit(f"the fit of {shards} ended early")
    process.kill()
    process.join()
    return seen


def told(count: int, seen: list[tuple[int, Size]]) -> Size:
    """Prints the curves of one fit; gives the medians of its training once warm."""
    warm = [size for step, size in seen if step > WARM]
    before = [size for step, size in seen if step == 0]
    print(f"{count:,} records: megabytes over training, in tenths")
    for what, place in (("all pages", 0), ("no file's", 1)):
        sizes = [size[place] for size in warm]
        curve = " ".join(f"{np.median(part):5.0f}" for part in np.array_split(sizes, 10))
        most = max(size[place] for size in before)
        print(f"  {what} {curve}   median {np.median(sizes):.0f}, peak {max(sizes):.0f}, before training {most:.0f}")
    sys.stdout.flush()
    return Size(*np.median(warm, axis=0))


def main() -> None:
    """Makes the shards, fits each, prints the curves and the ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 50_000])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    medians = []
    with tempfile.TemporaryDirectory() as folder:
        for count in given.records:
            make(Path(folder) / str(count), count)
            seen = watch(Path(folder) / str(count), Path(folder) / f"run-{count}", given.workers, given.steps)
            medians.append(told(count, seen))
    whole, own = (last / first for last, first in zip(medians[-1], medians[0], strict=True))
    print(f"ratio of the medians, last over first: {whole:.3f} of all pages, {own:.3f} of those that are no file's")


if __name__ == "__main__":
    main()
