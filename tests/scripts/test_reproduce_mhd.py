"""Tables 1 and 3 from the command line, on an MHD small enough for seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from mhd_world import sounds_in, write_strokes
from script_runs import Finished, Script, error_line, read

from nexus_rl import load_model
from nexus_rl.cmi import Report
from nexus_rl.data.audio import waveform
from nexus_rl.data.mhd.build import Options, build
from nexus_rl.data.mhd.load import sound_levels
from nexus_rl.data.mhd.wav import read_wav
from nexus_rl.draws import seeded

SMALL = ["--seeds", "1", "--epochs", "1", "--samples", "2", "--device", "cpu"]
FOUR = ["--rows", "nexus_2", "mmvae_2", "--sound-epochs", "2"]
TARGETS = ("image", "trajectory", "sound", "label")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both tables were made, with shared judges; the data are in mhd."""
    root = tmp_path_factory.mktemp("tables")
    strokes, sounds = write_strokes(root / "uji.txt"), sounds_in(root)
    build(root / "mhd", strokes, sounds, Options(60, 20, "disjoint"))
    done = run(root, "table3", *FOUR)
    assert done.code == 0, done.said
    before = sorted(path.name for path in (root / "cache").iterdir())
    done = run(root, "table1", "--rows", "mvae_2", "nexus0_1")
    assert done.code == 0, done.said
    assert before == sorted(path.name for path in (root / "cache").iterdir())
    return root


def run(root: Path, *arguments: str) -> Finished:
    options = [*arguments, *SMALL, "--cache", "cache", "--data-dir", "mhd"]
    return Script("reproduce_paper.py", options, root).finish(240)


def test_every_target_is_imagined_from_all_sets_of_others(folder: Path) -> None:
    name = "mhd_disjoint_nexus_2_seed0_epochs1_sound2"
    report = Report.from_json((folder / f"results/table3/{name}.json").read_text())
    assert len(report.rows) == len({(r.given, r.target) for r in report.rows}) == 28
    assert all(row.target not in row.given for row in report.rows)
    assert {len(row.given) for row in report.rows} == {1, 2, 3}
    told = report.runs["nexus_2"]
    assert (told["model"]["latent_dim"], told["model"]["rho"]) == (32, 0.2)
    assert told["alone"]["sound"]["epochs"] == 2
    assert told["alone"]["sound"]["warmup_epochs"] == 0
    assert told["data"]["sounds"]["fsdd"]["recordings"] == 60
    for row in report.rows:
        assert (row.mfd_class is None) == (row.target == "label")


def test_the_page_says_averages_sources_and_data(folder: Path) -> None:
    page = (folder / "results/table3.md").read_text()
    (record, _) = read(folder / "results/table3.json")
    assert record["row"] == "nexus_2" and record["dataset"] == "mhd_disjoint"
    found = {(g["target"], g["given_count"]): g["accuracy"] for g in record["given"]}
    assert set(found) == {(target, n) for target in TARGETS for n in (1, 2, 3)}
    assert {n: found["image", n]["directions"] for n in (1, 2, 3)} == {1: 3, 2: 3, 3: 1}
    lines = page.splitlines()
    for target in TARGETS:
        first = lines.index(f"### {target}") + 4
        cells = [f"{100 * found[target, n]['mean']:.1f} ± " for n in (1, 2, 3)]
        assert lines[first].startswith("| Nexus, 2 levels | 1 | 1 | " + cells[0])
        assert all(cell in lines[first] for cell in cells)
    assert "image, trajectory, label -> sound" in page
    assert "80 handwritten digits of 4 writers" in page
    assert "60 recordings of 3 speakers (fsdd)" in page
    assert (folder / "results/table3.png").read_bytes().startswith(b"\x89PNG")
    assert "## mhd_disjoint, four" in (folder / "results/claims.md").read_text()


def test_four_modalities_stand_on_one_sound_and_the_same_bottoms(folder: Path) -> None:
    runs = folder / "runs/paper"
    assert len(list((runs / "alone").iterdir())) == 1
    names = sorted(
        path.name.rpartition("_")[0] for path in (runs / "bottoms").iterdir()
    )
    assert names == [
        "mhd_disjoint_image_label_seed0_epochs1",
        "mhd_disjoint_seed0_epochs1",
    ]
    (alone,) = (runs / "alone").iterdir()
    sound = load_model(alone / "best").bottoms["sound"].state_dict()
    for row in ("nexus_2", "mmvae_2"):
        model = load_model(runs / f"mhd_disjoint_{row}_seed0_epochs1_sound2")
        own = model.bottoms["sound"].state_dict()
        assert all(value.equal(own[key]) for key, value in sound.items())


def test_two_modalities_are_image_and_label(folder: Path) -> None:
    name = "mhd_disjoint_image_label_mvae_2_seed0_epochs1"
    report = Report.from_json((folder / f"results/table1/{name}.json").read_text())
    assert {name for row in report.rows for name in row.given} == {"image", "label"}
    page = (folder / "results/table1.md").read_text()
    assert "| Nexus-0, 1 level | 64 | 1 | 1 | " in page
    assert "| MVAE, 2 levels | 16 | 1 | 1 | " in page
    assert "](table1.png)" in page


def test_interrupted_tables_go_on(folder: Path, tmp_path: Path) -> None:
    """Without one result and its model, the same numbers come of what is left."""
    for name in ("mhd", "cache", "runs", "results"):
        shutil.copytree(folder / name, tmp_path / name)
    name = "mhd_disjoint_mmvae_2_seed0_epochs1_sound2"
    (tmp_path / f"results/table3/{name}.json").unlink()
    shutil.rmtree(tmp_path / f"runs/paper/{name}")
    done = run(tmp_path, "table3", *FOUR)
    assert done.code == 0, done.said
    for path in ("table3.json", "table3.md", f"table3/{name}.json"):
        again = (tmp_path / "results" / path).read_text()
        assert again == (folder / "results" / path).read_text()


def test_results_of_another_dataset_are_not_taken_for_ones_own(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "results", tmp_path / "results")
    strokes, sounds = write_strokes(tmp_path / "uji.txt"), sounds_in(tmp_path)
    build(tmp_path / "mhd", strokes, sounds, Options(60, 20, "disjoint", seed=1))
    told = error_line(run(tmp_path, "table3", *FOUR))
    assert "was made with other data of image" in told and "choose another" in told


def test_samples_can_be_seen_and_heard(folder: Path) -> None:
    """Imagined by the models of Table 3, which are not trained again."""
    done = run(folder, "samples", *FOUR)
    assert done.code == 0, done.said
    out = folder / "results"
    picture = (out / "samples_mhd_disjoint.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    sounds = {path.stem for path in (out / "samples_mhd_disjoint").iterdir()}
    rows = ("data", "nexus_2", "mmvae_2")
    assert sounds == {f"{row}_{digit}" for row in rows for digit in (0, 4, 7, 9)}
    heard, rate = read_wav(out / "samples_mhd_disjoint" / "data_4.wav")
    assert (len(heard), rate) == (16_000, 16_000) and heard.abs().max() > 0.9
    model = load_model(folder / "runs/paper/mhd_disjoint_nexus_2_seed0_epochs1_sound2")
    made = model.generate(
        {"label": torch.tensor([0, 4, 7, 9])},
        targets=["image", "trajectory", "sound"],
        generator=seeded(0),
    )
    expected = waveform(made["sound"][:, 0], sound_levels(folder / "mhd"))
    for digit, sound in zip((0, 4, 7, 9), expected, strict=True):
        heard, _ = read_wav(out / f"samples_mhd_disjoint/nexus_2_{digit}.wav")
        assert torch.allclose(heard, sound, atol=1e-4)


def test_too_few_data_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    strokes, sounds = write_strokes(tmp_path / "uji.txt"), sounds_in(tmp_path)
    build(tmp_path / "mhd", strokes, sounds, Options(20, 10))
    told = error_line(run(tmp_path, "table3", *FOUR))
    assert "at least two items of every class" in told
    assert not (tmp_path / "runs").exists() and not (tmp_path / "cache").exists()


def test_a_damaged_result_is_named(folder: Path, tmp_path: Path) -> None:
    for name in ("mhd", "results"):
        shutil.copytree(folder / name, tmp_path / name)
    name = "mhd_disjoint_mmvae_2_seed0_epochs1_sound2.json"
    (tmp_path / "results/table3" / name).write_text("{}")
    told = error_line(run(tmp_path, "table3", *FOUR))
    assert name in told and "delete it, and it is made again" in told


def test_mistakes_are_told_in_a_line(tmp_path: Path) -> None:
    def told(*arguments: str) -> str:
        return error_line(Script("reproduce_paper.py", arguments, tmp_path).finish())

    nowhere = ["--data-dir", "nowhere"]
    assert "cannot find dataset 'mhd'" in told("table3", *nowhere)
    assert "cannot find dataset 'mhd'" in told("table1", *nowhere)
    assert "sound_epochs must be at least 1" in told("table3", "--sound-epochs", "0")
    for row in ("mvae_1", "nexus_plus"):  # they are of two modalities
        assert f"unknown row {row!r}" in told("table3", "--rows", row)
    for experiment in ("samples", "table1"):
        assert "is about mhd, not tiny" in told(experiment, "--dataset", "tiny")
    assert "--seeds is for tables" in told("samples", "--seeds", "5")
    (tmp_path / "file").touch()
    assert "file is not a folder" in told("samples", "--out", "file")
    assert not any(path.is_dir() for path in tmp_path.iterdir())
