"""Measure speed and memory on this machine: training, encoding, more modalities,
environments, whole evaluations, and building MHD.

    python scripts/benchmark.py --out results/benchmark.json
    python scripts/benchmark.py --sections growth evaluation
    python scripts/benchmark.py --sections build    # not by default: it needs sources

The page says of each section how often it was measured. Training and encoding take
turns within every round, and what is compared is compared within a round, so that a
busy machine disturbs it least.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, get_args

import benchmark_build
import benchmark_envs
import benchmark_evaluation
import benchmark_growth
import benchmark_learning
import benchmark_memory
import tyro

from nexus_rl import cli
from nexus_rl.errors import UserError
from nexus_rl.files import write_atomic, write_json

if TYPE_CHECKING:
    from nexus_rl.models import MultimodalVAE

Section = Literal[
    "training", "growth", "environments", "learning", "evaluation", "memory", "build"
]
SECTIONS: tuple[Section, ...] = get_args(Section)[:-1]
BATCHES = (64, 256)
ENCODED = (1, 8, 64)
MATMUL = 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Args:
    """What to measure, and where to write it."""

    out: Path | None = None
    """JSON file to write, and a page beside it, of these sections alone; nothing is
    written if not given."""
    sections: tuple[Section, ...] = SECTIONS
    """What is measured."""
    rounds: int = 30
    """Rounds of training, about a third as many of growth and environments, a tenth of
    learning; the median is reported. Evaluation, memory and build are measured once."""
    evaluation_items: int = benchmark_evaluation.ITEMS
    """Test items of an evaluation; 10,000 take several minutes on one core."""
    build_samples: int = benchmark_build.SAMPLES
    """Samples of MHD to build, of which a sixth is for testing."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; memory is measured on the CPU."""
    seed: int = 0
    """Seeds the model and the made-up data."""


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    least = {"rounds": 1, "evaluation_items": 20, "build_samples": 60}
    for name, fewest in least.items():
        if getattr(args, name) < fewest:
            raise UserError(
                f"{name} must be at least {fewest}, got {getattr(args, name)}"
            )
    import torch

    from nexus_rl.processes import resolve_device

    cli.keep_freed_memory()
    device = resolve_device(args.device)
    cores, rounds = os.cpu_count(), args.rounds // 3 + 1
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {cores} cores, torch {torch.__version__}",
        "device": str(device),
    }
    measures: dict[Section, Callable[[], dict[str, Any]]] = {
        "training": lambda: by_threads(device, args),
        "growth": lambda: benchmark_growth.measure(rounds, args.seed, device),
        "environments": lambda: benchmark_envs.measure(rounds, args.seed, device),
        "learning": lambda: benchmark_learning.measure(
            args.rounds // 10 + 1, args.seed, device
        ),
        "evaluation": lambda: benchmark_evaluation.measure(
            args.evaluation_items, args.seed, device
        ),
        "memory": benchmark_memory.measure,
        "build": lambda: benchmark_build.measure(args.build_samples),
    }
    torch.set_num_threads(1)
    for section, measured in measures.items():
        if section in args.sections:
            log.info("measuring %s", section)
            result[section] = measured()
    page = table(result)
    if args.out is not None:
        write_json(args.out, result)
        write_atomic(args.out.with_suffix(".md"), page.encode())
    print(page)


def table(result: dict[str, Any]) -> str:
    """The figures of all sections in Markdown."""
    tables: dict[Section, Callable[[dict[str, Any]], str]] = {
        "training": training_table,
        "growth": benchmark_growth.table,
        "environments": benchmark_envs.table,
        "learning": benchmark_learning.table,
        "evaluation": benchmark_evaluation.table,
        "memory": benchmark_memory.table,
        "build": benchmark_build.table,
    }
    parts = [tables[name](result[name]) for name in tables if name in result]
    return "\n\n".join([f"{result['machine']}, {result['device']}.", *parts]) + "\n"


def training_table(result: dict[str, Any]) -> str:
    counts = list(result["threads"])
    rows: dict[str, list[Any]] = {}

    def add(name: str, value: Any) -> None:
        rows.setdefault(name, []).append(value)

    for figures in result["threads"].values():
        add("float32 matmul, GFLOP/s", figures["matmul_gflops"])
        for batch, training in figures["training_by_batch"].items():
            add(f"training at batch {batch}, samples/s", training["samples_per_second"])
            share = training["fraction_of_matmul_rate"]
            add(f"training at batch {batch}, share of the matmul rate", share)
        add("forced perceptual dropout, % of a step", figures["dropout_cost_percent"])
        for batch, ms in figures["encode_ms_by_batch"].items():
            add(f"encoding a batch of {batch}, ms", ms)
    return "\n".join(
        [
            f"Image and label, two levels, {figures['mflop_per_sample']} MFLOP a "
            f"training sample; medians of {result['rounds']} rounds, in which all of a "
            "column take turns.",
            "",
            "| threads | " + " | ".join(counts) + " |",
            "| --- |" + " ---: |" * len(counts),
            *(
                f"| {name} | " + " | ".join(map(str, values)) + " |"
                for name, values in rows.items()
            ),
        ]
    )


def by_threads(device: Any, args: Args) -> dict[str, Any]:
    """All timings of training with one thread, and with one a core."""
    import torch

    found = {}
    for threads in dict.fromkeys((1, os.cpu_count() or 1)):
        torch.set_num_threads(threads)
        found[str(threads)] = measure(device, args)
    torch.set_num_threads(1)
    return {"rounds": args.rounds, "threads": found}


def measure(device: Any, args: Args) -> dict[str, Any]:
    """All timings at torch's current number of threads."""
    import torch

    square = torch.randn(MATMUL, MATMUL, device=device)
    jobs: dict[str, Callable[[], object]] = {"matmul": lambda: square @ square}
    for batch in BATCHES:
        jobs[f"train {batch}"] = training_step(batch, 0.1, args.seed, device)
    jobs["rho 0"] = training_step(64, 0.0, args.seed, device)
    jobs["rho 0.2"] = training_step(64, 0.2, args.seed, device)
    for batch in ENCODED:
        jobs[f"encode {batch}"] = encoding(batch, args.seed, device)
    taken = seconds_by_round(jobs, args.rounds, device)
    flops = flops_per_sample(args.seed, device)
    work = 2 * MATMUL**3 / flops  # of a matmul, in training samples
    training = {}
    for batch in BATCHES:
        fraction = ratio(taken["matmul"], taken[f"train {batch}"]) * batch / work
        training[str(batch)] = {
            "samples_per_second": round(batch / median(taken[f"train {batch}"])),
            "fraction_of_matmul_rate": round(fraction, 3),
        }
    return {
        "matmul_gflops": round(2 * MATMUL**3 / median(taken["matmul"]) / 1e9, 1),
        "mflop_per_sample": round(flops / 1e6, 2),
        "training_by_batch": training,
        "dropout_cost_percent": round(
            100 * (ratio(taken["rho 0.2"], taken["rho 0"]) - 1), 2
        ),
        "encode_ms_by_batch": {
            str(batch): round(1e3 * median(taken[f"encode {batch}"]), 3)
            for batch in ENCODED
        },
    }


def ratio(some: list[float], others: list[float]) -> float:
    """Median of the quotients within each round: a machine's drift cancels out."""
    return median([a / b for a, b in zip(some, others, strict=True)])


def seconds_by_round(
    jobs: dict[str, Callable[[], object]], rounds: int, device: Any
) -> dict[str, list[float]]:
    """Seconds of one call of each job in each round; the jobs take turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(rounds + 1):
        for name, job in jobs.items():
            job()  # brings the job's data and code back into the caches
            benchmark_growth.wait(device)
            repeats = 1 if name == "train 256" else 4
            start = time.perf_counter()
            for _ in range(repeats):
                job()
            benchmark_growth.wait(device)
            if round_ > 0:  # the first round warms up
                taken[name].append((time.perf_counter() - start) / repeats)
    return taken


def new_model(rho: float, seed: int, device: Any) -> MultimodalVAE:
    from nexus_rl import Nexus
    from nexus_rl.config import ModelConfig
    from nexus_rl.modality import PAPER

    modalities = [PAPER["image"], PAPER["label"]]
    return Nexus(modalities, ModelConfig(rho=rho), seed=seed).to(device)


def made_up(rows: int, seed: int, device: Any) -> dict[str, Any]:
    import torch

    noise = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (rows, 1, 28, 28), generator=noise, dtype=torch.uint8)
    label = torch.randint(0, 10, (rows,), generator=noise, dtype=torch.uint8)
    return {"image": image.to(device), "label": label.to(device)}


def training_step(
    batch: int, rho: float, seed: int, device: Any
) -> Callable[[], object]:
    model = new_model(rho, seed, device)
    return benchmark_growth.stepper(model, made_up(batch, seed, device))


def encoding(batch: int, seed: int, device: Any) -> Callable[[], object]:
    import torch

    model, data = new_model(0.1, seed, device).eval(), made_up(batch, seed, device)

    def encode() -> None:
        with torch.inference_mode():
            model.encode(data)

    return encode


def flops_per_sample(seed: int, device: Any) -> float:
    """Of a training step, by torch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    model, data = new_model(0.1, seed, device), made_up(64, seed, device)
    with FlopCounterMode(display=False) as counter:
        model.loss(data).total.backward()
    return counter.get_total_flops() / 64


if __name__ == "__main__":
    cli.run(main)
