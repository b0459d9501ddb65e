"""Every file of every kind of folder, cut short and with a bit flipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reliability_damage import HARMLESS, damage
from reliability_things import THINGS


def damaged(kind: str, times: int, seed: int, scratch: Path) -> dict[str, Any]:
    """What loading made of a folder of this kind, by file, and what went wrong."""
    thing, folder = THINGS[kind], scratch / kind
    thing.make(folder)
    files = damage(folder, thing.load, times, seed)
    lost = [
        f"{kind}, {name}: {outcome} {count} times"
        for name, outcomes in files.items()
        for outcome, count in outcomes.items()
        if outcome not in HARMLESS
    ]
    return {"files": {name: dict(found) for name, found in files.items()}, "lost": lost}
