"""Measure what z_sigma knows of an environment's true state, for every subset.

    python scripts/evaluate_encoder.py --model runs/multimodal_pendulum
    python scripts/evaluate_encoder.py --model runs/digits \\
        --env nexus_rl/DigitDial-v0 --env-kwargs split=test \\
        --fit-kwargs split=train --append position --absent label

Probes are fitted with all sensors and applied with some missing. Writes probe.json,
and a table and a plot made from it. Several models make one page, with the spread
over them (for instance seeds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import tyro

from nexus_rl import cli
from nexus_rl.errors import UserError
from nexus_rl.files import read_json, write_atomic, write_json


@dataclass(frozen=True)
class Args:
    """Which models, and how much to simulate."""

    model: tuple[Path, ...] = (Path("runs/multimodal_pendulum"),)
    """Folders of models, all trained on the same environment."""
    env: str | None = None
    """Gymnasium id; what the model was trained on if not given."""
    env_kwargs: cli.EnvKwargs = field(default_factory=dict)
    """Arguments of the environment, such as enemies=2; those of the model's training
    if neither these nor --env are given."""
    fit_kwargs: cli.EnvKwargs = field(default_factory=dict)
    """Changes to the arguments of the environment where probes are fitted, such as
    split=train where --env-kwargs says split=test."""
    append: tuple[str, ...] = ()
    """Sensors that probes see beside the latent; the model need not know them."""
    absent: tuple[str, ...] = ()
    """Modalities of the model that the environment never shows."""
    ignore: tuple[str, ...] = ()
    """Entries of the observation that nobody needs; those of the model's training if
    neither these nor --env are given."""
    rows: int = 20_000
    """Observations to simulate; a fifth of them is the test set."""
    seed: int = 1000
    """Seeds the simulation and the probes; another than that of training."""
    out: Path | None = None
    """Folder for the results; the first model's own if not given."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = 1
    """CPU threads; 0: as many as there are cores."""


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    cli.use_threads(args.threads)
    env_id, env_kwargs, ignore = environment_of(args)
    from nexus_rl.data.rollouts import opened
    from nexus_rl.entries import without
    from nexus_rl.probes import samples

    with opened(env_id, env_kwargs, ignore) as recorded:
        env = recorded.env
        differ = {"append": args.append, "absent": args.absent}
        shown = without(env, ignore)
        loaded = [load(folder, shown, args.device, **differ) for folder in args.model]
        train, test = samples(env, args.rows, args.seed, ignore)
        names = state_names(env, train[1].shape[1])
        space = env.observation_space
    if args.fit_kwargs:
        with opened(env_id, {**env_kwargs, **args.fit_kwargs}, ignore) as recorded:
            if recorded.env.observation_space != space:
                raise UserError("--fit-kwargs must leave the sensors as they are")
            train, _ = samples(recorded.env, args.rows, args.seed, ignore)
    models = [
        evaluate(folder, model, train, test, seed=args.seed, **differ)
        for folder, model in zip(args.model, loaded, strict=True)
    ]
    result = {
        "env": env_id,
        "env_kwargs": env_kwargs,
        "fit_kwargs": args.fit_kwargs,
        **differ,
        "ignore": ignore,
        "state": names,
        "rows": args.rows,
        "seed": args.seed,
        "models": models,
    }
    out = args.out or args.model[0]
    write_json(out / "probe.json", result)
    page = table(result)
    write_atomic(out / "probe.md", page.encode())
    write_atomic(out / "probe.png", plot(result))
    print(f"{page}\nplot: {out / 'probe.png'}")


def environment_of(args: Args) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """The environment's id, its arguments and the entries that are ignored.

    Those given, or those of the training.
    """
    if args.env is not None:
        return args.env, args.env_kwargs, args.ignore
    run = read_json(args.model[0] / "run.json", "training run", train=dict)
    if run.get("env") is None:
        raise UserError(
            f"{args.model[0]} was not trained on an environment; name one: --env"
        )
    ignore = args.ignore or tuple(run.get("ignore", ()))
    return run["env"], args.env_kwargs or run.get("env_kwargs", {}), ignore


def state_names(env: Any, size: int) -> list[str]:
    """Names of the state's variables: ``state_names`` of the environment, if any."""
    names = getattr(env.unwrapped, "state_names", ())
    return list(names) if len(names) == size else [f"state {k}" for k in range(size)]


def load(
    folder: Path,
    env: Any,
    device: str,
    append: Sequence[str] = (),
    absent: Sequence[str] = (),
) -> Any:
    """The model in ``folder``, if it fits the environment, but for what is named."""
    from nexus_rl.formats import sensor_formats
    from nexus_rl.models.files import load_model
    from nexus_rl.spaces import check_fit

    path = folder / "run.json"
    run = read_json(path, "training run", train=dict) if path.exists() else {}
    if run and run["train"].get("stage") == "bottom":
        raise UserError(
            f"{folder} holds bottoms only, and no top level that was trained; name the "
            "folder of the whole run"
        )
    model = load_model(folder, device=device)
    space, formats = env.observation_space, sensor_formats(env)
    check_fit(model, space, formats, append=append, absent=absent)
    return model


def evaluate(
    folder: Path, model: Any, train: Any, test: Any, **options: Any
) -> dict[str, Any]:
    """Probe results of one model."""
    from nexus_rl.probes import probe

    rows = probe(model, train, test, **options)
    config = read_json(folder / "config.json", "model description")["model"]
    return {"config": config, "rows": [asdict(row) for row in rows]}


def averaged(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a subset: each figure's least value over the models, and its mean."""
    by_subset = zip(*(model["rows"] for model in result["models"]), strict=True)
    pages = []
    for rows in by_subset:
        variables = list(zip(*(row["r2"] for row in rows), strict=True))
        ridges = list(zip(*(row["ridge_r2"] for row in rows), strict=True))
        distances = [row["distance"] for row in rows]
        pages.append(
            {
                "given": ", ".join(rows[0]["given"]),
                "r2": [mean(values) for values in variables],
                "worst": [min(values) for values in variables],
                "ridge": [mean(values) for values in ridges],
                "distance": mean(distances),
                "furthest": max(distances),
            }
        )
    return pages


def table(result: dict[str, Any]) -> str:
    """The figures in Markdown."""
    pages, count = averaged(result), len(result["models"])
    size = len(pages[0]["r2"])
    config = result["models"][0]["config"]
    said = ", ".join(f"{k} {value}" for k, value in config.items() if value is not None)
    env = " ".join([result["env"], *cli.show_kwargs(result["env_kwargs"])])
    over = f"; mean (worst) over {count} models" if count > 1 else ""
    kwargs = cli.show_kwargs(result.get("fit_kwargs", {}))
    fitted = f", where {' '.join(kwargs)}" * bool(kwargs)
    beside = f", which see {', '.join(result['append'])} too" * bool(result["append"])
    lines = [
        f"R2 of the state of {env}, probes fitted with all sensors{fitted}{beside}"
        f"{over}. "
        "distance: of z(subset) from z(all), in spreads of z.",
        "",
        "| given |"
        + "".join(f" {name} |" for name in result["state"])
        + "".join(f" ridge: {name} |" for name in result["state"])
        + " distance |",
        "| --- |" + " ---: |" * (2 * size + 1),
    ]
    for page in pages:
        cells = [
            f"{value:.4f}" + f" ({worst:.4f})" * (count > 1)
            for value, worst in zip(page["r2"], page["worst"], strict=True)
        ]
        cells += [f"{value:.3f}" for value in page["ridge"]]
        furthest = f" ({page['furthest']:.3f})" * (count > 1)
        cells.append(f"{page['distance']:.3f}{furthest}")
        lines.append(f"| {page['given']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Model: {said}.", ""])


def plot(result: dict[str, Any]) -> bytes:
    """Bars of R2 by subset and of the distance, as a PNG."""
    from matplotlib.figure import Figure

    from nexus_rl.figures import png

    pages = averaged(result)
    names = [page["given"].replace(", ", "\n") for page in pages]
    size = len(pages[0]["r2"])
    if len(pages) <= 7:  # side by side
        figure = Figure(figsize=(4 + 1.2 * len(pages), 3.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    else:
        figure = Figure(figsize=(0.8 * len(pages), 6), layout="constrained")
        left, right = figure.subplots(2, 1)
    for k in range(size):
        place = [i + (k - (size - 1) / 2) * 0.8 / size for i in range(len(pages))]
        heights = [page["r2"][k] for page in pages]
        left.bar(place, heights, 0.8 / size, label=result["state"][k])
    # Below zero the mean would be the better guess, and how far is no matter.
    left.set(xticks=range(len(pages)), xticklabels=names, ylim=(-0.25, 1.02))
    left.axhline(0, color="black", linewidth=0.8)
    left.set_title("R2 of the true state from z_sigma", fontsize=10)
    left.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    right.bar(
        range(len(pages)), [page["distance"] for page in pages], 0.6, color="grey"
    )
    right.set(xticks=range(len(pages)), xticklabels=names)
    right.set_title("distance from z(all)", fontsize=10)
    return png(figure)


if __name__ == "__main__":
    cli.run(main)
