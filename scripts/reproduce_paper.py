"""Train and measure the models of a table or figure of the paper, and write it.

    python scripts/reproduce_paper.py table2 --dataset fashion_mnist --seeds 3
    python scripts/reproduce_paper.py table3
    python scripts/reproduce_paper.py fig_a21 --dataset mnist
    python scripts/reproduce_paper.py pictures --dataset mnist
    python scripts/reproduce_paper.py samples                   # to see and to hear

Every run leaves a JSON in results/EXPERIMENT/; a run whose JSON is there is not made
again, and one that was interrupted goes on. The page is made from all JSONs there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from paper_groups import read_report
from paper_jobs import Job, run_jobs
from paper_runs import DRAWN, Args, dataset_of, runs_of

from nexus_rl import cli
from nexus_rl.errors import UserError
from nexus_rl.figures import png
from nexus_rl.files import write_atomic

if TYPE_CHECKING:
    from nexus_rl.cmi.experiment import Run
    from nexus_rl.cmi.judges import Judges


def main() -> None:
    args, runs = runs_of(tyro.cli(Args, description=__doc__))
    if args.experiment in DRAWN:
        written = write_pictures(runs, args)
    else:
        written = write_results(runs, args)
    for path in written:
        print(path)


def write_results(runs: Sequence[Run], args: Args) -> list[Path]:
    """Makes the results that are not there, and the pages of all."""
    waiting = [run for run in runs if not made(run, args)]
    if waiting:
        from nexus_rl.cmi.evaluate import check_classes

        judges = judges_of(args)
        check_classes(judges.dataset, judges)
        training = [Job(make_judge, name) for name in judges.names()]
        run_jobs(training, args, args.jobs, "judges")
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
    from paper_pictures import draw_labels, draw_levels
    from paper_samples import write_samples

    from nexus_rl.cmi.experiment import train_model
    from nexus_rl.data.mhd.load import sound_levels

    cli.use_threads(1 if args.jobs > 1 else 0)
    dataset, models = dataset_of(args), {}
    for run in runs:
        models[run.row] = train_model(run, dataset, args.runs, args.device, True)
    if args.experiment == "samples":
        return write_samples(models, dataset, sound_levels(args.data_dir), args.out)
    paths = []
    for name, draw in (("labels", draw_labels), ("levels", draw_levels)):
        paths.append(args.out / f"{name}_{args.dataset}.png")
        write_atomic(paths[-1], png(draw(models, dataset)))
    return paths


def result_of(run: Run, args: Args) -> Path:
    return args.out / args.experiment / f"{run.name}.json"


@cache
def data_digests(args: Args) -> dict[str, str]:
    """Fingerprints of MHD, which everybody builds; others are known by their names."""
    from nexus_rl.columns import digests

    return digests(dataset_of(args).train) if args.dataset == "mhd" else {}


def made(run: Run, args: Args) -> bool:
    """Whether the result of ``run`` is there.

    Raises ``UserError`` if it is that of other settings or data.
    """
    path = result_of(run, args)
    if not path.exists():
        return False
    report = read_report(path)
    now = json.loads(json.dumps(run.describe()))
    pairs = {"samples": (report.settings.get("samples"), args.samples)}
    for name, digest in data_digests(args).items():
        pairs[f"other data of {name}:"] = (report.judges["data"][name], digest)
    for name, then in report.runs[run.row].items():
        each = now.get(name, then)
        if name in ("model", "train"):  # options may be newer than the result
            pairs |= {f"{name}.{key}": (then[key], each.get(key)) for key in then}
        else:
            pairs[name] = (then, each)
    for name, (then, asked) in pairs.items():
        if then != asked:
            raise UserError(
                f"{path} was made with {name} {then}, not {asked}: delete it, or "
                "choose another folder (--out)"
            )
    return True


def make_judge(name: tuple[str, str], args: Args) -> None:
    """Trains one classifier or autoencoder unless it is kept already."""
    cli.use_threads(1 if args.jobs > 1 else 0)
    judges_of(args, progress=args.jobs == 1).judge(*name)


def make_bottoms(run: Run, args: Args) -> None:
    """Trains the bottoms that ``run`` stands on."""
    from nexus_rl.cmi.experiment import all_bottoms

    cli.use_threads(1 if args.jobs > 1 else 0)
    all_bottoms(run, dataset_of(args), args.runs, args.device, args.jobs == 1)


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
    four = args.experiment == "table3"
    report = evaluate_cmi(
        model, dataset, samples=args.samples, cross_only=four, **options
    )
    if args.experiment == "table2":
        points = evaluate_frontier(model, dataset, "image", samples=1, **options)
        report = replace(report, frontier=points)
    told = run.describe() | ({"data": dataset.origin} if dataset.origin else {})
    report = replace(report, runs={run.row: told})
    write_atomic(result_of(run, args), report.to_json().encode())


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
