"""Evaluation by protocol, against NumPy on pixels, lists and files read here once more."""

import json
import os
import shutil

import distributed_worker
import numpy as np
import pytest
import video_files

import keras_stc
from keras_stc.cli import main
from keras_stc.data import VideoFolder, VideoReader, video_clips
from keras_stc.demo.motion import write_motion_videos
from keras_stc.evaluation.partial import Partial
from keras_stc.evaluation.videos import evaluate_videos

CLASSES = tuple("abcdefg")

#: Frames of the videos of each class: short ones loop, long ones have several clips.
COUNTS = (6, 9, 16, 23, 31)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Seven classes of five generated videos of different lengths."""
    root = tmp_path_factory.mktemp("videos")
    made = root / ".made"
    for i, name in enumerate(CLASSES):
        (root / name).mkdir()
        for k, count in enumerate(COUNTS):
            options = {"frames": count + i, "size": 32, "seed": 10 * i + k}
            write_motion_videos(made, 1, **options, classes=("move_left",))
            (path,) = (made / "move_left").iterdir()
            path.rename(root / name / f"v_{name}_g{k + 1:02d}_c01.mp4")
    shutil.rmtree(made)
    return root


@pytest.fixture(scope="module")
def model():
    return named(distributed_worker.small_model(len(CLASSES)))


def named(model, seed=0):
    """Weights under which the classes of videos differ, and none is ruled out."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=w.shape) for w in model.get_weights()]
    model.set_weights([abs(w) if w.ndim == 1 else 0.5 * w for w in weights])
    model.video_config = model.video_config.replace(class_names=CLASSES)
    return model


def figures(labels, clip_probabilities):
    """clip@1, video@1, video@5, by hand: lists of `(clips, classes)` arrays."""
    clips = [p.argmax(axis=1) == label for label, p in zip(labels, clip_probabilities, strict=True)]
    means = [p.mean(axis=0) for p in clip_probabilities]
    ranks = [
        sum(other > mean[label] for other in mean)
        for label, mean in zip(labels, means, strict=True)
    ]
    return {
        "clip@1": np.concatenate(clips).mean(),
        "video@1": np.mean([rank < 1 for rank in ranks]),
        "video@5": np.mean([rank < 5 for rank in ranks]),
    }


def test_thirty_views_by_hand(model, tmp_path):
    """Frames of 16x40 need no resize for crops of 16: columns 0, 12 and 24."""
    (tmp_path / "a").mkdir()
    path = video_files.write_video(tmp_path / "a" / "x.mp4", count=50, size=(16, 40))
    with VideoReader(path) as reader:
        frames = reader.read(range(50))
    # 4 frames, stride 2: a clip touches 7 frames and starts at 0 to 43.
    starts = [k * 43 // 9 for k in range(10)]
    views = [frames[s : s + 7 : 2, :, c : c + 16] for s in starts for c in (0, 12, 24)]
    want = model.predict(np.stack(views), verbose=0).mean(axis=0)

    got = evaluate_videos(
        model, VideoFolder(tmp_path, class_names=CLASSES), batch_size=4, protocol="30-views"
    )
    np.testing.assert_allclose(got.probabilities[0], want, atol=1e-6)
    assert got.clips == 30 and got.protocol["clips_per_video"] == "10, spread evenly"
    assert got.protocol["crop_position"] == "start, centre and end of the longer side"
    assert (got.protocol["frames"], got.protocol["stride"], got.protocol["resize"]) == (4, 2, 16)
    for batch in video_clips(path, model.video_config, uniform=10, crops=3, batch_size=4):
        assert len(batch.clips) == len(batch.start) and len(batch.clips) % 3 == 0


def test_three_crops_of_an_upright_video_lie_below_one_another(tmp_path):
    path = video_files.write_video(tmp_path / "x.mp4", count=8, size=(40, 16))
    with VideoReader(path) as reader:
        frames = reader.read(range(0, 8, 2))
    config = keras_stc.VideoConfig(4, 2, 16)
    (batch,) = video_clips(path, config, uniform=1, crops=3)
    for view, row in zip(batch.clips, (0, 12, 24), strict=True):
        np.testing.assert_array_equal(view, frames[:, row : row + 16])


def test_of_two_evaluations_at_a_time_one_keeps_its_rows(tmp_path):
    path = tmp_path / "partial.jsonl"
    first = Partial(path, "x")
    first.add(3, 2, 1, np.array([0.5, 1.5]))
    second = Partial(path, "y")
    second.add(4, 1, 0, np.zeros(2))
    second.finish()
    first.add(5, 1, 1, np.ones(2))
    first.close()
    assert sorted(os.listdir(tmp_path)) == ["partial.jsonl"]
    third = Partial(path, "x")
    assert list(third.done) == [3, 5] and third.done[3][:2] == (2, 1)
    third.finish()
    assert not os.listdir(tmp_path)


def test_a_killed_evaluation_goes_on(model, videos, tmp_path):
    shutil.copytree(videos, tmp_path / "videos")
    test = VideoFolder(tmp_path / "videos")
    want = evaluate_videos(model, test)
    partial = tmp_path / "partial.jsonl"

    def stop(done):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_videos(model, test, progress=stop, partial=partial)
    rows = [json.loads(line) for line in partial.read_text().splitlines()]
    done = [row["video"] for row in rows[1:]]
    assert 5 <= len(done) < 20
    # What is done is not looked at again: it may even be gone.
    for i in done:
        (tmp_path / "videos" / test[i].path).unlink()
    with partial.open("a") as file:
        file.write('{"video": 34, "clips": 1, "ri')  # killed in the middle of a line
    got = evaluate_videos(model, test, partial=partial)
    assert got.to_dict() | {"per_class": 0} == want.to_dict() | {"per_class": 0}
    np.testing.assert_allclose(got.probabilities, want.probabilities, atol=1e-6)
    assert not partial.exists()


def test_what_is_left_of_another_evaluation_is_not_used(model, videos, tmp_path):
    test = VideoFolder(videos)
    partial = tmp_path / "partial.jsonl"

    def stop(done):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_videos(model, test, progress=stop, partial=partial)
    other = named(distributed_worker.small_model(len(CLASSES)), seed=1)
    got = evaluate_videos(other, test, partial=partial)
    np.testing.assert_array_equal(got.probabilities, evaluate_videos(other, test).probabilities)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"protocol": "40-views"}, "`protocol` must be one of"),
        ({"protocol": "30-views", "max_clips": 2}, "`max_clips` must be None"),
    ],
)
def test_impossible_protocols_are_refused(model, videos, options, words):
    with pytest.raises(ValueError, match=words):
        evaluate_videos(model, VideoFolder(videos), **options)


@pytest.mark.filterwarnings("ignore::keras_stc.data.VideoWarning")
def test_mean_over_the_splits_of_ucf101(videos, tmp_path, capsys):
    """A folder of UCF101's shape, lists in its format; a model for each of three splits."""
    root, lists = tmp_path / "UCF-101", tmp_path / "ucfTrainTestlist"
    shutil.copytree(videos, root)
    lists.mkdir()
    (lists / "classInd.txt").write_text(
        "".join(f"{i + 1} {name}\r\n" for i, name in enumerate(CLASSES)), newline=""
    )
    held = {1: (1, 2), 2: (3,), 3: (4, 5)}
    want, models = [], []
    for split, groups in held.items():
        line = "{0}/v_{0}_g{1:02d}_c01.avi"
        for use in ("train", "test"):
            names = [
                line.format(name, k) + ("" if use == "test" else f" {i + 1}")
                for i, name in enumerate(CLASSES)
                for k in range(1, 6)
                if (k in groups) == (use == "test")
            ]
            (lists / f"{use}list{split:02d}.txt").write_text(
                "".join(f"{name}\r\n" for name in names), newline=""
            )
        model = named(distributed_worker.small_model(len(CLASSES)), seed=split)
        models.append(tmp_path / f"{split}.keras")
        model.save(models[-1])
        tested = (lists / f"testlist{split:02d}.txt").read_text().split()
        labels = [CLASSES.index(name.split("/")[0]) for name in tested]
        clips = [
            keras_stc.predict_video(model, root / name.replace(".avi", ".mp4")).clip_probabilities
            for name in tested
        ]
        want.append(figures(labels, clips))
    out = tmp_path / "result.json"
    status = main(["evaluate", *map(str, models), f"ucf101:{root}:all", "--out", str(out)])
    text = capsys.readouterr()
    assert status == 0, text.err
    got = json.loads(out.read_text())
    for name in ("clip@1", "video@1", "video@5"):
        values = [split[name] for split in want]
        assert [split[name] for split in got["splits"]] == pytest.approx(values)
        assert got["mean"][name] == pytest.approx(sum(values) / 3)
        assert got["standard_deviation"][name] == pytest.approx(np.std(values, ddof=1))
        assert f"{sum(values) / 3:.1%} ±" in text.out
    # The figures of the three models are not all the same, nor all right or all wrong.
    assert len({split["video@1"] for split in want}) > 1
    assert [split["videos"] for split in got["splits"]] == [14, 7, 14]
    assert np.sum([split["confusion"] for split in got["splits"]]) == 35

    assert main(["evaluate", str(models[0]), f"ucf101:{root}:all"]) == 1
    assert "has 3 splits and there are 1 runs" in capsys.readouterr().err
