"""The levels axis: what stands between one modality's data and its code.

With two levels a modality has a VAE of its own: a *sample* of its latent goes upward
and is the target of the top decoder, both detached. With one level it has a
deterministic trunk, trained end to end with everything else.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.func import functional_call

from nexus_rl import likelihoods
from nexus_rl.draws import Draws
from nexus_rl.modality import Modality
from nexus_rl.models.gaussian import Gaussian, GaussianHeads
from nexus_rl.networks import Builder, Networks


class Term(NamedTuple):
    """One addend of a loss: its name, its value a row (B,), and its weight."""

    name: str
    value: Tensor
    weight: float
    is_kl: bool = False


class Bottom(nn.Module):
    """One modality below the top level. Subclasses are the two kinds of levels.

    ``code_dim`` is the size of the code that goes upward and comes down again.
    """

    code_dim: int

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.modality = modality
        self.frozen = False

    def encode(self, x: Tensor) -> Gaussian | Tensor:
        """Normalised data (B, *shape) to what ``code`` turns into a code."""
        raise NotImplementedError

    def code(self, encoded: Gaussian | Tensor, draws: Draws | None) -> Tensor:
        """The code (B, code_dim) that goes upward; its mean where draws is None."""
        raise NotImplementedError

    def output(self, code: Tensor) -> Tensor:
        """A code to the likelihood's parameter: mean in [0, 1], or logits."""
        raise NotImplementedError

    def own_terms(
        self, x: Tensor, encoded: Gaussian | Tensor, code: Tensor
    ) -> list[Term]:
        """Loss terms that do not involve the top level."""
        raise NotImplementedError

    def top_term(self, down: Tensor, code: Tensor, x: Tensor | None) -> Term:
        """Loss of explaining this modality by ``down``, the top decoder's output."""
        raise NotImplementedError

    def decode(self, code: Tensor) -> Tensor:
        """A code to the mean in data space; class probabilities for a label."""
        output = self.output(code)
        if self.modality.categorical:
            return output.softmax(1)
        if self.modality.likelihood == "bernoulli":
            output = output.sigmoid()
        return self.modality.denormalise(output)

    def _activate(self, raw: Tensor) -> Tensor:
        logits = self.modality.likelihood in ("bernoulli", "categorical")
        return raw.float() if logits else raw.float().sigmoid()

    def _data_loss(self, output: Tensor, x: Tensor) -> Tensor:
        return likelihoods.OF_DATA[self.modality.likelihood](output, x)


class BottomVAE(Bottom):
    """The two-level choice: the modality's own VAE (paper, section 4.1)."""

    def __init__(self, modality: Modality, builder: Builder, width: int) -> None:
        super().__init__(modality)
        self.code_dim = modality.latent_dim
        networks = builder(modality, self.code_dim)
        self.encoder = networks.encoder
        self.heads = GaussianHeads(networks.features, self.code_dim)
        self.decoder = networks.decoder

    def encode(self, x: Tensor) -> Gaussian:
        posterior: Gaussian = self.heads(self.encoder(x))
        return posterior

    def code(self, encoded: Gaussian | Tensor, draws: Draws | None) -> Tensor:
        assert isinstance(encoded, Gaussian)
        return encoded.sample(draws)

    def output(self, code: Tensor) -> Tensor:
        return self._activate(self.decoder(code))

    def own_terms(
        self, x: Tensor, encoded: Gaussian | Tensor, code: Tensor
    ) -> list[Term]:
        assert isinstance(encoded, Gaussian)
        name, modality = self.modality.name, self.modality
        reconstruction = self._data_loss(self.output(code), x)
        return [
            Term(f"{name}/reconstruction", reconstruction, modality.weight),
            Term(f"{name}/kl", encoded.kl(), modality.beta, is_kl=True),
        ]

    def top_term(self, down: Tensor, code: Tensor, x: Tensor | None) -> Term:
        if self.modality.top_likelihood == "categorical":
            assert x is not None
            value = likelihoods.categorical(self._fixed_output(down), x)
        else:
            loss = likelihoods.OF_CODES[self.modality.top_likelihood]
            value = loss(down.float(), code.detach())
        return Term(f"{self.modality.name}/top", value, self.modality.top_weight)

    def _fixed_output(self, down: Tensor) -> Tensor:
        """The decoder's output, without gradient or statistics for the decoder."""
        training = self.decoder.training
        self.decoder.eval()
        # A state dict's tensors are detached.
        raw: Tensor = functional_call(self.decoder, self.decoder.state_dict(), (down,))
        self.decoder.train(training)
        return self._activate(raw)


def trunk(networks: Networks, width: int) -> nn.Sequential:
    """From data to ``width`` features."""
    return nn.Sequential(
        networks.encoder,
        nn.Linear(networks.features, width),
        networks.activation(width),
    )


class Trunk(Bottom):
    """The one-level choice: a deterministic trunk, trained end to end."""

    def __init__(self, modality: Modality, builder: Builder, width: int) -> None:
        super().__init__(modality)
        self.code_dim = width
        networks = builder(modality, width)
        self.encoder = trunk(networks, width)
        self.decoder = nn.Sequential(networks.activation(width), networks.decoder)

    def encode(self, x: Tensor) -> Tensor:
        features: Tensor = self.encoder(x)
        return features

    def code(self, encoded: Gaussian | Tensor, draws: Draws | None) -> Tensor:
        assert not isinstance(encoded, Gaussian)
        return encoded

    def output(self, code: Tensor) -> Tensor:
        return self._activate(self.decoder(code))

    def own_terms(
        self, x: Tensor, encoded: Gaussian | Tensor, code: Tensor
    ) -> list[Term]:
        return []

    def top_term(self, down: Tensor, code: Tensor, x: Tensor | None) -> Term:
        assert x is not None
        value = self._data_loss(self.output(down), x)
        return Term(f"{self.modality.name}/top", value, self.modality.weight)


LEVELS: dict[int, type[BottomVAE] | type[Trunk]] = {1: Trunk, 2: BottomVAE}
