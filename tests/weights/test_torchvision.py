"""torchvision's Kinetics-400 files: fetched over the loopback, checked, and in the networks."""

import contextlib
import dataclasses
import hashlib
import http.server
import threading

import numpy as np
import pytest
import torch_writer
from helpers import answers

import keras_stc
from keras_stc.models.complexity import count_parameters
from keras_stc.weights import registry
from keras_stc.weights.cache import WeightsError
from keras_stc.weights.foreign import read_foreign
from keras_stc.weights.torchvision import torchvision_file

CONTENT = np.random.default_rng(2).bytes(300_000)


class Mirror(http.server.ThreadingHTTPServer):
    """Serves `files`, whole or from a byte on; `cut` breaks the next answer off after so many."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MirrorHandler)
        self.files, self.log, self.cut, self.knows_ranges = {}, [], None, True
        self.address = f"http://127.0.0.1:{self.server_port}/models"

    def put(self, stem, content):
        """Serves a file under the name that torchvision would give it, which it returns."""
        name = f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        self.files[f"/models/{name}"] = content
        return name


class MirrorHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted, content = self.headers.get("Range"), self.server.files.get(self.path)
        self.server.log.append(wanted)
        if content is None:
            return self.send_error(404)
        start = int(wanted[len("bytes=") : -1]) if wanted and self.server.knows_ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", place)
        self.end_headers()
        sent = content[start:]
        if self.server.cut is not None:
            sent, self.server.cut = sent[: self.server.cut], None
        with contextlib.suppress(ConnectionError):
            self.wfile.write(sent)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    server = Mirror()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("KERAS_STC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_STC_TORCHVISION", server.address)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_fetched_once_and_remembered(mirror, tmp_path):
    name = mirror.put("x", CONTENT)
    path = torchvision_file(name)
    assert path == tmp_path / "home" / name and path.read_bytes() == CONTENT
    remembered = path.with_name(f"{name}.sha256").read_text().strip()
    assert remembered == hashlib.sha256(CONTENT).hexdigest()
    assert torchvision_file(name) == path and mirror.log == [None]
    path.write_bytes(CONTENT[:-1] + b"x")  # damaged on the disk
    assert torchvision_file(name).read_bytes() == CONTENT and len(mirror.log) == 2
    assert {file.name for file in path.parent.glob("[!.]*")} == {name, f"{name}.sha256"}
    assert not list(path.parent.glob(".*.part"))


def test_taken_up_where_it_broke_off(mirror):
    name = mirror.put("x", CONTENT)
    mirror.cut = 100_000
    assert torchvision_file(name).read_bytes() == CONTENT
    assert mirror.log == [None, "bytes=100000-"]


def test_taken_up_by_another_process(mirror, tmp_path):
    """A download that was killed left its part behind: some of the file, or all of it."""
    part = tmp_path / "home"
    part.mkdir()
    for done in (77, len(CONTENT), len(CONTENT) + 5):
        name = mirror.put(f"x{done}", CONTENT)
        (part / f".{name}.part").write_bytes((CONTENT + bytes(9))[:done])
        assert torchvision_file(name).read_bytes() == CONTENT
    assert mirror.log[:2] == ["bytes=77-", f"bytes={len(CONTENT)}-"] and mirror.log[-1] is None


def test_a_server_that_knows_no_ranges(mirror):
    mirror.knows_ranges, mirror.cut = False, 1000
    assert torchvision_file(mirror.put("x", CONTENT)).read_bytes() == CONTENT


def test_another_file_is_refused_and_removed(mirror, tmp_path):
    name = mirror.put("x", CONTENT)
    mirror.files[f"/models/{name}"] = CONTENT[::-1]
    with pytest.raises(WeightsError, match="another SHA-256 than its name says") as caught:
        torchvision_file(name)
    assert "\n" not in str(caught.value)
    assert not [file for file in (tmp_path / "home").iterdir() if file.suffix != ".lock"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{mirror}/elsewhere", "404 Not Found"),
        ("http://127.0.0.1:9", "refused"),
        ("file:///etc", "no address that begins with https://"),
        ("ftp://127.0.0.1/x", "no address that begins with https://"),
    ],
)
def test_what_does_not_come_gets_a_sentence(mirror, monkeypatch, address, words, tmp_path):
    monkeypatch.setenv("KERAS_STC_TORCHVISION", address.format(mirror=mirror.address))
    with pytest.raises(WeightsError, match=words) as caught:
        keras_stc.MC318(weights="kinetics400", input_shape=(2, 32, 32, 3))
    sentence = str(caught.value)
    assert "\n" not in sentence and "KERAS_STC_TORCHVISION" in sentence
    assert "mc3_18-a90a0ba3.pth" in sentence and str(tmp_path / "home") in sentence


def test_put_there_by_hand(mirror, tmp_path):
    name = mirror.put("x", CONTENT)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / name).write_bytes(CONTENT)
    assert torchvision_file(name).read_bytes() == CONTENT and not mirror.log
    (tmp_path / "home" / "y-00000000.pth").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="must begin with 00000000, as its name says"):
        torchvision_file("y-00000000.pth")


#: Ours, its tag, the reference's name, the clip, and what the constructor is given besides.
CASES = [
    ("ResNet3D18", "kinetics400", "R3D18", (4, 40, 48), {}),
    ("MC318", "kinetics400", "MC318", (4, 40, 48), {}),
    ("R2Plus1D18", "kinetics400", "R2Plus1D18", (4, 40, 48), {}),
    ("S3D", "kinetics400", "S3D", (9, 64, 64), {}),
    ("STCResNet18", "kinetics400-r3d", "R3D18", (4, 32, 32), {}),
    ("STCMC318", "kinetics400-mc3", "MC318", (4, 32, 32), {}),
    ("STCR2Plus1D18", "kinetics400-r2plus1d", "R2Plus1D18", (4, 32, 32), {}),
    ("S3D", "kinetics400", "S3D", (8, 32, 32), {"stc": True}),
]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("ours", "tag", "theirs", "clip", "options"), CASES, ids=[f"{c[0]}{c[4] or ''}" for c in CASES]
)
def test_networks(ours, tag, theirs, clip, options, mirror, monkeypatch, tmp_path):
    """A file as torchvision publishes it, of a PyTorch network, answers as that network does."""
    torch = pytest.importorskip("torch")
    import torch_rivals
    from test_convert import our_logits, randomize, torch_logits

    from keras_stc.models.zoo import model_name

    reference = randomize(torch_rivals.create(theirs))
    torch.save(reference.state_dict(), tmp_path / "x", _use_new_zipfile_serialization=False)
    record = registry.find_record(model_name(ours), tag)
    stem = record.file.rpartition("-")[0]
    name = mirror.put(stem, (tmp_path / "x").read_bytes())
    own = dataclasses.replace(record, file=name)
    monkeypatch.setattr(registry, "records", lambda: (own,))

    model = getattr(keras_stc, ours)(weights=tag, input_shape=(*clip, 3), **options)
    config = model.video_config
    assert len(config.class_names) == 400 and config.class_names[0] == "abseiling"
    assert config.fps == 15 and config.resize == tuple(
        round(side * new / old)
        for side, new, old in zip(
            record.video_config["resize"], clip[1:], (record.video_config["size"],) * 2, strict=True
        )
    )
    clips = np.random.default_rng(5).uniform(0, 255, (2, *clip, 3)).astype("float32")
    want = torch_logits(reference, clips, "torchvision")
    if ours == "S3D":
        import keras

        inner = keras.Model(model.input, model.get_layer("Logits").output)
        got = answers(inner, clips)
    else:
        got = our_logits(model, clips)
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())
    if not options and "STC" not in ours:
        assert count_parameters(model) == record.parameters
        done = keras_stc.convert_checkpoint(tmp_path / "home" / name, input_shape=(*clip, 3))
        assert done.arch == model_name(ours) and done.normalization == "torchvision"
        assert all(key.endswith("num_batches_tracked") for key in done.unused)
        for one, other in zip(done.model.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_another_networks_file(mirror, monkeypatch, tmp_path):
    torch_writer.zip_file(tmp_path / "x", {"a.weight": np.zeros(3, "float32")})
    record = registry.find_record("mc318", "kinetics400")
    own = dataclasses.replace(record, file=mirror.put("mc3_18", (tmp_path / "x").read_bytes()))
    monkeypatch.setattr(registry, "records", lambda: (own,))
    with pytest.raises(WeightsError, match="it lacks conv1, and holds a.weight instead"):
        keras_stc.MC318(weights="kinetics400")


def test_half_a_convolution_is_none(tmp_path):
    """Of R(2+1)D, whose first convolution over space is missing."""
    zeros = np.zeros((4, 4, 3, 1, 1), "float32")
    state = {f"{name}.weight": zeros for name in ("stem.3", "layer4.0.conv2.0.0")}
    state |= {"stem.4.running_var": np.ones(4, "float32"), "layer4.0.conv2.0.3.weight": zeros}
    torch_writer.zip_file(tmp_path / "x.pth", state)
    with pytest.raises(WeightsError, match="it lacks conv1, and holds nothing instead"):
        read_foreign(tmp_path / "x.pth")


def test_how_torchvision_feeds_them():
    config = keras_stc.VideoConfig.from_dict(
        registry.find_record("r2plus1d18", "kinetics400").video_config
    )
    assert (config.frames, config.fps, config.crop) == (16, 15, (112, 112))
    assert config.resize == (128, 171)
    # Its mean and std, 0-1, of torchvision.transforms._presets.VideoClassification.
    mean, std = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
    np.testing.assert_allclose(config.mean, 255 * np.array(mean), rtol=1e-6)
    np.testing.assert_allclose(config.std, 255 * np.array(std), rtol=1e-6)
    assert keras_stc.VideoConfig.from_dict(config.to_dict()) == config
    for bad in ((100, 171), (128, 171, 3), (128,)):
        with pytest.raises(ValueError, match="`resize`, the short side before the crop"):
            config.replace(resize=bad)
