"""Arguments of ``pretrain_nexus.py``: a preset's, the user's, or those of a run that
is gone on with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from nexus_rl import cli
from nexus_rl.config import ModelConfig, TrainConfig
from nexus_rl.errors import UserError, choose
from nexus_rl.files import read_json
from nexus_rl.presets import PRESETS, TopConfig, default_preset

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


def parse(argv: list[str], description: str | None = None) -> Args:
    """The arguments in ``argv``, with the defaults of the preset that they choose."""
    chosen = ["preset", "resume", "env", "dataset", "model", "levels"]
    first = cli.given(chosen, argv)
    if "resume" in first:
        return parse_resumed(argv, description, Path(first["resume"]))
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
    args: Args = tyro.cli(Args, description=description, args=argv, default=default)
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


def parse_resumed(argv: list[str], description: str | None, folder: Path) -> Args:
    """The arguments of the run in ``folder``, which only some may change."""
    saved = saved_args(folder)
    args: Args = tyro.cli(Args, description=description, args=argv, default=saved)
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
    """The arguments that the run in ``folder`` was started with."""
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
