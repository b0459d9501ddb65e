"""The authors' files: converted as they are, and nothing in them is run."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch

from nexus_rl.data import load_dataset
from nexus_rl.data.audio import waveform
from nexus_rl.data.mhd.official import convert
from nexus_rl.data.mhd.wav import read_wav
from nexus_rl.errors import UserError


def content(rows, seed, number=float):
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (rows, 1, 28, 28), generator=random) / 255
    sounds = torch.rand(rows // 2, 4, 32, 32, generator=random).repeat(2, 1, 1, 1)
    return [
        torch.arange(rows) % 10,
        images,
        torch.rand(rows, 200, generator=random),
        sounds,
        {"max": number(1.2), "min": number(-1.5)},
        {"max": number(20), "min": number(-60)},
    ]


def save(folder: Path, train, test, legacy=False) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    files = folder / "mhd_train.pt", folder / "mhd_test.pt"
    for path, values in zip(files, (train, test), strict=True):
        torch.save(tuple(values), path, _use_new_zipfile_serialization=not legacy)
    return files


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("number", [float, np.float32, np.float64, np.array])
def test_values_are_kept_and_sounds_stored_once(tmp_path: Path, legacy, number):
    train, test = content(40, 0, number), content(20, 1, number)
    folder = convert(save(tmp_path / "pt", train, test, legacy), tmp_path / "mhd")
    data = load_dataset("mhd", tmp_path)
    for part, values in ((data.train, train), (data.test, test)):
        assert torch.equal(part["label"].long(), values[0])
        assert torch.equal(part["image"] / 255, values[1])
        far = (part["trajectory"].float() - values[2]).abs().max()
        assert far < 2**-11
        assert (part["sound"] / 255 - by_hand(values[3])).abs().max() <= 0.5001 / 255
    assert folder.read("sound").shape == (20 + 10, 1, 32, 128)
    scale = folder.index()["normalisation"]["train"]
    assert scale["sound"] == {"min": -60, "max": 20}
    assert scale["trajectory"]["max"] == pytest.approx(1.2)


def by_hand(sounds):
    """(N, 1, time, band): the blocks one above the other, then turned."""
    return torch.stack([torch.cat(list(one), 0).T for one in sounds])[:, None]


class Dangerous:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, legacy):
    mark = tmp_path / "was_run"
    train = content(20, 0)
    train[4] = {"max": 1.0, "min": Dangerous(mark)}
    files = save(tmp_path / "pt", train, content(20, 1), legacy)
    with pytest.raises(UserError, match=r"mhd_train\.pt .*could run code"):
        convert(files, tmp_path / "mhd")
    assert not mark.exists()
    assert not (tmp_path / "mhd").exists()


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (0, torch.zeros(19).long(), "expected images of shape"),
        (0, torch.zeros(20), "labels must not be torch.float32"),
        (0, torch.full((20,), 10), "labels from 10 to 10 lie outside"),
        (1, torch.full((20, 1, 28, 28), 255.0), "images from 255"),
        (2, torch.full((20, 200), torch.nan), "trajectories from nan"),
        (3, torch.zeros(20, 3, 32, 32), "expected sounds of shape"),
        (3, "noise", "expected sounds of shape"),
        (4, {"max": 1.0}, "scale of trajectories must be a dict"),
        (5, {"max": 1.0, "min": 2.0}, "finite min below its max"),
        (5, {"max": "loud", "min": 2.0}, "finite min below its max"),
        (5, {"max": np.ones(2), "min": np.zeros(2)}, "expected 1 as numbers"),
        (4, {"max": np.ones(7), "min": np.zeros(7)}, "1 or 200 as numbers"),
        (4, {"max": np.ones(200), "min": np.zeros(2)}, "found 2 and 200"),
        (4, {"max": "1", "min": "0"}, "below its max"),
        (4, {"max": [[1], [1, 2]], "min": 0}, "below its max"),
        (4, {"max": torch.ones(1, requires_grad=True), "min": 0}, "below its max"),
        (0, torch.tensor(3), "expected labels of shape"),
        (0, torch.ones(20).bool(), "labels must not be torch.bool"),
        (0, torch.ones(20).cfloat(), "labels must not be torch.complex64"),
        (0, torch.arange(20) % 9, "there is no digit 9"),
        (1, torch.zeros(20, 1, 28, 28, device="meta"), "images must not be .*meta"),
    ],
)
def test_other_content_is_named(tmp_path: Path, place, value, named):
    train = content(20, 0)
    train[place] = value
    files = save(tmp_path / "pt", train, content(20, 1))
    with pytest.raises(UserError, match=rf"mhd_train\.pt: .*{named}"):
        convert(files, tmp_path / "mhd")


@pytest.mark.parametrize("levels", [(1.0, 0.0), (np.ones(1), np.zeros(1))])
def test_a_scale_may_be_an_array_of_one_number(tmp_path: Path, levels):
    train = content(20, 0)
    train[5] = dict(zip(("max", "min"), levels, strict=True))
    folder = convert(save(tmp_path / "pt", train, content(20, 1)), tmp_path / "mhd")
    assert folder.index()["normalisation"]["train"]["sound"] == {"min": 0, "max": 1}


def test_one_file_twice_is_refused(tmp_path: Path):
    first, _ = save(tmp_path / "pt", content(20, 0), content(20, 1))
    with pytest.raises(UserError, match=r"are the same: give train, then test"):
        convert((first, first), tmp_path / "mhd")


def test_files_in_the_other_order_are_refused(tmp_path: Path):
    train, test = save(tmp_path / "pt", content(40, 0), content(20, 1))
    with pytest.raises(UserError, match=r"20 rows and .* 40: give train, then test"):
        convert((test, train), tmp_path / "mhd")
    assert not (tmp_path / "mhd").exists()


def test_examples_sound_as_loud_as_the_files_say(tmp_path: Path):
    """Loudest is 20 dB here, quietest -60: the levels of sounds, not of strokes."""
    files = save(tmp_path / "pt", content(20, 0), content(20, 1))
    folder = convert(files, tmp_path / "mhd")
    data = load_dataset("mhd", folder.path).train
    first = (data["label"] == 7).nonzero()[0, 0]
    expected = waveform(data["sound"][first].float() / 255, (-60.0, 20.0))
    found, rate = read_wav(folder.path / "examples" / "7.wav")
    assert rate == 16_000
    assert torch.allclose(found, expected[0], atol=1e-4)


def test_archives_that_are_compressed_are_not_unpacked(tmp_path: Path):
    """PyTorch compresses nothing: a small file could become a large one."""
    files = save(tmp_path / "pt", content(20, 0), content(20, 1))
    with ZipFile(files[0]) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(files[0], "w", ZIP_DEFLATED) as archive:
        for name, entry in entries.items():
            archive.writestr(name, entry)
    with pytest.raises(UserError, match=r"mhd_train\.pt .*compressed"):
        convert(files, tmp_path / "mhd")


def test_truncated_and_missing_files_are_named(tmp_path: Path):
    files = save(tmp_path / "pt", content(20, 0), content(20, 1))
    folder = convert(files, tmp_path / "mhd")
    index = folder.index()
    files[1].write_bytes(files[1].read_bytes()[:3000])
    with pytest.raises(UserError, match="holds the dataset already"):
        convert(files, folder.path)
    with pytest.raises(UserError, match=r"mhd_test\.pt is truncated or corrupt"):
        convert(files, folder.path, overwrite=True)
    load_dataset("mhd", tmp_path)
    assert folder.index() == index  # it is still the good one
    files[0].write_text("<!DOCTYPE html>")
    with pytest.raises(UserError, match=r"mhd_train\.pt is a web page"):
        convert(files, tmp_path / "other")
    files[0].unlink()
    with pytest.raises(UserError, match=r"mhd_train\.pt cannot be read"):
        convert(files, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("begun", "told"),
    [
        ('{"kind": "official", "files": {}}', "call with other files.*if its sources"),
        ("null", "of which call cannot be told"),
        ("damaged", "of which call cannot be told"),
    ],
)
def test_an_unfinished_dataset_of_other_files_is_replaced_if_asked(
    tmp_path: Path, begun: str, told: str
):
    files, out = save(tmp_path / "pt", content(20, 0), content(20, 1)), tmp_path / "mhd"
    out.mkdir()
    (out / "sound.npy").touch()
    (out / "building.json").write_text(begun)
    with pytest.raises(UserError, match=told) as refused:
        convert(files, out)
    assert "--overwrite" in str(refused.value)
    convert(files, out, overwrite=True)
    assert len(load_dataset("mhd", out).train["label"]) == 20


def test_a_replacement_that_broke_off_while_it_cleared_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files, out = save(tmp_path / "pt", content(20, 0), content(20, 1)), tmp_path / "mhd"
    convert(files, out)

    def break_off(path, missing_ok=False):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", break_off)
    with pytest.raises(KeyboardInterrupt):
        convert(files, out, overwrite=True)
    monkeypatch.undo()
    with pytest.raises(UserError, match="unfinished"):
        load_dataset("mhd", out)
    with pytest.raises(UserError, match="cannot be told; replace it with --overwrite"):
        convert(files, out)
    convert(files, out, overwrite=True)
    load_dataset("mhd", out)
