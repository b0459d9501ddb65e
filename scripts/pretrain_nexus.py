"""Train a model without labels or rewards: data in, checkpoint and picture out.

    python scripts/pretrain_nexus.py --dataset fashion_mnist --preset paper
    python scripts/pretrain_nexus.py --dataset mnist --epochs 5 --out runs/mnist
    python scripts/pretrain_nexus.py --resume runs/mnist
    python scripts/pretrain_nexus.py --dataset mnist --stage top --from runs/bottoms

Several processes: torchrun --nproc-per-node 2 scripts/pretrain_nexus.py ...
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from nexus_rl import cli
from nexus_rl.config import ModelConfig, TrainConfig
from nexus_rl.errors import UserError, choose
from nexus_rl.files import read_json
from nexus_rl.presets import PRESETS


@dataclass(frozen=True)
class Args:
    """Train a model; see also the presets."""

    dataset: str = "fashion_mnist"
    """mnist or fashion_mnist."""
    preset: str = "paper"
    """Defaults of all other options: paper, paper_single_level, demo, ..."""
    out: Path | None = None
    """Folder of the run; runs/DATASET if not given."""
    resume: Path | None = None
    """Folder of an interrupted run to go on with; --epochs may be raised."""
    overwrite: bool = False
    """Replace the run that --out holds."""
    from_: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Model whose bottom level is copied and frozen (for --stage top)."""
    data_dir: Path | None = None
    """Where the data files are; otherwise NEXUS_RL_DATA, the cache, a download."""
    threads: int = 0
    """CPU threads; 0: as many as there are cores."""
    model: Annotated[ModelConfig, tyro.conf.arg(name="")] = ModelConfig()
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = TrainConfig()

    @property
    def folder(self) -> Path:
        return self.resume or self.out or Path("runs") / self.dataset

    @property
    def fixed(self) -> dict[str, Any]:
        """What may not change when a run is continued, and is noted in its folder."""
        return {
            "dataset": self.dataset,
            "preset": self.preset,
            "from": str(self.from_) if self.from_ else None,
            "model": asdict(self.model),
        }

    @property
    def notes(self) -> dict[str, Any]:
        where = str(self.data_dir.resolve()) if self.data_dir else None
        return {**self.fixed, "data_dir": where}


def parse(argv: list[str]) -> Args:
    first = cli.given(["preset", "resume"], argv)
    if "resume" in first:
        saved = saved_args(Path(first["resume"]))
        args = tyro.cli(Args, description=__doc__, args=argv, default=saved)
        for name, value in args.fixed.items():
            if value != saved.fixed[name]:
                raise UserError(
                    f"{args.folder} was started with {name} {saved.fixed[name]}; a "
                    "continued run keeps it: leave the option out"
                )
        if args.out or args.overwrite:
            raise UserError(
                "--resume goes on in its own folder: leave out --out and --overwrite"
            )
        return args
    name = first.get("preset", "paper")
    preset = choose(name, PRESETS, "preset")
    default = Args(preset=name, model=preset.model, train=preset.train)
    return tyro.cli(Args, description=__doc__, args=argv, default=default)


def saved_args(folder: Path) -> Args:
    run = read_json(folder / "run.json", "training run")
    return Args(
        dataset=run["dataset"],
        preset=run["preset"],
        resume=folder,
        from_=Path(run["from"]) if run["from"] else None,
        data_dir=Path(run["data_dir"]) if run["data_dir"] else None,
        model=ModelConfig(**run["model"]),
        train=TrainConfig(**run["train"]),
    )


def main() -> int:
    args = parse(sys.argv[1:])
    print("loading torch and the data ...", flush=True)
    # After parsing, so that --help and mistakes answer at once.
    from tqdm import tqdm

    from nexus_rl.data import load_dataset
    from nexus_rl.distributed import rank
    from nexus_rl.training import train

    cli.use_threads(args.threads)
    cli.join_processes(args.train.device)
    dataset = load_dataset(args.dataset, data_dir=args.data_dir)
    result = train(
        build(args, dataset),
        dataset,
        args.train,
        out=args.folder,
        resume=args.resume is not None,
        overwrite=args.overwrite,
        progress=True,
        notes=args.notes,
        on_epoch=lambda record: tqdm.write(describe(record)),
    )
    if rank() != 0:
        return 0
    if result.interrupted:
        print(
            f"interrupted and saved; go on with: {sys.argv[0]} --resume {args.folder}"
        )
        return 130
    picture = args.folder / "pictures" / f"epoch_{args.train.epochs:03d}.png"
    print(f"checkpoint: {args.folder}\npicture:    {picture}")
    return 0


def build(args: Args, dataset: Any) -> Any:
    from nexus_rl.models import make_model
    from nexus_rl.models.files import load_model

    if args.resume is not None and (args.resume / "config.json").exists():
        return load_model(args.resume)
    options = asdict(args.model)
    name = options.pop("model")
    model = make_model(name, dataset.modalities, seed=args.train.seed, **options)
    if args.train.stage == "top" and args.from_ is None:
        raise UserError("--stage top needs the model with the bottoms: --from FOLDER")
    if args.from_ is not None:
        source = load_model(args.from_)
        for modality in dataset.modalities:
            model.freeze_bottom(modality.name, source)
    return model


def describe(record: dict[str, float]) -> str:
    watched = record.get("validation/loss")
    validation = f", validation {watched:.2f}" if watched is not None else ""
    return f"epoch {record['epoch']}: loss {record['train/loss']:.2f}{validation}"


if __name__ == "__main__":
    cli.run(main)
