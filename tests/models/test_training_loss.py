"""Nexus's training loss by hand: everything is explained from what is kept."""

import pytest
import torch
from test_objectives import BETA, NOISE, SETS, WARMUP, kl
from tiny import ConstantNoise, batch_of, make
from torch import Tensor
from torch.distributions import Normal

from nexus_rl import Modality
from nexus_rl.likelihoods import OF_DATA
from nexus_rl.models import MultimodalVAE
from nexus_rl.models.objective import ForcedPerceptualDropout

Tensors = dict[str, Tensor]
ALIGN = 2.0


def bottom_of(model: MultimodalVAE, inputs: Tensors) -> tuple[Tensors, Tensor]:
    """Codes, and all losses of the modalities' own VAEs, which one level lacks."""
    codes, total = {}, torch.zeros(())
    for m in model.modalities:
        bottom, x = model.bottoms[m.name], inputs[m.name]
        codes[m.name] = encoded = bottom.encode(x)
        if model.config.levels == 1:
            continue
        q = Normal(encoded.mean, (encoded.logvar / 2).exp())
        codes[m.name] = code = q.mean + NOISE * q.stddev
        told = OF_DATA[m.likelihood](bottom.output(code), x).mean()
        total += m.weight * told + WARMUP * m.beta * kl(q)
    return codes, total


def posterior(model: MultimodalVAE, codes: Tensors, kept: Tensor) -> Normal:
    """Of the mean of kept messages, row by row; (R B, M) for R passes over B rows."""
    means = []
    for row, seen in enumerate(kept.tolist()):
        messages = [
            model.fusion.maps[name](code[row % len(code)])
            for (name, code), there in zip(codes.items(), seen, strict=True)
            if there
        ]
        means.append(torch.stack(messages).mean(0))
    found = model.fusion.heads(model.fusion.encoder(torch.stack(means)))
    return Normal(found.mean, (found.logvar / 2).exp())


def explained(
    model: MultimodalVAE, downs: Tensors, codes: Tensors, x: Tensors
) -> Tensor:
    """The weighted losses of all modalities, kept or not, in one pass."""
    total = torch.zeros(())
    for m in model.modalities:
        if model.config.levels == 1:
            output = model.bottoms[m.name].output(downs[m.name])
            total += m.weight * OF_DATA[m.likelihood](output, x[m.name]).mean()
        else:
            loss = OF_DATA[m.top_likelihood]
            total += m.top_weight * loss(downs[m.name], codes[m.name]).mean()
    return total


@pytest.mark.parametrize(("rho", "align"), [(1.0, 0.0), (1.0, ALIGN), (0.7, ALIGN)])
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("modalities", SETS[:2], ids=len)
@torch.no_grad()
def test_training_explains_everything_from_what_is_kept(
    modalities: tuple[Modality, ...], levels: int, rho: float, align: float
) -> None:
    options = {"levels": levels, "rho": rho, "align": align, "beta": BETA}
    model, batch = make(modalities, **options).train(), batch_of(modalities)
    loss = model.loss(batch, warmup=WARMUP, generator=ConstantNoise(NOISE))

    rows, again = len(batch["label"]), ConstantNoise(NOISE)
    kept = ForcedPerceptualDropout(1).draw(rows, len(modalities), again, model.device)
    assert not kept.all(1).any()
    passes = [(1 - rho, torch.ones_like(kept)), (rho, kept)] if align else [(1.0, kept)]
    x = {m.name: m.normalise(batch[m.name]) for m in modalities}
    codes, expected = bottom_of(model, x)
    # In one go: batch statistics are those of both passes together.
    q = posterior(model, codes, torch.cat([mask for _, mask in passes]))
    z = q.mean + NOISE * q.stddev
    downs = {name: top(z).split(rows) for name, top in model.top_decoders.items()}
    each = list(map(Normal, q.mean.split(rows), q.stddev.split(rows)))
    for k, (weight, _) in enumerate(passes):
        told = explained(model, {n: d[k] for n, d in downs.items()}, codes, x)
        expected += weight * (told + BETA * WARMUP * kl(each[k]))
    if align:
        expected += align * (kl(each[0], each[1]) + kl(each[1], each[0]))
    torch.testing.assert_close(loss.total, expected, rtol=1e-4, atol=1e-4)
