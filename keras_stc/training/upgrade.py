"""The `config.json` of a run that an earlier version began, as this one would have written it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from keras_stc.data import open_source
from keras_stc.models.zoo import completed
from keras_stc.training.recipe import Recipe


def upgraded(old: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """`old`, with what an earlier version did not write: the values that it behaved by.

    Those are the defaults of the network's constructor, of `VideoConfig` and of `Recipe`, a
    validation after every epoch and a teacher that is asked in every step. What
    cannot be known is that of `now`: a recipe's `source` and the file of `--class-names`, from
    which nothing is computed, and the clips of a distillation's teacher. All else is left as it is,
    to be compared.

    Args:
        old: The `config.json` of a run, or of an ablation.
        now: What the same command would write today.

    Returns:
        A dictionary.
    """
    config = dict(old)
    # Fields of a later version stay what they are: a difference.
    with contextlib.suppress(KeyError, TypeError, ValueError):
        network = completed(config["architecture"], config["video_config"])
        config["architecture"], config["video_config"] = network
    for name in ("recipe", "transfer_recipe"):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            recipe = Recipe.from_dict({**config[name], "source": now[name]["source"]})
            config[name] = recipe.to_dict()
    teachers = config.get("teacher"), now.get("teacher")
    if all(isinstance(each, Mapping) for each in teachers):
        asked = {"windows": 0} if "windows" in teachers[1] else {}
        config["teacher"] = {**_only(teachers[1], "video_config"), **asked, **teachers[0]}
    if "validation_freq" in now:
        config.setdefault("validation_freq", 1)
    config["data"] = _with_names(config.get("data"), now.get("data"))
    return config


def _with_names(data, now):
    """What is said of the data's origin, or of the data, with `class_names` and whole paths."""
    if not isinstance(data, dict) or not isinstance(now, dict):
        return data
    if "origin" in data:
        return {**data, "origin": _with_names(data["origin"], now.get("origin"))}
    named = data.get("validation")
    if isinstance(named, str) and named != now.get("validation"):
        with contextlib.suppress(ValueError, OSError):  # as it was typed, and may be gone
            data = {**data, "validation": open_source(named).spec}
    return {**_only(now, "class_names"), **data}


def _only(values, key):
    return {key: values[key]} if key in values else {}
