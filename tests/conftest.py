"""Shapes and types are checked in every test: jaxtyping's annotations are enforced by beartype."""

import warnings

import pytest
from jaxtyping import install_import_hook

hook = install_import_hook(["datamodules", "models", "study.observers"], "beartype.beartype")
with hook, warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import study.cli
    import study.experiments
    import study.running.training

    study.running.training.quiet()


@pytest.fixture
def runs(tmp_path):
    """An empty folder for results."""
    return tmp_path / "runs"
