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
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pretrain_args import PENDULUM, Args, bottoms_of, parse

from nexus_rl import cli
from nexus_rl.config import TrainConfig
from nexus_rl.errors import UserError
from nexus_rl.presets import PRESETS

if TYPE_CHECKING:
    from nexus_rl.data import Dataset
    from nexus_rl.models import MultimodalVAE


def main() -> int:
    args = parse(sys.argv[1:], __doc__)
    print("loading torch and the data ...", flush=True)
    # After parsing, so that --help and mistakes answer at once.
    from nexus_rl.distributed import rank, wait_for_all
    from nexus_rl.models.files import load_model
    from nexus_rl.run_folder import RunFolder

    cli.use_threads(args.threads)
    cli.join_processes(args.train.device)
    if rank() == 0:
        dataset = load_data(args)
    wait_for_all()  # the data are simulated once
    if rank() != 0:
        dataset = load_data(args)
    if args.top.top_epochs == 0:
        started = args.resume is not None and (args.folder / "training.pt").exists()
        source = load_model(args.from_) if args.from_ and not started else None
        finished = train_stage(args, dataset, args.train, args.folder, source)
    else:
        bottom, top = args.top.stages(args.train)
        below = bottoms_of(args.folder)
        if rank() == 0 and args.resume is None:
            start_stages(args, below)
        wait_for_all()
        finished = train_stage(args, dataset, bottom, below)
        if finished:
            wait_for_all()  # until the first process has written the bottoms
            source = load_model(below)
            finished = train_stage(args, dataset, top, args.folder, source)
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


def start_stages(args: Args, below: Path) -> None:
    """Makes way for a new run in two stages; refuses if there is another."""
    from nexus_rl.run_folder import RunFolder

    folders = [RunFolder(folder) for folder in (below, args.folder)]
    for folder in folders:
        folder.check_free(args.overwrite, whole=args.folder)
    for folder in folders:
        folder.clear()


def train_stage(
    args: Args,
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    bottoms: MultimodalVAE | None = None,
) -> bool:
    """Trains in ``folder``, or goes on there; False if it was interrupted."""
    from tqdm import tqdm

    from nexus_rl.distributed import wait_for_all
    from nexus_rl.training import train

    resume = args.resume is not None and (folder / "run.json").exists()
    wait_for_all()  # before the first process makes the folder
    result = train(
        build(args, dataset, config, folder if resume else None, bottoms),
        dataset,
        config,
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

        data = load_dataset(args.dataset, data_dir=args.data_dir)
        changes = PRESETS[args.preset].sensors
        own = (m.replace(**changes.get(m.name, {})) for m in data.modalities)
        return replace(data, modalities=tuple(own))
    from nexus_rl.data.simulate import simulate

    seed = args.train.seed
    kept = args.data_dir or Path("runs") / "data"
    return simulate(
        args.env or PENDULUM,
        args.rows,
        env_kwargs=args.env_kwargs,
        seed=seed,
        out=kept / f"{args.name}_{args.rows}_{seed}",
        sensors=PRESETS[args.preset].sensors,
        progress=True,
    )


def build(
    args: Args,
    dataset: Dataset,
    config: TrainConfig,
    begun: Path | None,
    bottoms: MultimodalVAE | None,
) -> MultimodalVAE:
    from nexus_rl.models import make_model
    from nexus_rl.models.files import load_model

    if begun is not None and (begun / "training.pt").exists():
        return load_model(begun)
    options = asdict(args.model)
    name = options.pop("model")
    model = make_model(name, dataset.modalities, seed=config.seed, **options)
    if config.stage == "top" and bottoms is None:
        raise UserError("--stage top needs the model with the bottoms: --from FOLDER")
    if bottoms is not None:
        for modality in dataset.modalities:
            model.freeze_bottom(modality.name, bottoms)
    return model


def describe(record: dict[str, float]) -> str:
    watched = record.get("validation/loss")
    validation = f", validation {watched:.2f}" if watched is not None else ""
    return f"epoch {record['epoch']}: loss {record['train/loss']:.2f}{validation}"


if __name__ == "__main__":
    cli.run(main)
