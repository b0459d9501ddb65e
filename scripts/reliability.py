"""Soak tests: kills, noise behind masks, damaged files and hostile files, counted.

    python scripts/reliability.py                 # all of it, in about half an hour
    python scripts/reliability.py --sections kills noise --kills 10
    python scripts/reliability.py --from results/reliability.json    # the page again

Writes a JSON of what was done and lost, and a page made from it. What is finished is
kept in --work: an interrupted run goes on with the same call. Building MHD needs its
sources (see build_mhd.py), and IDX the files of MNIST, in $NEXUS_RL_DATA or the cache.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from reliability_page import write_page

from nexus_rl import cli
from nexus_rl.errors import UserError
from nexus_rl.files import read_json, write_json

Section = Literal["kills", "noise", "files", "hostile"]
SECTIONS: tuple[Section, ...] = ("kills", "noise", "files", "hostile")
# Part of the kills: building takes longest.
KILLS = {"pretraining": 0.4, "ppo": 0.25, "sac": 0.15, "mhd": 0.2}
KINDS = ("model", "agent", "run", "mhd", "idx", "rollouts")
MODELS = ("nexus", "muse", "mvae", "mmvae", "mopoe", "gmc")
LIBRARIES = ("nexus_rl", "torch", "stable-baselines3", "gymnasium", "numpy")


@dataclass(frozen=True)
class Args:
    """How much of what is done."""

    sections: tuple[Section, ...] = SECTIONS
    """Those to do; others are kept as the JSON has them."""
    kills: int = 100
    """SIGKILLs in all."""
    observations: int = 100_000
    """Observations with noise behind their masks, in all."""
    damage: int = 100
    """How often each file is cut short, and how often a bit of it is flipped."""
    seed: int = 0
    """Of everything that is random."""
    jobs: int = 2
    """Processes, of one thread each."""
    out: Path = Path("results/reliability.json")
    """What was found."""
    page: Path = Path("docs/reliability.md")
    """The page about it."""
    work: Path = Path("runs/reliability")
    """Where finished parts are kept until all are."""
    from_: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Only write the page, from this JSON."""


Job = Callable[[], dict[str, Any]]


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    if args.from_ is None:
        if min(args.kills, args.observations, args.damage, args.jobs) < 1:
            raise UserError("--kills, --observations, --damage and --jobs: at least 1")
        measure(args)
    found = read_json(args.from_ or args.out, "report of reliability")
    write_page(found, args.page)
    print(f"page: {args.page}")


def measure(args: Args) -> None:
    """Does the sections that are asked for, and adds them to the JSON."""
    found = read_json(args.out, "report of reliability") if args.out.exists() else {}
    asked = {name: getattr(args, name) for name in ("kills", "observations", "damage")}
    for section in args.sections:
        jobs = dict(jobs_of(section, args))
        parts = run(jobs, args.work / section, {**asked, "seed": args.seed}, args.jobs)
        found[section] = {"parts": {name: parts[name] for name in jobs}}
        found[section] |= {"asked": asked, "seed": args.seed, "machine": machine()}
        write_json(args.out, {name: found[name] for name in SECTIONS if name in found})
        lost = [text for part in parts.values() for text in part["lost"]]
        print("\n".join([f"{section}: {len(lost)} lost", *lost]))
    for section in args.sections:
        shutil.rmtree(args.work / section)


def jobs_of(section: str, args: Args) -> Iterator[tuple[str, Job]]:
    """The independent parts of a section, the longest first."""
    seed = args.seed
    if section == "kills":
        shares = [round(args.kills * part) for part in KILLS.values()]
        shares[0] += args.kills - sum(shares)
        for name, kills in reversed([*zip(KILLS, shares, strict=True)]):
            yield name, partial(_scratched, "kills", "kill", name, kills, seed)
    elif section == "noise":
        each = -(-args.observations // len(MODELS))
        for name in MODELS:
            yield name, partial(_called, "noise", "noise", name, each, seed)
    elif section == "files":
        for kind in ("mhd", *(kind for kind in KINDS if kind != "mhd")):
            job = ("files", "damaged", kind, args.damage, seed)
            yield kind, partial(_scratched, *job)
    else:
        for kind in ("mhd", *(kind for kind in KINDS if kind != "mhd"), "sources"):
            yield kind, partial(_scratched, "hostile", "hostile", kind)


def run(
    jobs: dict[str, Job], folder: Path, asked: dict[str, Any], processes: int
) -> dict[str, Any]:
    """The results of all jobs by name, those that ``folder`` has from before too."""
    from tqdm import tqdm

    done = {}
    for name in jobs:
        path = folder / f"{name}.json"
        if path.exists():
            before = read_json(path, "part of a report")
            if before["asked"] == asked:
                done[name] = before["found"]
    left = {name: job for name, job in jobs.items() if name not in done}
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(processes, context, initializer=_one_thread) as pool,
        tqdm(total=len(jobs), initial=len(done), desc=folder.name) as bar,
    ):
        futures: dict[Future[Any], str] = {}
        for name, job in left.items():
            futures[pool.submit(job)] = name
        try:
            for future in as_completed(futures):
                name = futures[future]
                done[name] = future.result()
                write_json(
                    folder / f"{name}.json", {"asked": asked, "found": done[name]}
                )
                bar.update()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return done


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _called(module: str, function: str, *arguments: Any) -> dict[str, Any]:
    """Calls a function of ``reliability_MODULE``, which imports torch."""
    from importlib import import_module

    found = getattr(import_module(f"reliability_{module}"), function)(*arguments)
    return dict(found)


def _scratched(module: str, function: str, *arguments: Any) -> dict[str, Any]:
    """``_called`` with a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="reliability-") as scratch:
        return _called(module, function, *arguments, Path(scratch))


def machine() -> dict[str, Any]:
    """Where it was done."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


if __name__ == "__main__":
    cli.run(main)
