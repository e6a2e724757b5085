"""40,000 photographs of 20 to 400 pixels a side in mixed formats: decoded and kept by one start, not read by the next.

python -m pytest -m slow -s tests/datamodules/test_many_photographs.py
prints the seconds of both. STUDY_PHOTOGRAPHS=400 makes fewer of them.
"""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

COUNT = int(os.environ.get("STUDY_PHOTOGRAPHS", "40000"))
COPIES = 10  # of each picture, under names of their own
CLASSES = 10
KINDS = [("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("JPEG", "RGB"), ("JPEG", "RGB"), ("JPEG", "L")]
KINDS += [("JPEG", "CMYK"), ("WEBP", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("TIFF", "RGB"), ("TIFF", "L"), ("BMP", "RGB")]
START = """
import json, sys, time
from pathlib import Path

from datamodules import reading, seen
from datamodules.sources import Folder
from study.running.inputs import fingerprint

decode, decoded = reading.decode, []
reading.decode = lambda *picture: decoded.append(1) or decode(*picture)
started = time.monotonic()
source = Folder(Path(sys.argv[1]), 64)
loaded = source.load()
seconds = time.monotonic() - started
name = fingerprint(source.files())
known = time.monotonic() - started - seconds
values = loaded["train"].values
print(json.dumps([len(decoded), len(values), int(values[::97].sum()), name, seconds, known]))
"""


def photographs(root, count):
    """Smooth pictures with some grain, so that they are compressed about as photographs are."""
    draw = np.random.default_rng(0)
    for i in range(count // COPIES):
        kind, mode = KINDS[i % len(KINDS)]
        size = tuple(int(side) for side in draw.integers(20, 401, 2))
        coarse = Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        grain = draw.integers(-6, 7, (size[1], size[0], 1))
        image = Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).convert(mode)
        options = {"compression": "tiff_deflate"} if kind == "TIFF" else {"method": 0} if kind == "WEBP" else {}
        if kind == "JPEG" and i % 3 == 0:
            options["exif"] = Image.Exif()
            options["exif"][0x0112] = 6
        image.save(buffer := io.BytesIO(), kind, **options)
        for copy in range(COPIES):
            path = root / f"class{i % CLASSES}" / f"{i:05}-{copy}.{kind.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(buffer.getvalue())


@pytest.mark.slow
def test_so_many_photographs_are_decoded_once(tmp_path):
    import json

    photographs(tmp_path / "root", COUNT)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": str(os.cpu_count())}
    # What was written in the last seconds is not kept.
    subprocess.run(["sleep", "2.1"], check=True)
    results = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", START, tmp_path / "root"], env=environment, capture_output=True, text=True, check=True
        )
        print(done.stderr, done.stdout)
        results.append(json.loads(done.stdout))
    first, second = results
    assert (first[0], second[0]) == (COUNT, 0)
    assert first[1:4] == second[1:4] and first[1] == COUNT
