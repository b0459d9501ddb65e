"""Two processes that share each batch, against one."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from training_runs import (
    IMAGE,
    LABEL,
    finish,
    log_lines,
    made_up,
    output_to,
    settings,
    start,
    tiny_model,
    train_tiny,
    wait_until,
)

from nexus_rl import train
from nexus_rl.distributed import rank, world_size
from nexus_rl.draws import Draws, seeded
from nexus_rl.models import MultimodalVAE

# 37 rows are trained on, 4 validate: the last batch of 5 is shared as 2 and 3.
UNEVEN = 41

# Adam makes steps of full size from gradients that are nothing but rounding errors
# (those of biases before a BatchNorm), so that at usual rates a change of 1e-7 in the
# weights moves the losses of the next epoch by 1e-3, with one process as with two.
SLOW = 1e-5


def model_and_data(kind: str) -> tuple[MultimodalVAE, dict[str, Tensor]]:
    sigma = IMAGE.replace(likelihood="optimal_sigma", top_likelihood="optimal_sigma")
    options: dict[str, Any] = {
        "squared error": {"rho": 0.5},
        "optimal sigma": {"modalities": (sigma, LABEL), "rho": 0.5},
        "one level": {"levels": 1},
        "mixture of experts": {"name": "mmvae"},
        "joint encoder": {"name": "jmvae", "levels": 1},
        "contrast": {"name": "gmc"},
    }[kind]
    return tiny_model(**options), made_up(UNEVEN)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def join(number: int, port: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2
    )


def gradients(kind: str) -> dict[str, Tensor]:
    """Those of one batch of 13 rows, shared among the processes there are."""
    model, data = model_and_data(kind)
    model.train()
    start, stop = (13 * k // world_size() for k in (rank(), rank() + 1))
    batch = {name: column[:13][start:stop] for name, column in data.items()}
    module = DistributedDataParallel(model) if world_size() > 1 else model
    loss = module(batch, generator=Draws(seeded(1), (start, stop, 13)))
    (loss.total * (stop - start) / 13 * world_size()).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def packed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def train_shared(number: int, port: int, folder: Path, kind: str) -> None:
    """Process ``number`` of two; keeps its own copy of the final weights."""
    output_to(folder / f"output{number}")
    join(number, port)
    save_file(packed(gradients(kind)), folder / f"gradients{number}")
    model, data = model_and_data(kind)
    train(model, data, settings(learning_rate=SLOW), out=folder / "run")
    save_file(packed(model.state_dict()), folder / f"weights{number}")
    dist.destroy_process_group()


def run_two(target: Any, folder: Path, *arguments: Any) -> None:
    port = free_port()
    both = [start(target, k, port, folder, *arguments) for k in range(2)]
    codes = [finish(process) for process in both]
    said = [(folder / f"output{k}").read_text() for k in range(2)]
    assert codes == [0, 0], said


@pytest.mark.parametrize(
    "kind",
    [
        *("squared error", "optimal sigma", "one level"),
        *("mixture of experts", "joint encoder", "contrast"),
    ],
)
def test_two_processes_give_the_numbers_of_one(tmp_path: Path, kind: str) -> None:
    run_two(train_shared, tmp_path, kind)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    shared = [json.loads(line) for line in lines]
    model, data = model_and_data(kind)
    alone = train(model, data, settings(learning_rate=SLOW)).records
    assert len(shared) == len(alone) == 3
    for ours, theirs in zip(shared, alone, strict=True):
        # A change of 1e-7 in the weights moves a joint encoder's divergences by 7e-4.
        assert ours == pytest.approx(theirs, rel=1e-3)
    ranks = [load_file(tmp_path / f"weights{k}") for k in range(2)]
    saved = load_file(tmp_path / "run" / "model.safetensors")
    for name, expected in model.state_dict().items():
        # Weights and BatchNorm's running statistics alike.
        assert torch.equal(ranks[0][name], ranks[1][name]), name
        assert torch.equal(ranks[0][name], saved[name]), name
        torch.testing.assert_close(saved[name], expected, rtol=1e-3, atol=4e-4)
    found, exact = load_file(tmp_path / "gradients0"), gradients(kind)
    largest = max(float(gradient.norm()) for gradient in exact.values())
    assert found.keys() == exact.keys()
    for name, gradient in exact.items():
        error, size = float((found[name] - gradient).norm()), float(gradient.norm())
        assert error <= 1e-3 * size + 1e-4 * largest, name


def train_in_own_folder(number: int, port: int, folder: Path) -> None:
    """Each process names a folder of its own, so that each one's files show."""
    output_to(folder / f"output{number}")
    join(number, port)
    seen: list[int] = []
    result = train_tiny(
        folder / f"run{number}",
        epochs=1,
        progress=True,
        on_epoch=lambda _: seen.append(rank()),
    )
    assert len(result.records) == 1
    assert seen == ([0] if number == 0 else [])
    dist.destroy_process_group()


def test_only_the_first_process_writes_and_shows_progress(tmp_path: Path) -> None:
    run_two(train_in_own_folder, tmp_path)
    assert log_lines(tmp_path / "run0") == 1
    assert not (tmp_path / "run1").exists()
    assert "epoch 1/1" in (tmp_path / "output0").read_text()
    assert "epoch" not in (tmp_path / "output1").read_text()


def train_until_stopped(number: int, port: int, folder: Path) -> None:
    output_to(folder / f"output{number}")
    join(number, port)
    resume = (folder / "stopped").exists()
    dist.barrier()
    done = int((folder / "stopped").read_text()) if resume else 10_000
    epochs = max(done, 3)
    result = train_tiny(folder / "run", epochs=epochs, resume=resume)
    if number == 0 and result.interrupted:
        (folder / "stopped").write_text(str(len(result.records)))
    dist.destroy_process_group()


def test_stopping_one_process_stops_both_at_the_same_step(tmp_path: Path) -> None:
    port = free_port()
    both = [start(train_until_stopped, k, port, tmp_path) for k in range(2)]
    wait_until(lambda: log_lines(tmp_path / "run") >= 1)
    time.sleep(0.05)
    assert both[1].pid is not None
    os.kill(both[1].pid, signal.SIGTERM)
    assert [finish(process) for process in both] == [0, 0]
    state = torch.load(tmp_path / "run" / "training.pt", weights_only=True)
    epochs = int((tmp_path / "stopped").read_text())
    assert state["epoch"] == epochs + 1 == log_lines(tmp_path / "run") + 1
    run_two(train_until_stopped, tmp_path)  # and both find the state again
    assert log_lines(tmp_path / "run") == max(epochs, 3)
