"""What can be reproduced of the paper, and which runs that takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from nexus_rl.errors import UserError, choose
from nexus_rl.presets import PRESETS, Preset

if TYPE_CHECKING:
    from nexus_rl.cmi.experiment import Run
    from nexus_rl.data import Dataset

RHOS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
# The paper's rows: Nexus with two levels, the baselines with one; section 6.2 gives
# models of one level 64 dimensions.
TABLE2 = ("nexus_2", "nexus0_2", "mvae_1", "mmvae_1", "mvae_2", "mmvae_2")
TABLE3 = ("nexus_2", "nexus0_2", "mvae_2", "mmvae_2")
TABLE1 = (*TABLE3, "nexus_1", "nexus0_1", "mvae_1", "mmvae_1")
LEVELS = {"1": "paper_single_level", "2": "paper", "plus": "nexus_plus"}
FOUR_LEVELS = {"2": "paper_four"}
TWO = ("image", "label")
FOUR = ("table3", "samples")  # experiments with all of MHD's modalities
OF_MHD = ("table1", *FOUR)
DRAWN = ("pictures", "samples")


@dataclass(frozen=True)
class Args:
    """What to reproduce."""

    experiment: tyro.conf.Positional[str]
    """table1, table2, table3, fig_a21; ablation, of the preset nexus_plus; pictures
    (Figs. 18 and 19), or samples, which the models of table3 imagine."""
    dataset: str = ""
    """mnist, fashion_mnist or mhd, of which all but table3 and samples use image and
    label; mhd for these and table1, fashion_mnist for others if not given."""
    rows: tuple[str, ...] = ()
    """Models of tables and pictures as MODEL_LEVELS, such as mvae_2, with another
    latent than the paper's as mvae_2_64, on nexus_plus's bottoms as mvae_plus; the
    paper's, for table2 also both two-level baselines, if not given."""
    seeds: int = 3
    """Runs of each model, with seeds 0, 1, ..."""
    epochs: int = 20
    """Epochs of each stage (the paper: 100 of one stage)."""
    sound_epochs: int = 100
    """Epochs of the sound's sigma-VAE of table3, over the distinct spectrograms."""
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
    """Where the data files are; otherwise NEXUS_RL_DATA, the cache, a download; mhd
    is never downloaded, but also found in data/mhd."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


def runs_of(args: Args) -> tuple[Args, list[Run]]:
    """The arguments, completed, and all runs of their experiment, in order.

    Raises ``UserError`` for unknown names, numbers below 1, options without a use, and
    a file in the place of the folder of results.
    """
    for name in ("seeds", "epochs", "sound_epochs", "samples", "jobs"):
        if getattr(args, name) < 1:
            raise UserError(f"{name} must be at least 1, got {getattr(args, name)}")
    make = choose(args.experiment, EXPERIMENTS, "experiment")
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"{args.out} is not a folder; choose another (--out)")
    if args.experiment in DRAWN and args.seeds not in (1, Args.seeds):
        raise UserError(f"--seeds is for tables: {args.experiment} draws seed 0 alone")
    usual = "mhd" if args.experiment in OF_MHD else "fashion_mnist"
    args = replace(args, dataset=args.dataset or usual)
    if args.experiment in OF_MHD and args.dataset != "mhd":
        raise UserError(
            f"{args.experiment} is about mhd, not {args.dataset}: leave --dataset out"
        )
    return args, make(args)


@cache  # every job of a process asks for it
def dataset_of(args: Args) -> Dataset:
    """The dataset as the experiment sees it."""
    from nexus_rl.data import load_dataset

    dataset = load_dataset(args.dataset, data_dir=args.data_dir)
    return dataset if args.experiment in FOUR else dataset.select(TWO)


def name_of(args: Args) -> str:
    """The name of ``dataset_of`` in the names of runs, where no other has it."""
    if args.dataset != "mhd":
        return args.dataset
    from nexus_rl.data.mhd.load import find_built, name_of

    name = name_of(find_built(args.data_dir))
    return name if args.experiment in FOUR else "_".join([name, *TWO])


def table1(args: Args) -> list[Run]:
    """Tables 1a and 1b: every model with two levels and with one."""
    return table2(args, TABLE1)


def table2(args: Args, rows: tuple[str, ...] = TABLE2) -> list[Run]:
    """Tables 2a and 2b: every model on one dataset."""
    from nexus_rl.cmi.experiment import Run

    name = name_of(args)
    return [
        Run(row, name, seed, args.epochs, preset_of(row))
        for seed in range(args.seeds)
        for row in args.rows or rows
    ]


def table3(args: Args) -> list[Run]:
    """Table 3: four modalities, the sound's bottom trained alone beforehand."""
    from nexus_rl.cmi.experiment import Run

    presets = {row: preset_of(row, FOUR_LEVELS) for row in args.rows or TABLE3}
    name = name_of(args)
    return [
        Run(
            *(row, name, seed, args.epochs, preset),
            alone=preset.beforehand(preset.train, args.sound_epochs),
        )
        for seed in range(args.seeds)
        for row, preset in presets.items()
    ]


def ablation(args: Args) -> list[Run]:
    """The preset nexus_plus, without each of its parts, and with another."""
    from nexus_rl.cmi.experiment import Run

    if args.rows:
        raise UserError("--rows is for tables: ablation is about nexus_plus alone")
    plus, name = PRESETS["nexus_plus"], name_of(args)

    def other(**changes: Any) -> Preset:
        return replace(plus, model=replace(plus.model, **changes))

    decoder = {"label": {"top_likelihood": "categorical"}}
    presets = {
        "nexus_plus": plus,
        "plus_blurred": replace(plus, sensors={}),
        "plus_sampled": other(upward="sample"),
        "plus_unaligned": other(align=0.0),
        "plus_aligned": other(align=1.0),
        "plus_dropped": other(rho=0.5),
        "plus_decoder": replace(plus, sensors={**plus.sensors, **decoder}),
    }
    return [
        Run(row, name, seed, args.epochs, preset)
        for seed in range(args.seeds)
        for row, preset in presets.items()
    ]


def fig_a21(args: Args) -> list[Run]:
    """Fig. A.21: two-level Nexus against rho."""
    from nexus_rl.cmi.experiment import Run

    if args.rows:
        raise UserError("--rows is for tables: fig_a21 is about Nexus alone")
    paper, name = PRESETS["paper"], name_of(args)
    presets = {rho: replace(paper, model=replace(paper.model, rho=rho)) for rho in RHOS}
    return [
        Run(f"rho{rho:g}", name, seed, args.epochs, preset)
        for seed in range(args.seeds)
        for rho, preset in presets.items()
    ]


def pictures(args: Args) -> list[Run]:
    """The models of Table 2, one seed of each."""
    return table2(replace(args, seeds=1))


def samples(args: Args) -> list[Run]:
    """The models of Table 3, one seed of each."""
    return table3(replace(args, seeds=1))


EXPERIMENTS = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "fig_a21": fig_a21,
    "ablation": ablation,
    "pictures": pictures,
    "samples": samples,
}


def preset_of(row: str, by_levels: Mapping[str, str] = LEVELS) -> Preset:
    """mvae_2 is MVAE with two levels, mvae_2_64 with a latent of 64 dimensions.

    mvae_plus has the bottoms of the preset nexus_plus, and sends their means upward.
    """
    from nexus_rl.models import MODELS

    found = re.fullmatch(rf"([a-z0-9]+)_({'|'.join(by_levels)})(?:_([1-9]\d*))?", row)
    if found is None:
        raise UserError(
            f"unknown row {row!r}: expected MODEL_LEVELS or MODEL_LEVELS_LATENT, such "
            f"as mvae_2 or mvae_2_64; what may stand for LEVELS: {', '.join(by_levels)}"
        )
    name, levels, latent = found.groups()
    choose(name, {n: kind for n, kind in MODELS.items() if kind.generative}, "model")
    preset = PRESETS[by_levels[levels]]
    model = preset.model.for_model(name)
    if latent is not None:
        model = replace(model, latent_dim=int(latent))
    return replace(preset, model=model)
