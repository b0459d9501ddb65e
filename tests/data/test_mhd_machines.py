"""MHD is the same where the processor rounds otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

# Argument: real data; then a file to write. A quarter of the strokes, among them one
# whose fit comes out otherwise if the last bit of a point does.
MAKE = """
import sys
from pathlib import Path
import numpy as np, torch
from nexus_rl.data.mhd.fit import MOST, fit
from nexus_rl.data.mhd.lognormal import perturb
from nexus_rl.data.mhd.sounds import read_fsdd, spectrograms
from nexus_rl.data.mhd.strokes import POINTS, one_stroke, read_uji, trajectory
data = Path(sys.argv[1])
drawn = one_stroke(read_uji(data / "ujipenchars2" / "ujipenchars2_digits.txt.gz"))
points = np.stack([trajectory(one.strokes[0]) for one in drawn])
fitted, error = fit(torch.tensor(points[1::4]))
random = torch.Generator().manual_seed(0)
noise = torch.randn(len(fitted), MOST, 3, generator=random, dtype=torch.float64)
varied = perturb(fitted, noise).points(POINTS).half()
clips = read_fsdd(data / "fsdd" / "fsdd.npz").clips[::4]
np.savez(
    sys.argv[2],
    points=points,
    fit=fitted.parameters,
    error=error.numpy().round(6),
    varied=varied,
    sound=spectrograms(clips),
)
"""


def test_other_instructions_give_the_same(real_data: Path, tmp_path: Path) -> None:
    other = {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Prescott",
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(real_data), str(tmp_path / f"{name}.npz")],
            env={**os.environ, **told},
        )
        for name, told in (("here", {}), ("there", other))
    ]
    assert [process.wait(240) for process in running] == [0, 0]
    here, there = (np.load(tmp_path / f"{name}.npz") for name in ("here", "there"))
    for name in here.files:
        np.testing.assert_array_equal(here[name], there[name], err_msg=name)
