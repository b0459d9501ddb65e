"""The lowest versions that pyproject.toml allows, as requirements for pip."""

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"].values()
for requirement in sorted({*project["dependencies"], *chain(*extras)}):
    name, _, rest = requirement.partition(">=")
    lowest = re.match(r"[\d.]+", rest)
    if lowest is None:
        raise SystemExit(f"pyproject.toml names no lowest version: {requirement!r}")
    sys.stdout.write(f"{name}=={lowest[0]}\n")
