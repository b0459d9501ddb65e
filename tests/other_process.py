"""Another process, which writes where a test does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def process(program: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs ``program``, which knows ``path``; begins when it prints its first line."""
    start = f"import pathlib; path = pathlib.Path({str(path)!r})\n"
    command = [sys.executable, "-c", start + program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            yield other
        finally:
            other.kill()
