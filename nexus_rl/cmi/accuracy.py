"""Accuracy of imagined labels (paper, section 6.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nexus_rl.draws import seeded
from nexus_rl.errors import UserError
from nexus_rl.models.batches import known_names
from nexus_rl.models.core import MultimodalVAE

CHUNK = 1000


@torch.inference_mode()
def label_accuracy(
    model: MultimodalVAE,
    batch: dict[str, Tensor],
    target: str,
    given: Sequence[str],
    *,
    samples: int = 10,
    seed: int = 0,
) -> tuple[float, float]:
    """How often label ``target`` is imagined right from the modalities ``given``.

    Two fractions of 1: with latents of both levels sampled ``samples`` times an item,
    as the paper does, and with posterior means. Raises ``UserError`` unless ``target``
    is a categorical modality. Puts the model into eval mode.
    """
    kinds = {m.name: m.categorical for m in model.modalities}
    if not kinds.get(target):
        names = ", ".join(name for name, categorical in kinds.items() if categorical)
        raise UserError(
            f"{target!r} is not a label of this model; its labels: {names or 'none'}"
        )
    known_names(given, model.modalities)
    lacking = [name for name in (target, *given) if name not in batch]
    if lacking:
        raise UserError(
            f"the data hold no {', '.join(lacking)}, only {', '.join(batch)}"
        )
    if samples < 1:
        raise UserError(f"samples must be at least 1, got {samples}")
    model.eval()
    truth = batch[target]
    truth = truth.long() if truth.dim() == 1 else truth.argmax(1)
    noise = seeded(seed, device=model.device)
    hits = {True: 0, False: 0}
    for start in range(0, len(truth), CHUNK):
        source = {name: batch[name][start : start + CHUNK] for name in given}
        right = truth[start : start + CHUNK].to(model.device)
        for sampled in [True] * samples + [False]:
            imagined = model.generate(
                source, targets=[target], sample=sampled, generator=noise
            )[target]
            hits[sampled] += int((imagined.argmax(1) == right).sum())
    return hits[True] / (samples * len(truth)), hits[False] / len(truth)
