"""What the command lines share: errors without tracebacks, presets, processes."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

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


def use_threads(threads: int) -> None:
    """Limits torch to ``threads``; 0 leaves its default."""
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
