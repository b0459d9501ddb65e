"""The part of ``benchmark.py`` about building MHD: its time, and its memory.

60,000 samples are to take less than 10 minutes on two cores, and less than 2 GB.
"""

from __future__ import annotations

import subprocess
import time
from typing import Any

import benchmark_memory

from nexus_rl.errors import UserError

SAMPLES = 60_000

# One thread, from the sources that build_mhd.py finds by itself.
BUILD = """
import sys
import build_mhd
sys.argv = ["build_mhd.py", "--out", FOLDER, "--train", "{train}", "--test", "{test}"]
build_mhd.main()
"""


def measure(samples: int) -> dict[str, Any]:
    """Seconds and peak MB of a process that builds ``samples``.

    Raises ``UserError`` where that fails, as where sources are missing.
    """
    start = time.perf_counter()
    try:
        code = BUILD.format(train=samples - samples // 6, test=samples // 6)
        peak = benchmark_memory.run_child(code)
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()[-1:]
        raise UserError(f"build_mhd.py failed: {' '.join(said)}") from None
    seconds = round(time.perf_counter() - start, 1)
    return {"samples": samples, "seconds": seconds, "peak_mb": peak}


def table(result: dict[str, Any]) -> str:
    """The figures in Markdown."""
    return (
        f"Building MHD, {result['samples']:,} samples, measured once with one thread: "
        f"{result['seconds']:.0f} seconds, from the start of the process, and "
        f"{result['peak_mb']} MB at most."
    )
