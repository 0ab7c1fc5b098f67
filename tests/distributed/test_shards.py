"""Two real processes read shards, of which there are fewer than readers: every record once an epoch."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from sensorium.data.sources.write_shards import pack

ROOT = Path(__file__).parents[2]
COUNT = 37


def test_two_processes_with_0_1_and_3_workers_read_every_record_once_an_epoch(tmp_path):
    sums = {}
    rows = []
    for index in range(COUNT):
        pixels = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        sums[str(index + 1)] = float(pixels[0, :, 0].sum())
        rows.append({"photo": str(tmp_path / f"{index}.png"), "kind": "ab"[index % 2]})
    pack(rows, tmp_path / "shards", records=20)
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--module"]
    command += ["tests.distributed.shards_worker", str(tmp_path)]
    environment |= {"ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "seen.json").read_text())
    assert told["world"] == 2 and len(told["found"]) == 6
    for when, seen in told["found"].items():
        once = Counter(key for key, _ in seen if key)  # a process without a row in the last step makes an empty one
        assert once == Counter(list(sums)), when
        assert all(total == sums[key] for key, total in seen if key), when
    orders = {when: [key for key, _ in seen] for when, seen in told["found"].items()}
    assert orders["0 workers, epoch 0"] == orders["3 workers, epoch 0"] != orders["3 workers, epoch 1"]
