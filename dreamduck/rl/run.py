"""Train or watch an agent: `python -m baselines.run --alg=ppo2 --env=DreamDuck-v0 ...`.

The flags are those of OpenAI baselines, June 2019; any other `--key=value` goes to the algorithm under its
name of 2019. `docs/rl.md` lists them. Nothing on disk changes before all input has been checked."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line
from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import claim, sweep
from dreamduck.registration import OWN_COMMAND, foreign_baselines
from dreamduck.rl import algorithms, logs, outputs, policies, sb3
from dreamduck.rl.agents import loading
from dreamduck.rl.agents.checkpoint import CheckpointWriter, TrainingProgress, initial_agent, prepare_resume
from dreamduck.rl.arguments import Flags, parse
from dreamduck.rl.callback import TrainingCallback
from dreamduck.rl.environments import env_factory, wrappers
from dreamduck.rl.environments.wrappers import EpisodeMonitor
from dreamduck.rl.run_plan import Plan, resolve
from dreamduck.rl.sb3 import BaseAlgorithm, Logger, VecEnv
from dreamduck.rl.video import VideoRecorder, has_display, play, render_frame

log = logging.getLogger(__name__)
DEFAULT_ENV = "DreamDuck-v0"
RANKS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: train, save, play.

    Args:
        argv: the arguments; None takes those of the process.
    Returns:
        The exit code.
    Raises:
        DreamDuckError: something in the command line, a file or an environment does not fit.
    """
    flags, keys, namespace = parse(argv)
    command_line.start_logging(namespace)
    other = foreign_baselines()
    if other is not None:
        log.warning(
            "`python -m baselines.run` is the program in %s here; this one is %s", other, OWN_COMMAND
        )
    if any(os.environ.get(name, "1") not in ("", "0", "1") for name in RANKS):
        raise ConfigError("mpiexec: this trains in one process; run it without, and use --num_env")
    if flags.gamestate is not None:
        log.warning("--gamestate: belongs to Gym Retro's games, and has no effect here")
    Run(flags, keys, namespace.quiet).execute()
    return 0


class Run:
    """One run of the command.

    Args:
        flags: the flags.
        keys: the algorithm's keys, by names of 2019.
        quiet: no tables.
    """

    def __init__(self, flags: Flags, keys: Mapping[str, Any], quiet: bool = False) -> None:
        self.flags, self.keys, self.quiet = flags, dict(keys), quiet
        self.total = int(flags.num_timesteps)
        if flags.extra_import is not None:
            env_factory.import_module(flags.extra_import, "extra_import")
        load_path = self.keys.get("load_path")
        self.initial = initial_agent(flags, None if load_path is None else str(load_path))
        saved = self.initial.defaults(flags)
        name = flags.alg or str(saved.get("alg", "ppo2"))
        self.algorithm = algorithms.find(name)
        if name.lower() in algorithms.REPLACED:
            log.warning(
                "--alg=%s: runs %s, %s", name, self.algorithm.name, algorithms.REPLACED[name.lower()]
            )
        module, _, _ = (flags.env or "").rpartition(":")
        self.modules = [each for each in (flags.extra_import, module) if each]
        if flags.env is None and self.initial.save is not None and "env" in saved:
            self.spec = env_factory.registered_spec(saved["env"], self.initial.save.path)
        else:
            self.spec = env_factory.find_spec(flags.env or DEFAULT_ENV)
        self.env_id = env_factory.plain_id(flags.env or saved.get("env", DEFAULT_ENV))
        recipe = algorithms.recipe(self.algorithm.name, self.env_id) if flags.recipe else {}
        num_env, network = recipe.pop("num_env", 1), recipe.pop("network", None)
        self.env_kwargs = self._env_arguments(saved, recipe.pop("env_kwargs", {}))
        self.num_env: int = flags.num_env or num_env
        self.network: str | None = flags.network or saved.get("network") or network
        kind = flags.env_type or env_factory.env_type(self.spec)
        self.values = {**algorithms.defaults(self.algorithm, kind), **recipe, **saved["values"]}
        self.venv: VecEnv | None = None
        self.recorder: VideoRecorder | None = None

    def _env_arguments(self, saved: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The environment's arguments; a file's are used for our own environments, which check them."""
        if self.flags.env_kwargs is not None:
            return {**recipe, **self.flags.env_arguments()}
        theirs = saved.get("env_kwargs")
        if theirs and not env_factory.is_own(self.spec) and self.initial.save is not None:
            raise ConfigError(
                f"{self.initial.save.path}: trained with env_kwargs {json.dumps(theirs)[:200]}; "
                "give them with --env_kwargs to use them"
            )
        return dict(recipe if theirs is None else theirs)

    def execute(self) -> None:
        """Train or load, save, play."""
        self.folder = outputs.check(self.flags, self.initial, self.keys.get("load_path") is not None)
        self._check_rendering()
        model = self._train() if self.total else self._load()
        if self.flags.play:
            self._play(model)

    def _train(self) -> BaseAlgorithm:
        render_mode = "rgb_array" if self.flags.save_video_interval else None
        raw = self._make(self.num_env, self.flags.vec_env, render_mode)
        try:
            plan = self._plan(raw)
            model = self._agent(plan, raw, training=True)
            settings, progress = self._settings(plan), TrainingProgress()
            previous, resume_step, sizes = None, None, {}
            with claim("baselines", [], self.folder / "checkpoints"):
                for folder in (self.folder, self.folder / "checkpoints"):
                    sweep(folder)
                if self.initial.checkpoint is not None:
                    progress, sizes = self.initial.progress(), self.initial.log_sizes()
                    prepare_resume(model, progress, self.initial.checkpoint)
                    resume_step = progress.step
                else:
                    previous = logs.move_previous(self.folder)
                with logs.RunLog(
                    self.folder, resume_step=resume_step, sizes=sizes, quiet=self.quiet
                ) as run_log:
                    if previous is not None:
                        run_log.message(f"The logs of an earlier run are now in {previous}")
                    if self.flags.resume and resume_step is None:
                        run_log.message(
                            f"There is no checkpoint in {self.folder} yet: the training starts at 0"
                        )
                    run_log.message(f"Logging to {self.folder}")
                    run_log.message(f"Training {plan.algorithm.name} on {self.env_id} with\n{settings}")
                    checkpoints = CheckpointWriter(
                        self.folder / "checkpoints", plan, self.env_id, self.env_kwargs, settings, run_log
                    )
                    if resume_step is not None and self.initial.card is not None:
                        checkpoints.continue_run(self.initial.card)
                    self._learn(model, plan, progress, run_log, checkpoints)
                    self._save(checkpoints, model, progress, run_log.message)
        finally:
            (self.venv or raw).close()
        return model

    def _make(self, count: int, how: str, mode: str | None = None) -> VecEnv:
        """The environments."""
        return wrappers.make(self.spec, self.env_id, count, self.env_kwargs, how, mode, self.modules)

    def _learn(
        self,
        model: BaseAlgorithm,
        plan: Plan,
        progress: TrainingProgress,
        run_log: logs.RunLog,
        checkpoints: CheckpointWriter,
    ) -> None:
        self.monitor.write_to(run_log.path / "monitor.csv", append=self.initial.checkpoint is not None)
        if self.recorder is not None:
            self.recorder.folder = run_log.path / "videos"
            self.recorder.step_count = progress.step // plan.num_env
        progress.total = self.total
        if progress.step >= self.total:
            run_log.message(f"Nothing to do: the checkpoint is at {progress.step} steps of {self.total}")
            return
        seconds, bar = self.flags.checkpoint_seconds, self.flags.progress
        callback = TrainingCallback(plan, run_log, checkpoints, progress, seconds, bar)
        left, fresh = self.total - progress.step, self.initial.checkpoint is None
        update = _steps_per_update(model, plan)
        end = progress.step + math.ceil(left / update) * update
        if end != self.total:
            run_log.message(
                f"--num_timesteps={self.total}: trains {end} steps, in whole updates of {update}"
            )
        model.set_logger(Logger(None, []))  # the engine's own would leave a folder in the system's /tmp
        try:
            # The entries are the callback's; the engine's own would come every 2**60 updates.
            model.learn(left, callback=callback, log_interval=1 << 60, reset_num_timesteps=fresh)
        except KeyboardInterrupt:
            run_log.message(
                f"Stopped; --resume --log_path={run_log.path} continues from the last checkpoint"
            )
            raise
        if self.flags.checkpoint_seconds:
            checkpoints.checkpoint(model, progress, keep=False)

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
        self.initial.check(plan, venv, self._settings(plan))
        if self.initial.save is not None:
            loading.check_world_model(self.initial.save, self.env_id, self.env_kwargs, self.flags.strict)
        return plan

    def _agent(self, plan: Plan, raw: VecEnv, training: bool) -> BaseAlgorithm:
        """The agent, with the weights of the file if there is one."""
        sb3.set_threads(policies.uses_images(plan))
        self.monitor = EpisodeMonitor(raw, self.env_id)
        venv: VecEnv = self.monitor
        if training and self.flags.save_video_interval:
            self.recorder = VideoRecorder(
                venv, self.flags.save_video_interval, self.flags.save_video_length
            )
            venv = self.recorder
        if self.flags.reward_scale != 1.0:
            venv = wrappers.RewardScale(venv, self.flags.reward_scale)
        norm = plan.normalize_observations, plan.normalize_returns, plan.clip_observations
        venv = wrappers.normalized(venv, *norm, training)
        self.venv = venv
        model = policies.build(plan, venv, self.initial.seed(self.flags.seed))
        if self.initial.save is not None:
            loading.fill(model, self.initial.save, model.get_vec_normalize_env())
        return model

    def _load(self) -> BaseAlgorithm:
        """An agent that does not learn: one environment, minimal buffers."""
        raw = self._make(1, "dummy")
        try:
            plan = self._plan(raw)
            model = self._agent(plan.idle(), raw, training=False)
            checkpoints = CheckpointWriter(Path(), plan, self.env_id, self.env_kwargs, self._settings(plan))
            self._save(checkpoints, model, self.initial.progress(), self._report)
            return model
        finally:
            raw.close()

    def _save(
        self,
        checkpoints: CheckpointWriter,
        model: BaseAlgorithm,
        progress: TrainingProgress,
        report: Callable[[str], None],
    ) -> None:
        if self.flags.save_path is not None:
            path = Path(self.flags.save_path).expanduser()
            checkpoints.save(path, model, progress)
            report(f"Saved to {path}")

    def _play(self, model: BaseAlgorithm) -> None:
        video = outputs.video_path(self.flags, self.folder)
        if video is not None and self.flags.video is None:
            self._report(f"There is no display: recording to {video} (--video names another file)")
        mode = "human" if video is None else "rgb_array"
        venv = self._make(1, "dummy", mode)
        try:
            venv.seed(self.initial.seed(self.flags.seed))
            trained = model.get_vec_normalize_env()
            venv = EpisodeMonitor(venv, self.env_id)
            if trained is not None and trained.norm_obs:
                venv = wrappers.normalized(venv, True, False, trained.clip_obs, training=False)
                venv.obs_rms = trained.obs_rms  # type: ignore[attr-defined]
            play(model, venv, self.flags.play_episodes, self.flags.play_steps, self._report, video)
        finally:
            venv.close()

    def _report(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)

    def _settings(self, plan: Plan) -> dict[str, Any]:
        """The settings that must not change when a run is resumed."""
        environment = {"env": self.env_id, "env_kwargs": self.env_kwargs, "seed": self.flags.seed}
        return {**environment, "reward_scale": self.flags.reward_scale, **plan.described()}

    def _check_rendering(self) -> None:
        """Check that the environment can be rendered where a video is wanted."""
        flag = "--save_video_interval" if self.flags.save_video_interval and self.total else ""
        if self.flags.play and self.total and (self.flags.video is not None or not has_display()):
            flag = flag or "--play"
        if not flag:
            return
        venv = self._make(1, "dummy", "rgb_array")
        try:
            venv.reset()
            render_frame(venv, flag)
        finally:
            venv.close()


def _steps_per_update(model: Any, plan: Plan) -> int:
    """Steps of all environments together between two checks of the training's length."""
    if plan.algorithm.on_policy:
        return int(model.n_steps) * plan.num_env
    frequency = getattr(model.train_freq, "frequency", model.train_freq)
    return int(frequency) * plan.num_env


if __name__ == "__main__":
    from dreamduck import cli

    cli.main("rl")
