"""A run folder: what a training leaves behind, and what a killed one goes on from.

    runs/a/config.json               architecture, video_config, recipe, seed, data
    runs/a/state.json                epochs and steps done, history, random state, the state file
    runs/a/state-0007.weights.h5     weights and optimizer after epoch 7; after 120 steps of the
                                     eighth, state-0007-000120.weights.h5
    runs/a/history.csv               one row an epoch; its learning rate is that with which
                                     the next one begins
    runs/a/best.weights.h5           the state file of the epoch with the best validation accuracy
    runs/a/model.keras               weights of the last epoch, once training is over
    runs/a/student.keras             instead of model.keras, what a transfer leaves behind
    runs/a/quarantine.csv            videos that could not be used, and why
    runs/a/command.txt               the command line, where there was one
    runs/a/evaluation.json           accuracy of the last epoch on the validation videos, likewise
    runs/a/report.html               a page of all this, likewise; evaluation.html is that of
                                     keras-stc evaluate
    runs/a/evaluation.partial.jsonl  videos that an unfinished keras-stc evaluate has measured

Files are written beside their place and moved there, so that none is ever half there.
"""

import contextlib
import csv
import io
import json
import math
import os
import pathlib
import shutil

import numpy as np

from keras_stc.files import (
    alone,
    atomic_path,
    first_line,
    reason,
    remove_unfinished,
    reserve,
    write_atomically,
)


class RunError(ValueError):
    """One sentence about a run folder that cannot be used."""


class Run:
    """The files of one training run.

    Args:
        folder: Path of the run folder; it need not exist.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.config_path = self.folder / "config.json"
        self.state_path = self.folder / "state.json"
        self.history_path = self.folder / "history.csv"
        self.model_path = self.folder / "model.keras"
        self.student_path = self.folder / "student.keras"
        self.best_path = self.folder / "best.weights.h5"
        self.quarantine_path = self.folder / "quarantine.csv"
        self.command_path = self.folder / "command.txt"
        self.evaluation_path = self.folder / "evaluation.json"
        self.report_path = self.folder / "report.html"
        self.evaluation_report_path = self.folder / "evaluation.html"
        self.partial_evaluation_path = self.folder / "evaluation.partial.jsonl"

    def open(self, config, anew=False, upgrade=lambda old, now: old):
        """Begins a run in the folder, or checks that it was begun with the same configuration.

        Args:
            config: Of JSON's types.
            anew: Whether another configuration takes the place of the one that is there.
            upgrade: Makes of what an earlier version wrote, and `config`, what can be compared.

        Raises:
            RunError: If it was started with another one, or the folder cannot be written.
        """
        config = json.loads(json.dumps(config))
        if self.config_path.exists():
            remove_unfinished(self.folder)
            different = _differences(upgrade(self.config(), config), config)
            if not different:
                return
            if not anew:
                raise RunError(
                    f"{self.folder} holds a run with other settings ({'; '.join(different)}): "
                    "repeat its command line to go on with it, or choose another --out."
                )
        write_atomically(self.config_path, json.dumps(config, indent=1) + "\n")

    def alone(self):
        """Makes the folder, and keeps other processes from it while a block runs.

        Raises:
            RunError: If another process has it, or it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"The run folder {self.folder} cannot be made: {error.strerror}. "
                "Choose another --out."
            ) from error
        error = RunError(
            f"{self.folder} is being trained by another process: wait until it is done, or choose "
            "another --out."
        )
        return alone(self.folder, error)

    def config(self):
        """What `open` was called with; empty where it was not."""
        return _read_json(self.config_path) if self.config_path.exists() else {}

    def state(self):
        """`{"epoch": epochs done, "step": steps done of the next, "history": [...], ...}`.

        Empty before the first checkpoint.
        """
        return _read_json(self.state_path) if self.state_path.exists() else {}

    def save(self, model, state, is_best=False):
        """Keeps the weights, the optimizer and `state`; the previous ones until these are safe.

        Args:
            model: The model, compiled.
            state: See `state`.
            is_best: Whether the weights are the best ones so far.
        """
        name = _state_name(state)
        with self._writing():
            with atomic_path(self.folder / name) as path:
                reserve(path, _file_size(model))
                model.save_weights(path)
            if is_best:
                self._mark_best(self.folder / name)
            write_atomically(self.state_path, json.dumps({**state, "file": name}, indent=1) + "\n")
            write_atomically(self.history_path, _csv(state["history"]))
        for old in self.folder.glob("state-*.weights.h5"):
            if old.name != name:
                old.unlink()

    def _mark_best(self, source):
        """Keeps a state file as the best one; it is linked, not written again."""
        with atomic_path(self.best_path) as path:
            try:
                os.link(source, path)
            except OSError:  # A file system without links.
                shutil.copyfile(source, path)

    def save_best(self, model):
        """Writes the weights as the best ones, where they are not those of a state file."""
        with self._writing(), atomic_path(self.best_path) as path:
            reserve(path, _file_size(model))
            model.save_weights(path)

    def save_quarantine(self, quarantine):
        """Writes the list of videos that were put aside."""
        with self._writing():
            quarantine.save(self.quarantine_path)

    def restore(self, model, state):
        """Loads weights and optimizer into a compiled model with a built optimizer."""
        model.load_weights(self.folder / state["file"])

    def save_model(self, model, path):
        """Writes a `.keras` file without the optimizer."""
        clean = type(model).from_config(model.get_config())
        clean.set_weights(model.get_weights())
        with self._writing(), atomic_path(path) as temporary:
            reserve(temporary, _file_size(model))
            clean.save(temporary)

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{self.folder} could not be written: {reason(error)}. The last checkpoint is "
                "kept: make room and repeat the command line to go on from it."
            ) from error


class Follower(Run):
    """The same run as a worker sees it that writes nothing: not the first one."""

    def open(self, config, anew=False, upgrade=None):
        """Leaves the folder as it is."""

    def alone(self):
        """A block in which the first worker has the folder."""
        return contextlib.nullcontext()

    def _nothing(self, *arguments, **options):
        """Keeps nothing, and loads nothing: the first worker hands over what it loads."""

    save = save_best = save_quarantine = save_model = restore = _nothing


def _state_name(state):
    step = f"-{state['step']:06d}" if state["step"] else ""
    return f"state-{state['epoch']:04d}{step}.weights.h5"


def _file_size(model):
    """About how many bytes the file of a model and its optimizer will have."""
    variables = list(model.variables)
    if getattr(model, "optimizer", None) is not None:
        variables += model.optimizer.variables
    # A variable has up to a few kilobytes of names and headers around it.
    return sum(4096 + math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables)


def _read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(f"{path} cannot be read as JSON: {first_line(error)}") from error


def _csv(rows):
    buffer = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(buffer, names)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _differences(old, new, prefix=""):
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {_short(before)} there, {_short(after)} now")
    return found


def _short(value):
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "..."
