"""Letting a player act: the one place that calls ``predict``, with all it needs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.perception import Task, make_vec_env
from nexus_rl.errors import UserError

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize

    from agents.evaluation import Player
    from nexus_rl.models.core import MultimodalVAE

MASKS = "action_masks"  # the environment's method, and the argument of ``predict``
NAMES = frozenset({"state", "episode_start", "deterministic", MASKS})
log = logging.getLogger(__name__)


class Actor:
    """A player that acts in ``venv``, and the memory that it wants kept.

    ``predict`` is given those of these arguments that it names, as policies of
    Stable-Baselines3 name them:

    - ``state``: what it returned last; None where all environments begin an episode.
      It then returns (actions, state);
    - ``episode_start``: where an episode begins, (N,) bool;
    - ``action_masks``: the actions that the environments allow, (N, A), of their method
      of that name; None if they have none;
    - ``deterministic``: True.

    Raises ``UserError`` for a ``predict`` that takes a state and returns none.
    """

    def __init__(self, player: Player, venv: VecEnv) -> None:
        self.player, self.venv = player, venv
        self._takes = taken(player.predict)
        self._masked = MASKS in self._takes and venv.has_attr(MASKS)

    def reset(self, seed: int) -> None:
        """Begin an episode in each environment, in number i with ``seed`` + i."""
        n = self.venv.num_envs
        self.venv.seed(seed)
        self._observations = self.venv.reset()
        self._state: Any = None
        self._starts = np.ones(n, bool)
        if (begin := getattr(self.player, "begin", None)) is not None:
            begin(range(seed, seed + n))

    def step(self) -> tuple[NDArray[Any], NDArray[np.bool_], list[dict[str, Any]]]:
        """Act once; rewards, dones and infos. What has ended begins anew."""
        masks = np.stack(self.venv.env_method(MASKS)) if self._masked else None
        known = {
            **{"state": self._state, "episode_start": self._starts},
            **{MASKS: masks, "deterministic": True},
        }
        given = {name: known[name] for name in self._takes}
        actions = self.player.predict(self._observations, **given)
        if "state" in self._takes:
            actions, self._state = _pair(actions, self.player)
        self._observations, rewards, self._starts, infos = self.venv.step(actions)
        return rewards, self._starts, infos


class PolicyPlayer:
    """Any policy or algorithm of Stable-Baselines3 at a task, as a ``Player``.

    Anything else will do whose ``predict`` returns (actions, state) as theirs does; it
    is given what it takes, ``Actor``. ``normalize`` is the VecNormalize around the
    environments that it learned in; an algorithm with such environments tells it
    itself. Its statistics are used as they are, and stay so.

    Raises ``UserError`` if observations or actions of the policy are not those of the
    task, and if it wants masks of actions and the environment has none.
    """

    def __init__(
        self,
        policy: Any,
        task: Task,
        name: str = "policy",
        *,
        encoder: MultimodalVAE | None = None,
        normalize: VecNormalize | None = None,
    ) -> None:
        self.policy, self.task, self.name, self.encoder = policy, task, name, encoder
        folder = task.perception.encoder
        if encoder is None and folder is not None:
            from nexus_rl.models.files import load_model

            self.encoder = load_model(folder)
        self.normalize = normalizer(policy) if normalize is None else normalize
        venv = make_vec_env(task, 1, 0, model=self.encoder)
        try:
            self._check(venv)
        finally:
            venv.close()

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        action_masks: NDArray[Any] | None = None,
    ) -> tuple[Any, Any]:
        """The actions that the policy deems best, and its state."""
        if self.normalize is not None:
            observation = self.normalize.normalize_obs(observation)
        return ask(
            self.policy,
            observation,
            state=state,
            episode_start=episode_start,
            action_masks=action_masks,
            deterministic=True,
        )

    def _check(self, venv: VecEnv) -> None:
        if MASKS in taken(self.policy.predict) and not venv.has_attr(MASKS):
            raise UserError(
                f"{self.name} chooses among the actions that are allowed, and "
                f"{self.task.env} does not tell which: give it a method {MASKS}, such "
                "as sb3_contrib's ActionMasker does, where the environment is made"
            )
        shown = _normalized_space(venv, self.normalize)
        spaces = {"observation": shown, "action": venv.action_space}
        for who in (self.normalize, self.policy):
            for kind, space in spaces.items():
                own = getattr(who, f"{kind}_space", space)
                if own != space:
                    raise UserError(
                        f"{kind}s of {self.name} ({type(who).__name__}) are {own}, but "
                        f"those of its task {space}: it acts in make_vec_env(task, ...)"
                        ", with no wrapper around but VecNormalize. Name the task that "
                        "it learned; let the environment itself do what other wrappers "
                        "did"
                    )


def ask(policy: Any, observation: Any, **known: Any) -> tuple[Any, Any]:
    """What ``predict`` of a policy returns, given those of the ``known`` it takes.

    ``known`` are all of ``NAMES``; masks that are None are left out. Raises
    ``UserError`` if it does not return (actions, state).
    """
    takes = taken(policy.predict, others=True)
    if known[MASKS] is None:
        takes -= {MASKS}
    given = {name: known[name] for name in takes}
    return _pair(policy.predict(observation, **given), policy)


def taken(predict: Callable[..., Any], others: bool = False) -> frozenset[str]:
    """What ``predict`` can be given by name; with ``others``, ``**kwargs`` takes all.

    Its first parameter is the observation, whatever that is called.
    """
    by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    after = list(signature(predict).parameters.values())[1:]
    if others and any(each.kind is Parameter.VAR_KEYWORD for each in after):
        return NAMES
    return NAMES & {each.name for each in after if each.kind in by_name}


def normalizer(policy: Any) -> VecNormalize | None:
    """The VecNormalize around the environments of an algorithm, None if there is none.

    Logs a warning of wrappers of the user's own, which evaluation leaves out. Raises
    ``UserError`` if something that VecNormalize does not know changes what it shows.
    """
    from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize

    found: VecNormalize | None = None
    around: list[str] = []
    # What stands for an algorithm has its environments too.
    venv = policy.get_env() if hasattr(policy, "get_env") else None
    while isinstance(venv, VecEnvWrapper):
        name, home = type(venv).__name__, type(venv).__module__.partition(".")[0]
        if isinstance(venv, VecNormalize):
            if around:
                raise UserError(
                    f"{', '.join(around)} around VecNormalize: evaluation can repeat "
                    "VecNormalize only if it is the outermost wrapper"
                )
            found = venv
        elif home not in ("stable_baselines3", "nexus_rl", "agents"):
            log.warning(
                "evaluation leaves out %s, which the algorithm learns behind: if it "
                "changes observations or actions, let the environment do that itself",
                name,
            )
        if found is venv or home != "stable_baselines3":
            around.append(name)
        venv = venv.venv
    return found


def _normalized_space(venv: VecEnv, normalize: VecNormalize | None) -> Any:
    """The observations of ``venv`` behind a VecNormalize with the same options."""
    from stable_baselines3.common.vec_env import VecNormalize

    if normalize is None:
        return venv.observation_space
    if not isinstance(normalize, VecNormalize):
        raise UserError(
            f"normalize must be a VecNormalize, not {normalize!r}; one from a file is "
            "VecNormalize.load(file, make_vec_env(task, 1, 0))"
        )
    options = ("norm_obs", "clip_obs", "norm_obs_keys")
    alike = {name: getattr(normalize, name) for name in options}
    try:
        return VecNormalize(venv, **alike).observation_space
    except (KeyError, ValueError):  # not the keys that it has
        return venv.observation_space


def _pair(found: Any, who: Any) -> tuple[Any, Any]:
    if isinstance(found, tuple) and len(found) == 2:
        return found
    raise UserError(
        f"predict of {type(who).__name__} must return (actions, state), as policies of "
        f"Stable-Baselines3 do, not {type(found).__name__}"
    )
