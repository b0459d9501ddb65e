"""Train and measure the models of a table or figure of the paper, and write it.

    python scripts/reproduce_paper.py table2 --dataset fashion_mnist --seeds 3
    python scripts/reproduce_paper.py fig_a21 --dataset mnist
    python scripts/reproduce_paper.py pictures --dataset mnist

Every run leaves a JSON in results/EXPERIMENT/; a run whose JSON is there is not made
again, and one that was interrupted goes on. The page is made from all JSONs there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from paper_jobs import Job, run_jobs

from nexus_rl import cli
from nexus_rl.errors import UserError, choose
from nexus_rl.files import write_atomic
from nexus_rl.presets import PRESETS, Preset

if TYPE_CHECKING:
    from nexus_rl.cmi.experiment import Run
    from nexus_rl.cmi.judges import Judges
    from nexus_rl.data import Dataset

RHOS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
# The paper's rows: Nexus with two levels, the baselines with one; section 6.2 gives
# models of one level 64 dimensions.
TABLE2 = ("nexus_2", "nexus0_2", "mvae_1", "mmvae_1", "mvae_2", "mmvae_2")


@dataclass(frozen=True)
class Args:
    """What to reproduce."""

    experiment: tyro.conf.Positional[str]
    """table2, fig_a21, or pictures (Figs. 18 and 19)."""
    dataset: str = "fashion_mnist"
    """mnist or fashion_mnist."""
    rows: tuple[str, ...] = ()
    """Models of table2 and pictures as NAME_LEVELS, such as mvae_2; the paper's and
    both two-level baselines if not given."""
    seeds: int = 3
    """Runs of each model, with seeds 0, 1, ..."""
    epochs: int = 20
    """Epochs of each stage (the paper: 100 of one stage)."""
    samples: int = 10
    """Samples an item."""
    jobs: int = 1
    """Runs at a time, with one thread each."""
    runs: Path = Path("runs/paper")
    """Where models are kept."""
    out: Path = Path("results")
    """Where results are written."""
    cache: Path | None = None
    """Where classifiers and autoencoders are kept; the user's cache if not given."""
    data_dir: Path | None = None
    """Where the data files are; otherwise NEXUS_RL_DATA, the cache, a download."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


def table2(args: Args) -> list[Run]:
    """Tables 2a and 2b: every model on one dataset."""
    from nexus_rl.cmi.experiment import Run

    return [
        Run(row, args.dataset, seed, args.epochs, preset_of(row))
        for seed in range(args.seeds)
        for row in args.rows or TABLE2
    ]


def fig_a21(args: Args) -> list[Run]:
    """Fig. A.21: two-level Nexus against rho."""
    from nexus_rl.cmi.experiment import Run

    if args.rows:
        raise UserError("--rows is for table2: fig_a21 is about Nexus alone")
    paper = PRESETS["paper"]
    presets = {rho: replace(paper, model=replace(paper.model, rho=rho)) for rho in RHOS}
    return [
        Run(f"rho{rho:g}", args.dataset, seed, args.epochs, preset)
        for seed in range(args.seeds)
        for rho, preset in presets.items()
    ]


def pictures(args: Args) -> list[Run]:
    """The models of Table 2, one seed of each."""
    return table2(replace(args, seeds=1))


EXPERIMENTS = {"table2": table2, "fig_a21": fig_a21, "pictures": pictures}


def preset_of(row: str) -> Preset:
    """nexus_2 is Nexus with two levels; nexus_plus is a preset of its own."""
    from nexus_rl.models import MODELS

    if row in PRESETS:
        return PRESETS[row]
    name, _, levels = row.rpartition("_")
    try:
        preset = PRESETS[{"1": "paper_single_level", "2": "paper"}[levels]]
    except KeyError:
        raise UserError(
            f"unknown row {row!r}: expected NAME_LEVELS, such as mvae_2, or a preset"
        ) from None
    choose(name, {n: kind for n, kind in MODELS.items() if kind.generative}, "model")
    return replace(preset, model=replace(preset.model, model=name))


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    for name in ("seeds", "epochs", "samples", "jobs"):
        if getattr(args, name) < 1:
            raise UserError(f"{name} must be at least 1, got {getattr(args, name)}")
    runs = choose(args.experiment, EXPERIMENTS, "experiment")(args)
    if args.experiment == "pictures":
        written = write_pictures(runs, args)
    else:
        written = write_results(runs, args)
    for path in written:
        print(path)


def write_results(runs: Sequence[Run], args: Args) -> list[Path]:
    """Makes the results that are not there, and the pages of all."""
    waiting = [run for run in runs if not result_of(run, args).exists()]
    if waiting:
        judges = [Job(make_judge, name) for name in judges_of(args).names()]
        run_jobs(judges, args, args.jobs, "judges")
        run_jobs(jobs_of(waiting), args, args.jobs, "runs")
    from paper_claims import write_claims
    from paper_pages import write_pages  # here: matplotlib takes a while

    return [*write_pages(args.experiment, args.out), write_claims(args.out)]


def jobs_of(runs: Sequence[Run]) -> list[Job]:
    """Bottoms first, each followed by the runs on it; then the runs without any."""
    on: dict[str, list[Run]] = {}
    for run in runs:
        on.setdefault(run.bottoms if run.preset.model.levels == 2 else "", []).append(
            run
        )
    single = [Job(make_result, run) for run in on.pop("", [])]
    return [
        *(
            Job(make_bottoms, same[0], tuple(Job(make_result, run) for run in same))
            for same in on.values()
        ),
        *single,
    ]


def write_pictures(runs: Sequence[Run], args: Args) -> list[Path]:
    """Draws what the models imagine, trained as far as they are not."""
    import io

    from paper_pictures import draw_labels, draw_levels

    from nexus_rl.cmi.experiment import train_model

    cli.use_threads(1 if args.jobs > 1 else 0)
    dataset, models = dataset_of(args), {}
    for run in runs:
        models[run.row] = train_model(run, dataset, args.runs, args.device, True)
    paths = []
    for name, draw in (("labels", draw_labels), ("levels", draw_levels)):
        content = io.BytesIO()
        draw(models, dataset).savefig(content, format="png", dpi=110)
        paths.append(args.out / f"{name}_{args.dataset}.png")
        write_atomic(paths[-1], content.getvalue())
    return paths


def result_of(run: Run, args: Args) -> Path:
    return args.out / args.experiment / f"{run.name}.json"


def make_judge(name: tuple[str, str], args: Args) -> None:
    """Trains one classifier or autoencoder unless it is kept already."""
    cli.use_threads(1 if args.jobs > 1 else 0)
    judges_of(args, progress=args.jobs == 1).judge(*name)


def make_bottoms(run: Run, args: Args) -> None:
    """Trains the bottoms that ``run`` stands on."""
    from nexus_rl.cmi.experiment import train_bottoms

    cli.use_threads(1 if args.jobs > 1 else 0)
    train_bottoms(run, dataset_of(args), args.runs, args.device, args.jobs == 1)


def make_result(run: Run, args: Args) -> None:
    """Trains ``run``, measures it, and writes its JSON."""
    from nexus_rl.cmi import evaluate_cmi, evaluate_frontier
    from nexus_rl.cmi.experiment import train_model

    cli.use_threads(1 if args.jobs > 1 else 0)
    dataset = dataset_of(args)
    model = train_model(run, dataset, args.runs, args.device, args.jobs == 1)
    options: dict[str, Any] = {
        "judges": judges_of(args),
        "name": run.row,
        "progress": args.jobs == 1,
    }
    report = evaluate_cmi(model, dataset, samples=args.samples, **options)
    if args.experiment == "table2":
        points = evaluate_frontier(model, dataset, "image", samples=1, **options)
        report = replace(report, frontier=points)
    report = replace(report, runs={run.row: run.describe()})
    write_atomic(result_of(run, args), report.to_json().encode())


def dataset_of(args: Args) -> Dataset:
    from nexus_rl.data import load_dataset

    return load_dataset(args.dataset, data_dir=args.data_dir)


def judges_of(args: Args, progress: bool = False) -> Judges:
    """The classifiers and autoencoders that all runs share."""
    from nexus_rl.cmi.judges import Judges
    from nexus_rl.processes import resolve_device

    device = str(resolve_device(args.device))
    return Judges.of(
        dataset_of(args), cache=args.cache, device=device, progress=progress
    )


if __name__ == "__main__":
    cli.run(main)
