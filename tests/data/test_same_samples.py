"""The same seed has given the same clips since these digests were written down.

The videos are folders of pictures as large as frames are resized to, so that pixels are copied and
no version of FFmpeg or of a processor's instructions makes a difference. Where the crop is of many
scales, only the frame numbers are compared, which the blue channel holds.

    python tests/data/test_same_samples.py      # prints the digests of the code as it is
"""

import hashlib
import json
import pathlib

import av
import numpy as np
import pytest

from keras_stc.data import Video, VideoSet, clip_dataset
from keras_stc.transfer import Answers, distillation_dataset, pair_dataset
from keras_stc.video_config import VideoConfig

COUNTS = (30, 12, 17, 3, 20)
CONFIG = VideoConfig(frames=4, stride=2, size=16, resize=24)
SMALL = CONFIG.replace(resize=16)  # than the pictures are
GOLDEN = pathlib.Path(__file__).parents[1] / "goldens" / "samples.json"

TRAINING = {"training": True, "seed": 3, "clips_per_video": 2, "batch_size": 3}

CLIPS = {
    "evaluation": {"batch_size": 2},
    "evaluation, three clips": {"clips_per_video": 3, "batch_size": 4},
    "training": TRAINING,
    "training, unmirrored": TRAINING | {"flip": False, "seed": 9},
    "training, multiscale": TRAINING | {"multiscale": True},
    "training, resized when smaller": TRAINING
    | {"resize_when_smaller": True, "video_config": SMALL},
    "training, in order": TRAINING | {"shuffle": False},
    "training, two clips a decoding": TRAINING | {"clips_per_decode": 2},
    "training, resumed": TRAINING | {"first_epoch": 5, "first_batch": 2},
    "training, full batches": TRAINING | {"drop_remainder": True, "batch_size": 4},
}
PAIRS = {
    "pairs": {"seed": 3, "clips_per_video": 2, "batch_size": 3},
    "pairs, evaluation": {"training": False, "clips_per_video": 2, "batch_size": 4},
    "pairs, multiscale": {"seed": 1, "multiscale": True, "batch_size": 2},
    "pairs, resumed": {"seed": 3, "clips_per_video": 4, "batch_size": 4, "first_batch": 2},
}
TAUGHT = {
    "distillation": TRAINING,
    "distillation, evaluation": {"training": False, "clips_per_video": 2, "batch_size": 4},
    "distillation, multiscale, resumed": TRAINING | {"multiscale": True, "first_batch": 2},
    "distillation, answers": TRAINING | {"first_epoch": 1, "answers": True},
}
CASES = {**CLIPS, **PAIRS, **TAUGHT}

#: What a teacher of three windows says of each video: any numbers.
ANSWERS = np.random.default_rng(0).standard_normal((6, 3, 9)).astype("float32")


def write_pictures(folder):
    """Five folders of pictures: red says x, green y, blue the frame and the video."""
    y, x = np.mgrid[:24, :32].astype(np.uint8)
    for k, count in enumerate(COUNTS):
        (folder / str(k)).mkdir(parents=True)
        for number in range(count):
            pixels = np.stack([7 * x, 9 * y, np.full_like(x, 32 * k + number)], axis=-1)
            with av.open(str(folder / str(k) / f"{number}.png"), "w", format="image2") as file:
                stream = file.add_stream("png", rate=25)
                stream.height, stream.width, stream.pix_fmt = 24, 32, "rgb24"
                stream.codec_context.options = {"compression_level": "1"}
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                file.mux(stream.encode(frame))
                file.mux(stream.encode(None))
    videos = [Video(str(folder / str(k)), k) for k in range(len(COUNTS))]
    missing = Video(str(folder / "missing"), 2)  # its place is taken by the next
    return VideoSet([*videos[:2], missing, *videos[2:]], "abcde")


def dataset(name, videos, **options):
    if name in PAIRS:
        options = {"video_config": CONFIG, "frame_size": 16, **PAIRS[name], **options}
        return pair_dataset(videos, **options)
    if name in TAUGHT:
        teacher = CONFIG.replace(frames=6, stride=1)
        options = {**TAUGHT[name], **options}
        if "answers" in options:
            options["answers"] = Answers(ANSWERS[..., :5], ANSWERS[..., 5:], teacher)
        return distillation_dataset(videos, CONFIG, teacher, **options)
    return clip_dataset(videos, **{"video_config": CONFIG, **CLIPS[name], **options})


def digest(name, batches):
    """SHA-256 of the batches of two iterations, the shapes among it."""
    made = hashlib.sha256()
    for batch in [batch for _ in range(2) for batch in batches]:
        for array in batch.values() if isinstance(batch, dict) else batch:
            array = np.asarray(array)
            if "multiscale" in name and array.ndim == 5:
                array = array[..., 2]
            made.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return made.hexdigest()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("backend", ["tf.data", "pydataset"])
@pytest.mark.parametrize("name", CASES)
def test_samples_are_what_they_were(videos, name, backend):
    batches = dataset(name, videos, backend=backend)
    assert digest(name, batches) == json.loads(GOLDEN.read_text())[name]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as work:
        made = write_pictures(pathlib.Path(work))
        digests = {name: digest(name, dataset(name, made)) for name in CASES}
    print(json.dumps(digests, indent=1))
