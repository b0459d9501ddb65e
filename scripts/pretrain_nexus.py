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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nexus_rl import cli
from nexus_rl.config import ModelConfig, TrainConfig
from nexus_rl.errors import UserError, choose
from nexus_rl.files import read_json
from nexus_rl.presets import PRESETS, TopConfig, default_preset

if TYPE_CHECKING:
    from nexus_rl.data import Dataset
    from nexus_rl.models import MultimodalVAE

PENDULUM = "envs:nexus_rl/MultimodalPendulum-v0"


@dataclass(frozen=True)
class Args:
    """Train a model; see also the presets."""

    env: str | None = None
    """Gymnasium id of an environment with Dict observations, to simulate data with;
    the sounding pendulum if neither this nor --dataset is given."""
    env_kwargs: cli.EnvKwargs = field(default_factory=dict)
    """Arguments of the environment, such as enemies=2 sound=waveform."""
    dataset: str | None = None
    """mnist, fashion_mnist or mhd (see build_mhd.py), instead of an environment."""
    preset: str = ""
    """Defaults of all other options: paper, paper_single_level, demo, pendulum,
    environment ...; the one that fits the data if not given."""
    out: Path | None = None
    """Folder of the run; runs/NAME if not given."""
    resume: Path | None = None
    """Folder of an interrupted run to go on with; --epochs may be raised."""
    overwrite: bool = False
    """Replace the run that --out holds."""
    from_: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Model whose bottom level is copied and frozen (for --stage top)."""
    data_dir: Path | None = None
    """Where the data files are, otherwise NEXUS_RL_DATA, the cache, a download; for
    an environment where simulated data are kept, otherwise runs/data."""
    rows: int = 20_000
    """Observations to simulate in an environment."""
    threads: int = 0
    """CPU threads; 0: as many as there are cores. 1 for environments unless given:
    their models are small, and threads that wait for a busy core cost more."""
    model: Annotated[ModelConfig, tyro.conf.arg(name="")] = ModelConfig()
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = TrainConfig()
    top: Annotated[TopConfig, tyro.conf.arg(name="")] = TopConfig()

    @property
    def name(self) -> str:
        return self.dataset or cli.short_name(self.env or PENDULUM, self.env_kwargs)

    @property
    def folder(self) -> Path:
        return self.resume or self.out or Path("runs") / self.name

    @property
    def fixed(self) -> dict[str, Any]:
        """What may not change when a run is continued, and is noted in its folder."""
        return {
            "env": self.env,
            "env_kwargs": self.env_kwargs,
            "dataset": self.dataset,
            "preset": self.preset,
            "from": str(self.from_) if self.from_ else None,
            "rows": self.rows,
            "model": asdict(self.model),
            "top": asdict(self.top),
        }

    @property
    def notes(self) -> dict[str, Any]:
        where = str(self.data_dir.resolve()) if self.data_dir else None
        return {**self.fixed, "data_dir": where, "settings": asdict(self.train)}


def bottoms_of(folder: Path) -> Path:
    """Where the bottoms of a run in two stages are trained."""
    return folder.with_name(f"{folder.name}_bottoms")


def threads_for(env: str | None) -> int:
    return 0 if env is None else 1


def parse(argv: list[str]) -> Args:
    chosen = ["preset", "resume", "env", "dataset", "model", "levels"]
    first = cli.given(chosen, argv)
    if "resume" in first:
        return parse_resumed(argv, Path(first["resume"]))
    env = None if "dataset" in first else first.get("env", PENDULUM)
    name = first.get("preset", default_preset(env, first.get("dataset")))
    preset = choose(name, PRESETS, "preset")
    model = preset.model.for_model(first.get("model", preset.model.model))
    one_level = model.levels == 1 or first.get("levels") == "1"
    default = Args(
        env=env,
        preset=name,
        threads=threads_for(env),
        model=model,
        train=preset.train,
        top=TopConfig() if one_level else preset.top,
    )
    args: Args = tyro.cli(Args, description=__doc__, args=argv, default=default)
    args.model.check_used()
    if args.dataset and (args.env or args.env_kwargs):
        raise UserError("give --env or --dataset, not both; --env-kwargs are for --env")
    if args.top.top_epochs and (args.train.stage != "joint" or args.from_):
        raise UserError(
            f"preset {name} trains both stages itself: for one stage alone add "
            "--top-epochs 0"
        )
    if args.from_ is not None and args.train.stage != "top":
        raise UserError("--from is for --stage top: it fixes the bottom level")
    return args


def parse_resumed(argv: list[str], folder: Path) -> Args:
    saved = saved_args(folder)
    args: Args = tyro.cli(Args, description=__doc__, args=argv, default=saved)
    for name, value in args.fixed.items():
        if value != saved.fixed[name]:
            raise UserError(
                f"{args.folder} was started with {name} {saved.fixed[name]}; a "
                "continued run keeps it: leave the option out"
            )
    if args.train.seed != saved.train.seed:
        raise UserError(
            f"{args.folder} was started with seed {saved.train.seed}, not "
            f"{args.train.seed}; a continued run keeps it"
        )
    begun = (args.folder / "run.json").exists()
    if args.top.top_epochs and begun and args.train.epochs != saved.train.epochs:
        raise UserError(
            f"the bottoms of {args.folder} are finished with {saved.train.epochs} "
            "epochs: leave out --epochs"
        )
    if args.out or args.overwrite:
        raise UserError(
            "--resume goes on in its own folder: leave out --out and --overwrite"
        )
    return args


def saved_args(folder: Path) -> Args:
    begun = bottoms_of(folder) / "run.json"
    path = folder / "run.json"
    run = read_json(
        path if path.exists() or not begun.exists() else begun, "training run"
    )
    if "settings" not in run:
        raise UserError(f"the run in {folder} was not started by this script")
    top = TopConfig(**run["top"])
    if top.top_epochs and path.exists() and run["train"]["stage"] == "bottom":
        whole = folder.with_name(folder.name.removesuffix("_bottoms"))
        raise UserError(
            f"{folder} holds the bottoms of a run: go on with --resume {whole}"
        )
    return Args(
        env=run["env"],
        env_kwargs=run.get("env_kwargs", {}),
        dataset=run["dataset"],
        preset=run["preset"],
        resume=folder,
        from_=Path(run["from"]) if run["from"] else None,
        data_dir=Path(run["data_dir"]) if run["data_dir"] else None,
        rows=run["rows"],
        threads=threads_for(run["env"]),
        model=ModelConfig(**run["model"]),
        train=TrainConfig(**run["settings" if top.top_epochs else "train"]),
        top=top,
    )


def main() -> int:
    args = parse(sys.argv[1:])
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

        return load_dataset(args.dataset, data_dir=args.data_dir)
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
