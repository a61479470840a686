"""A video with what a network sees in it: label, probability and a bar over time."""

from __future__ import annotations

import fractions
import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.files import atomic_path

if TYPE_CHECKING:
    from keras_stc.predict.result import VideoPrediction

#: Pixels: the most on a frame's short side, and the fewest of the picture's width.
SHORT_SIDE, WIDTH = 720, 320

#: Colours of the classes in the order in which they first win, and of what is around them.
COLOURS = ((63, 195, 152), (240, 146, 78), (134, 164, 247), (212, 136, 204), (223, 182, 58))
BACK, INK, SOFT = (20, 24, 30), (235, 239, 244), (70, 80, 94)

#: FFmpeg's encoders of which the first one that is there is taken.
ENCODERS = ("libx264", "mpeg4")


def annotate_video(
    prediction: VideoPrediction,
    path: str | os.PathLike[str],
    top: int = 2,
    font: str | os.PathLike[str] | None = None,
) -> pathlib.Path:
    """Writes a video of what was predicted, below its frames: needs Pillow.

    At every moment it shows the best classes of the clip that is seen, and over the whole time
    which class wins, the brighter the surer.

    Example:

    ```python
    prediction = keras_stc.predict_video(model, "x.mp4")
    keras_stc.annotate_video(prediction, "seen.mp4")
    ```

    Args:
        prediction: A `keras_stc.VideoPrediction`, whose video is still there.
        path: Of the video to write; its ending says the container, such as `.mp4`.
        top: Classes that are named.
        font: Path of a TrueType font, for labels in scripts that DejaVu Sans lacks.

    Returns:
        `path` as a `pathlib.Path`.

    Raises:
        ImportError: If Pillow is not installed.
        ValueError: If the ending is none of a video, or the font cannot be read.
        VideoError: If the video cannot be read any more.
    """
    from keras_stc.data import Geometry, Video
    from keras_stc.data.video.isolated import open_isolated

    path = pathlib.Path(path)
    video = prediction.video or Video(prediction.path)
    with open_isolated(video.path) as reader:
        info = reader.info
        first, count = video.frame_range(info)
        geometry = Geometry(short_side=min(SHORT_SIDE, min(info.height, info.width)))
        height, width = geometry.frame_size(info.height, info.width)
        panels = _Panels(prediction, max(WIDTH, width + width % 2), height, top, font)
        frames = reader.clips([[first + k] for k in range(count)], geometry)
        with atomic_path(path) as temporary, _Writer(temporary, info.fps) as writer:
            for k, (frame,) in enumerate(frames):
                writer.add(panels.below(frame, (first + k) / info.fps, k / max(1, count - 1)))
    return path


class _Panels:
    """Draws what stands below the frames; once for each clip, but for the place in time."""

    def __init__(self, prediction, width, height, top, font):
        self._pillow = _pillow()
        self.prediction, self.width, self.top = prediction, width, top
        size = max(13, round(min(width, height) / 22))
        self.font = self._font(font, size)
        self.line, self.margin = round(1.5 * size), round(0.6 * size)
        self.bar = max(8, size // 2)
        panel = 2 * self.margin + min(top, len(prediction.class_names)) * self.line + self.bar
        self.height = panel + (height + panel) % 2
        winners = dict.fromkeys(clip.label for clip in prediction.timeline)
        self.colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(winners)}
        self._drawn = {}

    def below(self, frame, time, share):
        """uint8 `(H, W, 3)`: the frame and its panel.

        Args:
            frame: uint8 `(h, w, 3)`.
            time: Of the frame in its file, in seconds.
            share: Of the time that is over, 0 to 1.
        """
        times = self.prediction.clip_times
        inside = (times[:, 0] <= time) & (time < times[:, 1])
        away = np.abs(times.mean(axis=1) - time)
        clip = int(np.where(inside, away - 1e9, away).argmin())
        if clip not in self._drawn:
            self._drawn = {clip: self._draw(clip)}  # clips come in order
        panel = self._drawn[clip].copy()
        inner = self.width - 2 * self.margin
        x = self.margin + round((inner - 3) * share)
        y = self.height - self.margin - self.bar
        panel[max(0, y - 3) : y + self.bar + 3, x : x + 3] = INK
        picture = np.empty((len(frame) + self.height, self.width, 3), np.uint8)
        picture[:] = BACK
        left = (self.width - frame.shape[1]) // 2
        picture[: len(frame), left : left + frame.shape[1]] = frame
        picture[len(frame) :] = panel
        return picture

    def _draw(self, clip):
        image = self._pillow.Image.new("RGB", (self.width, self.height), BACK)
        draw = self._pillow.ImageDraw.Draw(image)
        row = self.prediction.clip_probabilities[clip]
        best = np.argsort(-row, kind="stable")[: self.top]
        number = round(4.2 * self.line / 1.5)
        for k, i in enumerate(best):
            name, y = self.prediction.class_names[i], self.margin + k * self.line
            colour = self.colours.get(name, SOFT)
            draw.rectangle(
                [0, y - 1, round(self.width * float(row[i])), y + self.line - 5],
                fill=tuple((part + 2 * back) // 3 for part, back in zip(colour, BACK, strict=True)),
            )
            right = (self.width - self.margin, y)
            draw.text(right, f"{row[i]:.0%}", INK, self.font, anchor="ra")
            name = self._fitting(name, self.width - number - 2 * self.margin)
            draw.text((self.margin, y), name, INK if not k else (176, 186, 198), self.font)
        self._draw_timeline(draw)
        return np.asarray(image)

    def _draw_timeline(self, draw):
        timeline = self.prediction.timeline
        begin, stop = timeline[0].start, max(clip.end for clip in timeline)
        inner, top = self.width - 2 * self.margin, self.height - self.margin - self.bar
        draw.rectangle([self.margin, top, self.margin + inner - 1, top + self.bar - 1], fill=SOFT)
        for clip in timeline:
            ends = ((t - begin) / max(1e-9, stop - begin) for t in (clip.start, clip.end))
            left, right = (self.margin + round(inner * end) for end in ends)
            colour = tuple(
                round(back + (part - back) * clip.probability)
                for part, back in zip(self.colours[clip.label], SOFT, strict=True)
            )
            draw.rectangle([left, top, max(left, right - 2), top + self.bar - 1], fill=colour)

    def _fitting(self, text, width):
        """The text on one line, shortened where it is too long."""
        text = " ".join(text.split())
        if self.font.getlength(text) <= width:
            return text
        while text and self.font.getlength(text + "…") > width:
            text = text[:-1]
        return text + "…"

    def _font(self, path, size):
        fonts = self._pillow.ImageFont
        if path is not None:
            try:
                return fonts.truetype(str(path), size)
            except OSError as error:
                raise ValueError(
                    f"`font` must be a TrueType font that can be read. Received: {path}"
                ) from error
        try:
            return fonts.truetype("DejaVuSans.ttf", size)
        except OSError:
            return fonts.load_default(size)


class _Writer:
    """Encodes pictures to a video file."""

    def __init__(self, path, fps):
        import av

        self._av = av
        try:
            self._container = av.open(str(path), "w")
        except ValueError as error:
            raise ValueError(
                f"The ending of {path.name.split('-', 1)[-1]} is none of a video that FFmpeg "
                "writes: choose .mp4 or .mkv."
            ) from error
        encoder = next(name for name in ENCODERS if name in av.codecs_available)
        rate = fractions.Fraction(fps).limit_denominator(30000)
        self._stream = self._container.add_stream(encoder, rate=rate)
        self._stream.pix_fmt = "yuv420p"

    def __enter__(self):
        return self

    def add(self, picture):
        if not self._container.streams.video[0].codec_context.is_open:
            self._stream.height, self._stream.width = picture.shape[:2]
        frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def __exit__(self, kind, *error):
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def _pillow():
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as error:
        raise ImportError(
            "Writing on videos needs Pillow: pip install 'keras-stc[video]', or pillow"
        ) from error
    return PIL
