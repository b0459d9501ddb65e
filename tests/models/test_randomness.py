"""Same seed, same numbers; and nobody else's random numbers are touched."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny import FOUR, IMAGE, LABEL, batch_of, make, shared
from torch.distributions import Normal

from nexus_rl import make_model
from nexus_rl.models import MultimodalVAE

Use = Callable[[MultimodalVAE], object]

USES: dict[str, Use] = {
    "make_model": lambda _: make_model("nexus", FOUR, width=16),
    "loss": lambda model: model.loss(batch_of()).total.backward(),
    "loss in eval mode": lambda model: model.eval().loss(batch_of()),
    "posterior": lambda model: model.posterior(batch_of(), sample=True),
    "encode": lambda model: model.encode(batch_of(), sample=True),
    "generate": lambda model: model.generate(batch_of()),
    "reconstruct": lambda model: model.reconstruct(batch_of()),
}


def global_states() -> tuple[object, ...]:
    torch_state = torch.get_rng_state().numpy().tobytes()
    return torch_state, repr(np.random.get_state()), random.getstate()


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("use", USES)
def test_global_generators_are_neither_used_nor_moved(use: str, levels: int) -> None:
    model = make(levels=levels, rho=1.0).train()
    before = global_states()
    USES[use](model)
    assert global_states() == before


def test_weights_depend_on_the_seed_alone() -> None:
    weights = []
    for global_seed, seed in ((0, 1), (123, 1), (0, 2)):
        torch.manual_seed(global_seed)
        model = make_model("nexus", FOUR, width=16, seed=seed)
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_seed_fixes_every_sample_too() -> None:
    def story(seed: int) -> list[torch.Tensor]:
        model = make_model("nexus", (IMAGE, LABEL), width=16, seed=seed).train()
        batch = batch_of((IMAGE, LABEL))
        return [
            model.loss(batch).total,
            model.encode(batch, sample=True),
            model.encode(batch, sample=True),
            model.generate(batch)["image"],
        ]

    first, again = story(3), story(3)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], first[2])  # but samples are fresh each time
    assert not torch.equal(first[1], story(4)[1])


@pytest.mark.parametrize("levels", [1, 2])
def test_a_generator_of_your_own_is_the_only_source(levels: int) -> None:
    model, batch = shared("nexus", "zero", levels), batch_of()
    state = model.generator.get_state()
    calls: list[Callable[[torch.Generator], torch.Tensor]] = [
        lambda noise: model.encode(batch, sample=True, generator=noise),
        lambda noise: model.generate(batch, generator=noise)["vector"],
        lambda noise: model.loss(batch, generator=noise).total,
    ]
    for call in calls:
        one, same, other = (
            call(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
        )
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
    assert torch.equal(model.generator.get_state(), state)


@pytest.mark.parametrize("levels", [1, 2])
def test_means_are_not_random(levels: int) -> None:
    model, batch = shared("nexus", "zero", levels), batch_of()
    assert torch.equal(model.encode(batch), model.posterior(batch).mean)
    once, twice = (model.generate(batch, sample=False) for _ in range(2))
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_samples_follow_the_posterior() -> None:
    model = shared("nexus", "zero", 1)
    one = batch_of(rows=1)
    q = model.posterior(one)
    many = {name: data.expand(5_000, *data.shape[1:]) for name, data in one.items()}
    z = model.encode(many, sample=True, generator=torch.Generator().manual_seed(0))
    standard = Normal(0, 1).cdf((z - q.mean) / q.stddev)
    deciles = torch.histc(standard, 10, 0, 1) / standard.numel()
    assert deciles.tolist() == pytest.approx([0.1] * 10, abs=0.008)


def test_sampling_draws_the_bottom_latents_as_well() -> None:
    """With two levels a posterior of samples varies; one level has a fixed trunk."""
    for levels, varies in ((1, False), (2, True)):
        model = shared("nexus", "zero", levels)
        a, b = (model.posterior(batch_of(), sample=True).mean for _ in range(2))
        assert torch.equal(a, b) != varies
