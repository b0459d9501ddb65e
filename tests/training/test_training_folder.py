"""What a run leaves in its folder, and what it never does to a folder."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import (
    finish,
    log_lines,
    made_up,
    output_to,
    results,
    settings,
    start,
    tiny_model,
    train_tiny,
)

from nexus_rl import UserError, cli, load_model, train


def read_log(folder: Path) -> list[dict[str, float]]:
    return [
        json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()
    ]


PNG = b"\x89PNG\r\n\x1a\n"


def test_the_log_has_one_line_an_epoch_and_no_clock_times(finished: Path) -> None:
    records = read_log(finished)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    terms = {
        *("loss", "image/reconstruction", "image/kl", "image/top"),
        *("label/reconstruction", "label/kl", "label/top", "kl"),
    }
    parts = {f"{part}/{term}" for part in ("train", "validation") for term in terms}
    for record in records:
        assert set(record) == {"epoch", "warmup", *parts}


def test_the_same_scalars_are_in_tensorboard(finished: Path) -> None:
    events = EventAccumulator(str(finished / "tensorboard")).Reload()
    records = read_log(finished)
    tags = set(events.Tags()["scalars"])
    assert tags == {*records[0], "samples_per_second"}
    for name in records[0]:
        points = events.Scalars(name)
        assert [point.step for point in points] == [1, 2, 3]
        values = [point.value for point in points]
        assert values == pytest.approx([record[name] for record in records])
    assert all(point.value > 0 for point in events.Scalars("samples_per_second"))


def test_tensorboard_shows_each_epoch_once_after_a_resume(tmp_path: Path) -> None:
    train_tiny(tmp_path / "run", epochs=2)
    train_tiny(tmp_path / "run", epochs=3, resume=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [point.step for point in events.Scalars("train/loss")] == [1, 2, 3]


def test_run_json_says_what_was_asked_for(finished: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    assert run["dataset"] == "made up"
    assert run["train"]["batch_size"] == 8
    assert run["train"]["warmup_epochs"] == 2


def test_the_model_is_that_of_the_last_epoch_and_best_of_the_lowest_loss(
    tmp_path: Path,
) -> None:
    """With a step size that is far too large for the last epochs to be the best."""
    kept = {}
    folder, model = tmp_path / "run", tiny_model()

    def keep(record: dict[str, float]) -> None:
        state = {name: value.clone() for name, value in model.state_dict().items()}
        kept[record["validation/loss"]] = state

    train_tiny(folder, model=model, epochs=4, learning_rate=0.05, on_epoch=keep)
    best, last = kept[min(kept)], list(kept.values())[-1]
    assert best is not last
    for name, value in load_file(folder / "model.safetensors").items():
        assert torch.equal(value, last[name])
    for name, value in load_model(folder / "best").state_dict().items():
        assert torch.equal(value, best[name])


def test_pictures_are_drawn_every_k_epochs_and_at_the_end(tmp_path: Path) -> None:
    train_tiny(tmp_path / "run", epochs=5, picture_every=2)
    pictures = sorted((tmp_path / "run" / "pictures").iterdir())
    assert [path.stem for path in pictures] == ["epoch_002", "epoch_004", "epoch_005"]
    for path in pictures:
        content = path.read_bytes()
        assert content.startswith(PNG) and content.rstrip().endswith(b"IEND\xaeB`\x82")


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train_tiny(epochs=1, picture_every=1)
    assert list(tmp_path.iterdir()) == []


# -- Folders that are not free ---------------------------------------------------


def test_another_run_is_kept_unless_told_otherwise(
    tmp_path: Path, finished: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    with pytest.raises(UserError, match=r"already holds a run.*--resume.*--overwrite"):
        train_tiny(folder, epochs=1)
    assert results(folder) == results(finished)
    train_tiny(folder, epochs=1, overwrite=True)
    assert log_lines(folder) == 1
    assert [path.name for path in (folder / "pictures").iterdir()] == ["epoch_001.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_never_touched(
    tmp_path: Path, overwrite: bool
) -> None:
    thesis = tmp_path / "chapters" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    with pytest.raises(UserError, match="holds files that are not a training run"):
        train_tiny(tmp_path, overwrite=overwrite)
    assert thesis.read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [thesis.parent]


def test_overwriting_a_run_keeps_files_the_library_did_not_write(
    tmp_path: Path, finished: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "notes.txt").write_text("mine")
    with contextlib.suppress(UserError):  # refused, or replaced around it
        train_tiny(folder, epochs=1, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    train_tiny(tmp_path, epochs=1)
    assert log_lines(tmp_path) == 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_out_is_a_file(tmp_path: Path, overwrite: bool) -> None:
    file = tmp_path / "run"
    file.write_text("a file")
    with pytest.raises(UserError, match="is a file, expected a folder"):
        train_tiny(file, overwrite=overwrite)
    assert file.read_text() == "a file"


# -- A full disk -----------------------------------------------------------------

# A file larger than this cannot be written. The tiny model's weights take 1.1 MB,
# its training state 3.3 MB.
TOO_SMALL = {"model.safetensors": 400_000, "training.pt": 2_000_000}


def train_on_full_disk(folder: Path, output: Path, limit: int, resume: bool) -> None:
    output_to(output)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    options = {"out": folder, "resume": resume}
    cli.run(
        lambda: train(tiny_model(), made_up(), settings(), **options) and None  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", TOO_SMALL)
@pytest.mark.parametrize("resume", [False, True])
def test_a_full_disk_is_one_clear_line(
    tmp_path: Path, finished: Path, name: str, resume: bool
) -> None:
    folder, output = tmp_path / "run", tmp_path / "output"
    if resume:
        train_tiny(folder, epochs=1)
        before = (folder / "training.pt").read_bytes()
    process = start(train_on_full_disk, folder, output, TOO_SMALL[name], resume)
    code, said = finish(process), output.read_text()
    assert "Traceback" not in said, said
    assert code == 2
    assert said.startswith(f"error: cannot write {folder}") and name in said
    assert "free some space" in said
    assert list(folder.rglob("*.partial")) == []
    if resume:  # what was there is whole, and goes on once there is space again
        load_model(folder)
        assert (folder / "training.pt").read_bytes() == before
        train_tiny(folder, resume=True)
        assert results(folder) == results(finished)


def test_files_can_be_read_by_whoever_can_read_the_folder(finished: Path) -> None:
    """A checkpoint on a shared disk is for colleagues, too."""
    usual = (finished / "run.json").stat().st_mode
    for name in ("model.safetensors", "best/model.safetensors", "training.pt"):
        assert (finished / name).stat().st_mode == usual, name
