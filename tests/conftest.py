"""Shapes and types are checked in every test: jaxtyping's annotations are enforced by beartype."""

import os
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from jaxtyping import install_import_hook
from PIL import Image

hook = install_import_hook(["datamodules", "models", "study.observers"], "beartype.beartype")
with hook, warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import study.cli
    import study.experiments
    import study.running.training

    study.running.training.quiet()


@pytest.fixture(autouse=True, scope="session")
def heeded():
    """Signals that end work, which who starts the tests in the background, or by nohup, has them ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory):
    """The user's own folder is one of the tests'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def at_most():
    """A context that ends what waits for ever, such as for the other end of a pipe, after so many seconds."""

    @contextmanager
    def at_most(seconds):
        def late(*_):
            raise AssertionError(f"not done after {seconds} s")

        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(seconds)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    return at_most


@pytest.fixture
def triton():
    """Runs a script in a process of its own, with Triton's interpreter where `interpret` is "1"; it ends well."""
    pytest.importorskip("triton", reason="Triton is not installed here")

    def triton(script, interpret):
        environment = os.environ | {"TRITON_INTERPRET": interpret}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return triton


@pytest.fixture
def prompt(at_most):
    """A test that hangs fails."""
    with at_most(60):
        yield


@pytest.fixture
def runs(tmp_path):
    """An empty folder for results."""
    return tmp_path / "runs"


@pytest.fixture
def images(tmp_path):
    """A folder of 30 images of 4 x 4 pixels in two classes."""
    draw = np.random.default_rng(0)
    for i in range(30):
        path = tmp_path / "images" / str(i % 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"
