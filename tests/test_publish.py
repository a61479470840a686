"""A run to the Hub and back: the same predictions, and a card that says what was measured."""

import contextlib
import io
import json
import shutil

import hub_server
import huggingface_hub
import keras
import numpy as np
import pytest
from helpers import answers

import keras_stc
from keras_stc.cli import main
from keras_stc.files import sha256
from keras_stc.models.complexity import count_macs
from keras_stc.publish import PublishError, publish, write_files
from keras_stc.publish.card import public_line
from keras_stc.runs import RunError
from keras_stc.weights.cache import WeightsError
from keras_stc.weights.hub import fetch_published
from keras_stc.weights.load import read_weights_file

REPO = "lab/motion"
TYPED = "keras-stc train /home/somebody/videos --out /home/somebody/run"


@pytest.fixture(scope="module")
def run(small_run, tmp_path_factory):
    """The small run with what the command line adds to it, and an evaluation of its best epoch."""
    folder = tmp_path_factory.mktemp("publish") / "run"
    folder.mkdir()
    for path in small_run.folder.iterdir():
        (folder / path.name).symlink_to(path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["evaluate", str(folder), str(small_run.videos), "--json"]) == 0
    measured = json.loads(printed.getvalue())
    (folder / "evaluation.json").write_text(json.dumps(measured))
    weights = sha256(folder / "best.weights.h5")
    best = {**measured, "checkpoint": "best", "subset": "unseen", "weights_sha256": weights}
    (folder / "evaluation-best.json").write_text(json.dumps(best))
    (folder / "command.txt").write_text(TYPED + "\n")
    return folder


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    """The Hub after the run was published, and what `publish` returned."""
    with (
        hub_server.HubServer().running() as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        server.use(patch, tmp_path_factory.mktemp("cache"))
        patch.setenv("HF_TOKEN", hub_server.WRITER)
        yield server, publish(run, REPO, license="apache-2.0", message="First one")


@pytest.fixture(scope="module")
def card(published):
    content = published[0].repositories[REPO].commits[published[1].revision]["README.md"]
    return huggingface_hub.ModelCard(content.decode())


def test_from_the_hub_it_predicts_the_same(published, run):
    server, upload = published
    fetched = fetch_published(upload.address)
    config = fetched.config
    assert fetched.revision == upload.revision
    assert upload.files["model.weights.h5"] == config["weights"]["bytes"]
    model = keras_stc.create_model(
        **config["architecture"],
        weights=fetched.weights,
        video_config=keras_stc.VideoConfig.from_dict(config["video_config"]),
    )
    trained = keras_stc.load_model(run)
    assert model.video_config == trained.video_config
    clips = np.random.default_rng(0).integers(0, 256, (2, *trained.input_shape[1:]))
    got, want = (answers(m, clips.astype("float32")) for m in (model, trained))
    np.testing.assert_array_equal(got, want)
    assert np.ptp(want) > 0  # More than a constant came back.


def test_everything_in_one_commit(published):
    server, upload = published
    api = huggingface_hub.HfApi(endpoint=server.endpoint)
    titles = [commit.title for commit in api.list_repo_commits(REPO)]
    assert titles == ["First one", ""]  # The Hub's own first one has no message here.
    info = api.model_info(REPO, revision=upload.revision)
    assert info.sha == upload.revision
    assert {file.rfilename for file in info.siblings} == {
        ".gitattributes",
        "README.md",
        "config.json",
        "model.weights.h5",
    }
    assert upload.url == f"{server.endpoint}/{REPO}" and not server.repositories[REPO].private
    # The weights went where large files go; a client that asks gets a redirect to them.
    assert [request.sent for request in server.asked("PUT", "/lfs/")] == [0]


def test_the_card_says_what_was_measured(card, run, published):
    measured = json.loads((run / "evaluation.json").read_text())
    figures = {result.metric_name: result for result in card.data.eval_results}
    assert figures["video top-1"].metric_value == measured["video@1"]
    assert figures["clip top-1"].metric_value == measured["clip@1"]
    assert "video top-5" not in figures  # Of two classes.
    assert {(r.dataset_name, r.dataset_split) for r in figures.values()} == {("videos", "test")}
    assert card.data.library_name == "keras" and card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "video-classification"
    row = f"| videos | test | 4 | 12 | {measured['video@1']:.1%} | {measured['clip@1']:.1%} |"
    for words in (
        row,
        "clips of 4 frames, stride 2; short side 35 pixels, crop 32x32 at the centre; clips per "
        "video: all, non-overlapping; averaged: softmax probabilities over clips",
        "for 2 classes: move_left, move_right",
        "keras-stc train videos --out run\n",
        "| epochs | 3 |",
        "| learning rate | 0.01 |",
        'load_model("hf://lab/motion")',
        "input_shape=(4, 32, 32, 3),",
    ):
        assert words in card.text
    assert "/home" not in card.text and str(run.parent) not in card.text


def test_the_card_counts_the_network(card, published, run):
    fetched = fetch_published(published[1].address)
    # BN has gamma and beta, which are trained, before its moving mean and variance.
    parameters = sum(
        array.size
        for layer in read_weights_file(fetched.weights).values()
        for arrays in layer.values()
        for array in (arrays[:2] if len(arrays) == 4 else arrays)
    )
    assert fetched.config["parameters"] == parameters
    assert f"| parameters | {parameters / 1e6:.2f} M |" in card.text
    macs = count_macs(keras_stc.load_model(run))
    assert f"| multiply-accumulates | {macs / 1e9:.2f} G a clip" in card.text
    assert sha256(fetched.weights) in card.text


def test_publishing_again_is_a_commit_more(published, run, capsys):
    server, upload = published
    server.put("lab/other", {"config.json": b'{"model_type": "bert"}'})
    assert main(["publish", str(run), "lab/other"]) == 1
    assert "already holds a model that `keras-stc publish` did not make" in capsys.readouterr().err
    assert list(server.repositories["lab/other"].commits.values())[-1].keys() == {"config.json"}

    line = ["publish", str(run), REPO, "--checkpoint", "best", "--json"]
    assert main([*line, "--evaluation", str(run / "evaluation-best.json")]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["revision"] != upload.revision and again["address"] == f"hf://{REPO}"
    fetched = fetch_published(f"hf://{REPO}")
    assert fetched.revision == again["revision"] and fetched.config["checkpoint"] == "best"
    # Who pinned the first one still gets it.
    assert fetch_published(f"hf://{REPO}@{upload.revision}").config["checkpoint"] == "last"
    text = server.repositories[REPO].commits[again["revision"]]["README.md"].decode()
    assert "| videos | unseen | 4 |" in text
    assert "it flatters itself" in text and "None was given" in text


def test_what_was_not_measured_is_said(run, small_run, tmp_path):
    paths = write_files(run, tmp_path / "best", REPO, checkpoint="best")
    card = huggingface_hub.ModelCard.load(paths[2])
    assert "Not measured." in card.text and not card.data.eval_results
    config = json.loads(paths[1].read_text())
    assert config["metrics"] == [] and config["license"] is None


@pytest.fixture(scope="module")
def tiny():
    """Makes a `VideoModel` of a few weights."""

    def make(architecture=None, class_names=None, bias=0.0):
        inputs = keras.Input((4, 32, 32, 3))
        x = keras.layers.GlobalAveragePooling3D()(inputs)
        dense = keras.layers.Dense(2, "softmax", name="predictions")
        config = keras_stc.VideoConfig(frames=4, size=32, class_names=class_names)
        model = keras_stc.VideoModel(
            inputs, dense(x), video_config=config, architecture=architecture
        )
        dense.bias.assign([bias, 0.0])
        return model

    return make


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"class_names": ("a", "b")}, "not one that keras_stc.create_model builds"),
        ({"architecture": {"name": "stc_resnet18"}}, "does not name its classes"),
        (
            {
                "architecture": {"name": "stc_resnet18"},
                "class_names": ("a", "b"),
                "bias": float("nan"),
            },
            "not finite numbers",
        ),
    ],
)
def test_what_nobody_could_use_is_refused(tiny, tmp_path, arguments, words):
    tiny(**arguments).save(tmp_path / "m.keras")
    with pytest.raises(PublishError, match=words):
        write_files(tmp_path / "m.keras", tmp_path / "out", REPO)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run", symlinks=True)
    (tmp_path / "run" / "model.keras").unlink()
    for checkpoint in ("last", "best"):
        with pytest.raises((PublishError, RunError), match=r"not finished \(3 epochs done\)"):
            write_files(tmp_path / "run", tmp_path / "out", REPO, checkpoint)
    assert not (tmp_path / "out").exists()


def test_the_card_says_frames_a_second(small_run, tmp_path):
    model = keras_stc.load_model(small_run.folder)
    model.video_config = model.video_config.replace(fps=12.5)
    model.save(tmp_path / "m.keras")
    *_, card = write_files(tmp_path / "m.keras", tmp_path / "out", REPO)
    assert "12.5 frames a second" in card.read_text() and "stride" not in card.read_text()


def test_the_wrong_evaluation_is_refused(run, tmp_path):
    best = run / "evaluation-best.json"
    with pytest.raises(PublishError, match="measured on another checkpoint"):
        write_files(run, tmp_path / "out", REPO, evaluations=[best])
    other = {**json.loads(best.read_text()), "weights_sha256": "0" * 64}
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(PublishError, match="other.json was measured on other weights"):
        write_files(run, tmp_path / "out", REPO, "best", [tmp_path / "other.json"])
    other = {**json.loads(best.read_text()), "class_names": ["a", "b"]}
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(PublishError, match="on a network with other classes. Received: a, b"):
        write_files(run, tmp_path / "out", REPO, "best", [tmp_path / "other.json"])
    other = {key: value for key, value in other.items() if key != "checkpoint"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(PublishError, match="another checkpoint.*Received: 'last'"):
        write_files(run, tmp_path / "out", REPO, "best", [tmp_path / "other.json"])
    (tmp_path / "other.json").write_text(json.dumps({**other, "models": [{}, {}]}))
    with pytest.raises(PublishError, match="of 2 networks whose answers were fused"):
        write_files(run, tmp_path / "out", REPO, "best", [tmp_path / "other.json"])
    (tmp_path / "odd.json").write_text('{"accuracy": 1.0}')
    with pytest.raises(PublishError, match="it lacks 'protocol'"):
        write_files(run, tmp_path / "out", REPO, evaluations=[tmp_path / "odd.json"])


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, "Publishing needs a token that may write: set HF_TOKEN"),
        ("hf_expired", r"does not accept the token for lab/new \(401\)"),
        (hub_server.READER, r"does not allow this to the token for lab/new \(403\)"),
    ],
)
def test_the_hub_refuses(hub, monkeypatch, run, small_files, token, words):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(PublishError, match=words):
        publish(run, "lab/new")
    assert not hub.repositories


@pytest.fixture
def small_files(monkeypatch, tmp_path):
    """What is written is not the matter here: a card alone."""

    def write(*_):
        (tmp_path / "README.md").write_text("# A card\n")
        return [tmp_path / "README.md"]

    monkeypatch.setattr("keras_stc.publish.upload.write_files", write)


def test_without_a_network(monkeypatch, hub, run, small_files):
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(PublishError, match="http://127.0.0.1:1 did not take lab/new: .*refused"):
        publish(run, "lab/new")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PublishError, match="HF_HUB_OFFLINE forbids publishing"):
        publish(run, "lab/new")


def test_private(monkeypatch, hub, run, small_files):
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    publish(run, "lab/new", private=True)
    assert hub.repositories["lab/new"].private
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(WeightsError, match="or it is private"):
        fetch_published("hf://lab/new")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["nowhere", REPO], "nowhere does not exist"),
        (["{tmp}", REPO], "is no run folder"),
        (["{run}", "motion"], "must be hf://owner/repo"),
        (["{run}", f"{REPO}@v1"], "published to as owner/repo"),
        (["{run}", REPO, "--license", "Apache 2"], "`license` must be an identifier"),
        (["{run}", REPO, "--evaluation", "nowhere.json"], "nowhere.json does not exist"),
        (["{run}", REPO, "--evaluation", "{run}/history.csv"], "history.csv is not JSON"),
    ],
)
def test_mistakes_get_one_sentence(capsys, run, tmp_path, line, words):
    line = [word.format(run=run, tmp=tmp_path) for word in line]
    assert main(["publish", *line, "--dry-run", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("keras-stc: error: ") and words in error and error.count("\n") == 1


def test_a_folder_of_other_files_is_left_alone(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("mine")
    with pytest.raises(PublishError, match="out holds other files.* choose an empty folder"):
        write_files(run, tmp_path / "out", REPO)
    assert (tmp_path / "out" / "README.md").read_text() == "mine"
    for _ in range(2):  # an earlier dry run may be replaced
        write_files(run, tmp_path / "new", REPO)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("train /home/a/ucf --out /tmp/x/run", "train ucf --out run"),
        ("train '/home/a b/ucf' --out=~/runs/b", "train ucf --out=b"),
        (
            "train ucf101:/data/UCF:1 --validation ../v.csv",
            "train ucf101:UCF:1 --validation ../v.csv",
        ),
        ("train v --weights hf://lab/net@v1", "train v --weights hf://lab/net@v1"),
        (r"train 'C:\Users\a\videos' --out runs/a", "train videos --out runs/a"),
    ],
)
def test_a_line_without_the_folders_of_its_machine(typed, shown):
    assert public_line(typed) == shown
