"""Measure how well a model imagines labels from every subset of its modalities.

    python scripts/evaluate_cmi.py --model runs/fashion_mnist --dataset fashion_mnist

Writes evaluation.json (with the run's settings and log), and a table made from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from nexus_rl import cli
from nexus_rl.files import read_json, write_atomic, write_json


@dataclass(frozen=True)
class Args:
    """Which model, on what."""

    model: Path = Path("runs/fashion_mnist")
    """Folder of the model."""
    dataset: str = "fashion_mnist"
    """mnist or fashion_mnist; its test part is used."""
    samples: int = 10
    """Samples an item."""
    seed: int = 0
    """Seeds the samples."""
    out: Path | None = None
    """Folder for the results; the model's own if not given."""
    data_dir: Path | None = None
    """Where the data files are; otherwise NEXUS_RL_DATA, the cache, a download."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """CPU threads; 0: as many as there are cores."""


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    from tqdm import tqdm

    from nexus_rl.cmi.accuracy import label_accuracy
    from nexus_rl.data import load_dataset
    from nexus_rl.modality import subsets
    from nexus_rl.models.files import load_model
    from nexus_rl.processes import resolve_device

    cli.use_threads(args.threads)
    model = load_model(args.model, device=str(resolve_device(args.device)))
    dataset = load_dataset(args.dataset, data_dir=args.data_dir)
    names = [modality.name for modality in model.modalities]
    labels = [m.name for m in model.modalities if m.categorical]
    rows = []
    for given in tqdm(subsets(names)):
        for target in labels:
            sampled, means = label_accuracy(
                model,
                dataset.test,
                target,
                given,
                samples=args.samples,
                seed=args.seed,
            )
            rows.append(
                {"given": given, "target": target, "sampled": sampled, "means": means}
            )
    out = args.out or args.model
    result = {
        "dataset": args.dataset,
        "samples": args.samples,
        "seed": args.seed,
        "accuracy": rows,
        **run_of(args.model),
    }
    write_json(out / "evaluation.json", result)
    page = table(result)
    write_atomic(out / "evaluation.md", page.encode())
    print(page)


def run_of(folder: Path) -> dict[str, Any]:
    """The settings and log of the training run in ``folder``, if it is one."""
    if not (folder / "run.json").exists():
        return {}
    lines = (folder / "log.jsonl").read_text().splitlines()
    run = read_json(folder / "run.json", "training run")
    run.pop("data_dir", None)
    return {"run": run, "log": [json.loads(line) for line in lines]}


def table(result: dict[str, Any]) -> str:
    lines = [
        f"Accuracy in % on the test images of {result['dataset']}, "
        f"{result['samples']} samples an item.",
        "",
        "| given | imagined | both latents sampled (the paper) | posterior means |",
        "| --- | --- | ---: | ---: |",
    ]
    for row in result["accuracy"]:
        given = ", ".join(row["given"])
        sampled, means = 100 * row["sampled"], 100 * row["means"]
        lines.append(f"| {given} | {row['target']} | {sampled:.1f} | {means:.1f} |")
    if result.get("log"):
        run, last = result["run"], result["log"][-1]
        options = {**run["model"], **run["train"]}
        said = ", ".join(f"{name} {value}" for name, value in options.items())
        lines += ["", f"Model: {said}.", "", "After the last epoch:", ""]
        lines += ["| loss term | training | validation |", "| --- | ---: | ---: |"]
        for key, value in last.items():
            name = key.removeprefix("train/")
            if name != key:
                other = last.get(f"validation/{name}", float("nan"))
                lines.append(f"| {name} | {value:.3f} | {other:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    cli.run(main)
