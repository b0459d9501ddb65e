"""scripts/build_mhd.py, and learning from what it builds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mhd_world import sounds_in, write_strokes

from nexus_rl import load_model
from nexus_rl.data import load_dataset
from nexus_rl.data.mhd.build import Options, build
from nexus_rl.modality import subsets

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def start(script, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, str(SCRIPTS / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def run(script, *arguments, **environment):
    process = start(script, *arguments, **environment)
    said = process.communicate(timeout=120)[0]
    return process.returncode, said


def kill_after(seconds, path, *arguments):
    """Kills a build so many seconds after a file appeared."""
    process = start("build_mhd.py", *arguments)
    deadline = time.monotonic() + 100
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    strokes = write_strokes(root / "uji.txt", writers=20)
    sounds_in(root)
    return [
        *("--strokes", strokes, "--fsdd", root / "fsdd.npz"),
        *("--speech-commands", root / "words", "--train", "60", "--test", "20"),
    ]


def test_a_killed_build_is_not_whole_and_goes_on_to_the_same_bytes(
    sources, tmp_path: Path
):
    out = tmp_path / "mhd"
    kill_after(0.3, out / "building.json", *sources, "--out", out)  # while fitting
    assert not (out / "index.json").exists()
    code, said = run("pretrain_nexus.py", "--dataset", "mhd", "--data-dir", out)
    assert code == 2 and "unfinished; make the same call" in said
    code, said = run("build_mhd.py", *sources, "--out", out)
    assert code == 0 and "60 + 20 samples" in said and "mean_error" in said
    assert run("build_mhd.py", *sources, "--out", tmp_path / "other")[0] == 0
    index = (out / "index.json").read_text()
    assert index == (tmp_path / "other" / "index.json").read_text()
    code, said = run("build_mhd.py", *sources, "--out", out)
    assert code == 2 and "holds the dataset already" in said


def test_a_killed_build_goes_on_under_overwrite_and_then_starts_anew(
    sources, tmp_path: Path
):
    out = tmp_path / "mhd"
    fitted, call = out / "fit_error.npy", [*sources, "--out", out, "--overwrite"]
    kill_after(0, fitted, *call)
    assert not (out / "index.json").exists()
    times = [fitted.stat().st_mtime_ns]
    for _ in range(2):
        assert run("build_mhd.py", *call)[0] == 0
        times.append(fitted.stat().st_mtime_ns)
    assert times[0] == times[1] < times[2]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--sounds", "fsdd"], "--speech-commands is not used with --sounds fsdd"),
        (["--from-official", "a.pt", "b.pt"], "--train, --test, --strokes, --fsdd"),
        (["--train", "3"], "at least 10"),
        (["--strokes", "nowhere"], "--strokes nowhere: expected pen strokes"),
    ],
)
def test_mistakes_are_told_in_a_line(sources, tmp_path: Path, arguments, named):
    out = tmp_path / "mhd"
    code, said = run("build_mhd.py", *sources, *arguments, "--out", out)
    assert code == 2 and named in said and "Traceback" not in said
    assert not out.exists()


def test_help_is_quick():
    begun = time.monotonic()
    code, said = run("build_mhd.py", "--help")
    assert code == 0 and "--from-official" in said
    assert time.monotonic() - begun < 5


def test_four_modalities_are_learned_and_imagined_from_every_subset(tmp_path: Path):
    strokes, sounds = write_strokes(tmp_path / "uji.txt"), sounds_in(tmp_path)
    built = build(tmp_path / "mhd", strokes, sounds, Options(60, 20)).path
    code, said = run(
        "pretrain_nexus.py",
        *("--dataset", "mhd", "--data-dir", built, "--epochs", 1, "--device", "cpu"),
        *("--batch-size", 27, "--threads", 1, "--out", tmp_path / "run"),
    )
    assert code == 0, said
    model = load_model(tmp_path / "run")
    assert (model.config.latent_dim, model.config.rho) == (32, 0.2)
    data = load_dataset("mhd", built)
    names = [modality.name for modality in model.modalities]
    assert names == ["image", "trajectory", "sound", "label"]
    for subset in subsets(names):
        given = {name: data.test[name] for name in subset}
        imagined = model.generate(given, generator=torch.Generator().manual_seed(0))
        for modality in model.modalities:
            values = imagined[modality.name]
            assert values.shape == (20, *modality.shape)
            assert values.min() >= 0 and values.max() <= 1
