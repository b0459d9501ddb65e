"""Training in bfloat16 and compiled: other ways to the same numbers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from training_runs import (
    LABEL,
    finish,
    made_up,
    output_to,
    start,
    tiny_model,
    train_tiny,
)

from nexus_rl import Modality
from nexus_rl.networks import Networks


def test_bfloat16_gives_nearly_the_losses_of_float32() -> None:
    exact = train_tiny(epochs=2).records
    model = tiny_model()
    records = train_tiny(model=model, epochs=2, bf16=True).records
    assert records != exact, "autocast had no effect"
    for ours, theirs in zip(records, exact, strict=True):
        for name in ("train/loss", "train/image/reconstruction", "train/image/top"):
            assert ours[name] == pytest.approx(theirs[name], rel=0.05), name
    assert {value.dtype for value in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("stage", ["bottom", "top"])
def test_bfloat16_stages_give_finite_losses(stage: str) -> None:
    (record,) = train_tiny(epochs=1, stage=stage, bf16=True).records
    assert all(value == value and abs(value) < 1e4 for value in record.values())


def linear(modality: Modality, code_dim: int) -> Networks:
    """The smallest networks there are: compiling takes long."""
    size = modality.shape[0]
    return Networks(
        nn.Linear(size, 4), nn.Linear(code_dim, size), 4, lambda _: nn.Tanh()
    )


def linear_run(compile: bool) -> list[dict[str, float]]:
    """Whole batches only: another batch size would be compiled anew."""
    model = tiny_model(
        modalities=[LABEL], networks={"label": linear}, levels=1, width=4
    )
    return train_tiny(
        model=model,
        data={"label": made_up(32)["label"]},
        epochs=2,
        batch_size=16,
        validation_fraction=0.0,
        compile=compile,
    ).records


def run_compiled(folder: Path) -> None:
    output_to(folder / "output")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
    torch.set_num_threads(1)
    import torch._inductor.config as inductor

    inductor.compile_threads = 1
    (folder / "records").write_text(json.dumps(linear_run(compile=True)))


def test_a_compiled_model_gives_the_losses_of_an_eager_one(tmp_path: Path) -> None:
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("torch.compile needs a C++ compiler, and there is none")
    code = finish(start(run_compiled, tmp_path), 200)
    assert code == 0, (tmp_path / "output").read_text()[-2000:]
    assert list((tmp_path / "compiled").rglob("*.cpp")), "nothing was compiled"
    compiled = json.loads((tmp_path / "records").read_text())
    for ours, theirs in zip(compiled, linear_run(compile=False), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
