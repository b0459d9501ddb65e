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
from nexus_rl.models.gaussian import Gaussian, repeated
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
        # What goes upward; the bottom's own terms always take a sample.
        upward = draws if model.config.upward == "sample" else None
        if isinstance(entry, tuple):
            codes[name] = Gaussian(*entry[:2]).sample(upward)
            if len(entry) == 3:
                inputs[name] = bottom.modality.normalise(entry[2])
            continue
        x = inputs[name] = bottom.modality.normalise(entry)
        if bottom.frozen or cached:
            codes[name] = _fixed_code(bottom, x, upward)
        else:
            encoded = bottom.encode(x)
            code = bottom.code(encoded, draws)
            terms += bottom.own_terms(x, encoded, code)
            codes[name] = code if upward else bottom.code(encoded, None)
    if stage != "bottom":
        terms += _top_terms(model, codes, inputs, draws)
    if not terms:
        raise UserError("nothing to train: every bottom is frozen")
    return _total(terms, warmup)


@torch.no_grad()
def _fixed_code(bottom: Bottom, x: Tensor, draws: Draws | None) -> Tensor:
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
    available = torch.cat([p.available for p in passes])
    joint = model.combine(
        {n: repeated(m, len(passes)) for n, m in model.fusion.messages(upward).items()},
        available,
        draws,
    )
    means, logvars, samples = (
        torch.split(part, rows) for part in (*joint, joint.sample(draws))
    )
    posteriors = [Gaussian(*part) for part in zip(means, logvars, strict=True)]
    terms = []
    for column, (name, bottom) in enumerate(model.bottom_items()):
        explain = [k for k, p in enumerate(passes) if column in p.targets_of(shape[1])]
        if not explain:
            continue
        z = torch.cat([samples[k] for k in explain])
        downs = torch.split(model.top_decoders[name](z), rows)
        for k, down in zip(explain, downs, strict=True):
            term = bottom.top_term(down, codes[name], inputs.get(name))
            terms.append(term._replace(value=passes[k].weight * term.value))
    beta = model.config.beta
    for each, posterior in zip(passes, posteriors, strict=True):
        if each.kl > 0:
            divergence = each.weight * each.kl * posterior.kl()
            terms.append(Term("kl", divergence, beta, is_kl=True))
    for term in model.objective.between(posteriors):
        weight = term.weight * (beta if term.is_kl else 1.0)
        terms.append(term._replace(weight=weight))
    return terms


def _total(terms: list[Term], warmup: float) -> Loss:
    total = torch.zeros((), device=terms[0].value.device)
    named: Tensors = {}
    for term in terms:
        mean = term.value.mean()
        total = total + mean * (term.weight * (warmup if term.is_kl else 1.0))
        named[term.name] = named.get(term.name, torch.zeros_like(mean)) + mean.detach()
    return Loss(total, named)
