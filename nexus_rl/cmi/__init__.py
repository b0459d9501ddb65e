"""Cross-modality inference, measured: how well missing modalities are imagined.

Names are imported on first use: reading a report does not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_rl.lazy import import_later

if TYPE_CHECKING:
    from nexus_rl.cmi.evaluate import evaluate_cmi as evaluate_cmi
    from nexus_rl.cmi.frechet import Moments as Moments
    from nexus_rl.cmi.frechet import frechet_distance as frechet_distance
    from nexus_rl.cmi.frontier import evaluate_frontier as evaluate_frontier
    from nexus_rl.cmi.imaginer import Imaginer as Imaginer
    from nexus_rl.cmi.judges import JudgeConfig as JudgeConfig
    from nexus_rl.cmi.judges import Judges as Judges
    from nexus_rl.cmi.report import Report as Report
    from nexus_rl.cmi.spread import Spread as Spread
    from nexus_rl.cmi.spread import over_seeds as over_seeds

_HOMES = {
    "Imaginer": "imaginer",
    "JudgeConfig": "judges",
    "Judges": "judges",
    "Moments": "frechet",
    "Report": "report",
    "Spread": "spread",
    "evaluate_cmi": "evaluate",
    "frechet_distance": "frechet",
    "evaluate_frontier": "frontier",
    "over_seeds": "spread",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = import_later(__name__, _HOMES)
