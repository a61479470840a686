"""What an ablation compares, as data."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_stc.demo.recipe import DEMO
from keras_stc.models.configs import VARIANTS
from keras_stc.training import RECIPES, Recipe
from keras_stc.transfer.recipe import RECIPES as TRANSFER_RECIPES, TransferRecipe


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network, its clips and what it starts from: what one training differs in from the next.

    Attributes:
        model: Name for `keras_stc.create_model`.
        frames: Frames in a clip.
        stride: Distance between two frames of a clip, in frames of the video.
        branches: Branches of the STC blocks, `"temporal"`, `"spatial"` or both.
        placement: Of the STC blocks, `"block"` or `"stage"`.
        ratio: Reduction ratio of the STC blocks.
        transfer: Whether the network first learns from a 2D network, without labels.
        alpha: Width of the network.
        halved: Whether the residual branches start at half, as gates near one half make them.
        single_frame: Whether of each clip only the middle frame is seen, in every place.
        stc: Whether a network that is no residual one has STC blocks, one after each module.
    """

    model: str
    frames: int
    stride: int
    branches: tuple[str, ...] = ("temporal", "spatial")
    placement: str = "block"
    ratio: int = 4
    transfer: bool = False
    alpha: float = 1.0
    halved: bool = False
    single_frame: bool = False
    stc: bool = False

    @property
    def key(self) -> str:
        """Name of its folder, other for other settings."""
        parts = [self.model, f"{self.frames}x{self.stride}"]
        if self.has_stc:
            placement = self.placement if self.is_residual else "module"
            parts += ["+".join(self.branches), placement, f"r{self.ratio}"]
        if self.alpha != 1:
            parts.append(f"a{self.alpha:g}")
        for name in ("halved", "single_frame", "transfer"):
            parts += [name] * getattr(self, name)
        return "-".join(parts)

    @property
    def is_residual(self) -> bool:
        return self.model in VARIANTS

    @property
    def has_stc(self) -> bool:
        return VARIANTS[self.model].stc if self.is_residual else self.stc

    @property
    def arguments(self) -> dict[str, Any]:
        """Further arguments of `keras_stc.create_model`."""
        arguments = {"alpha": self.alpha} if self.is_residual else {"stc": self.stc}
        if self.has_stc:
            arguments |= {"stc_branches": self.branches, "reduction_ratio": self.ratio}
            if self.is_residual:
                arguments["stc_placement"] = self.placement
        return arguments

    def replace(self, **changes: Any) -> Setting:
        return dataclasses.replace(self, **changes)

    def without_stc(self) -> Setting:
        """The same network without STC blocks: 3D-ResNet for STC-ResNet."""
        if not self.has_stc:
            return self
        if self.is_residual:
            return self.replace(model=VARIANTS[self.model].base)
        return self.replace(stc=False)

    def with_stc(self) -> Setting:
        """The same network with STC blocks."""
        if self.has_stc or not self.is_residual:
            return self.replace(stc=not self.is_residual)
        (model,) = (name for name, variant in VARIANTS.items() if variant.base == self.model)
        return self.replace(model=model)


@dataclasses.dataclass(frozen=True)
class Study:
    """Settings that differ in one thing.

    Attributes:
        name: What `keras-stc ablate --studies` calls it.
        title: What is compared.
        source: Where the paper does so.
        settings: `{label: Setting}`, in the order of the table.
        in_pairs: Whether every second row is compared with the one above it, instead of all with
            the last.
    """

    name: str
    title: str
    source: str
    settings: dict[str, Setting]
    in_pairs: bool = False


@dataclasses.dataclass(frozen=True)
class Form:
    """How large an ablation is.

    Attributes:
        name: What `keras-stc ablate --form` calls it.
        source: Where the numbers come from.
        base: The `Setting` that the studies change one thing of.
        recipe: Of every training.
        size: Side of the square crop in pixels.
        transfer_recipe: Of every transfer.
        frame_size: Side of the teacher's frames in pixels.
        depths: Networks of the study of depth.
        lengths: Frames in a clip, of the study of clip lengths.
        strides: Of the study of frame strides.
        ratios: Of the study of reduction ratios.
        transfer_models: Networks of the study of transfer.
        networks: Of the zoo, of the study of networks, which is not there without.
        train_videos: Videos of each class to train on, of generated motion videos.
        test_videos: The same to test on.
        video_frames: Frames in such a video.
    """

    name: str
    source: str
    base: Setting
    recipe: Recipe
    size: int
    transfer_recipe: TransferRecipe
    frame_size: int
    depths: tuple[str, ...]
    lengths: tuple[int, ...]
    strides: tuple[int, ...]
    ratios: tuple[int, ...]
    transfer_models: tuple[str, ...]
    networks: tuple[str, ...] = ()
    train_videos: int = 60
    test_videos: int = 24
    video_frames: int = 64

    def replace(self, **changes: Any) -> Form:
        """A copy with the fields changed that are not `None`."""
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})

    def studies(self) -> dict[str, Study]:
        """`{name: Study}`, all that there are."""
        base = self.base
        transfer = {}
        for model in self.transfer_models:
            setting = base.replace(model=model)
            transfer[f"{model}, random weights"] = setting
            transfer[f"{model}, after transfer"] = setting.replace(transfer=True)
        networks = {}
        for model in self.networks:
            plain = base.replace(model=model).without_stc()
            networks[plain.model] = plain
            networks[f"{plain.model}, STC blocks"] = plain.with_stc()
        studies = (
            Study(
                "branches",
                "Branches of the STC block",
                "table 5; 3D-ResNet against STC-ResNet: table 3",
                {
                    "none": base.without_stc(),
                    "spatial (SCB)": base.replace(branches=("spatial",)),
                    "temporal (TCB)": base.replace(branches=("temporal",)),
                    "both": base,
                },
            ),
            Study(
                "start",
                "Gates of one half at the start, without gates",
                "section 3.1 has no such row: a control of ours",
                {
                    "none": base.without_stc(),
                    "none, residual branches halved": base.without_stc().replace(halved=True),
                    "both": base,
                },
            ),
            Study(
                "single-frame",
                "The middle frame repeated",
                "tables have no such row: a control of ours",
                {
                    "the middle frame, repeated": base.replace(single_frame=True),
                    "all frames": base,
                },
            ),
            Study(
                "placement",
                "Place of the STC blocks",
                "section 3.1, which can be read both ways",
                {
                    "in every residual unit": base.replace(placement="block"),
                    "after every stage": base.replace(placement="stage"),
                },
            ),
            Study(
                "depth",
                "Depth of the network",
                "table 3",
                {model: base.replace(model=model) for model in self.depths},
            ),
            Study(
                "frames",
                "Frames in a clip",
                "table 4",
                {str(frames): base.replace(frames=frames) for frames in self.lengths},
            ),
            Study(
                "stride",
                "Distance between the frames of a clip",
                "table 6",
                {str(stride): base.replace(stride=stride) for stride in self.strides},
            ),
            Study(
                "ratio",
                "Reduction ratio of the STC block",
                "section 3.1, which takes 4",
                {str(ratio): base.replace(ratio=ratio) for ratio in self.ratios},
            ),
            Study("transfer", "Knowledge transfer from a 2D network", "table 7", transfer),
            Study(
                "network",
                "Networks without and with STC blocks",
                "tables 8 and 9",
                networks,
                in_pairs=True,
            ),
        )
        return {study.name: study for study in studies if study.settings}


#: Our small form and the paper's.
FORMS = {
    form.name: form
    for form in (
        Form(
            name="small",
            source="our choice: the demonstration's network and clips, so that two cores train one "
            "in about a minute; few enough steps that the networks do not all end at the top",
            base=Setting("stc_resnet18", frames=8, stride=2),
            recipe=DEMO.recipe.replace(name="ablation", epochs=3),
            size=32,
            transfer_recipe=TRANSFER_RECIPES["default"].replace(
                epochs=10, step_epochs=8, learning_rate=0.02
            ),
            frame_size=64,
            depths=("stc_resnet18", "stc_resnet34", "stc_resnet50"),
            lengths=(4, 8, 16),
            strides=(1, 2, 4, 8),
            ratios=(2, 4, 8, 16),
            transfer_models=("stc_resnet18",),
        ),
        Form(
            name="paper",
            source="paper, section 4, tables 3 to 7",
            base=Setting("stc_resnet101", frames=32, stride=2),
            recipe=RECIPES["paper"],
            size=112,
            transfer_recipe=TRANSFER_RECIPES["paper"],
            frame_size=224,
            depths=("resnet3d101", "stc_resnet18", "stc_resnet50", "stc_resnet101"),
            lengths=(16, 32),
            strides=(1, 2, 4, 16),
            ratios=(2, 4, 8, 16),
            transfer_models=("resnet3d101", "resnext3d101", "stc_resnet101", "stc_resnext101"),
        ),
    )
}
