"""`PROTOCOLS`: clips of a video, crops and averaging of an evaluation, as data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_stc.video_config import VideoConfig

CROP_POSITIONS = {1: "centre", 3: "start, centre and end of the longer side"}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Which clips and crops of a video are averaged.

    Attributes:
        name: What `keras-stc evaluate --protocol` calls it.
        source: Who tests like this.
        clips: Clips of a video, spread evenly over it; `None` for all that do not overlap.
        crops: Crops of a clip: 1, at the centre, or 3 along the frame's longer side.
    """

    name: str
    source: str
    clips: int | None
    crops: int

    def describe(self, config: VideoConfig, max_clips: int | None = None) -> dict[str, Any]:
        """The protocol of a result, in plain JSON types.

        Args:
            config: The `VideoConfig` of the model.
            max_clips: Most clips of a video, where fewer than all.
        """
        clips = "all, non-overlapping" if max_clips is None else max_clips
        return {
            "name": self.name,
            "source": self.source,
            "frames": config.frames,
            "stride": config.stride,
            **({} if config.fps is None else {"fps": config.fps}),
            **({"segments": True} if config.segments else {}),
            **({} if config.flow is None else {"flow": config.flow}),
            "resize": config.resize if self.crops == 1 else min(config.crop),
            "crop": list(config.crop),
            "crop_position": CROP_POSITIONS[self.crops],
            "clips_per_video": clips if self.clips is None else f"{self.clips}, spread evenly",
            "averaging": "softmax probabilities over clips"
            + (" and crops" if self.crops > 1 else ""),
        }


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("paper", "paper, section 4.2", clips=None, crops=1),
        Protocol("30-views", "SlowFast networks, arXiv 1812.03982, section 4", clips=10, crops=3),
    )
}
