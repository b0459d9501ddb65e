"""Train a model without labels or rewards: data in, checkpoint and picture out.

    python scripts/pretrain_nexus.py                 # the sounding pendulum, simulated
    python scripts/pretrain_nexus.py --env nexus_rl/HyperHot-v0 --env-kwargs enemies=2
    python scripts/pretrain_nexus.py --dataset fashion_mnist --preset paper
    python scripts/pretrain_nexus.py --dataset mnist --epochs 5 --out runs/mnist
    python scripts/pretrain_nexus.py --dataset mhd   # after scripts/build_mhd.py
    python scripts/pretrain_nexus.py --resume runs/mnist
    python scripts/pretrain_nexus.py --dataset mnist --stage top --from runs/bottoms

Several processes: torchrun --nproc-per-node 2 scripts/pretrain_nexus.py ...
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pretrain_args import PENDULUM, Args, Part, parse

from nexus_rl import cli
from nexus_rl.presets import PRESETS

if TYPE_CHECKING:
    from nexus_rl.data import Dataset
    from nexus_rl.models import MultimodalVAE


def main() -> int:
    args = parse(sys.argv[1:], __doc__)
    print("loading torch and the data ...", flush=True)
    # After parsing, so that --help and mistakes answer at once.
    from nexus_rl.distributed import rank, wait_for_all
    from nexus_rl.run_folder import RunFolder

    cli.use_threads(args.threads)
    cli.join_processes(args.train.device)
    if rank() == 0:
        dataset = load_data(args)
    wait_for_all()  # the data are simulated once
    if rank() != 0:
        dataset = load_data(args)
    if len(args.parts) > 1 and rank() == 0 and args.resume is None:
        make_way(args)
    finished = train_parts(args, dataset)
    if rank() != 0:
        return 0
    if not finished:
        print(
            f"interrupted and saved; go on with: python {sys.argv[0]} "
            f"--resume {args.folder}"
        )
        return 130
    last = args.top.top_epochs or args.train.epochs
    picture = RunFolder(args.folder).picture_path(last)
    print(f"checkpoint: {args.folder}")
    if picture.exists():
        print(f"picture:    {picture}")
    return 0


def make_way(args: Args) -> None:
    """For a new run in several parts; refuses if there is another."""
    from nexus_rl.run_folder import RunFolder

    folders = [RunFolder(part.folder) for part in args.parts]
    for folder in folders:
        folder.check_free(args.overwrite, whole=args.folder)
    for folder in folders:
        folder.clear()


def train_parts(args: Args, dataset: Dataset) -> bool:
    """Trains each part on those before it; False if it was interrupted."""
    from nexus_rl.distributed import wait_for_all
    from nexus_rl.models.files import load_model

    sources: dict[str, MultimodalVAE] = {}

    def found(folder: Path) -> None:
        source = load_model(folder)
        sources.update(dict.fromkeys((m.name for m in source.modalities), source))

    if args.from_ and not (args.resume and (args.folder / "training.pt").exists()):
        found(args.from_)
    for part in args.parts:
        if part.alone and part.alone not in dataset.train:
            continue  # as all that a preset says of sensors that are not there
        data, on = (dataset.once(part.alone), {}) if part.alone else (dataset, sources)
        if not train_part(args, data, part, on):
            return False
        if part.folder != args.folder:
            wait_for_all()  # until the first process has written it
            found(part.folder / "best" if part.alone else part.folder)
    return True


def train_part(
    args: Args, dataset: Dataset, part: Part, sources: Mapping[str, MultimodalVAE]
) -> bool:
    """Trains in the part's folder, or goes on there; False if it was interrupted."""
    from tqdm import tqdm

    from nexus_rl.distributed import wait_for_all
    from nexus_rl.training import train

    folder = part.folder
    resume = args.resume is not None and (folder / "run.json").exists()
    wait_for_all()  # before the first process makes the folder
    result = train(
        build(args, dataset, part, resume, sources),
        dataset,
        part.config,
        out=folder,
        resume=resume,
        overwrite=args.overwrite,
        progress=True,
        notes=args.notes,
        on_epoch=lambda record: tqdm.write(describe(record)),
    )
    return not result.interrupted


def load_data(args: Args) -> Dataset:
    if args.dataset is not None:
        from nexus_rl.data import load_dataset
        from nexus_rl.modality import changed

        data = load_dataset(args.dataset, data_dir=args.data_dir)
        sensors = PRESETS[args.preset].sensors
        return replace(data, modalities=changed(data.modalities, sensors))
    from nexus_rl.data.simulate import simulate

    seed, sensors = args.train.seed, PRESETS[args.preset].sensors
    kept = args.data_dir or Path("runs") / "data"
    return simulate(
        args.env or PENDULUM,
        args.rows,
        env_kwargs=args.env_kwargs,
        seed=seed,
        out=kept / f"{args.name}_{args.rows}_{seed}",
        ignore=args.ignore,
        sensors={n: each for n, each in sensors.items() if n not in args.ignore},
        progress=True,
    )


def build(
    args: Args,
    dataset: Dataset,
    part: Part,
    resume: bool,
    sources: Mapping[str, MultimodalVAE],
) -> MultimodalVAE:
    """The model of a part, on the bottoms of ``sources``, or as it was left."""
    from nexus_rl.models import make_model
    from nexus_rl.models.files import load_model

    if resume and (part.folder / "training.pt").exists():
        return load_model(part.folder)
    options = asdict(args.model)
    name = options.pop("model")
    model = make_model(name, dataset.modalities, seed=part.config.seed, **options)
    for modality, source in sources.items():
        model.freeze_bottom(modality, source)
    return model


def describe(record: dict[str, float]) -> str:
    watched = record.get("validation/loss")
    validation = f", validation {watched:.2f}" if watched is not None else ""
    return f"epoch {record['epoch']}: loss {record['train/loss']:.2f}{validation}"


if __name__ == "__main__":
    cli.run(main)
