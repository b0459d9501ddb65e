"""Arguments of ``pretrain_nexus.py``: a preset's, the user's, or those of a run that
is gone on with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

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
    ignore: tuple[str, ...] = ()
    """Entries of the environment's observations that nobody needs, such as texts."""
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
    """Where the data files are, otherwise NEXUS_RL_DATA, the cache, a download; mhd
    is never downloaded, but also found in data/mhd. For an environment where simulated
    data are kept, otherwise runs/data."""
    rows: int = 20_000
    """Observations to simulate in an environment."""
    alone_epochs: int = 0
    """Epochs in which bottoms that the preset names, mhd's sound, learn beforehand
    from each distinct reading once, to be frozen; 0: they learn with the others."""
    threads: int = 0
    """CPU threads; 0: as many as there are cores. 1 for environments unless given:
    their models are small, and threads that wait for a busy core cost more."""
    model: Annotated[ModelConfig, tyro.conf.arg(name="")] = ModelConfig()
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = TrainConfig()
    top: Annotated[TopConfig, tyro.conf.arg(name="")] = TopConfig()

    @property
    def name(self) -> str:
        env = self.env or PENDULUM
        return self.dataset or cli.short_name(env, self.env_kwargs, self.ignore)

    @property
    def folder(self) -> Path:
        return self.resume or self.out or Path("runs") / self.name

    @property
    def fixed(self) -> dict[str, Any]:
        """What may not change when a run is continued, and is noted in its folder."""
        return {
            "env": self.env,
            "env_kwargs": self.env_kwargs,
            "ignore": self.ignore,
            "dataset": self.dataset,
            "preset": self.preset,
            "from": str(self.from_) if self.from_ else None,
            "rows": self.rows,
            "alone_epochs": self.alone_epochs,
            "model": asdict(self.model),
            "top": asdict(self.top),
        }

    @property
    def notes(self) -> dict[str, Any]:
        where = str(self.data_dir.resolve()) if self.data_dir else None
        return {**self.fixed, "data_dir": where, "settings": asdict(self.train)}

    @property
    def parts(self) -> list[Part]:
        """What is trained, one after the other; the last is the whole."""
        train, parts = self.train, []
        if self.alone_epochs:
            first = PRESETS[self.preset].beforehand(train, self.alone_epochs)
            for name, config in first.items():
                parts.append(Part(part_of(self.folder, name), config, name))
        if self.top.top_epochs:
            bottom, train = self.top.stages(train)
            parts.append(Part(part_of(self.folder, BOTTOMS), bottom))
        return [*parts, Part(self.folder, train)]


class Part(NamedTuple):
    """A stage of a run, or the modality ``alone`` before: where, and how trained."""

    folder: Path
    config: TrainConfig
    alone: str = ""


BOTTOMS = "bottoms"


def part_of(folder: Path, name: str) -> Path:
    """Where a part of the run in ``folder`` is trained."""
    return folder.with_name(f"{folder.name}_{name}")


def threads_for(env: str | None) -> int:
    return 0 if env is None else 1


def parse(argv: list[str], description: str | None = None) -> Args:
    """The arguments in ``argv``, with the defaults of the preset that they choose."""
    chosen = ["preset", "resume", "env", "dataset", "model", "levels", "from"]
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
        alone_epochs=0 if one_level or "from" in first else preset.alone_epochs,
    )
    args: Args = tyro.cli(Args, description=description, args=argv, default=default)
    check(args)
    return args


def check(args: Args) -> None:
    """Raises ``UserError`` if options of a new run do not go together."""
    args.model.check_used()
    top = args.train.stage == "top"
    if args.dataset and (args.env or args.env_kwargs or args.ignore):
        raise UserError(
            "give --env or --dataset, not both; --env-kwargs are for --env, and so is "
            "--ignore"
        )
    if args.top.top_epochs and (args.train.stage != "joint" or args.from_):
        raise UserError(
            f"preset {args.preset} trains both stages itself: for one stage alone add "
            "--top-epochs 0"
        )
    if args.from_ is not None and not top:
        raise UserError("--from is for --stage top: it fixes the bottom level")
    if args.from_ is None and top:
        raise UserError("--stage top needs the model with the bottoms: --from FOLDER")
    if args.alone_epochs < 0:
        raise UserError(f"--alone-epochs must not be negative, got {args.alone_epochs}")
    if args.alone_epochs and (top or args.model.levels == 1):
        raise UserError("--alone-epochs trains bottoms: it is not for top or one level")
    if args.alone_epochs and not PRESETS[args.preset].alone:
        raise UserError(
            f"--alone-epochs: preset {args.preset} names no bottom to train beforehand"
        )


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
    alone = {name for preset in PRESETS.values() for name in preset.alone}
    own = folder / "run.json"
    others = [part_of(folder, name) / "run.json" for name in (BOTTOMS, *sorted(alone))]
    path = next((path for path in [own, *others] if path.exists()), own)
    run = read_json(path, "training run", train=dict)
    if "settings" not in run:
        raise UserError(f"the run in {folder} was not started by this script")
    try:
        stage, asked = run["train"]["stage"], run["settings"]["stage"]
        args = args_of(folder, run, "train" if stage == asked else "settings")
    except (AttributeError, KeyError, TypeError, UserError) as error:
        raise UserError(f"{path} is damaged or was changed: {error}") from None
    if own.exists() and stage == "bottom" != asked:
        whole = folder.with_name(folder.name.rpartition("_")[0])
        raise UserError(f"{folder} holds bottoms of a run: go on with --resume {whole}")
    return args


def args_of(folder: Path, run: dict[str, Any], train: str) -> Args:
    """The arguments that ``run`` tells of, of training those called ``train``."""
    return Args(
        env=run["env"],
        env_kwargs=run.get("env_kwargs", {}),
        ignore=tuple(run.get("ignore", ())),
        dataset=run["dataset"],
        preset=run["preset"],
        resume=folder,
        from_=Path(run["from"]) if run["from"] else None,
        data_dir=Path(run["data_dir"]) if run["data_dir"] else None,
        rows=run["rows"],
        threads=threads_for(run["env"]),
        model=ModelConfig(**run["model"]),
        alone_epochs=run.get("alone_epochs", 0),
        train=TrainConfig(**run[train]),
        top=TopConfig(**run["top"]),
    )
