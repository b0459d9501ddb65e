"""The loss of a training step, from the three choices a model has made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from nexus_rl.config import Stage
from nexus_rl.draws import Draws
from nexus_rl.errors import UserError
from nexus_rl.models import batches
from nexus_rl.models.gaussian import Gaussian
from nexus_rl.models.levels import Bottom, Term

if TYPE_CHECKING:
    from nexus_rl.models.core import MultimodalVAE

Tensors = dict[str, Tensor]


class Loss(NamedTuple):
    """``total`` to minimise and its named parts, all batch means.

    A part is unweighted: squared errors as such, likelihoods and divergences in nats.
    """

    total: Tensor
    terms: Tensors


def compute(
    model: MultimodalVAE,
    batch: Mapping[str, Any],
    stage: Stage,
    warmup: float,
    draws: Draws,
) -> Loss:
    """What ``MultimodalVAE.loss`` promises."""
    two_levels = model.config.levels == 2
    if stage != "joint" and not two_levels:
        raise UserError(f"stage {stage!r} needs a model with levels=2")
    cached = stage == "top" and two_levels
    batches.check_complete(batch, model.modalities, cached)
    terms: list[Term] = []
    inputs: Tensors = {}
    codes: Tensors = {}
    for name, bottom in model.bottom_items():
        entry = batch[name]
        if isinstance(entry, tuple):
            codes[name] = Gaussian(*entry).sample(draws)
            continue
        x = inputs[name] = bottom.modality.normalise(entry)
        if bottom.frozen or cached:
            codes[name] = _fixed_code(bottom, x, draws)
        else:
            encoded = bottom.encode(x)
            codes[name] = bottom.code(encoded, draws)
            terms += bottom.own_terms(x, encoded, codes[name])
    if stage != "bottom":
        terms += _top_terms(model, codes, inputs, draws)
    if not terms:
        raise UserError("nothing to train: every bottom is frozen")
    return _total(terms, warmup)


@torch.no_grad()
def _fixed_code(bottom: Bottom, x: Tensor, draws: Draws) -> Tensor:
    """The code of a bottom that must not change, batch statistics included."""
    training = bottom.training
    bottom.eval()
    code = bottom.code(bottom.encode(x), draws)
    bottom.train(training)
    return code


def _top_terms(
    model: MultimodalVAE, codes: Tensors, inputs: Tensors, draws: Draws
) -> list[Term]:
    upward = codes
    if model.config.levels == 2:
        upward = {name: code.detach() for name, code in codes.items()}
    rows = len(next(iter(codes.values())))
    shape = (rows, len(model.modalities))
    if model.training:
        passes = model.objective.passes(*shape, draws, model.device)
    else:
        passes = model.objective.complete(*shape, model.device)
    # All passes at once, so that batch statistics are those of their mixture.
    upward = {name: code.repeat(len(passes), 1) for name, code in upward.items()}
    joint = model.fuse(upward, torch.cat([p.available for p in passes]), draws)
    means, logvars = (torch.split(part, rows) for part in joint)
    posteriors = [Gaussian(*part) for part in zip(means, logvars, strict=True)]
    z = torch.cat([posterior.sample(draws) for posterior in posteriors])
    downs = {n: torch.split(model.top_decoders[n](z), rows) for n in codes}
    terms = []
    for k, (_, targets, weight) in enumerate(passes):
        for column, (name, bottom) in enumerate(model.bottom_items()):
            if targets is None or column in targets:
                term = bottom.top_term(downs[name][k], codes[name], inputs.get(name))
                terms.append(term._replace(value=weight * term.value))
        divergence = weight * posteriors[k].kl()
        terms.append(Term("kl", divergence, model.config.beta, is_kl=True))
    if model.training:
        terms += model.objective.between(posteriors)
    return terms


def _total(terms: list[Term], warmup: float) -> Loss:
    total = torch.zeros((), device=terms[0].value.device)
    named: Tensors = {}
    for term in terms:
        mean = term.value.mean()
        total = total + mean * (term.weight * (warmup if term.is_kl else 1.0))
        named[term.name] = named.get(term.name, torch.zeros_like(mean)) + mean.detach()
    return Loss(total, named)
