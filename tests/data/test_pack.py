import json
import shutil

import pytest
import video_files

from keras_stc import files
from keras_stc.cli import main
from keras_stc.data import VideoError, VideoWarning, open_data, open_source, pack


@pytest.fixture()
def folder(tmp_path):
    for k in range(4):
        path = tmp_path / "videos" / "ab"[k % 2] / f"{k}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        video_files.write_video(path, count=6)
    return tmp_path / "videos"


def test_pack_by_command_line(folder, tmp_path, capsys):
    out = tmp_path / "out"
    line = ["pack", str(folder), str(out), "--short-side", "32", "--videos-per-shard", "3"]
    assert main([*line, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["videos"], result["frames"], result["shards"]) == (4, 24, 2)
    assert result["failures"] == {} and result["damaged"] == []
    assert result["bytes"] == sum(path.stat().st_size for path in out.glob("*.tfrecord"))
    assert open_data(out).class_names == ("a", "b")
    assert main([*line, "--verify"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("4 videos, 24 frames, in 2 shards of together 0.")
    assert f"keras-stc train {out} --out runs/a" in text
    (out / "videos-00001.tfrecord").write_bytes(b"damaged")
    assert main([*line, "--verify"]) == 1
    error = capsys.readouterr().err
    assert "1 files in" in error and "the first being videos-00001.tfrecord: delete them" in error
    assert main(["pack", str(folder), str(out), "--quality", "50"]) == 1
    assert "holds shards with short_side=32, not 122" in capsys.readouterr().err


def test_rows_of_a_list_without_a_label_are_packed(folder, tmp_path):
    """They are left out where labels are needed alone."""
    (folder / "l.csv").write_text("path,label\na/0.mp4,a\nb/1.mp4,b\na/2.mp4,\nb/3.mp4,b\n")
    pack(folder / "l.csv", tmp_path / "out", short_side=32)
    source = open_source(tmp_path / "out")
    assert source.partly_labelled().labels.tolist() == [0, 1, -1, 1]
    assert source.unlabelled().labels.tolist() == [-1] * 4
    with pytest.warns(VideoWarning, match="1 of 4 videos have no label and are left out"):
        assert source.open().labels.tolist() == [0, 1, 1]
    (folder / "l.csv").write_text("path,label\na/0.mp4,a\na/0.mp4,\n")
    with pytest.raises(VideoError, match="as 'a' and no class; expected one label"):
        pack(folder / "l.csv", tmp_path / "other", short_side=32)


def test_a_pack_broken_off_is_no_pack(folder, tmp_path, monkeypatch):
    """The index of the earlier one would give the new shards the old labels."""
    out = tmp_path / "out"
    pack(folder, out, short_side=32)
    (folder / "0").mkdir()
    shutil.move(folder / "b" / "1.mp4", folder / "0" / "1.mp4")

    def broken_off(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "sha256", broken_off)
        pack(folder, out, short_side=32)
    with pytest.raises(VideoError, match="is not packed to the end"):
        open_data(out)
    pack(folder, out, short_side=32)
    videos = open_data(out)
    names = [videos.class_names[video.label] for video in videos]
    assert [video.file.split("/")[-2] for video in videos] == names and "0" in names


def test_bad_videos_are_named_at_the_end(folder, tmp_path, capsys):
    (folder / "a/0.mp4").write_bytes(b"")
    assert main(["pack", str(folder), str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("3 videos, 18 frames, in 1 shards")
    assert "1 of 4 videos could not be used:" in captured.err and "0.mp4 is empty" in captured.err
