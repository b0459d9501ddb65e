"""A trained agent as a folder: everything that is needed to let it act.

``agent.json``                 what it is, and size and sha256 of the other files
``policy_STEPS.safetensors``   weights of the policy
``encoder/``                   the model whose latents it sees, if it sees latents
``training/``                  what is needed to go on training it, and how it went

Loading unpickles nothing; ``training/`` is not read for it.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_model as save_weights
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from agents.acting import ask
from agents.algorithms import ALGORITHMS, describe_policy, rebuild_policy
from agents.config import AgentConfig
from agents.folder import POLICIES, check_file
from agents.perception import Task, make_vec_env
from nexus_rl.errors import UserError
from nexus_rl.files import ChangedError, fingerprint, read_json, write_json
from nexus_rl.formats import sensor_formats
from nexus_rl.models.files import load_model
from nexus_rl.parts import aside, sweep
from nexus_rl.processes import resolve_device

if TYPE_CHECKING:
    from nexus_rl.models.core import MultimodalVAE

FORMAT = 1
log = logging.getLogger(__name__)

# Another version of these may let an agent act otherwise.
DECISIVE = ("torch", "stable-baselines3", "gymnasium", "sb3-contrib")
LIBRARIES = (*DECISIVE[:3], "numpy", "nexus_rl")
ENCODER = "encoder"
ENCODER_FILES = (f"{ENCODER}/config.json", f"{ENCODER}/model.safetensors")
# What lets an agent act, and what must be told of it.
_NEEDED = {
    "task": ("env", "env_kwargs", "perception"),
    "policy": ("algo", "policy", "kwargs", "use_sde"),
    "interface": ("observations", "actions", "formats"),
    "files": (),
}


@dataclass(frozen=True)
class Agent:
    """A policy that can act in ``task``.

    ``encoder`` is the model whose latents it sees, None if it sees no latents;
    ``manifest`` is what ``agent.json`` says.
    """

    task: Task
    policy: BasePolicy
    encoder: MultimodalVAE | None
    name: str
    manifest: Mapping[str, Any]

    @overload
    def predict(
        self, observations: Any, deterministic: bool = True
    ) -> NDArray[Any]: ...

    @overload
    def predict(
        self,
        observations: Any,
        deterministic: bool = True,
        *,
        state: Any,
        episode_start: NDArray[np.bool_],
        action_masks: NDArray[Any] | None = None,
    ) -> tuple[NDArray[Any], Any]: ...

    def predict(
        self,
        observations: Any,
        deterministic: bool = True,
        *,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        action_masks: NDArray[Any] | None = None,
    ) -> NDArray[Any] | tuple[NDArray[Any], Any]:
        """Actions (N, ...) for a batch of observations of ``make_vec_env``.

        With ``episode_start``, (N,) bool, where an episode begins, and the ``state``
        that was returned last (None at first): (actions, state), as of policies of
        Stable-Baselines3. Raises ``UserError`` without them for one with a memory.
        ``action_masks``, (N, A), are for a policy that takes them.
        """
        actions: NDArray[Any]
        actions, after = ask(
            self.policy,
            observations,
            state=state,
            episode_start=episode_start,
            action_masks=action_masks,
            deterministic=deterministic,
        )
        if episode_start is not None:
            return actions, after
        if after is not None:
            raise UserError(
                f"{self.name} has a memory: call predict(observations, state=state, "
                "episode_start=dones), which returns (actions, state); at first state "
                "is None and all of episode_start True"
            )
        return actions

    def make_vec_env(self, n_envs: int, seed: int, **options: Any) -> VecEnv:
        """``make_vec_env`` of the agent's task, with its encoder.

        Example: ``agent.make_vec_env(10, seed=0, condition=condition)``.
        """
        return make_vec_env(self.task, n_envs, seed, model=self.encoder, **options)


def save_agent(
    folder: Path,
    policy: BasePolicy,
    config: AgentConfig,
    venv: VecEnv,
    progress: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes the policy, then ``agent.json``; returns what that says.

    ``venv`` is where it learned, ``progress`` what is told of its training: steps and
    seconds. The encoder must be in ``folder`` already. Until ``agent.json`` is replaced
    the agent that was there before stays whole.
    """
    weights = f"policy_{progress['steps']}.safetensors"
    try:
        with aside(folder / weights) as part:
            save_weights(policy, str(part))
    except (RuntimeError, SafetensorError) as error:
        raise UserError(f"cannot write the policy into {folder}: {error}") from error
    sweep(folder, POLICIES)  # of other steps, too
    latent = config.task.perception.kind == "latent"
    files = [weights]
    if latent:
        files += ENCODER_FILES
    settings = config.to_json()
    manifest = {
        "format": FORMAT,
        **{name: settings.pop(name) for name in ("algo", "task", "seed")},
        "sensor_dropout": settings["sensor_dropout"],
        **progress,
        "preset": config.preset_name,
        "n_envs": config.n_envs,
        "hyperparameters": config.hyperparameters,
        "policy": describe_policy(config, venv.observation_space),
        "interface": describe_interface(venv),
        "versions": _versions(config.algo),
        "files": {name: fingerprint(folder / name) for name in files},
    }
    if latent:
        manifest["task"]["perception"]["encoder"] = ENCODER
        manifest["encoder_from"] = config.task.perception.encoder
    write_json(folder / "agent.json", manifest)
    for path in folder.glob(POLICIES):
        if path.name != weights:
            path.unlink()
    return manifest


def load_agent(
    folder: str | Path,
    env_kwargs: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Agent:
    """The agent in ``folder``, ready to act.

    ``env_kwargs`` changes arguments of its environment, such as which recordings are
    shown. Policy and encoder run on ``device``: "auto", "cpu", "cuda" or "cuda:N".

    Imports the module that its environment's id names, as in "module:Id". Logs a
    warning where torch, Stable-Baselines3, sb3-contrib or Gymnasium have another major
    or minor version than when it was saved.

    Raises ``UserError`` where a file is missing or is not the one that was saved, and
    where the environment is not as it was: other observations, actions or formats; and
    for a device that is not there.

    Example:
    >>> agent = load_agent("runs/agent")
    >>> venv = agent.make_vec_env(n_envs=2, seed=0)
    >>> actions = agent.predict(venv.reset())
    >>> venv.close()
    """
    folder, device = Path(folder), str(resolve_device(device))
    manifest = read_manifest(folder)
    weights = _policy_file(folder, manifest)
    for name, expected in manifest["files"].items():
        check_file(folder, name, expected)
    task = _task_in(folder, manifest)
    task = replace(task, env_kwargs={**task.env_kwargs, **(env_kwargs or {})})
    encoder = load_encoder(task, device, guarded=True)
    venv = make_vec_env(task, 1, 0, model=encoder)
    try:
        _check_interface(folder, manifest["interface"], describe_interface(venv))
        policy = rebuild_policy(
            manifest["policy"], venv.observation_space, venv.action_space
        )
    except UserError:
        raise
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        path = folder / "agent.json"
        raise UserError(f"{path} was changed, in its policy: {error}") from error
    finally:
        venv.close()
    _compare_versions(folder, manifest.get("versions", {}))
    _load_policy(policy, weights)
    policy.to(device)
    return Agent(task, policy, encoder, folder.resolve().name, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What ``agent.json`` says. Raises ``UserError`` if there is none to be read."""
    path = folder / "agent.json"
    try:
        manifest = read_json(path, "agent")
    except ChangedError as error:
        _check_parts(path, error.content)  # it may name what was changed
        raise
    _check_parts(path, manifest)
    return dict(manifest)


def _check_parts(path: Path, manifest: Any) -> None:
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise UserError(
            f"{path} has format {found!r}, expected {FORMAT}: it was not written by "
            "this version of agents"
        )
    for name, parts in _NEEDED.items():
        told = manifest.get(name)
        if not isinstance(told, dict):
            raise UserError(f"{path} is incomplete: no {name}")
        if absent := ", ".join(part for part in parts if part not in told):
            raise UserError(f"{path} is incomplete: no {absent} in its {name}")


def load_encoder(
    task: Task, device: str = "cpu", guarded: bool = False
) -> MultimodalVAE | None:
    """The model whose latents the task shows, frozen, on ``device``; None if none.

    It is ``guarded`` where ``agent.json`` has the checksums of its files.

    Raises ``UserError`` if there is none, or one whose top level was never trained, for
    networks of the user's own, which no folder of an agent can hold, and for a device
    that is not there.
    """
    if task.perception.encoder is None:
        return None
    folder = Path(task.perception.encoder)
    run = folder / "run.json"
    trained = read_json(run, "training run", train=dict) if run.exists() else {}
    if trained and trained["train"].get("stage") == "bottom":
        raise UserError(
            f"{folder} holds bottoms only, and no top level that was trained; name the "
            "folder of the whole run"
        )
    description = read_json(folder / "config.json", "model description")
    if isinstance(description, dict) and description.get("own_networks"):
        raise UserError(
            f"{folder} was built with networks of your own, which an agent's folder "
            "cannot hold: let Stable-Baselines3 itself learn on make_vec_env(task, "
            "n_envs, seed, model=load_model(folder, networks={...}))"
        )
    model = load_model(folder, device=device, guarded=guarded)
    return model.requires_grad_(False)


def describe_interface(venv: VecEnv) -> dict[str, Any]:
    """What an agent needs of its environment, and what it gives: plain data."""
    return {
        "observations": _describe(venv.observation_space),
        "actions": _describe(venv.action_space),
        "formats": sensor_formats(venv),
    }


def _versions(algo: str) -> dict[str, str]:
    names = (*LIBRARIES, ALGORITHMS[algo].distribution)
    found = {name: version(name) for name in names}
    return {"python": platform.python_version(), **found}


def _compare_versions(folder: Path, then: Mapping[str, str]) -> None:
    for name in DECISIVE:
        if name not in then:
            continue
        was, now = then[name], version(name)
        if was.split(".")[:2] != now.split(".")[:2]:
            log.warning(
                "the agent in %s was saved with %s %s and is loaded with %s: it may "
                "act otherwise",
                *(folder, name, was, now),
            )


def _describe(space: spaces.Space[Any]) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: _describe(entry) for name, entry in space.spaces.items()}
    if isinstance(space, spaces.Box):
        low, high = (_describe_bound(bound) for bound in (space.low, space.high))
        return f"Box {space.dtype} {list(space.shape)} in [{low}, {high}]"
    return repr(space)


def _describe_bound(bound: NDArray[Any]) -> str:
    values = [float(value) for value in np.ravel(bound)]
    return f"{values[0]:g}" if len({*values}) == 1 else str(values)


def _task_in(folder: Path, manifest: Mapping[str, Any]) -> Task:
    try:
        task = Task.from_json(manifest["task"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder}/agent.json is incomplete or was changed, in its task: {error}"
        ) from error
    if task.perception.encoder is None:
        return task
    if not {*ENCODER_FILES} <= manifest["files"].keys():
        raise UserError(f"{folder}/agent.json is incomplete: no encoder in its files")
    if task.perception.encoder != ENCODER:
        raise UserError(
            f"{folder}/agent.json was changed: its encoder is "
            f"{task.perception.encoder!r}, expected {ENCODER!r}, the one in its folder"
        )
    inside = str(folder / ENCODER)
    return replace(task, perception=replace(task.perception, encoder=inside))


def _check_interface(folder: Path, then: Any, now: Any) -> None:
    for part, found in now.items():
        if then[part] != found:
            raise UserError(
                f"the environment of {folder} has changed since training: its {part} "
                f"are now {found}, and were {then[part]}; use the version of the "
                "environment that the agent was trained in"
            )


def _policy_file(folder: Path, manifest: Mapping[str, Any]) -> Path:
    names = manifest["files"].keys() - {*ENCODER_FILES}
    if len(names) != 1:
        raise UserError(f"{folder}/agent.json is incomplete: no policy in its files")
    return folder.joinpath(*names)


def _load_policy(policy: BasePolicy, path: Path) -> None:
    try:
        load_weights(policy, str(path))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path} does not fit the policy: {error}") from error
    policy.set_training_mode(False)
