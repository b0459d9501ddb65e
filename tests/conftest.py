"""Settings of the whole suite."""

from __future__ import annotations

import os

# Before torch is imported: on small models a second thread costs more than it gives.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No window opens and no sound plays in tests.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
