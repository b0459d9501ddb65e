"""What the dial shows: to people, and from which files."""

import os
import shutil

import numpy as np
import pytest
from dial_world import labels_of, marks, write_idx, write_mhd, write_mnist

from envs import DigitDial
from envs.digit_data import DataError, load_recordings
from nexus_rl.environments import make_env
from nexus_rl.errors import UserError

REAL = os.environ.get("NEXUS_RL_DATA")


class TestPicture:
    def test_marks_the_target_if_asked(self, folder):
        pictures = []
        for target in (3, 7):
            for shown in (True, False):
                env = DigitDial("mnist", folder=folder, show_target=shown)
                env.reset(options={"state": (target, 0)})
                pictures.append(env.picture()[:, :480])
        assert pictures[0].shape == (480, 480, 3)
        assert np.array_equal(pictures[1], pictures[3])
        assert not np.array_equal(pictures[0], pictures[2])

    def test_shows_the_image(self, dial):
        observation, _ = dial.reset(seed=0)
        panel = dial.picture()[170:310, 526:666]
        grey = panel.reshape(28, 5, 28, 5, 3)
        assert (grey == observation["image"][0][:, None, :, None, None]).all()

    def test_shows_pen_and_sound(self, folder):
        env = DigitDial(folder=folder)
        env.reset(seed=0)
        env._seen["trajectory"] = np.repeat([0.25, 0.75, 0.5], [50, 50, 100])
        env._seen["sound"] = np.zeros((1, 32, 128), np.uint8)
        env._seen["sound"][0, -8:, :32] = 255  # late and low
        picture = env.picture().astype(int)
        pen, sound = picture[170:310, 496:696], picture[320:460, 496:696]
        rows, columns = np.nonzero((pen != 255).any(axis=2))
        assert rows.mean() == pytest.approx(70, abs=3) and np.ptp(rows) < 20
        assert 35 < columns.min() < 50 and 150 < columns.max() < 165
        assert (sound[105:, 150:] == 255).all()
        assert sound[:105].max() < 50 and sound[:, :150].max() < 50

    def test_sounds_as_loud_and_as_high_as_the_bands(self, folder):
        env = DigitDial(folder=folder)
        env.reset(seed=0)
        heard = env._seen["sound"] = np.zeros((1, 32, 128), np.uint8)
        heard[0, 16:, 30] = 255
        audio = env.audio()[:, 0]
        assert not audio[:3500].any() and np.abs(audio).max() == pytest.approx(0.8)
        power = np.abs(np.fft.rfft(audio)) ** 2
        # Of 128 bands to 8 kHz, 45.2 mel, the thirty-first is at 10.9 mel.
        assert power.argmax() / 0.5 == pytest.approx(10.87 * 200 / 3, abs=6)

    def test_silent_without_a_microphone(self, dial):
        dial.reset(seed=0)
        assert not dial.audio().any()


class TestData:
    def test_found_plain_or_zipped_by_argument_variable_and_cache(
        self, tmp_path, monkeypatch
    ):
        def found(**kwargs):
            env = DigitDial("mnist", **kwargs)
            return marks(env.reset(seed=0)[0])

        given = write_mnist(tmp_path / "given")
        expected = found(folder=given)
        assert found(folder=f"{given}/mnist") == expected
        zipped = write_mnist(tmp_path / "zipped", zipped=True)
        monkeypatch.setenv("NEXUS_RL_DATA", zipped)
        assert found() == expected
        monkeypatch.setenv("NEXUS_RL_DATA", str(tmp_path / "nothing"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        write_mnist(tmp_path / "cache" / "nexus_rl")
        assert found() == expected

    def test_missing_data_say_how_to_get_them(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NEXUS_RL_DATA", str(tmp_path / "nothing"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(DataError) as caught:
            DigitDial("mnist")
        said = str(caught.value)
        assert f"{tmp_path}/nothing/mnist\n  {tmp_path}/nexus_rl/mnist\n" in said
        assert "load_dataset('mnist')" in said and "t10k-labels-idx1-ubyte" in said
        with pytest.raises(
            UserError, match=r"build_mhd.py --out .*nexus_rl/mhd$"
        ) as no:
            make_env("nexus_rl/DigitDial-v0")
        assert "MODULE:ID" not in str(no.value)

    @pytest.mark.parametrize("damage", ["cut", "axes", "zip", "count", "class"])
    def test_broken_data_are_named(self, tmp_path, damage):
        place = tmp_path / "mnist"
        write_mnist(tmp_path)
        images, labels = (
            place / f"train-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")
        )
        message = "no whole IDX file"
        if damage == "cut":
            images.write_bytes(images.read_bytes()[:-1])
        elif damage == "axes":
            shutil.copy(labels, images)
        elif damage == "zip":
            images.rename(f"{images}.gz")
            message = "cannot be read: Not a gzipped file"
        elif damage == "count":
            write_idx(labels, labels_of("train")[1:])
            message = "60 images, but 59 labels"
        else:
            write_idx(labels, np.minimum(labels_of("train"), 8))
            message = r"classes 0 to 9, found \[0, 1, 2, 3, 4, 5, 6, 7, 8\]"
        with pytest.raises(DataError, match=message):
            DigitDial("mnist", folder=str(tmp_path))
        DigitDial("mnist", split="test", folder=str(tmp_path))

    @pytest.mark.parametrize(
        ("name", "shape", "message"),
        [
            ("train_image", (60, 28, 28), r"rows of \(28, 28\), not \(1, 28, 28\)"),
            ("train_label", (59,), "the train arrays do not fit together"),
            ("sound", (40, 1, 32, 128), "the train arrays do not fit|test arrays"),
            ("train_trajectory", None, "train_trajectory.npy cannot be read"),
        ],
    )
    def test_broken_mhd_is_named(self, tmp_path, name, shape, message):
        path = tmp_path / "mhd" / f"{name}.npy"
        write_mhd(tmp_path)
        if shape is None:
            path.unlink()
        else:
            np.save(path, np.load(path)[: shape[0]].reshape(shape))
        with pytest.raises(DataError, match=f"{message}.*--out .*mhd --overwrite"):
            DigitDial(split="test" if name == "sound" else "train", folder=tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'{"format": 2}', "is damaged or of another format"),
            (b"[]", "is damaged or of another format"),
            (b'{"format": 1', "cannot be read: "),
            (b"\xff\xfe", "cannot be read: "),
        ],
    )
    def test_another_index_of_mhd_is_refused(self, tmp_path, content, message):
        write_mhd(tmp_path)
        (tmp_path / "mhd" / "index.json").write_bytes(content)
        expected = (
            rf"mhd/index\.json {message}.*; build it again: .*--out .*--overwrite"
        )
        with pytest.raises(DataError, match=expected):
            DigitDial(folder=str(tmp_path))

    def test_unfinished_mhd_is_not_used(self, tmp_path):
        (tmp_path / "mhd").mkdir()
        (tmp_path / "mhd" / "building.json").write_text("{}")
        with pytest.raises(
            DataError, match=r"Build them: .*build_mhd.py --out .*/mhd$"
        ):
            DigitDial(folder=str(tmp_path))

    def test_environments_share_them(self, folder):
        first, second = (DigitDial("mnist", folder=folder) for _ in range(2))
        assert first.recordings is second.recordings
        with pytest.raises(ValueError, match="read-only"):
            first.recordings.arrays["image"][0] = 0

    @pytest.mark.skipif(not REAL, reason="NEXUS_RL_DATA is not set")
    @pytest.mark.parametrize("data", ["mnist", "fashion_mnist"])
    def test_published_files(self, data):
        sizes = [
            len(load_recordings(data, split, REAL).labels)
            for split in ("train", "test")
        ]
        assert sizes == [60_000, 10_000]
        env = DigitDial(data, split="test", folder=REAL)
        states = env.sample_states(2000, np.random.default_rng(0))
        images = env.observe(*states)["image"].reshape(2000, -1).astype(float)
        means = np.stack([images[states[0] == digit].mean(0) for digit in range(10)])
        nearest = np.linalg.norm(images[:, None] - means, axis=2).argmin(axis=1)
        assert np.mean(nearest == states[0]) > 0.6
