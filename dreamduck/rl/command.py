"""What `python -m baselines.run` does, from its words to a saved agent.

Nothing on disk is touched
before everything that can be refused has been looked at."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line
from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.storage import claim, sweep
from dreamduck.common.video import SUFFIXES
from dreamduck.registration import OWN_COMMAND, foreign_baselines
from dreamduck.rl import (
    agent_file,
    agents,
    algorithms,
    checkpoint,
    env_batches,
    logs,
    model_check,
    recipes,
    sb3,
)
from dreamduck.rl.arguments import Flags, parse
from dreamduck.rl.defaults import INSTEAD
from dreamduck.rl.env_batches import EpisodeWatch
from dreamduck.rl.play import has_display, picture, play
from dreamduck.rl.run_plan import Plan, resolve
from dreamduck.rl.sb3 import BaseAlgorithm, VecEnv
from dreamduck.rl.train_loop import CheckpointWriter, StepCount, Trainer, prepare_resume
from dreamduck.rl.training_video import FilmNowAndThen

log = logging.getLogger(__name__)
DEFAULT_ENV = "DreamDuck-v0"
RANKS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")


def main(argv: Sequence[str] | None = None) -> int:
    """Train, save and play as the command line says.

    Returns:
        The exit code.
    Raises:
        DreamDuckError: something in the command line, a file or a world does not fit.
    """
    flags, keys, namespace = parse(argv)
    command_line.start_logging(namespace)
    other = foreign_baselines()
    if other is not None:
        log.warning(
            "`python -m baselines.run` is the program in %s here; this one is %s", other, OWN_COMMAND
        )
    if any(os.environ.get(name, "1") not in ("", "0", "1") for name in RANKS):
        raise ConfigError("mpiexec: this trains in one process; leave it out and use --num_env")
    if flags.gamestate is not None:
        log.warning("--gamestate: belongs to Gym Retro's games, and changes nothing here")
    Run(flags, keys, namespace.quiet).go()
    return 0


class Run:
    """One run of the command.

    Args:
        flags: the flags. keys: what else was said, by names of 2019. quiet: no tables.
    """

    def __init__(self, flags: Flags, keys: Mapping[str, Any], quiet: bool = False) -> None:
        self.flags, self.keys, self.quiet = flags, dict(keys), quiet
        self.total = int(flags.num_timesteps)
        if flags.extra_import is not None:
            env_batches.load(flags.extra_import, "extra_import")
        load_path = self.keys.get("load_path")
        self.origin = checkpoint.find(flags, None if load_path is None else str(load_path))
        said = self.origin.said(flags)
        name = flags.alg or str(said.get("alg", "ppo2"))
        self.algorithm = algorithms.find(name)
        if name.lower() in INSTEAD:
            log.warning("--alg=%s: runs %s, %s", name, self.algorithm.name, INSTEAD[name.lower()])
        module, _, _ = (flags.env or "").rpartition(":")
        self.modules = [each for each in (flags.extra_import, module) if each]
        if flags.env is None and self.origin.save is not None and "env" in said:
            self.spec = env_batches.registered(said["env"], self.origin.save.path)
        else:
            self.spec = env_batches.find(flags.env or DEFAULT_ENV)
        self.env_id = env_batches.plain(flags.env or said.get("env", DEFAULT_ENV))
        recipe = recipes.recipe(self.algorithm.name, self.env_id) if flags.recipe else {}
        num_env, network = recipe.pop("num_env", 1), recipe.pop("network", None)
        self.env_kwargs = self._arguments_of_world(said, recipe.pop("env_kwargs", {}))
        self.num_env: int = flags.num_env or num_env
        self.network: str | None = flags.network or said.get("network") or network
        kind = flags.env_type or env_batches.env_type(self.spec)
        self.values = {**algorithms.defaults(self.algorithm, kind), **recipe, **said["values"]}
        self.dressed: VecEnv | None = None
        self.film: FilmNowAndThen | None = None

    def _arguments_of_world(self, said: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
        """The environment's arguments; a file's are taken for our own environments, which check them."""
        if self.flags.env_kwargs is not None:
            return self.flags.world_arguments()
        theirs = said.get("env_kwargs")
        if theirs and not env_batches.is_own(self.spec) and self.origin.save is not None:
            raise ConfigError(
                f"{self.origin.save.path}: learned with env_kwargs {json.dumps(theirs)[:200]}; "
                "say them with --env_kwargs to take them"
            )
        return dict(usual if theirs is None else theirs)

    def go(self) -> None:
        """Do it all."""
        self._check_paths()
        self._check_pictures()
        model = self._train() if self.total else self._load()
        if self.flags.play:
            self._play(model)

    def _train(self) -> BaseAlgorithm:
        filmed = "rgb_array" if self.flags.save_video_interval else None
        raw = self._make(self.num_env, self.flags.vec_env, filmed)
        try:
            plan = self._plan(raw)
            model = self._agent(plan, raw, training=True)
            settings, account = self._settings(plan), StepCount()
            aside, resume_step, sizes = None, None, {}
            with claim("baselines", [], self.folder / "checkpoints"):
                for folder in (self.folder, self.folder / "checkpoints"):
                    sweep(folder)
                if self.origin.checkpoint is not None:
                    account, sizes = self.origin.account(), self.origin.log_sizes()
                    prepare_resume(model, account, self.origin.checkpoint)
                    resume_step = account.step
                else:
                    aside = logs.set_aside(self.folder)
                with logs.Progress(
                    self.folder, resume_step=resume_step, sizes=sizes, quiet=self.quiet
                ) as progress:
                    if aside is not None:
                        progress.note(f"The logs of an earlier run are now in {aside}")
                    if self.flags.resume and resume_step is None:
                        progress.note(f"There is no checkpoint in {self.folder} yet: the training begins")
                    progress.note(f"Logging to {self.folder}")
                    progress.note(f"Training {plan.algorithm.name} on {self.env_id} with\n{settings}")
                    checkpoints = self.folder / "checkpoints"
                    keeper = CheckpointWriter(
                        checkpoints, plan, self.env_id, self.env_kwargs, settings, progress
                    )
                    if resume_step is not None and self.origin.card is not None:
                        keeper.adopt(self.origin.card)
                    self._learn(model, plan, account, progress, keeper)
                    self._save(keeper, model, account, progress.note)
        finally:
            (self.dressed or raw).close()
        return model

    def _make(self, count: int, how: str, mode: str | None = None) -> VecEnv:
        """The environments."""
        return env_batches.make(self.spec, self.env_id, count, self.env_kwargs, how, mode, self.modules)

    def _learn(
        self,
        model: BaseAlgorithm,
        plan: Plan,
        account: StepCount,
        progress: logs.Progress,
        keeper: CheckpointWriter,
    ) -> None:
        self.watch.write_to(progress.path / "monitor.csv", append=self.origin.checkpoint is not None)
        if self.film is not None:
            self.film.folder = progress.path / "videos"
            self.film.step_count = account.step // plan.num_env
        account.total = self.total
        if account.step >= self.total:
            progress.note(f"Nothing to do: the checkpoint is at {account.step} steps of {self.total}")
            return
        trainer = Trainer(
            plan, progress, keeper, account, self.flags.checkpoint_seconds, self.flags.progress
        )
        left, fresh = self.total - account.step, self.origin.checkpoint is None
        update = _steps_of_an_update(model, plan)
        end = account.step + math.ceil(left / update) * update
        if end != self.total:
            progress.note(f"--num_timesteps={self.total}: trains {end} steps, in whole updates of {update}")
        try:
            # The rows are the trainer's; the engine's own would come every 2**60 updates.
            model.learn(left, callback=trainer, log_interval=1 << 60, reset_num_timesteps=fresh)
        except KeyboardInterrupt:
            progress.note(f"Stopped; --resume --log_path={progress.path} goes on from the last checkpoint")
            raise
        if self.flags.checkpoint_seconds:
            keeper.checkpoint(model, account, keep=False)

    def _plan(self, venv: VecEnv) -> Plan:
        plan = resolve(
            self.algorithm,
            self.values,
            self.keys,
            self.network,
            self.num_env,
            venv.observation_space,
            venv.action_space,
        )
        self.origin.check(plan, venv, self._settings(plan))
        if self.origin.save is not None and self.origin.card is not None:
            model_check.compare(self.origin.save.path, self.origin.card, self.env_id, self.env_kwargs)
        return plan

    def _agent(self, plan: Plan, raw: VecEnv, training: bool) -> BaseAlgorithm:
        """The agent, filled from the file if there is one."""
        sb3.set_threads(agents.uses_pictures(plan))
        self.watch = EpisodeWatch(raw, self.env_id)
        venv: VecEnv = self.watch
        if training and self.flags.save_video_interval:
            self.film = FilmNowAndThen(venv, self.flags.save_video_interval, self.flags.save_video_length)
            venv = self.film
        if self.flags.reward_scale != 1.0:
            venv = env_batches.RewardScale(venv, self.flags.reward_scale)
        norm = plan.normalize_observations, plan.normalize_returns, plan.clip_observations
        venv = env_batches.normalized(venv, *norm, training)
        self.dressed = venv
        model = agents.build(plan, venv, self.origin.seed(self.flags.seed))
        if self.origin.save is not None:
            agent_file.fill(model, self.origin.save, model.get_vec_normalize_env())
        return model

    def _load(self) -> BaseAlgorithm:
        """An agent that learns nothing: one environment, no room for what it would learn from."""
        raw = self._make(1, "dummy")
        try:
            plan = self._plan(raw)
            model = self._agent(plan.idle(), raw, training=False)
            keeper = CheckpointWriter(Path(), plan, self.env_id, self.env_kwargs, self._settings(plan))
            self._save(keeper, model, self.origin.account(), self._tell)
            return model
        finally:
            raw.close()

    def _save(
        self,
        keeper: CheckpointWriter,
        model: BaseAlgorithm,
        account: StepCount,
        tell: Callable[[str], None],
    ) -> None:
        if self.flags.save_path is not None:
            path = Path(self.flags.save_path).expanduser()
            keeper.save(path, model, account)
            tell(f"Saved to {path}")

    def _play(self, model: BaseAlgorithm) -> None:
        film = self._film_path()
        mode = "human" if film is None else "rgb_array"
        venv = self._make(1, "dummy", mode)
        try:
            venv.seed(self.origin.seed(self.flags.seed))
            trained = model.get_vec_normalize_env()
            venv = EpisodeWatch(venv, self.env_id)
            if trained is not None and trained.norm_obs:
                venv = env_batches.normalized(venv, True, False, trained.clip_obs, training=False)
                venv.obs_rms = trained.obs_rms  # type: ignore[attr-defined]
            play(model, venv, self.flags.play_episodes, self.flags.play_steps, self._tell, film)
        finally:
            venv.close()

    def _film_path(self) -> Path | None:
        """Where to film: as said, or without a display beside the logs; None is a window."""
        if self.flags.video is not None:
            return Path(self.flags.video).expanduser()
        if has_display():
            return None
        path = self.folder / "play.mp4"
        self._tell(f"There is no display: filming to {path} (--video names another file)")
        return path

    def _tell(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)

    def _settings(self, plan: Plan) -> dict[str, Any]:
        """What must not change when a run is resumed."""
        world = {"env": self.env_id, "env_kwargs": self.env_kwargs, "seed": self.flags.seed}
        return {**world, "reward_scale": self.flags.reward_scale, **plan.described()}

    def _check_paths(self) -> None:
        """Try the folders that will be written to, before hours go by."""
        if self.flags.save_path is not None:
            self._check_save_path(Path(self.flags.save_path).expanduser())
        if self.flags.video is not None:
            film = Path(self.flags.video).expanduser()
            if film.suffix.lower() not in SUFFIXES:
                raise ConfigError(
                    f"video: expected a name that ends in {' or '.join(SUFFIXES)}, got {film}"
                )
            logs.writable(film.parent, "video")
        if self.total:
            logs.wanted_formats()
        films_beside_logs = self.flags.play and self.flags.video is None and not has_display()
        self.folder = logs.folder(self.flags.log_path) if self.total or films_beside_logs else Path()

    def _check_save_path(self, path: Path) -> None:
        """Refuse a path that cannot be written, or that holds something else than this run's agent."""
        logs.writable(path.parent, "save_path")
        if path.is_dir() or not path.name:
            raise ConfigError(f"save_path: expected a file, got the folder {path}")
        if not os.path.lexists(path):
            return
        if not path.is_file():
            raise ConfigError(f"save_path: expected a file, got {path}, which is no regular file")
        load_path = self.keys.get("load_path")
        known = [self.origin.save.path] if self.origin.save is not None and load_path is not None else []
        if self.flags.fresh or any(path.samefile(each) for each in known) or self._wrote(path):
            return
        raise ConfigError(
            f"save_path: {path} is there already, and not of this run; name another file, or say --fresh "
            "to write over it"
        )

    def _wrote(self, path: Path) -> bool:
        """Whether the run that is resumed wrote this file before."""
        if self.origin.checkpoint is None or self.origin.card is None:
            return False
        try:
            card = agent_file.read(path).card
        except CheckpointError:
            return False
        return card is not None and card["training"].get("run") == self.origin.card["training"].get("run")

    def _check_pictures(self) -> None:
        """Try whether the environment can be filmed where it will be, before anything is written."""
        flag = "--save_video_interval" if self.flags.save_video_interval and self.total else ""
        if self.flags.play and self.total and (self.flags.video is not None or not has_display()):
            flag = flag or "--play"
        if not flag:
            return
        venv = self._make(1, "dummy", "rgb_array")
        try:
            venv.reset()
            picture(venv, flag)
        finally:
            venv.close()


def _steps_of_an_update(model: Any, plan: Plan) -> int:
    """Steps of all environments together between two looks at whether the training is over."""
    if plan.algorithm.on_policy:
        return int(model.n_steps) * plan.num_env
    frequency = getattr(model.train_freq, "frequency", model.train_freq)
    return int(frequency) * plan.num_env
