import csv
import json
import sys

import av
import numpy as np
import pytest

import keras_stc
from keras_stc.cli import main
from keras_stc.data import Geometry, PackedVideos, Video, clip_dataset, pack
from keras_stc.data.clips.whole_video import video_clips
from keras_stc.data.video import flow
from keras_stc.data.video.open import open_video
from keras_stc.video_config import VideoConfig

CONFIG = VideoConfig(frames=4, stride=2, size=40, resize=48, flow="farneback")

#: What the content of `moving` moves by, in pixels a frame: right and down.
MOVED = (2, -1)


def texture(height, width, seed=0):
    """Grey waves of several lengths and directions, which flow can hold on to."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(rng.uniform(-0.6, 0.6) * x + rng.uniform(-0.6, 0.6) * y + rng.uniform(0, 6))
        for _ in range(12)
    ]
    return (128 + 90 * np.tanh(sum(waves) / 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A lossless video of a window that slides over a texture, so that this moves by `MOVED`."""
    path = tmp_path_factory.mktemp("flow") / "moving.mkv"
    large, (right, down), count = texture(120, 140), MOVED, 12
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "bgr0"
        for k in range(count):
            top, left = 40 - k * down, 40 - k * right
            window = np.repeat(large[top : top + 48, left : left + 64, None], 3, 2)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(window), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="bgr0")))
        container.mux(stream.encode(None))
    return str(path)


def read(path, method, geometry=None, frames=(0, 4, 11)):
    with flow.with_flow(open_video(path), method) as reader:
        return reader.read(list(frames), geometry)


def pixels(encoded):
    """The middle of what `FlowReader` gives, in pixels: `(T, 2)`, medians."""
    inner = encoded[:, 12:-12, 12:-12].astype(float)
    return np.median((inner - 127.5) * 20 / 127.5, axis=(1, 2))


@pytest.mark.parametrize(
    ("method", "module"), [("tvl1", "cv2.optflow"), ("farneback", "cv2")], ids=["tvl1", "farneback"]
)
def test_flow_is_what_moved(moving, method, module):
    """Of the last frame too, mirrored, and at twice the size, where it moves twice as far."""
    pytest.importorskip(module, reason="pip install 'keras-stc[flow]'")
    found = read(moving, method)
    assert found.shape == (3, 48, 64, 2) and found.dtype == np.uint8
    np.testing.assert_allclose(pixels(found), [MOVED] * 3, atol=0.2)
    flipped = read(moving, method, Geometry(flip=True))
    np.testing.assert_array_equal(flipped[..., 1], found[:, :, ::-1, 1])
    np.testing.assert_array_equal(flipped[..., 0], 255 - found[:, :, ::-1, 0])
    large = read(moving, method, Geometry(short_side=96), [3])
    np.testing.assert_allclose(pixels(large), [[4, -2]], atol=0.4)


def test_pixels_as_bytes():
    moved = np.random.default_rng(0).uniform(-20, 20, (50, 50, 2))
    made = flow.encoded(moved)
    assert np.abs((made - 127.5) * 20 / 127.5 - moved).max() <= 20 / 255 + 1e-9
    assert flow.encoded(np.array([-50.0, -20, 20, 50])).tolist() == [0, 0, 255, 255]


def test_overlapping_clips_and_one_frame(moving, tmp_path):
    pytest.importorskip("cv2", reason="pip install 'keras-stc[flow]'")
    with flow.with_flow(open_video(moving), "farneback") as reader:
        clips = list(reader.clips([np.array([0, 2, 4]), np.array([2, 4, 6])]))
    np.testing.assert_array_equal(clips[0][1:], clips[1][:2])
    with av.open(str(tmp_path / "one.png"), "w", format="image2") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "rgb24"
        still = np.repeat(texture(48, 64)[..., None], 3, 2)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(still, format="rgb24")))
        container.mux(stream.encode(None))
    assert set(np.unique(read(str(tmp_path / "one.png"), "farneback", None, [0, 0]))) <= {127, 128}


@pytest.fixture(scope="module")
def packed(moving, tmp_path_factory):
    pytest.importorskip("cv2", reason="pip install 'keras-stc[flow]'")
    folder = tmp_path_factory.mktemp("packed")
    (folder / "list.csv").write_text(f"path,label\n{moving},a\n")
    index = pack(folder / "list.csv", folder / "out", 48, quality=95, flow="farneback")
    assert index["flow"] == {"method": "farneback", "bound": 20.0}
    return folder / "out"


def test_packed_flow_is_read_without_opencv(moving, packed, monkeypatch):
    direct = read(moving, "farneback")
    (video,) = PackedVideos(packed)
    monkeypatch.setitem(sys.modules, "cv2", None)
    stored = read(video.path, "farneback")
    assert np.abs(stored.astype(int) - direct).mean() < 2
    np.testing.assert_allclose(pixels(stored), [MOVED] * 3, atol=0.25)
    large = read(video.path, "farneback", Geometry(short_side=96, flip=True), [3])
    np.testing.assert_allclose(pixels(large), [[-4, -2]], atol=0.5)
    (clip, _), *_ = clip_dataset([video], video_config=CONFIG, batch_size=1)
    assert clip.shape == (1, 4, 40, 40, 2)
    np.testing.assert_allclose(pixels(np.array(clip[0])), [MOVED] * 4, atol=0.25)
    with pytest.raises(ImportError, match="by TV-L1 needs opencv-contrib-python-headless: pip"):
        read(video.path, "tvl1")


def test_packed_flow_without_tensorflow(packed, monkeypatch):
    """simplejpeg gives the same."""
    pytest.importorskip("simplejpeg")
    from keras_stc.data.video import shard

    (video,) = PackedVideos(packed)
    shard._jpeg_decoder.cache_clear()
    ours = read(video.path, "farneback")
    shard._jpeg_decoder.cache_clear()
    monkeypatch.setattr(shard.importlib.util, "find_spec", lambda name: None)
    theirs = read(video.path, "farneback")
    shard._jpeg_decoder.cache_clear()
    np.testing.assert_array_equal(theirs, ours)


def test_packing_again_keeps_to_its_flow(moving, packed):
    with pytest.raises(keras_stc.data.VideoError, match="holds shards with flow="):
        pack(packed.parent / "list.csv", packed, 48, quality=95)


def test_clips_of_a_video_file(moving):
    pytest.importorskip("cv2", reason="pip install 'keras-stc[flow]'")
    (batch,) = video_clips(moving, CONFIG)
    assert batch.clips.shape == (2, 4, 40, 40, 2)  # 12 frames: 0 to 7, and a rest of half a span
    np.testing.assert_allclose(pixels(batch.clips[0]), [MOVED] * 4, atol=0.2)
    videos = [Video(moving, label=0)]
    (clip, _), *_ = clip_dataset(videos, video_config=CONFIG, batch_size=1, training=True, seed=1)
    right = pixels(np.array(clip[0]))[0]
    np.testing.assert_allclose(np.abs(right), np.abs(MOVED), atol=0.2)


def test_a_training_says_at_once_what_is_missing(moving, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="Farnebäck's method needs opencv-python-headless: pip"):
        clip_dataset([Video(moving, label=0)], video_config=CONFIG, training=True)


def test_what_a_flow_network_is_and_refuses():
    config = VideoConfig(flow="tvl1")
    assert config.channels == 2 and config == VideoConfig.from_dict(config.to_dict())
    with pytest.raises(ValueError, match="`channels` must be 2 with `flow`"):
        VideoConfig(flow="tvl1", channels=1)
    with pytest.raises(ValueError, match="`flow` must be one of tvl1, farneback"):
        VideoConfig(flow="dis")
    model = keras_stc.STCResNet18(input_shape=(4, 32, 32, 2), video_config={"flow": "tvl1"})
    assert model.video_config.flow == "tvl1" and model.video_config.mean == (127.5, 127.5)
    with pytest.raises(ValueError, match="RGB clips here: optical flow is for training"):
        next(keras_stc.predict_stream(model, "x.mp4"))


@pytest.mark.slow
@pytest.mark.shared
def test_two_streams_on_real_videos(shared, tmp_path):
    """A network of frames and one of flow, trained, evaluated and fused by the command line."""
    pytest.importorskip("cv2", reason="pip install 'keras-stc[flow]'")
    rows = (shared / "fights" / "fights.csv").read_text().splitlines()
    chosen = {}
    for row in rows[1:]:
        chosen.setdefault(row.partition(",")[2], []).append(f"{shared}/fights/{row}")
    few = [path for label in chosen.values() for path in label[:4]]
    (tmp_path / "list.csv").write_text("\n".join([rows[0], *few]) + "\n")
    packed, runs = str(tmp_path / "packed"), [str(tmp_path / name) for name in ("frames", "flow")]
    main(["pack", str(tmp_path / "list.csv"), packed, "--short-side", "35", "--flow", "farneback"])
    network = ["--model", "resnet3d18", "--alpha", "0.25", "--frames", "4", "--size", "32"]
    for out, more in zip(runs, ([], ["--flow", "farneback"]), strict=True):
        assert not main(["train", packed, *network, "--epochs", "1", "--out", out, *more])
    model = keras_stc.load_model(runs[1])
    assert model.video_config.flow == "farneback" and model.input_shape[-1] == 2
    out = tmp_path / "fused.json"
    assert not main(["evaluate", *runs, packed, "--out", str(out)])
    result = json.loads(out.read_text())
    assert result["protocol"]["name"] == "late fusion" and result["videos"] == 8
    video = few[0].partition(",")[0]
    both = [each for run in runs for each in ("--model", run)]
    assert not main(["predict", video, *both, "--csv", str(tmp_path / "fused.csv")])
    with (tmp_path / "fused.csv").open() as file:
        (answer,) = csv.DictReader(file)
    fused = float(answer["probability"])
    single = [
        dict(keras_stc.predict_video(keras_stc.load_model(run), video).top(2)) for run in runs
    ]
    assert fused == pytest.approx(sum(each[answer["label"]] for each in single) / 2, abs=1e-4)
