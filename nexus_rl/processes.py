"""What a training process runs on, and how it is asked to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import torch

from nexus_rl.errors import UserError


def resolve_device(name: str) -> torch.device:
    """ "auto", "cpu", "cuda" or "cuda:N" as a device; one GPU a process under torchrun.

    Raises ``UserError`` for a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(
            f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N"
        ) from None
    if device.type == "cuda":
        local = device.index
        device = torch.device(
            "cuda", int(os.environ.get("LOCAL_RANK", 0)) if local is None else local
        )
        if device.index >= torch.cuda.device_count():
            raise UserError(
                f"device {name!r} is not there: {torch.cuda.device_count()} CUDA "
                "devices found; use --device cpu"
            )
    return device


class StopFlag:
    """``asked`` becomes true at Ctrl-C."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def stoppable() -> Iterator[StopFlag]:
    """Inside, the first Ctrl-C or SIGTERM only sets the flag; a second one interrupts.

    Outside the main thread, where signals do not arrive, the flag stays false.
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: object) -> None:
        flag.asked = True
        restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield flag
    finally:
        restore()
