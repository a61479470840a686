"""The paper's ablations: what they compare, their arithmetic, and a real one on small videos."""

import dataclasses
import json

import helpers
import keras
import numpy as np
import pytest
from keras import ops

import keras_stc
from keras_stc.ablation import FORMS, Setting, Study, markdown, rows, save_plot
from keras_stc.ablation.plot import saved_axes
from keras_stc.ablation.run import chosen_settings, halve_residual_branches
from keras_stc.cli import main
from keras_stc.files import alone
from keras_stc.layers import MiddleFrame, STCBlock

SMALL = FORMS["small"].studies()


def test_the_papers_form_is_its_tables():
    studies = FORMS["paper"].studies()
    base = Setting("stc_resnet101", frames=32, stride=2)
    assert [s.branches for s in studies["branches"].settings.values()][1:] == [
        ("spatial",),
        ("temporal",),
        ("temporal", "spatial"),
    ]
    assert studies["branches"].settings["none"].model == "resnet3d101"
    assert [s.model for s in studies["depth"].settings.values()] == [
        *("resnet3d101", "stc_resnet18", "stc_resnet50", "stc_resnet101")
    ]
    assert [s.frames for s in studies["frames"].settings.values()] == [16, 32]
    assert [s.stride for s in studies["stride"].settings.values()] == [1, 2, 4, 16]
    assert [(s.model, s.transfer) for s in studies["transfer"].settings.values()] == [
        (model, transfer)
        for model in ("resnet3d101", "resnext3d101", "stc_resnet101", "stc_resnext101")
        for transfer in (False, True)
    ]
    # All others are the base but for one thing, and the base is in every study.
    for study in studies.values():
        assert base in study.settings.values()
        for setting in study.settings.values():
            changed = [
                field.name
                for field in dataclasses.fields(setting)
                if getattr(setting, field.name) != getattr(base, field.name)
            ]
            # A control has no STC blocks either.
            most = 2 if study.name == "transfer" or setting.halved else 1
            assert len(changed) <= most, (study.name, setting)


def test_settings_are_shared_and_named_apart():
    settings = chosen_settings(FORMS["small"])
    assert len({setting.key for setting in settings}) == len(settings) == len(set(settings))
    # 4 branches; 1 control of the start, 1 single frame, 1 placement, 2 depths, 2 lengths,
    # 3 strides, 3 ratios, 1 transfer beside the base.
    assert len(settings) == 18


@pytest.mark.parametrize("name", keras_stc.list_models("stc"))
def test_the_network_without_stc(name):
    plain = Setting(name, 8, 2).without_stc().model
    assert plain in keras_stc.list_models()
    assert plain.replace("3d", "") == name.removeprefix("stc_")


def test_networks_are_compared_without_and_with_stc_blocks():
    names = ("stc_mc318", "resnet3d18", "densenet3d121")
    form = FORMS["small"].replace(networks=names)
    assert "network" not in FORMS["small"].studies()
    settings = form.studies()["network"].settings
    assert [setting.model for setting in settings.values()] == [
        *("mc318", "stc_mc318", "resnet3d18", "stc_resnet18", "densenet3d121", "densenet3d121")
    ]
    assert [setting.has_stc for setting in settings.values()] == [False, True] * 3
    assert list(settings)[4:] == ["densenet3d121", "densenet3d121, STC blocks"]
    assert len({setting.key for setting in settings.values()}) == 6
    plain, with_stc = (
        keras_stc.create_model("densenet3d121", input_shape=(8, 32, 32, 3), **setting.arguments)
        for setting in list(settings.values())[4:]
    )
    blocks = [layer.name for layer in with_stc.layers if isinstance(layer, STCBlock)]
    assert len(blocks) == len(with_stc.layers) - len(plain.layers) > 0
    assert settings["densenet3d121, STC blocks"].without_stc() == settings["densenet3d121"]


def test_arguments_build_what_they_say():
    shape = (8, 32, 32, 3)
    counts = {}
    for label, setting in {**SMALL["branches"].settings, **SMALL["placement"].settings}.items():
        model = keras_stc.create_model(
            setting.model, input_shape=shape, classes=8, **setting.arguments
        )
        counts[label] = model.count_params()
    # By hand: a dense pair C -> C/4 -> C has C*C/2 + 5C/4 numbers; two units in each stage; the
    # time of 8 frames is 4, 2, 1, 1 after the four stages; SCB's has T*C in the place of C.
    widths, lengths = (64, 128, 256, 512), (4, 2, 1, 1)
    temporal = sum(c * c // 2 + 5 * c // 4 for c in widths)
    spatial = sum(
        (t * c) * (t * c // 4) + t * c // 4 + (t * c // 4) * c + c
        for c, t in zip(widths, lengths, strict=True)
    )
    assert counts["temporal (TCB)"] - counts["none"] == 2 * temporal
    assert counts["spatial (SCB)"] - counts["none"] == 2 * spatial
    assert counts["both"] - counts["none"] == 2 * (temporal + spatial)
    assert counts["after every stage"] - counts["none"] == temporal + spatial


def test_a_control_starts_with_half_of_every_residual_branch():
    plain = keras_stc.ResNet3D18(alpha=0.125, input_shape=(8, 32, 32, 3), classes=3)
    assert len(units := [layer for layer in plain.layers if layer.name.endswith("_add")]) == 8
    clip = np.random.default_rng(0).uniform(0, 255, (2, 8, 32, 32, 3)).astype("float32")
    branches = keras.Model(plain.input, [plain.get_layer(unit.name).input for unit in units])
    before = branches(clip)[0]
    halve_residual_branches(plain)
    after = branches(clip)[0]
    np.testing.assert_allclose(after[0], before[0])  # the first unit's skip
    np.testing.assert_allclose(after[1], before[1] / 2, rtol=1e-5, atol=1e-6)
    gammas = [layer.gamma for layer in plain.layers if hasattr(layer, "gamma")]
    assert sum(float(ops.mean(gamma)) == 0.5 for gamma in gammas) == 8


def test_a_single_frame_is_all_that_its_control_sees():
    rng = np.random.default_rng(0)
    clip = rng.uniform(0, 255, (2, 6, 8, 8, 3)).astype("float32")
    seen = ops.convert_to_numpy(MiddleFrame()(clip))
    np.testing.assert_array_equal(seen, np.stack([clip[:, 3]] * 6, axis=1))
    x = keras.Input((None, 8, 8, 3))
    assert MiddleFrame()(x).shape == (None, None, 8, 8, 3)


@pytest.fixture
def study():
    a, b, c = (Setting("stc_resnet18", frames, 2) for frames in (4, 8, 16))
    return Study("frames", "Frames", "table 4", {"4": a, "8": b, "16": c})


@pytest.fixture
def results(study):
    accuracies = {"4": (0.5, 0.7), "8": (0.6, 0.6, 0.9), "16": ()}
    return [
        {
            "key": study.settings[label].key,
            "seed": seed,
            "video@1": accuracy,
            "clip@1": accuracy / 2,
            "parameters": 1_250_000,
            "macs": 500_000_000,
            "seconds": 90,
        }
        for label, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


def test_rows_by_hand(study, results):
    four, eight = rows(study, results)  # nothing of 16 frames
    assert four["seeds"] == [0, 1] and eight["seeds"] == [0, 1, 2]
    np.testing.assert_allclose(four["video@1"].mean(), 0.6)
    # Seeds 0 and 1 are in both: -10 and +10 points, of mean 0 and standard error 14.14 / sqrt(2).
    np.testing.assert_allclose(four["difference"], (0, 10), atol=1e-9)
    assert eight["difference"] is None


def test_markdown_and_plot(study, results, tmp_path):
    class Form:
        def studies(self):
            return {"frames": study}

    text = markdown(Form(), results)
    assert "| 4 | 1.2 M | 0.50 | 2 | 60.0 ± 14.1 | 30.0 ± 7.1 | +0.0 ± 10.0 | 1.5 |" in text
    assert "| 8 | 1.2 M | 0.50 | 3 | 70.0 ± 17.3 | 35.0 ± 8.7 |  | 1.5 |" in text
    alone = [result for result in results if result["seed"] == 0]
    assert "| 4 | 1.2 M | 0.50 | 1 | 50.0 | 25.0 | -10.0 | 1.5 |" in markdown(Form(), alone)
    save_plot(Form(), results, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        save_plot(Form(), results, tmp_path / "a.txt")


def test_networks_with_stc_blocks_are_compared_with_those_without(results):
    """0.5 and 0.7 of the first without, 0.6, 0.6 and 0.9 with; of the second only without."""
    form = FORMS["small"].replace(networks=("resnet3d18", "s3d"))
    study = form.studies()["network"]
    plain, stc, second, _ = (setting.key for setting in study.settings.values())
    keys = {result["key"]: key for result, key in zip(results[::2], (plain, stc), strict=False)}
    theirs = [{**result, "key": keys[result["key"]]} for result in results]
    table = rows(study, [*theirs, {**theirs[0], "key": second}])
    assert [row["label"] for row in table] == ["resnet3d18", "resnet3d18, STC blocks", "s3d"]
    assert table[0]["difference"] is table[2]["difference"] is None
    np.testing.assert_allclose(table[1]["difference"], (0, 10), atol=1e-9)
    text = markdown(form, theirs, ["network"])
    assert "video@1, against the row above" in text and "| +0.0 ± 10.0 |" in text


def test_a_plot_leaves_the_callers_matplotlib_alone(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    pictures = [tmp_path / "1.svg", tmp_path / "2.svg"]
    for picture in pictures:
        with saved_axes(picture, (2, 2)) as axes:
            axes[0, 0].plot([1, 2])
    assert dict(matplotlib.rcParams) == before
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_command_trains_and_goes_on(tmp_path, capsys, monkeypatch):
    videos = helpers.write_videos(tmp_path / "videos")
    out = tmp_path / "out"
    line = ["ablate", str(videos), "--out", str(out), "--studies", "single-frame", "--seeds", "1"]
    line += ["--frames", "4", "--size", "32", "--epochs", "1", "--batch-size", "8"]
    line += ["--alpha", "0.125"]
    assert main([*line, "--plot", str(tmp_path / "a.png")]) == 0
    printed = capsys.readouterr().out
    key = "stc_resnet18-4x2-temporal+spatial-block-r4-a0.125"
    assert f"1 of 2: {key}-single_frame, seed 0" in printed
    assert "| the middle frame, repeated |" in printed and "| all frames |" in printed
    assert (out / "ablation.md").read_text() in printed
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    kept = sorted(out.glob("runs/*/result.json"))
    assert len(kept) == 2
    assert not list(out.rglob("*.keras")) and not list(out.rglob("*.weights.h5"))
    for file in kept:
        figures = json.loads(file.read_text())
        # Four videos of two classes.
        assert figures["video@1"] in (0, 0.25, 0.5, 0.75, 1) and figures["loss"] > 0
        assert figures["macs"] > 1_000_000

    # Run again it trains nothing, and with another seed that seed alone.
    monkeypatch.setattr("keras_stc.ablation.run.train", None)
    assert main([*line, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert main([*line, "--epochs", "2"]) == 1
    assert "recipe.epochs: 1 there, 2 now" in capsys.readouterr().err

    # What another process is training is left to it.
    folder = out / "runs" / f"{key}-seed0"
    (folder / "result.json").unlink()
    with alone(folder, None, ".ablation.lock"):
        assert main(line) == 0
    printed = capsys.readouterr().out
    assert f"2 of 2: {key}, seed 0: another process trains it" in printed
    assert "1 trainings" in printed


def test_a_line_that_trained_nothing_may_be_corrected(tmp_path, capsys):
    videos = str(helpers.write_videos(tmp_path / "videos"))
    line = ["ablate", videos, "--out", str(tmp_path / "out"), "--studies", "single-frame"]
    for size in ("20", "24"):  # the second is not compared with the first
        assert main([*line, "--size", size]) == 1
        assert "32" in capsys.readouterr().err


def test_data_without_a_split_are_held_out(tmp_path, monkeypatch, capsys):
    videos = helpers.write_videos(tmp_path / "videos") / "train"
    seen = {}

    def stop(videos, test, form, *_):
        seen.update(
            videos=len(videos), test=len(test), compared=list(form.studies()["stride"].settings)
        )
        raise ValueError("enough seen")

    monkeypatch.setattr("keras_stc.ablation.run_ablation", stop)
    line = ["ablate", str(videos), "--out", str(tmp_path / "out"), "--studies", "stride"]
    assert main([*line, "--hold-out", "0.34", "--strides", "1", "4"]) == 1
    assert "enough seen" in capsys.readouterr().err
    # Two of the six videos of each of two classes.
    assert seen == {"videos": 8, "test": 4, "compared": ["1", "4"]}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--studies", "depht"], "names out of branches, start, single-frame"),
        (["--studies", "network"], "--studies network compares what --networks names"),
        (["--networks", "s3dd"], "--networks must be one of resnet3d18,"),
        (["--networks", "s3d", "--alpha", "0.5"], "--alpha is the width of residual networks"),
        (["--precision", "half"], "`precision` must be"),
        (["--form", "big"], "--form must be one of small, paper"),
        (["--model", "resnet3d18"], "a network with STC blocks"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--strides", "2", "0"], "--strides must be at least 1. Received: 0"),
        (["--depths", "stc_resnet18", "stc_resnet19"], "--depths must be one of resnet3d18,"),
        (["--plot", "a.txt"], "must end in .svg or .png"),
        (["--plot", "none/a.svg"], "folder of --plot none/a.svg does not exist"),
        (["--studies", "transfer", "--teacher-weights", "no.h5"], "weights no.h5 do not exist"),
    ],
)
def test_wrong_lines_get_a_sentence(options, sentence, tmp_path, capsys):
    assert main(["ablate", "--out", str(tmp_path / "out"), *options]) == 1
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
