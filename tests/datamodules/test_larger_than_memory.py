"""Pictures twice as large as the memory are decoded, kept, and trained on without ever lying in it.

python -m pytest -m slow -s tests/datamodules/test_larger_than_memory.py
takes about two minutes and 4 GB of disk, and prints what was used.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

LIMIT = 2_000_000_000  # bytes of data of a process; torch and Lightning take half of them before they do anything
SIZE, DIFFERENT = 256, 100
COUNT = 2 * LIMIT // (3 * SIZE**2) + 1
TRAINING = """
import json, resource, sys, warnings
from pathlib import Path

import torch
from lightning import Trainer

from datamodules import SourcePairs, chosen
from datamodules.sources import Folder
from models import MLP, Learner, Pixels
from study.running.training import quiet

quiet()
root, size, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    torch.empty(limit, dtype=torch.uint8)
    raise SystemExit("the limit does not hold")
except RuntimeError:  # torch's word for it
    pass
data = SourcePairs(Folder(root, size), count=10**9, batch=16, updates=40, chunk=10)
learner = Learner(MLP(3 * size**2, [], 2, eps=0.01, seeds=[0]), Pixels(), lr=1e-7)
trainer = Trainer(
    accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
)
trainer.fit(learner, datamodule=data)
rollup = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
print(json.dumps({
    "gathered": not data._chosen["train"].near,
    "pictures": sum(part.count for part in data._chosen.values()),
    "bytes": data._chosen["train"].values.untyped_storage().nbytes(),
    "finite": all(bool(w.isfinite().all()) for w in learner.parameters()),
    "updates": trainer.global_step * data.chunk,
    "memory of its own": int(rollup["Anonymous"].split()[0]) * 1024,
}))
"""


@pytest.mark.slow
def test_a_set_of_twice_the_memory_trains(tmp_path):
    import json

    draw = np.random.default_rng(0)
    for i in range(COUNT):
        path = tmp_path / "root" / f"class{i % 2}" / f"{i:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < DIFFERENT:
            coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path)
        else:
            os.link(tmp_path / "root" / f"class{i % 2}" / f"{i % DIFFERENT:06}.jpg", path)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "2"}
    command = [sys.executable, "-c", TRAINING, tmp_path / "root", str(SIZE), str(LIMIT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(done.stderr, done.stdout)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["bytes"] >= 2 * LIMIT and found["pictures"] == COUNT
    assert found["updates"] == 40 and found["finite"]
    assert found["memory of its own"] < LIMIT
