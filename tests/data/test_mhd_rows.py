"""What the rows of MHD hold: each its digit's image, trajectory and sound."""

import numpy as np

from nexus_rl.data import load_dataset
from nexus_rl.data.mhd.raster import WIDTHS, rasterise
from nexus_rl.data.mhd.sounds import spectrograms


def table(folder, name):
    lines = (folder.path / name).read_text().splitlines()
    head = lines[0].split(",")
    return [dict(zip(head, line.split(","), strict=True)) for line in lines[1:]]


def test_rows_hold_what_their_digit_and_origins_say(built):
    exemplars, recordings = (
        table(built, "exemplars.csv"),
        table(built, "recordings.csv"),
    )
    low, high = built.read("scale")
    for part in ("train", "test"):
        rows = zip(
            *(
                built.read(f"{part}_{c}")
                for c in ("label", "exemplar", "sound", "copy")
            ),
            built.read(f"{part}_trajectory"),
            strict=True,
        )
        for digit, exemplar, sound, copy, curve in rows:
            assert exemplars[exemplar]["digit"] == recordings[sound]["digit"]
            assert int(exemplars[exemplar]["digit"]) == digit
            points = low + (high - low) * curve.astype(float).reshape(2, 100).T
            assert np.abs(points.mean(0)).max() < 0.005
            written = built.read("fit_points")[exemplar]
            far = np.abs(points - written + written.mean(0)).max()
            assert (far < 0.01) == (copy == 0)


def test_images_are_their_trajectories_drawn_by_various_pens(built):
    low, high = (np.float32(level) for level in built.read("scale"))
    used = set()
    for part in ("train", "test"):
        curves, images = built.read(f"{part}_trajectory"), built.read(f"{part}_image")
        for curve, image in zip(curves[:12], images[:12, 0], strict=True):
            points = low + (high - low) * curve.astype(np.float32).reshape(2, 100).T
            widths = range(WIDTHS[0], WIDTHS[1] + 1)
            drawn = {w for w in widths if (rasterise(points, w) == image).all()}
            assert drawn
            used |= drawn
    assert min(used) < 16 and max(used) > 24


def test_spectrograms_are_those_of_the_recordings(built, world):
    clips = [clip for source in world[1] for clip in source.clips]
    named = [row["name"] for row in table(built, "recordings.csv")]
    assert named == [clip.name for clip in clips]
    for k in (0, 17, len(clips) - 1):
        assert (built.read("sound")[k] == spectrograms([clips[k]])[0]).all()


def test_the_scale_is_that_of_both_parts(built):
    values = [built.read(f"{part}_trajectory") for part in ("train", "test")]
    assert min(v.min() for v in values) == 0 and max(v.max() for v in values) == 1
    scale = built.index()["normalisation"]["test"]
    assert list(scale["trajectory"].values()) == built.read("scale").tolist()
    assert scale["sound"] == {"min": -80, "max": 0}


def test_real_writers_and_speakers_are_on_one_side_only(real):
    # Seven people write a 7 in one stroke.
    assert load_dataset("mhd", real.path).origin["sides"]["fewest"]["writers"] == 3

    exemplars, recordings = table(real, "exemplars.csv"), table(real, "recordings.csv")

    def writers(part):
        return {exemplars[k]["writer"] for k in real.read(f"{part}_exemplar")}

    def speakers(part, source):
        found = [recordings[k] for k in real.read(f"{part}_sound")]
        return {r["speaker"] for r in found if r["source"] == source}

    assert writers("train") and writers("test")
    assert not writers("train") & writers("test")
    for source in ("fsdd", "speech_commands"):
        assert speakers("train", source) and speakers("test", source)
        assert not speakers("train", source) & speakers("test", source)


def test_real_samples_look_as_they_should(real):
    data = load_dataset("mhd", real.path)
    images = data.train["image"].float() / 255
    assert 0.05 < images.mean() < 0.3
    assert (images.amax((1, 2, 3)) > 0.7).all()
    sounds = data.train["sound"].flatten(1)
    assert (sounds.amax(1) == 255).float().mean() > 0.99  # or silent
    assert real.index()["fit"]["max_error"] <= 0.015
    assert (real.path / "contact.png").read_bytes()[:4] == b"\x89PNG"
