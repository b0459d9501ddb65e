"""Building MHD: what is in the folder, who is on which side, and when it is whole."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mhd_world import OPTIONS, sounds_in, write_strokes
from other_process import process

from nexus_rl.data import load_dataset
from nexus_rl.data.mhd import store
from nexus_rl.data.mhd.build import Options, build
from nexus_rl.data.mhd.pairing import Origins, held_out, pair
from nexus_rl.data.mhd.sounds import read_speech_commands
from nexus_rl.data.mhd.store import Folder
from nexus_rl.errors import UserError
from nexus_rl.files import write_json


def test_the_dataset_is_loaded_compact_and_balanced(built):
    data = load_dataset("mhd", built.path)
    assert (data.name, data.origin["strokes"]["writers"]) == ("mhd", 4)
    kinds = {name: (tuple(t.shape), t.dtype) for name, t in data.train.items()}
    assert kinds == {
        "image": ((103, 1, 28, 28), torch.uint8),
        "trajectory": ((103, 200), torch.float16),
        "sound": ((103, 1, 32, 128), torch.uint8),
        "label": ((103,), torch.uint8),
    }
    counts = data.train["label"].bincount().tolist()
    assert counts == [11] * 3 + [10] * 7
    assert data.test["label"].bincount().tolist() == [3] * 5 + [2] * 5
    assert (data.train["label"].long().diff() < 0).any()  # shuffled


def test_the_index_tells_where_everything_is_from(built, world):
    index = built.index()
    assert index["samples"] == {"train": 103, "test": 25}
    assert index["source"]["options"]["split"] == "paper"
    assert index["source"]["strokes"]["writers"] == 4
    assert set(index["source"]["sounds"]) == {"fsdd", "speech_commands"}
    assert {"contact.png", "examples/7.wav", "sound.npy"} <= set(index["files"])
    assert not (built.path / "building.json").exists()
    assert 0 < index["fit"]["mean_error"] < 0.015


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    built, world, tmp_path: Path
):
    again = build(tmp_path / "again", *world, OPTIONS)
    assert again.index() == built.index()
    other = build(tmp_path / "other", *world, replace(OPTIONS, seed=1))
    for name in ("train_trajectory", "train_image", "train_sound"):
        assert (other.read(name) != built.read(name)).any()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_build_that_broke_off_goes_on_to_the_same_bytes(
    built, world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
):
    out = tmp_path / "mhd"
    if overwrite:
        build(out, *world, Options(10, 10))

    class BrokeOffError(Exception):
        pass

    write = Folder.write

    def break_off(folder, name, array):
        if name == "test_label":
            raise BrokeOffError
        write(folder, name, array)

    monkeypatch.setattr(Folder, "write", break_off)
    with pytest.raises(BrokeOffError):
        build(out, *world, OPTIONS, overwrite=overwrite)
    monkeypatch.undo()
    with pytest.raises(UserError, match="unfinished; make the same call"):
        load_dataset("mhd", out)
    with pytest.raises(UserError, match=r"call with other options; .*--overwrite"):
        build(out, *world, replace(OPTIONS, seed=9))
    before = (out / "fit_parameters.npy").stat().st_mtime_ns
    (out / ".sound.npy.partial").write_bytes(b"half")
    again = build(out, *world, OPTIONS, overwrite=overwrite)
    assert again.index() == built.index()
    assert (out / "fit_parameters.npy").stat().st_mtime_ns == before
    assert not (out / ".sound.npy.partial").exists()


def test_a_folder_that_broke_off_at_its_index_goes_on(
    world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, options = tmp_path / "mhd", Options(10, 10)

    def break_off(path, value):
        write_json(path, value)
        if path.name == "index.json":
            raise KeyboardInterrupt
        assert not (out / "index.json").exists()

    monkeypatch.setattr(store, "write_json", break_off)
    with pytest.raises(KeyboardInterrupt):
        build(out, *world, options)
    monkeypatch.undo()
    assert Folder(out).whole and (out / "building.json").exists()
    load_dataset("mhd", out)


# Makes something else, and gets as far as half a file.
MAKES = """
from nexus_rl.data.mhd.store import Folder
from nexus_rl.parts import aside
folder = Folder(path)
with folder.claim({"kind": "other"}), aside(path / "sound.npy") as part:
    part.write_bytes(b"half")
    print(flush=True)
    input()
"""


def test_one_process_at_a_time_builds_and_a_killed_one_holds_nobody_up(tmp_path: Path):
    folder, mine = Folder(tmp_path / "mhd"), {"kind": "mine"}
    with process(MAKES, folder.path) as other:
        with (
            pytest.raises(UserError, match=f"another process .*{other.pid}"),
            folder.claim(mine, overwrite=True),
        ):
            pass
        assert folder._begun() == {"kind": "other"}
        other.send_signal(signal.SIGKILL)
        other.wait()
    with pytest.raises(UserError, match="unfinished result"), folder.claim(mine):
        pass
    with folder.claim(mine, overwrite=True):
        names = {path.name for path in folder.path.iterdir()}
        assert names == {"building.json", ".lock"}
    with folder.claim(mine):
        assert folder._begun() == mine


def test_nothing_is_overwritten_unless_asked(built, world, tmp_path: Path):
    out = tmp_path / "mhd"
    options = Options(20, 10)
    build(out, *world, options)
    with pytest.raises(UserError, match=r"holds the dataset already.*--overwrite"):
        build(out, *world, options)
    build(out, *world, replace(options, seed=2), overwrite=True)
    assert Folder(out).index()["source"]["options"]["seed"] == 2
    (out / "diary.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds other files \(diary\.txt"):
        build(out, *world, options, overwrite=True)
    assert Folder(out).whole
    (out / "diary.txt").rename(out / "examples" / "mine.wav")
    with pytest.raises(UserError, match=r"holds other files \(examples/mine\.wav"):
        build(out, *world, options, overwrite=True)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "sound.npy").write_text("somebody else's")
    with pytest.raises(UserError, match="holds other files"):
        build(foreign, *world, options, overwrite=True)


def test_a_corrupt_recording_costs_no_dataset(tmp_path: Path):
    strokes, sounds = write_strokes(tmp_path / "uji.txt"), sounds_in(tmp_path)
    folder = build(tmp_path / "mhd", strokes, sounds, Options(10, 10))
    index = folder.index()
    clip = tmp_path / "words" / "six" / "1abc_nohash_6.wav"
    clip.write_bytes(clip.read_bytes()[:-600])
    sounds = [sounds[0], read_speech_commands(tmp_path / "words")]
    for out in (folder.path, tmp_path / "other"):
        with pytest.raises(UserError, match=r"1abc_nohash_6\.wav"):
            build(out, strokes, sounds, Options(20, 10), overwrite=True)
    load_dataset("mhd", folder.path)
    assert folder.index() == index and not (tmp_path / "other").exists()


def test_a_stroke_without_extent_costs_no_dataset(tmp_path: Path):
    strokes, sounds = write_strokes(tmp_path / "uji.txt"), sounds_in(tmp_path)
    folder = build(tmp_path / "mhd", strokes, sounds, Options(10, 10))
    index, dots = folder.index(), " ".join(["5 5"] * 5)
    dot = f"WORD 5 trn_UJI_W03-09\n  NUMSTROKES 1\n  POINTS 5 # {dots}\n"
    strokes.write_text(strokes.read_text() + dot)
    with pytest.raises(UserError, match=r"uji\.txt, digit 5 of session trn_UJI_W03-09"):
        build(folder.path, strokes, sounds, Options(10, 10), overwrite=True)
    load_dataset("mhd", folder.path)
    assert folder.index() == index


@pytest.mark.parametrize("damage", ["changed", "missing", "table", "index", "rows"])
def test_a_damaged_folder_is_not_loaded(world, tmp_path: Path, damage: str):
    folder = build(tmp_path / "mhd", *world, Options(10, 10))
    path = folder.path / "train_image.npy"
    if damage == "changed":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "missing":
        path.unlink()
    elif damage == "table":
        (folder.path / "exemplars.csv").write_text("writer\n1\n")
    else:
        index = json.loads((folder.path / "index.json").read_text())
        del index["content_sha256"]  # changed by hand
        if damage == "rows":
            index["samples"]["train"] = 10**12
        else:
            index["format"] = 99
        (folder.path / "index.json").write_text(json.dumps(index))
    named = {
        "changed": "train_image.npy has changed",
        "missing": "is missing",
        "table": "exemplars.csv has changed",
        "rows": "1000000000000 samples for train",
    }
    with pytest.raises(UserError, match=named.get(damage, "another format")):
        load_dataset("mhd", folder.path)


def test_what_is_done_to_a_loaded_dataset_is_not_done_to_its_files(built):
    load_dataset("mhd", built.path).train["image"].zero_()
    assert load_dataset("mhd", built.path).train["image"].any()


def test_a_dataset_that_is_nowhere_says_how_to_build_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"(?s)data/mhd.*scripts/build_mhd\.py --out"
    ) as e:
        load_dataset("mhd")
    assert str(home / "mhd") in str(e.value)
    (home / "mhd").mkdir(parents=True)
    (home / "mhd" / "mhd_train.pt").touch()
    with pytest.raises(UserError, match="authors' files, which must be converted") as e:
        load_dataset("mhd")
    files = " ".join(str(home / "mhd" / f"mhd_{part}.pt") for part in ("train", "test"))
    assert f"--from-official {files} --out data/mhd" in str(e.value)
    with pytest.raises(UserError, match="must be converted") as e:
        load_dataset("mhd", home / "mhd")  # where nothing can be built beside them
    assert f"--from-official {files} --out {home / 'mhd' / 'mhd'}" in str(e.value)
    with pytest.raises(UserError, match="must be converted") as e:
        load_dataset("mhd", home)
    built = home / "built"
    assert f"--out {built / 'mhd'}\nand look there: --data-dir {built}" in str(e.value)


def test_a_built_folder_is_found_in_the_cache(
    world, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    build(home / "mhd", *world, Options(10, 10))
    assert len(load_dataset("mhd").train["label"]) == 10


@pytest.mark.parametrize("split", ["paper", "disjoint"])
def test_recordings_are_on_one_side_and_used_equally(split):
    rng = np.random.default_rng(0)
    digits = np.arange(600) % 10
    groups = [str(k) for k in np.arange(600) // 10 % 30]
    items = Origins(digits, groups, ["a"] * 600)
    train, test = pair(items, items, 5000, 1000, split, rng)
    assert not set(train.sound) & set(test.sound)
    assert (digits[train.sound] == train.label).all()
    assert (digits[test.exemplar] == test.label).all()
    assert np.ptp(np.bincount(train.sound)[np.unique(train.sound)]) <= 1
    assert len(set(train.sound) | set(test.sound)) == 600
    assert len(set(test.sound)) == 100  # as many as there are test rows, a sixth
    both = np.concatenate([train.exemplar, test.exemplar])
    copies = np.concatenate([train.copy, test.copy])
    assert len(set(zip(both.tolist(), copies.tolist(), strict=True))) == 6000
    shared = {groups[k] for k in train.exemplar} & {groups[k] for k in test.exemplar}
    assert bool(shared) == (split == "paper")


def test_a_split_that_cannot_be_is_refused():
    digits = np.arange(20) % 10
    one = Origins(digits, ["only"] * 20, ["a"] * 20)
    with pytest.raises(UserError, match=r"no writer or speaker.*--split paper"):
        held_out(one, 0.2, np.random.default_rng(0))
    few = Origins(np.arange(11) % 10, ["x"] * 11, ["a"] * 11)
    with pytest.raises(UserError, match="digit 1 needs at least two exemplars"):
        pair(few, few, 10, 10, "paper", np.random.default_rng(0))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"train": 9}, "at least 10"),
        *(({"seed": seed}, "must be in") for seed in (-1, 2**32)),
    ],
)
def test_options_that_make_no_sense_are_refused(options, named):
    with pytest.raises(UserError, match=named):
        Options(**options)
