"""Measure how well models imagine each modality from every subset of the others.

    python scripts/evaluate_cmi.py --model runs/mnist
    python scripts/evaluate_cmi.py --model runs/a runs/b --dataset mnist --out runs/both

Accuracy and MFD, beside what real data reach (docs/cmi.md). Writes evaluation.json
(with the runs' settings and logs), and a table and a plot made from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from nexus_rl import cli
from nexus_rl.errors import UserError, choose
from nexus_rl.files import read_json, write_atomic

if TYPE_CHECKING:
    from nexus_rl.cmi import Judges, Report
    from nexus_rl.data import Dataset

FILES = ("evaluation.json", "evaluation.md", "evaluation.png")


@dataclass(frozen=True)
class Args:
    """Which models, on what."""

    model: tuple[Path, ...] = (Path("runs/fashion_mnist"),)
    """Folders of models, all of the same dataset."""
    dataset: str | None = None
    """mnist, fashion_mnist or mhd (see build_mhd.py); what the models were trained on
    if not given. Its test part is used."""
    transfer: bool = False
    """Allow --dataset to be another than the models were trained on."""
    samples: int = 10
    """Samples an item."""
    subsets: tuple[str, ...] = ("all",)
    """What is given, such as: label image+label. All subsets if not given."""
    frechet: tuple[Literal["class", "pooled"], ...] = ("class", "pooled")
    """MFD with an autoencoder a class (the paper), with one for all, both, or none."""
    frontier: bool = False
    """Also each modality from the label, with more or less noise."""
    seed: int = 0
    """Seeds the samples."""
    batch_size: int = 2000
    """Samples imagined at a time."""
    out: Path | None = None
    """Folder for the results; the first model's own if not given."""
    overwrite: bool = False
    """Replace results that are there."""
    cache: Path | None = None
    """Where classifiers and autoencoders are kept; the user's cache if not given."""
    data_dir: Path | None = None
    """Where the data files are; otherwise NEXUS_RL_DATA, the cache, a download; mhd
    is never downloaded, but also found in data/mhd."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """CPU threads; 0: as many as there are cores."""


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    names = names_of(args.model)
    out = args.out or args.model[0]
    there = [str(out / name) for name in FILES if (out / name).exists()]
    if there and not args.overwrite:
        raise UserError(
            f"{', '.join(there)} would be replaced: allow it with --overwrite, or "
            "choose another folder with --out"
        )
    report = measured(args, names)
    page = report.table() + "".join(
        said_of_run(name, run) for name, run in report.runs.items()
    )
    for name, content in zip(
        FILES, (report.to_json().encode(), page.encode(), report.plot()), strict=True
    ):
        write_atomic(out / name, content)
    print(f"{page}\nplot: {out / 'evaluation.png'}")


def names_of(folders: Sequence[Path]) -> list[str]:
    """What models are called: their folders' names, or paths where those are alike."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise UserError(f"a model is given twice: {', '.join(names)}")
    return names


def measured(args: Args, names: Sequence[str]) -> Report:
    """The report of all models."""
    from nexus_rl.cmi import Judges, Report
    from nexus_rl.cmi.imaginer import Imagination
    from nexus_rl.data import load_dataset
    from nexus_rl.models.files import load_model
    from nexus_rl.processes import resolve_device

    cli.use_threads(args.threads)
    device = str(resolve_device(args.device))
    models = [load_model(folder, device=device) for folder in args.model]
    dataset = load_dataset(dataset_of(args), data_dir=args.data_dir)
    if not args.transfer:
        check_same_rows(dataset, args.model)
    for model in models:
        Imagination(model, dataset)  # refuses one that does not fit, before any is done
    judges = Judges.of(dataset, cache=args.cache, device=device, progress=True)
    return Report.join(
        [
            evaluated(args, name, folder, model, dataset, judges)
            for name, folder, model in zip(names, args.model, models, strict=True)
        ]
    )


def dataset_of(args: Args) -> str:
    """What ``--dataset`` says, or what all models were trained on."""
    if args.dataset is not None:
        if not args.transfer:
            check_trained_on(args.dataset, args.model)
        return args.dataset
    found = set()
    for folder in args.model:
        run = read_run(folder)
        if run.get("dataset") is None:
            env = run.get("env")
            raise UserError(
                f"{folder} was trained on the environment {env}, which has no classes: "
                "evaluate_encoder.py measures it"
                if env
                else f"{folder} does not say what it was trained on: add --dataset"
            )
        found.add(str(run["dataset"]))
    if len(found) > 1:
        raise UserError(
            f"the models were trained on {', '.join(sorted(found))}: choose --dataset, "
            "with --transfer"
        )
    return found.pop()


def check_trained_on(dataset: str, folders: Sequence[Path]) -> None:
    """Raises ``UserError`` for a run that says it was trained on anything else."""
    from nexus_rl.data import DATASETS

    choose(dataset, DATASETS, "dataset")
    for folder in folders:
        run = read_run(folder)
        trained_on = run.get("dataset") or run.get("env")
        if trained_on not in (None, dataset):
            raise UserError(
                f"{folder} was trained on {trained_on}, not on {dataset}: leave out "
                f"--dataset, or add --transfer to measure it on {dataset} all the same"
            )


def check_same_rows(dataset: Dataset, folders: Sequence[Path]) -> None:
    """Raises ``UserError`` for a run on other training rows of the same name.

    Another build's, say, of which some may be among the test rows here.
    """
    from nexus_rl.columns import digests

    trained = {folder: read_run(folder).get("trained", {}) for folder in folders}
    now = digests(dataset.train) if any("data" in t for t in trained.values()) else {}
    for folder, told in trained.items():
        then = told.get("data", {})
        if differ := [name for name in then if now.get(name, then[name]) != then[name]]:
            raise UserError(
                f"{folder} was trained on other rows of {dataset.name} than those "
                f"found here: {', '.join(differ)} differ; give the same --data-dir, or "
                "add --transfer"
            )


def evaluated(
    args: Args, name: str, folder: Path, model: Any, dataset: Dataset, judges: Judges
) -> Report:
    """The report of one model, with its run's settings and log."""
    from nexus_rl.cmi import evaluate_cmi, evaluate_frontier
    from nexus_rl.run_folder import RunFolder

    options: dict[str, Any] = {
        "samples": args.samples,
        "judges": judges,
        "name": name,
        "seed": args.seed,
        "batch_size": args.batch_size,
        "progress": True,
    }
    subsets = [given.split("+") for given in args.subsets]
    report = evaluate_cmi(
        model,
        dataset,
        "all" if subsets == [["all"]] else subsets,
        frechet=args.frechet,
        **options,
    )
    points = [
        point
        for modality in model.modalities
        if args.frontier and not modality.categorical
        for point in evaluate_frontier(model, dataset, modality.name, **options)
    ]
    run = read_run(folder)
    if run:
        run.pop("data_dir", None)
        run = {name: {"run": run, "log": RunFolder(folder).read_log()}}
    return replace(report, frontier=tuple(points), runs=run)


def read_run(folder: Path) -> dict[str, Any]:
    """The settings of the training run in ``folder``; nothing if it is none."""
    path = folder / "run.json"
    return read_json(path, "training run", train=dict) if path.exists() else {}


def said_of_run(name: str, noted: dict[str, Any]) -> str:
    """A run's settings and last losses, in Markdown."""
    run = noted["run"]
    options = {**run["trained"]["model"], **run["train"]}
    said = ", ".join(f"{key} {value}" for key, value in options.items())
    lines = ["", f"{name}: {said}."]
    if noted["log"]:
        last = noted["log"][-1]
        lines += ["", "After the last epoch:", ""]
        lines += ["| loss term | training | validation |", "| --- | ---: | ---: |"]
        for key, value in last.items():
            term = key.removeprefix("train/")
            if term != key:
                other = last.get(f"validation/{term}", float("nan"))
                lines.append(f"| {term} | {value:.3f} | {other:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    cli.run(main)
