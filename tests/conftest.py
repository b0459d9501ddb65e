"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal

# A shell that starts the suite in the background ignores Ctrl-C for it, and all that
# the suite starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch is imported: on small models a second thread costs more than it gives.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No window opens and no sound plays in tests.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
