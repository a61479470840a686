"""What is typed and what comes back: exit status, JSON, and one sentence for every mistake."""

import csv
import functools
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys

import helpers
import keras
import pytest
from helpers import run

import keras_stc
from keras_stc import bench
from keras_stc.cli import doctor, evaluate, main
from keras_stc.cli.console import print_table
from keras_stc.data import VideoWarning, cores, divide, open_data, open_source

#: A training from random weights, which needs no others.
TRAIN = ("train", "{videos}", "--out", "{tmp}/run", "--weights", "none")


def run_json(capsys, *arguments):
    status, out, _ = run(capsys, *arguments, "--json")
    assert status == 0
    return json.loads(out)


def test_models(capsys):
    status, out, _ = run(capsys, "models", "stc_resnet18")
    assert status == 0 and "STCResNet18" in out and "34.53" in out and "33.97" in out
    entries = run_json(capsys, "models")
    assert len(entries) == len(keras_stc.list_models())
    entry = next(entry for entry in entries if entry["name"] == "stc_resnext101")
    assert entry["parameters"] == 118652688 and entry["stage_parameters"] == 57297168
    assert entry["clip"] == [16, 112, 112] and entry["weights"] == ["imagenet"]
    entry = next(entry for entry in entries if entry["name"] == "inception_i3d")
    assert entry["constructor"] == "InceptionI3D" and entry["clip"] == [64, 224, 224]
    assert entry["weights"] == ["kinetics400", "ucf101-35"]


def test_bench(capsys, small_run):
    options = ["--frames", 4, "--size", 32, "--batch-size", 2, "--batches", 1]
    found = run_json(capsys, "bench", "ResNet3D18", small_run.videos, *options)
    assert [found["model"], found["precision"]] == ["resnet3d18", "float32"]
    assert found["first_step_seconds"] > 1 / found["train_clips_per_second"]
    assert 1e8 < found["peak_memory_bytes"] < 1e11
    assert found["clip"] == [4, 32, 32] and found["gmac_per_clip"] == pytest.approx(0.17, abs=0.05)
    speeds = [found[f"{what}_clips_per_second"] for what in ("predict", "train", "read")]
    assert all(speed > 0 for speed in speeds)
    waiting = max(0, 1 - speeds[2] / speeds[1])
    assert found["training_waits"] == pytest.approx(waiting)
    status, _, err = run(capsys, "bench", "--batches", 0)
    assert status == 1 and "--batches must be at least 1. Received: 0" in err
    status, _, err = run(capsys, "bench", "stc_resnet18", "a", "b")
    assert status == 1 and "DATA must be one, and the others networks" in err


@pytest.mark.slow
def test_bench_of_several_networks(capsys, small_run):
    options = ["--frames", 4, "--size", 32, "--batch-size", 2, "--batches", 1]
    names = ("stc_resnet18", "resnet3d18")
    options += ["--precision", "mixed_bfloat16"]
    status, out, _ = run(capsys, "bench", *names, small_run.videos, *options)
    rows = [line.split() for line in out.splitlines() if line.startswith(names)]
    assert status == 0 and [row[:2] for row in rows] == [[name, "mixed_bfloat16"] for name in names]
    assert all(float(figure) > 0 for row in rows for figure in row[2:])


def test_bench_says_what_died(monkeypatch):
    """As the system ends a process for want of memory: without a word."""
    ended = functools.partial(bench._in_own_process, os._exit, 1)
    monkeypatch.setattr(bench, "_in_own_process", lambda *arguments: ended())
    with pytest.raises(RuntimeError, match="measured stc_resnet18 in float32 was ended by"):
        bench.measure_named("stc_resnet18")


def test_doctor(capsys):
    report = run_json(capsys, "doctor")
    assert report["packages"]["backend"] in ("tensorflow", "jax", "torch")
    assert "h264" in report["decoders"]["codecs"] and report["problems"] == {}


@pytest.mark.skipif(platform.system() != "Linux", reason="reads what Linux says of its processor")
@pytest.mark.parametrize(
    ("cpuinfo", "known"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_vnni\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n", True),
        ("processor\t: 0\nhart\t\t: 0\n", None),
    ],
)
def test_a_processor_with_bfloat16_is_known(tmp_path, cpuinfo, known):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert cores.has_bfloat16(tmp_path / "cpuinfo") is known
    assert cores.has_bfloat16(tmp_path / "none") is None


def test_doctor_has_something_under_each_heading(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    headings = [k for k, line in enumerate(lines) if not line.startswith(" ")]
    assert all(lines[k + 1].startswith("  ") for k in headings if lines[k] != "nothing is missing")


def test_doctor_starts_the_backend_where_asked(capsys):
    assert doctor.backend_name() == keras.backend.backend()
    assert run_json(capsys, "doctor", "--start")["problems"] == {}


@pytest.mark.parametrize("line", [["models"], ["models", "--weights"], ["doctor"]])
def test_tables_need_no_backend(line):
    """Keras' and TensorFlow's import take seconds."""
    if line == ["doctor"] and doctor.has_accelerator():
        pytest.skip("doctor starts the backend here, to see the accelerator")
    probe = (
        "import sys; from keras_stc.cli.main import main; status = main(sys.argv[1:]);"
        "print(status, sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe, *line], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


def test_unknown_backend():
    environment = {**os.environ, "KERAS_BACKEND": "theano"}
    command = [sys.executable, "-m", "keras_stc"]
    options = {"env": environment, "capture_output": True, "text": True}
    done = subprocess.run([*command, "doctor", "--json"], **options)
    assert done.returncode == 1 and "theano" in json.loads(done.stdout)["problems"]["backend"]
    done = subprocess.run([*command, "predict", "a.mp4"], **options)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("keras-stc: error: Keras does not start")
    assert "theano" in done.stderr and "Traceback" not in done.stderr


def test_predict(capsys, small_run):
    good = sorted((small_run.videos / "test").rglob("*.mp4"))[:2]
    result = run_json(capsys, "predict", *good, "--model", small_run.folder, "--timeline")
    assert [video["path"] for video in result["videos"]] == [str(path) for path in good]
    for video in result["videos"]:
        assert sum(row["probability"] for row in video["top"]) == pytest.approx(1, abs=1e-4)
        assert len(video["timeline"]) == video["clips"] == 3
    status, out, _ = run(capsys, "predict", good[0], "--model", small_run.folder, "--top", 1)
    assert status == 0 and "%" in out and out.count("\n") == 2


def test_predict_folders_and_patterns(capsys, small_run, tmp_path):
    """All videos below a folder, and those that fit a pattern, each once; a table of them."""
    folder, table = small_run.videos / "test", tmp_path / "out.csv"
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "bad.mp4").write_bytes(b"")
    line = ("predict", tmp_path / "copy", tmp_path / "copy" / "move_left" / "*.mp4")
    status, out, err = run(capsys, *line, "--model", small_run.folder, "--csv", table)
    assert status == 1 and "1 of 5 videos could not be used" in err
    assert out.splitlines()[-1] == f"4 videos in {table}"
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 5 and all(row["path"].endswith(".mp4") for row in rows)
    good = [row for row in rows if not row["error"]]
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert {row["label"] for row in good} <= {"move_left", "move_right"}
    assert all(float(row["probability"]) >= 0.5 and int(row["clips"]) == 3 for row in good)
    (bad,) = (row for row in rows if row["error"])
    assert "bad.mp4" in bad["error"] and not bad["label"]
    run(capsys, *line, "--model", small_run.folder, "--csv", table, "--top", 2)
    assert len(list(csv.DictReader(table.open()))) == 4 * 2 + 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["{empty}"], "has no videos below it"),
        (["{empty}/*.mp4"], "No file fits"),
        (["x.mp4", "--csv", "{empty}/none/out.csv"], "make it first"),
        (["x.mp4", "--top", "0"], "--top must be at least 1"),
    ],
)
def test_predict_says_what_is_wrong(capsys, tmp_path, more, words):
    status, _, err = run(capsys, "predict", *(part.format(empty=tmp_path) for part in more))
    assert status == 1 and words in err and "Traceback" not in err


def test_one_bad_file_does_not_stop_the_others(capsys, small_run, tmp_path):
    good = next((small_run.videos / "test").rglob("*.mp4"))
    (tmp_path / "bad.mp4").write_bytes(b"")
    status, out, err = run(
        capsys, "predict", tmp_path / "bad.mp4", good, "--model", small_run.folder
    )
    assert status == 1 and str(good) in out
    assert "1 of 2 videos could not be used" in err and "bad.mp4" in err


def test_evaluate(capsys, small_run):
    result = run_json(capsys, "evaluate", small_run.folder, small_run.videos)
    assert result["videos"] == 4  # the test subset, since there is one
    assert (result["data"], result["subset"], result["checkpoint"]) == ("videos", "test", "last")
    assert result["video@5"] == 1 and set(result["per_class"]) == {"move_left", "move_right"}
    trained = run_json(capsys, "evaluate", small_run.folder, small_run.videos, "--subset", "train")
    assert trained["videos"] == 12


@pytest.mark.slow
def test_data_without_subsets_is_evaluated_where_it_was_not_trained_on(capsys, small_run, tmp_path):
    data = small_run.videos / "train"
    line = ["train", data, "--out", tmp_path / "run", "--frames", 4, "--size", 32, "--epochs", 1]
    line += ["--weights", "none", "--alpha", 0.25]
    assert run_json(capsys, *line, "--no-flip")["evaluation"]["videos"] == 2
    result = run_json(capsys, "evaluate", tmp_path / "run", data)
    assert result["videos"] == 2 and result["subset"] == "20% of each class, held out"
    kept = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert result["video@1"] == kept["video@1"]
    # However it is typed.
    (tmp_path / "link").symlink_to(data)
    for typed in (os.path.relpath(data), tmp_path / "link"):
        again = run_json(capsys, "evaluate", tmp_path / "run", typed)
        assert again["confusion"] == result["confusion"]
    # Another folder is other data.
    assert run_json(capsys, "evaluate", small_run.folder, data)["videos"] == 12


def copied_run(small_run, folder, **origin):
    """The small run, as if it had been trained on data of another origin."""
    shutil.copytree(small_run.folder, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["data"] = origin.pop("text", {"origin": origin})
    config["videos"], config["validation_videos"] = 10, 2
    path.unlink()
    path.write_text(json.dumps(config))
    return folder


def test_what_was_held_out_is_found_again_or_nothing_is_said(capsys, small_run, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small_run.videos / "train", data / "train")
    origin = {"data": str(data), "subset": "train", "hold_out": 0.2}
    folder = copied_run(small_run, tmp_path / "run", **origin)
    wanted = open_data(data, "train").split(0.2, seed=0)[1]
    # A file in the run's folder is the run's; only `train` was ever divided.
    for named in (folder, folder / "model.keras"):
        found = run_json(capsys, "evaluate", named, data)
        assert found["videos"] == len(wanted) == 2 and "held out" in found["subset"]
    shutil.copytree(data / "train" / "move_left", data / "train" / "move_left" / "more")
    status, _, err = run(capsys, "evaluate", folder, data)
    assert status == 1 and "has changed since" in err and err.count("\n") == 1
    # A run made in Python says of its data what it likes.
    folder = copied_run(small_run, tmp_path / "other", text="anything")
    assert run_json(capsys, "evaluate", folder, small_run.videos)["videos"] == 4


def test_weights_of_the_zoo_are_of_no_run_that_lies_here(small_run, tmp_path, monkeypatch):
    videos = small_run.videos / "train"
    folder = copied_run(small_run, tmp_path / "run", data=str(videos), subset=None, hold_out=0.2)
    monkeypatch.chdir(folder)
    named = evaluate._videos("inception_i3d.ucf101-35", open_source(videos), None, helpers.CLASSES)
    assert [len(part) if part else part for part in named] == [12, None]
    (folder / "config.json").write_text("[]")
    again = evaluate._videos("inception_i3d.ucf101-35", open_source(videos), None, helpers.CLASSES)
    assert len(again[0]) == 12


def test_validation_videos_by_another_path_are_the_same(small_run, tmp_path, monkeypatch):
    monkeypatch.chdir(small_run.videos)
    origins = [
        divide("train", test).origin for test in ("test", "./test", small_run.videos / "test")
    ]
    assert origins[0] == origins[1] == origins[2]


def test_validation_videos_are_those_to_validate_on(small_run, tmp_path):
    train = small_run.videos / "train"
    data = divide(train, small_run.videos)
    assert data.name == "test" and len(data.validation) == 4 and len(data.train) == 12
    with pytest.warns(VideoWarning, match="12 videos to validate on are among those to train on"):
        divide(train, train)
    shutil.copytree(train / "move_left", tmp_path / "one" / "move_left")
    with pytest.raises(ValueError, match="has one class, 'move_left'"):
        divide(tmp_path / "one")


def test_a_model_of_a_part_is_evaluated_on_that_part(capsys, small_run, tmp_path):
    """UCF101 with other classes in its lists: two of its four are there, then one of the others."""
    classes, lists = ("jump", "move_left", "move_right", "wave"), tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_text("".join(f"{k} {c}\n" for k, c in enumerate(classes, 1)))
    files = {c: sorted((small_run.videos / "test" / c).glob("*")) for c in classes[1:3]}
    names = [f"{c}/{c}_{file.stem}.avi" for c, found in files.items() for file in found]
    (lists / "trainlist01.txt").write_text("jump/jump_0.avi 1\nwave/wave_0.avi 4\n")
    (lists / "testlist01.txt").write_text("\n".join(names))
    for c, found in files.items():
        (tmp_path / c).mkdir()
        for file in found:
            os.link(file, tmp_path / c / f"{c}_{file.name}")
    spec = f"ucf101:{tmp_path}:1"
    assert run_json(capsys, "evaluate", small_run.folder, spec)["videos"] == 4
    (tmp_path / "jump").mkdir()
    os.link(file, tmp_path / "jump" / "jump_0.mp4")
    status, _, err = run(capsys, "evaluate", small_run.folder, spec)
    assert status == 1 and "UCF101 has the class jump, which is none of the 2 classes" in err


def test_classes_may_look_like_markup(capsys):
    print_table(("class", "videos"), [("[red]", "1"), ("jump[/x]", "2")])
    out = capsys.readouterr().out
    assert "[red]" in out and "jump[/x]" in out


def test_the_demo_deletes_only_what_it_wrote(capsys, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "mine.avi").write_text("")
    status, _, err = run(capsys, "demo", "--out", tmp_path)
    assert status == 1 and "holds other files, which the demo would replace" in err
    assert (tmp_path / "videos" / "mine.avi").exists()


@pytest.mark.usefixtures("short")
def test_train_again_goes_on(capsys, small_run, tmp_path):
    line = ["train", small_run.videos, "--out", tmp_path / "run", "--frames", 4, "--size", 32]
    line += ["--weights", "none"]
    line += ["--alpha", 0.25, "--epochs", 1, "--no-flip"]
    first = run_json(capsys, *line)
    assert first["epochs"] == 1 and first["evaluation"]["videos"] == 4
    saved = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert saved == first["evaluation"]
    where = {"data": "videos", "subset": "test", "checkpoint": "last"}
    assert {name: saved[name] for name in where} == where
    typed = (tmp_path / "run" / "command.txt").read_text()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<title>videos: 2 classes</title>" in page and "Confusion matrix" in page
    assert typed == shlex.join(["keras-stc", *map(str, line), "--json"]) + "\n"
    stamp = (tmp_path / "run" / "model.keras").stat().st_mtime_ns
    again = run_json(capsys, *line)
    assert again["last"] == first["last"]
    assert (tmp_path / "run" / "model.keras").stat().st_mtime_ns == stamp
    # What was trained is what was saved: the same figures from the finished run.
    assert again["evaluation"] == first["evaluation"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["models", "vgg"], "No model's name contains 'vgg'"),
        (["predict", "x.mp4", "--model", "nowhere"], "nowhere does not exist"),
        (["predict", "x.mp4", "--model", "stc_resnet1"], "Did you mean 'stc_resnet18'"),
        (["predict", "x.mp4", "--model", "stc_resnet50"], "cannot be fetched from anywhere"),
        (["train", "nowhere", "--out", "{tmp}/run"], "nowhere does not exist"),
        (["train", "{videos}", "--out", "{tmp}/run", "--model", "resnet"], "`name` must be one of"),
        (["train", "{videos}", "--out", "{tmp}/run", "--recipe", "x"], "--recipe must be one of"),
        ([*TRAIN, "--size", "16"], "at least 32 pixels"),
        (["train", "{videos}", "--out", "{tmp}/run", "--epochs", "0"], "`epochs` must be"),
        ([*TRAIN, "--frames", "0"], "`frames` must be"),
        ([*TRAIN, "--freeze", "layer9"], "`freeze` must be"),
        (["train", "{videos}", "--out", "{tmp}/run", "--class-weights", "x"], "`class_weights`"),
        (["train", "{videos}", "--out", "{tmp}/run", "--stride", "0"], "`stride` must be"),
        (["train", "{videos}", "--out", "{tmp}/run", "--lr", "-1"], "`learning_rate` must be"),
        (["train", "{videos}", "--weights", "none", "--out", "{tmp}/file/run"], "cannot be made"),
        (
            [*TRAIN, "--start", "x"],
            "`start` must be one of auto, i3d, ucf101-35, none. Received: x",
        ),
        ([*TRAIN, "--cache-features"], "`feature_passes` needs a network"),
        (["train", "{videos}", "--out", "{tmp}/run", "--weights", "w.keras"], "w.keras does not"),
        (
            [
                "train",
                "{videos}",
                "--out",
                "{tmp}/run",
                "--model",
                "inception_i3d",
                "--placement",
                "block",
            ],
            "this network goes with module or last: inception_i3d",
        ),
        ([*TRAIN, "--model", "resnet3d18", "--placement", "block"], "this network has none"),
        ([*TRAIN, "--final-endpoint", "layer2"], "that are no residual ones, such as inception"),
        ([*TRAIN, "--model", "c3d", "--final-endpoint", "fc6"], "one of conv1, conv2, conv3"),
        ([*TRAIN, "--alpha", "0"], "--alpha must be a positive number. Received: 0.0"),
        ([*TRAIN, "--model", "c3d", "--alpha", "0.5"], "--alpha is the width of residual"),
        ([*TRAIN, "--weights", "{run}", "--alpha", "0.5"], "which do not fit another width"),
        (["train", "{tmp}/empty", "--out", "{tmp}/run"], "empty"),
        (["train", "{videos}", "--out", "{tmp}/run", "--seed", "-1"], "--seed must be at least 0"),
        (["evaluate", "nowhere", "{videos}"], "nowhere does not exist"),
        (
            ["evaluate", "{run}/model.keras", "{videos}", "--checkpoint", "best"],
            "Only a run folder has a best checkpoint",
        ),
        (["predict", "x.mp4", "--model", "{begun}"], "has no checkpoint yet"),
        (["evaluate", "{run}", "{videos}", "--out", "{tmp}/no/a.json"], "does not exist: make it"),
        (["train", "{videos}", "--out", "{tmp}/run", "--hold-out", "1"], "--hold-out must be"),
        (["train", "{uneven}", "--out", "{tmp}/run"], "no video to train on of 1 of its 2 classes"),
        (["train", "s3://b/v.csv", "--out", "{tmp}/run"], "is an address, and DATA must be here"),
        (["evaluate", "{run}", "{tmp}/empty"], "empty"),
    ],
)
def test_mistakes_get_one_sentence(capsys, small_run, tmp_path, line, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    uneven = tmp_path / "uneven.csv"
    video = next((small_run.videos / "train" / "move_left").iterdir())
    uneven.write_text(f"path,label,split\n{video},a,train\n{video},b,test\n")
    names = {"tmp": tmp_path, "videos": small_run.videos, "run": small_run.folder}
    names["uneven"], names["begun"] = uneven, tmp_path / "begun"
    names["begun"].mkdir()
    shutil.copy(small_run.folder / "config.json", names["begun"])
    status, _, err = run(capsys, *(word.format(**names) for word in line))
    assert status == 1
    assert err.startswith("keras-stc: error: ") and words in err
    assert err.count("\n") == 1 and "Traceback" not in err


def test_no_chatter_and_a_quick_help():
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "keras_stc"]
    done = subprocess.run([*command, "models"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    probe = (
        "import sys; from keras_stc.cli.main import parser; parser();"
        "print(sorted({'keras', 'tensorflow', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
