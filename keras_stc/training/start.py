"""`STARTS`: what `keras-stc train --start` begins from, the best for few videos first."""

import dataclasses

from keras_stc.training.recipe import RECIPES, Recipe

#: From random weights, UCF101's 9,537 training videos are learnt by heart by the smallest of 3D
#: networks (Hara et al., CVPR 2018, section 4.1); with Kinetics' 240,000 it is not so.
FEW_VIDEOS = 10_000


@dataclasses.dataclass(frozen=True)
class Start:
    """A network with weights, and how it goes on learning from them.

    Attributes:
        name: What `keras-stc train --start` calls it.
        model: Name for `keras_stc.create_model`.
        weights: As its argument.
        size: Side of the crop in pixels.
        recipe: A `Recipe`, with the frames and the stride of the clips.
        what: What is taken, for a sentence.
        why: Why it is taken before the ones after it, and where that was measured.
        cost: What it costs.
        learns: What of it learns by its recipe.
    """

    name: str
    model: str
    weights: str | None
    size: int
    recipe: Recipe
    what: str
    why: str
    cost: str
    learns: str = "the classifier"

    def sentence(self, recipe):
        """What was chosen, why, and what it costs, trained by a recipe that may be changed."""
        only = (
            f", of which only {self.learns} learns" if recipe.freeze == self.recipe.freeze else ""
        )
        return f"Starting from {self.what}{only}: {self.why}. {self.cost}."


#: The best first. One whose weights cannot be had is passed over.
STARTS = (
    Start(
        name="i3d",
        model="inception_i3d",
        weights="kinetics400",
        size=128,
        recipe=RECIPES["classifier"],
        what="InceptionI3D with Kinetics-400 weights",
        why="on a few hundred videos nothing else here gets as far (docs/results.md)",
        cost="It costs 47 MB, fetched once; --weights none starts at random",
    ),
    Start(
        name="ucf101-35",
        model="inception_i3d",
        weights="ucf101-35",
        size=112,
        recipe=RECIPES["classifier"].replace(freeze="Mixed_4f"),
        what="the half of InceptionI3D that comes with the package",
        why="offline, nothing else here gets as far (docs/results.md)",
        cost="It costs nothing; --weights none starts at random",
        learns="what comes after Mixed_4f",
    ),
)

#: Random weights, where that is asked for or nothing else can be had.
RANDOM = Start(
    name="none",
    model="stc_resnet18",
    weights=None,
    size=112,
    recipe=RECIPES["default"],
    what="random weights",
    why="nothing is known before the first video",
    cost="All of the network learns",
)


def find_start(name):
    """The `Start`s that a name allows, the best first.

    Args:
        name: `"auto"`, `"none"` or the name of one of `STARTS`.

    Raises:
        ValueError: If there is no such start.
    """
    every = (*STARTS, RANDOM)
    named = {"auto": every, **{start.name: (start,) for start in every}}
    if name not in named:
        raise ValueError(f"`start` must be one of {', '.join(named)}. Received: {name}")
    return named[name]


def warn_of_few(count):
    """What to say of a training from random weights on so many videos; `None` of enough."""
    if count >= FEW_VIDEOS:
        return None
    return (
        f"From random weights, {count} videos are learnt by heart and others are not recognised: "
        f"below some {FEW_VIDEOS:,} videos, start from pretrained weights (--start auto)."
    )
