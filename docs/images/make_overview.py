"""Draws docs/images/overview.jpg: what `keras-stc predict --video` and `explain` show of a film.

    keras-stc demo && python docs/images/make_overview.py

The film is made here, of the demonstration's motions, one after another, in scenes that the network
has not seen.
"""

import argparse
import pathlib
import tempfile

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import keras_stc
from keras_stc.data import Video
from keras_stc.demo.motion import draw_scene, render
from keras_stc.explain.view import heated

PICTURE = pathlib.Path(__file__).with_name("overview.jpg")

#: One motion for each column, each in a scene of its own, and how many frames it lasts.
MOTIONS = ("move_right", "clockwise", "approach", "move_up")
FRAMES, FPS, SIZE = 48, 24, 320

#: Frames of each motion that are shown with their heat.
HEATED = 3

BACK, INK, SOFT, GAP = (20, 24, 30), (235, 239, 244), (176, 186, 198), 12

#: Where `keras-stc demo` leaves its network.
RUN = "keras-stc-demo/run"


def write_film(path, seed):
    pictures = np.concatenate(
        [
            render(draw_scene(np.random.default_rng((seed, k)), FRAMES, SIZE), motion)
            for k, motion in enumerate(MOTIONS)
        ]
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def read(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def column(model, film, seen, k):
    """The middle of a motion with its labels, and below it frames of one of its clips with heat."""
    start = k * FRAMES / FPS
    part = Video(str(film), None, start=start, end=start + FRAMES / FPS)
    explanation = keras_stc.explain_video(model, part, MOTIONS[k], max_clips=1, check=False)
    places = np.linspace(0, explanation.clips.shape[1] - 1, HEATED).round().astype(int)
    maps = heated(explanation.clips[0, places], explanation.maps[0, places])
    width = (SIZE - (HEATED - 1) * 4) // HEATED
    row = Image.new("RGB", (SIZE, width), BACK)
    for i, picture in enumerate(maps):
        small = Image.fromarray(picture).resize((width, width), Image.Resampling.BICUBIC)
        row.paste(small, (i * (width + 4), 0))
    return Image.fromarray(seen[k * FRAMES + FRAMES // 2]), row


def overview(run, seed):
    model = keras_stc.load_model(run)
    with tempfile.TemporaryDirectory() as folder:
        film = write_film(pathlib.Path(folder) / "film.mp4", seed)
        prediction = keras_stc.predict_video(model, film)
        seen = read(keras_stc.annotate_video(prediction, pathlib.Path(folder) / "seen.mp4"))
        columns = [column(model, film, seen, k) for k in range(len(MOTIONS))]
    font = ImageFont.truetype("DejaVuSans.ttf", 17)
    line = 34
    upper, lower = columns[0][0].height, columns[0][1].height
    picture = Image.new(
        "RGB", (GAP + len(columns) * (SIZE + GAP), 2 * line + upper + lower + GAP), BACK
    )
    draw = ImageDraw.Draw(picture)
    for y, command, words in (
        (0, "keras-stc predict film.mp4 --video seen.mp4", "what is seen, and when"),
        (line + upper, "keras-stc explain film.mp4", "where the network looks, frame after frame"),
    ):
        draw.text((GAP, y + 8), command, INK, font)
        draw.text((picture.width - GAP, y + 8), words, SOFT, font, anchor="ra")
    for k, (frame, row) in enumerate(columns):
        picture.paste(frame, (GAP + k * (SIZE + GAP), line))
        picture.paste(row, (GAP + k * (SIZE + GAP), 2 * line + upper))
    return picture


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", default=RUN, help="the demonstration's run folder")
    parser.add_argument("--seed", type=int, default=7, help="of the scenes")
    arguments = parser.parse_args()
    overview(arguments.run, arguments.seed).save(PICTURE, quality=80, optimize=True)
