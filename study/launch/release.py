"""Memory of runs that share a process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def released() -> Iterator[None]:
    """What the block made and no longer needs is gone after it.

    A trainer, its observers and its data refer to each other, and would else wait for the collector, which counts objects and not
    their bytes. What there was before is not looked through, which takes longer than many a run.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
