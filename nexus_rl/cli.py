"""What the command lines share: errors without tracebacks, presets, processes."""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NoReturn

import tyro

from nexus_rl.errors import UserError


def run(main: Callable[[], int | None]) -> NoReturn:
    """Runs ``main`` and exits: 2 after a ``UserError``, 130 after Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    try:
        code = main() or 0
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        code = 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    except BrokenPipeError:  # the reader of our output, e.g. `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def given(names: Sequence[str], argv: Sequence[str]) -> dict[str, str]:
    """Values of the options ``names`` in ``argv``, read before all others.

    For options such as ``--preset`` that choose the defaults of the rest.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in names:
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS)
    try:
        found, _ = parser.parse_known_args(argv)
    except SystemExit:  # `--preset` without a value: the full parser will say so
        return {}
    return vars(found)


def read_kwargs(pairs: Sequence[str]) -> dict[str, Any]:
    """``["enemies=2", "sound=bands"]`` as a dict; values are JSON, or else text.

    Raises ``UserError`` for what is no pair, and for a name that comes twice.
    """
    kwargs: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name.isidentifier()):
            raise UserError(f"expected NAME=VALUE, such as enemies=2, got {pair!r}")
        if name in kwargs:
            raise UserError(f"{name} is given twice")
        python = {"True": True, "False": False, "None": None}
        try:
            kwargs[name] = python[value] if value in python else json.loads(value)
        except ValueError:
            kwargs[name] = value
    return kwargs


def show_kwargs(kwargs: Mapping[str, Any]) -> list[str]:
    """What ``read_kwargs`` reads as ``kwargs``."""
    plain = [f"{name}={value}" for name, value in kwargs.items()]
    quoted = [f"{name}={json.dumps(value)}" for name, value in kwargs.items()]
    return [
        one if isinstance(value, str) and read_kwargs([one]) == {name: value} else other
        for one, other, (name, value) in zip(plain, quoted, kwargs.items(), strict=True)
    ]


# The option --env-kwargs; its field is a dict.
EnvKwargs = Annotated[
    dict[str, Any],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME=VALUE",
        instance_from_str=read_kwargs,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=show_kwargs,
    ),
]


def short_name(
    env: str, env_kwargs: Mapping[str, Any], ignore: Sequence[str] = ()
) -> str:
    """envs:nexus_rl/HyperHot-v0 with 2 enemies is hyper_hot_enemies=2.

    If the entry "sound" is ignored, it is hyper_hot_enemies=2_without_sound.
    """
    name = env.rsplit("/", 1)[-1].rsplit("-v", 1)[0]
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
    without = ["without", *sorted(ignore)] if ignore else []
    told = "_".join([snake, *sorted(show_kwargs(env_kwargs)), *without])
    return re.sub(r"[^\w=.+-]+", "-", told)[:100]  # a file name anywhere


def use_threads(threads: int) -> None:
    """Limits torch to ``threads``; 0 leaves its default. Raises ``UserError``."""
    if threads < 0:
        raise UserError(f"threads must be at least 0, got {threads}")
    import torch

    keep_freed_memory()
    if threads > 0:
        torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Lets the process reuse freed memory instead of returning it to the system.

    A training step frees and asks again for the same tens of megabytes; with glibc's
    defaults each step pays for fresh pages (about 5 % of a step). Does nothing where
    the C library is another.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(trim_threshold, 2**30)
        mallopt(mmap_threshold, 2**30)


def join_processes(device: str) -> None:
    """Joins the other processes if this one was started by ``torchrun``."""
    if "RANK" not in os.environ:
        return
    import torch.distributed as dist

    from nexus_rl.processes import resolve_device

    cuda = resolve_device(device).type == "cuda"
    dist.init_process_group("nccl" if cuda else "gloo")
