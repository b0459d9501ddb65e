"""A run that was killed or stopped, and goes on as if it had not been."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import (
    IMAGE,
    LABEL,
    finish,
    log_lines,
    made_up,
    output_to,
    results,
    settings,
    start,
    tiny_model,
    train_tiny,
    wait_until,
)

from nexus_rl import UserError, cli
from nexus_rl.models import MultimodalVAE
from nexus_rl.processes import stoppable
from nexus_rl.training import train_to_end

EPOCHS = 6


def run_long(folder: Path, output: Path) -> None:
    """Starts the run in ``folder`` or goes on with it, as a user would."""
    output_to(output)
    torch.set_num_threads(1)
    resume = (folder / "run.json").exists()
    train_tiny(folder, epochs=EPOCHS, picture_every=3, resume=resume)


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, bytes], float]:
    """The results of a whole run of ``run_long``, and how long it took."""
    folder = tmp_path_factory.mktemp("whole")
    begin = time.monotonic()
    assert finish(start(run_long, folder / "run", folder / "output")) == 0
    return results(folder / "run"), time.monotonic() - begin


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_and_resumed_is_bit_identical(
    tmp_path: Path, uninterrupted: tuple[dict[str, bytes], float], seed: int
) -> None:
    expected, duration = uninterrupted
    folder, output = tmp_path / "run", tmp_path / "output"
    moments = random.Random(seed)
    survived = []
    for _ in range(4):
        process = start(run_long, folder, output)
        # Most of a process's time before its first step is not worth hitting often.
        delay = moments.uniform(0.02, 0.6 * duration)
        process.join(delay)
        process.kill()
        process.join()
        survived.append((round(delay, 3), process.exitcode, log_lines(folder)))
    said = f"seed {seed}: (seconds, exit code, epochs) {survived}\n"
    assert any(code == -signal.SIGKILL for _, code, _ in survived), said
    assert finish(start(run_long, folder, output)) == 0, said + output.read_text()
    got = results(folder)
    assert [name for name in expected if got[name] != expected[name]] == [], said
    pictures = sorted(path.name for path in (folder / "pictures").glob("epoch*"))
    assert pictures == ["epoch_003.png", "epoch_006.png"], said


def test_what_a_kill_before_the_first_checkpoint_leaves_is_resumed(
    tmp_path: Path, finished: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(finished / "run.json", folder)
    train_tiny(folder, resume=True, notes={"dataset": "made up"})
    assert results(folder) == results(finished)


def test_a_kill_while_the_very_first_file_was_written_leaves_a_free_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / ".run.json.partial").write_text('{"train": {"epo')
    train_tiny(tmp_path, epochs=1)
    assert log_lines(tmp_path) == 1


def test_half_written_files_are_harmless(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    train_tiny(folder, epochs=1)
    for name in ("training.pt", "model.safetensors", "log.jsonl", "best/config.json"):
        path = folder / name
        path.with_name(f".{path.name}.partial").write_bytes(b"half")
    train_tiny(folder, resume=True)
    assert results(folder) == results(finished)
    leftovers = [path.name for path in folder.rglob("*.partial")]
    assert leftovers == []


def test_a_model_saved_later_than_the_state_does_not_matter(
    tmp_path: Path, finished: Path
) -> None:
    """A kill between the two leaves the next epoch's model beside the older state."""
    folder = tmp_path / "run"
    train_tiny(folder, epochs=2)
    for name in ("model.safetensors", "best/model.safetensors", "log.jsonl"):
        shutil.copy(finished / name, folder / name)
    train_tiny(folder, resume=True)
    assert results(folder) == results(finished)


@pytest.mark.parametrize("first", [1, 2])
def test_more_epochs_equal_training_that_long_at_once(
    tmp_path: Path, finished: Path, first: int
) -> None:
    train_tiny(tmp_path / "run", epochs=first)
    result = train_tiny(tmp_path / "run", epochs=3, resume=True)
    assert [record["epoch"] for record in result.records] == [1, 2, 3]
    assert results(tmp_path / "run") == results(finished)


def test_a_continued_run_may_not_have_fewer_epochs(
    tmp_path: Path, finished: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    with pytest.raises(UserError, match="finished 3 epochs: a continued run may"):
        train_tiny(folder, epochs=1, resume=True)
    assert results(folder) == results(finished)


def test_resuming_a_finished_run_changes_nothing(
    tmp_path: Path, finished: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    state = (folder / "training.pt").read_bytes()
    model = tiny_model(seed=99)
    result = train_tiny(folder, model=model, resume=True)
    assert not result.interrupted
    assert len(result.records) == 3
    assert results(folder) == results(finished)
    assert (folder / "training.pt").read_bytes() == state
    # The model in memory is the run's, whatever it was before.
    saved = torch.load(folder / "training.pt", weights_only=True)["model"]
    assert all(torch.equal(t, saved[name]) for name, t in model.state_dict().items())


def test_resuming_a_finished_run_mends_its_model(
    tmp_path: Path, finished: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "model.safetensors").write_bytes(b"damaged")
    (folder / "config.json").write_text("damaged")
    train_tiny(folder, model=tiny_model(seed=99), resume=True)
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", 1), ("batch_size", 16), ("learning_rate", 0.5), ("stage", "bottom")],
)
def test_resuming_with_a_changed_field_is_refused_by_name(
    finished: Path, field: str, value: object
) -> None:
    before = (finished / "run.json").read_text()
    with pytest.raises(UserError, match=f"was started with {field} .*not {value}"):
        train_tiny(finished, resume=True, **{field: value})
    assert (finished / "run.json").read_text() == before


def test_resuming_where_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training run at"):
        train_tiny(tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


def test_resuming_with_another_model_is_refused(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    with pytest.raises(UserError, match=str(folder)):
        train_tiny(folder, model=tiny_model(width=8), resume=True)
    assert results(folder) == results(finished)


@pytest.mark.parametrize(
    ("config", "options", "data", "told"),
    [
        ({"learning_rate": 0.5}, {}, 0, "was started with learning_rate"),
        ({"epochs": 2}, {}, 0, "finished 3 epochs: a continued run may have more"),
        ({}, {"rho": 0.7}, 0, "was started with other model"),
        ({}, {"modalities": (replace(IMAGE, beta=3.0), LABEL)}, 0, "other modalities"),
        ({}, {}, 1, "was started with other data: image "),
    ],
)
def test_a_finished_run_is_not_taken_for_another(
    tmp_path: Path,
    finished: Path,
    config: dict[str, Any],
    options: dict[str, Any],
    data: int,
    told: str,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    train_to_end(tiny_model(), made_up(), settings(), folder, progress=False)
    with pytest.raises(UserError, match=told):
        train_to_end(
            *(tiny_model(**options), made_up(seed=data), settings(**config), folder),
            progress=False,
        )
    assert results(folder) == results(finished)


# -- Ctrl-C ----------------------------------------------------------------------


def test_the_first_ctrl_c_is_a_request_and_the_second_interrupts() -> None:
    with stoppable() as flag:
        assert not flag.asked
        signal.raise_signal(signal.SIGINT)
        assert flag.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # afterwards all is as before
        signal.raise_signal(signal.SIGINT)


def test_a_stop_mid_epoch_saves_and_resumes_exactly(
    tmp_path: Path, finished: Path
) -> None:
    """Stopped after every step once: the sums of the epoch so far go on, too."""
    folder = tmp_path / "run"
    stops = []

    def stopped_soon(seed: int) -> MultimodalVAE:
        """A model with whose first training step a Ctrl-C arrives."""
        model = tiny_model(seed)

        def stop(*_: object) -> None:
            if model.training:
                stops.append(1)
                handle.remove()
                signal.raise_signal(signal.SIGINT)

        handle = model.fusion.encoder.register_forward_hook(stop)
        return model

    result = train_tiny(folder, model=stopped_soon(seed=0))
    assert result.interrupted
    state = torch.load(folder / "training.pt", weights_only=True)
    assert (state["epoch"], state["step"], state["seen"]) == (1, 1, 8)
    while result.interrupted:
        result = train_tiny(folder, model=stopped_soon(seed=5), resume=True)
    assert len(stops) == 3 * 5
    assert results(folder) == results(finished)


def run_sleepily(folder: Path, output: Path) -> None:
    """A run that hangs after its first epoch, so that a stop is not acted upon."""
    output_to(output)
    cli.run(lambda: train_tiny(folder, on_epoch=lambda _: time.sleep(60)) and None)


def test_a_second_ctrl_c_ends_at_once_and_the_run_can_go_on(
    tmp_path: Path, finished: Path
) -> None:
    folder, output = tmp_path / "run", tmp_path / "output"
    process = start(run_sleepily, folder, output)
    assert process.pid is not None
    wait_until(lambda: log_lines(folder) == 1)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    process.join(0.5)
    assert process.is_alive()
    os.kill(process.pid, signal.SIGINT)
    assert finish(process, 5) == 130
    assert output.read_text().endswith("interrupted\n")
    train_tiny(folder, resume=True)
    assert results(folder) == results(finished)


def test_training_in_a_thread_works_without_signals(
    tmp_path: Path, finished: Path
) -> None:
    thread = threading.Thread(target=train_tiny, args=(tmp_path / "run",))
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    assert results(tmp_path / "run") == results(finished)


def test_a_run_of_another_dataset_of_the_same_shape_gives_other_numbers(
    tmp_path: Path, finished: Path
) -> None:
    """So that equal results above mean something."""
    assert IMAGE.shape == (1, 8, 8) and LABEL.shape == (3,)
    train_tiny(tmp_path / "run", data=made_up(seed=1))
    got, expected = results(tmp_path / "run"), results(finished)
    assert all(got[name] != expected[name] for name in expected)
