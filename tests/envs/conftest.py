"""The dial with made-up digits."""

import pytest
from dial_world import write_mhd, write_mnist

from envs import DigitDial


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """MNIST and MHD, small. Do not write into it."""
    return write_mhd(write_mnist(tmp_path_factory.mktemp("data")))


@pytest.fixture
def dial(folder):
    """The dial that shows MNIST."""
    return DigitDial("mnist", folder=folder)
