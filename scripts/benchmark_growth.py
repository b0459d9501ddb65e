"""The part of ``benchmark.py`` about the number of modalities: cost of a training step.

Every modality is a vector of its own, so that only their number differs. One number
of modalities after the other is measured: a busy machine may disturb the comparison.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexus_rl.models import MultimodalVAE

COUNTS = (2, 4, 8, 16, 32, 64)
# MVAE encodes every subset: 65,535 of sixteen modalities.
MOST = {"nexus": 64, "mmvae": 64, "mvae": 8}
BATCH, SIZE, WIDTH = 64, 16, 64


def measure(rounds: int, seed: int, device: Any) -> dict[str, Any]:
    """Milliseconds of a training step, by model and number of modalities."""
    found: dict[str, dict[str, float]] = {}
    for model, most in MOST.items():
        counts = [count for count in COUNTS if count <= most]
        found[model] = {
            str(count): round(1e3 * step_seconds(model, count, rounds, seed, device), 1)
            for count in counts
        }
    return {"rounds": rounds, "step_ms": found}


def step_seconds(model: str, count: int, rounds: int, seed: int, device: Any) -> float:
    """Seconds of a training step with ``count`` modalities, the median of rounds."""
    step = training_step(model, count, seed, device)
    step()  # warms up
    wait(device)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        wait(device)
        taken.append(time.perf_counter() - start)
    return median(taken)


def wait(device: Any) -> None:
    """Until all that ``device`` was told to do is done."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def training_step(
    model: str, count: int, seed: int, device: Any
) -> Callable[[], object]:
    import torch

    from nexus_rl.modality import Modality
    from nexus_rl.models import make_model

    modalities = [
        Modality(f"sensor{index}", (SIZE,), latent_dim=8, width=WIDTH)
        for index in range(count)
    ]
    made = make_model(model, modalities, seed=seed, width=WIDTH, latent_dim=16)
    noise = torch.Generator().manual_seed(seed)
    data = {
        m.name: torch.rand(BATCH, SIZE, generator=noise).to(device) for m in modalities
    }
    return stepper(made.to(device), data)


def stepper(model: MultimodalVAE, data: Mapping[str, Any]) -> Callable[[], object]:
    """Trains ``model`` by one batch at every call."""
    import torch

    adam = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        loss = model.loss(data)
        adam.zero_grad(set_to_none=True)
        loss.total.backward()
        adam.step()

    return step


def table(result: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [
        f"Milliseconds of a training step with vectors of {SIZE} numbers, batch "
        f"{BATCH}, width {WIDTH}, one thread; medians of {result['rounds']} steps, one "
        "model and number of modalities after the other. MVAE encodes every subset, "
        "MMVAE explains every modality from each; Nexus encodes and explains each "
        "once.",
        "",
        "| modalities | " + " | ".join(map(str, COUNTS)) + " |",
        "| --- |" + " ---: |" * len(COUNTS),
    ]
    for model, by_count in result["step_ms"].items():
        cells = [str(by_count.get(str(count), "")) for count in COUNTS]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)
