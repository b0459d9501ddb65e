"""Whom the parts of MHD share."""

import pytest
from mhd_world import SPEAKERS, WRITERS, sounds_in, write_strokes

from nexus_rl.data import load_dataset
from nexus_rl.data.mhd.build import Options, build
from nexus_rl.data.mhd.sides import sides


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("mhd_sources")
    return write_strokes(root / "uji.txt"), sounds_in(root)


@pytest.mark.parametrize("split", ["paper", "disjoint"])
def test_the_share_of_test_rows_that_training_knows(world, tmp_path, split):
    folder = build(tmp_path / "mhd", *world, Options(300, 100, split))
    found = load_dataset("mhd", tmp_path).origin["sides"]
    assert found == sides(folder)
    both = {part: found[part] for part in ("train", "test")}
    if split == "disjoint":
        assert found["known"] == dict.fromkeys(found["known"], 0.0)
        assert sum(each["writers"] for each in both.values()) == WRITERS
        assert sum(each["exemplars"] for each in both.values()) == 20 * WRITERS
    else:
        assert found["known"]["recordings"] == 0
        assert found["known"]["exemplars"] > 0.9 and found["known"]["speakers"] > 0.9
        assert both["train"]["writers"] == both["test"]["writers"] == WRITERS
        assert both["train"]["speakers"] >= len(SPEAKERS)
