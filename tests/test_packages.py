"""What the packages show of themselves to who imports them."""

from importlib import import_module
from importlib.resources import files

import pytest

PACKAGES = ("study", "study.bench", "study.experiments", "study.observers", "models", "models.networks", "datamodules",
            "datamodules.pairings", "datamodules.sources")  # fmt: skip


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_says_which_of_its_names_are_public_and_has_them_all(name):
    package = import_module(name)
    assert len(set(package.__all__)) == len(package.__all__) > 0
    assert all(hasattr(package, public) for public in package.__all__)


@pytest.mark.parametrize("name", ["study", "models", "datamodules"])
def test_a_package_is_marked_as_typed(name):
    assert (files(name) / "py.typed").is_file()
