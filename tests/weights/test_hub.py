"""Downloads: the real client against a Hub on the loopback, and each way they go wrong."""

import hashlib
import json
import os
import subprocess
import sys

import huggingface_hub
import pytest
from hub_server import READER, WRITER
from huggingface_hub import constants

from keras_stc.files import sha256
from keras_stc.weights.cache import WeightsError, kept_file
from keras_stc.weights.hub import HubAddress, fetch_published, hub_file, parse_address

REPO = "lab/net"
SMALL = b"some weights"
DIGEST = hashlib.sha256(SMALL).hexdigest()

CONFIG = {
    "architecture": {"name": "stc_resnet18"},
    "video_config": {"frames": 4},
    "weights": {"file": "model.weights.h5", "sha256": DIGEST, "bytes": len(SMALL)},
}

FETCH = "from keras_stc.weights.hub import hub_file; print(hub_file('lab/net', 'a.h5'))"


def as_json(value):
    return json.dumps(value).encode()


def test_first_from_the_hub_then_from_the_cache(hub, tmp_path):
    hub.put(REPO, {"a.h5": SMALL})
    path = hub_file(REPO, "a.h5")
    assert path.read_bytes() == SMALL and (tmp_path / "cache" / "hub") in path.parents
    assert hub_file(REPO, "a.h5", sha256=DIGEST) == path
    downloads = hub.asked("GET", "a.h5")
    assert [request.sent for request in downloads] == [len(SMALL)]
    assert len(hub.asked("HEAD", "/resolve/main/a.h5")) == 2


def test_a_cut_download_goes_on_where_it_stopped(hub):
    # The client keeps what arrived in blocks of 10 MiB.
    block, content = constants.DOWNLOAD_CHUNK_SIZE, os.urandom(24 << 20)
    hub.put(REPO, {"a.h5": content})
    hub.faults.cut["a.h5"] = 15_000_000
    path = hub_file(REPO, "a.h5")
    assert sha256(path) == hashlib.sha256(content).hexdigest()
    first, second = hub.asked("GET", "a.h5")
    assert (first.range, first.sent) == (None, 15_000_000)
    assert (second.range, second.status) == (f"bytes={block}-", 206)
    assert second.sent == len(content) - block


def test_two_processes_at_once(hub):
    content = os.urandom(1 << 20)
    hub.put(REPO, {"a.h5": content})
    hub.faults.gate["a.h5"] = 2
    started = [
        subprocess.Popen([sys.executable, "-c", FETCH], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = (process.communicate(timeout=60)[0].strip() for process in started)
    assert [process.returncode for process in started] == [0, 0]
    assert first == second and sha256(first) == hashlib.sha256(content).hexdigest()
    # Both had asked before anything was sent; one fetched it, the other waited for it.
    assert len(hub.asked("GET", "a.h5")) == 1


@pytest.mark.parametrize("given", [None, DIGEST])
def test_wrong_bytes_are_removed_and_named(hub, tmp_path, given):
    hub.put(REPO, {"a.h5": SMALL})
    hub.faults.wrong.add("a.h5")
    received = hashlib.sha256(bytes([SMALL[0] ^ 1]) + SMALL[1:]).hexdigest()
    with pytest.raises(WeightsError) as caught:
        hub_file(REPO, "a.h5", sha256=given)
    for word in ("a.h5 of hf://lab/net", f"Expected: {DIGEST}", f"Received: {received}", "removed"):
        assert word in str(caught.value)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_symlink() or path.is_file()]
    assert not [path for path in left if path.name in ("a.h5", DIGEST)]
    hub.faults.wrong.clear()
    assert hub_file(REPO, "a.h5", sha256=given).read_bytes() == SMALL


def test_damage_in_the_cache_is_found(hub):
    hub.put(REPO, {"a.h5": SMALL})
    path = hub_file(REPO, "a.h5")
    path.resolve().write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="another SHA-256"):
        hub_file(REPO, "a.h5")
    assert hub_file(REPO, "a.h5").read_bytes() == SMALL


def test_damage_of_small_files_in_the_cache_is_found(hub):
    hub.put(REPO, {"config.json": as_json(CONFIG)})
    path = hub_file(REPO, "config.json")
    path.resolve().write_bytes(as_json(CONFIG)[:-5])
    with pytest.raises(WeightsError, match="another Git hash than it must have, and was removed"):
        hub_file(REPO, "config.json")
    assert json.loads(hub_file(REPO, "config.json").read_text()) == CONFIG


def test_a_mirror_that_knows_files_by_their_sha1(hub, monkeypatch):
    monkeypatch.setattr("hub_server.git_hash", lambda content: hashlib.sha1(content).hexdigest())
    hub.put(REPO, {"config.json": as_json(CONFIG)})
    assert json.loads(hub_file(REPO, "config.json").read_text()) == CONFIG


def test_a_kept_file_is_read_where_nothing_can_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_STC_HOME", str(tmp_path))
    made = kept_file("x.bin", lambda path: path.write_bytes(SMALL))
    # Nobody, root included, can make a file where a folder of that name is.
    (tmp_path / ".x.bin.lock").unlink(missing_ok=True)
    (tmp_path / ".x.bin.lock").mkdir()
    assert kept_file("x.bin", None) == made
    made.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="x.bin cannot be made .* KERAS_STC_HOME"):
        kept_file("x.bin", None)


def test_another_file_than_the_one_asked_for(hub):
    hub.put(REPO, {"a.h5": SMALL})
    with pytest.raises(WeightsError, match=f"Expected: {'0' * 64}. Received: {DIGEST}"):
        hub_file(REPO, "a.h5", sha256="0" * 64)


def test_revisions(hub, monkeypatch):
    old = hub.put(REPO, {"a.h5": b"old"})
    api = huggingface_hub.HfApi(endpoint=hub.endpoint, token=WRITER)
    api.create_branch(REPO, branch="v1")
    new = hub.put(REPO, {"a.h5": b"new"})
    for revision, commit, content in (
        (None, new, b"new"),
        ("main", new, b"new"),
        ("v1", old, b"old"),
        (old, old, b"old"),
    ):
        path = hub_file(REPO, "a.h5", revision)
        assert path.read_bytes() == content and path.parent.name == commit
    # A commit that is there needs no request; a branch goes on with its last one.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub_file(REPO, "a.h5", old).read_bytes() == b"old"
    assert hub_file(REPO, "a.h5", "v1").read_bytes() == b"old"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(WeightsError, match="lab/net has no revision 'v9'"):
        hub_file(REPO, "a.h5", "v9")


def test_what_is_not_there(hub):
    hub.put(REPO, {"a.h5": SMALL})
    with pytest.raises(WeightsError, match="^hf://lab/net has no file b.h5.$"):
        hub_file(REPO, "b.h5")
    with pytest.raises(WeightsError, match="no repository lab/none at http://127.* or it is priv"):
        hub_file("lab/none", "a.h5")


def test_what_is_closed(hub, monkeypatch):
    hub.put(REPO, {"a.h5": SMALL})
    hub.faults.closed[REPO] = 401
    with pytest.raises(WeightsError, match="or it is private: .* set HF_TOKEN"):
        hub_file(REPO, "a.h5")
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(WeightsError, match=r"does not accept the token for lab/net \(401\)"):
        hub_file(REPO, "a.h5")
    monkeypatch.setenv("HF_TOKEN", READER)
    assert hub_file(REPO, "a.h5").read_bytes() == SMALL
    # The Hub gets the token, the host of large files does not.
    assert hub.asked("HEAD", "a.h5")[-1].token == READER
    assert [request.token for request in hub.asked("GET", "/cdn/")] == [None]
    hub.put("lab/gated", {"a.h5": SMALL})
    hub.faults.closed["lab/gated"] = 403
    with pytest.raises(WeightsError, match="lab/gated is gated: ask for access at http"):
        hub_file("lab/gated", "a.h5")


def test_offline(hub, monkeypatch, tmp_path):
    hub.put(REPO, {"a.h5": SMALL, "b.h5": SMALL})
    hub_file(REPO, "a.h5")
    asked = len(hub.log)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub_file(REPO, "a.h5").read_bytes() == SMALL
    with pytest.raises(WeightsError) as caught:
        hub_file(REPO, "b.h5")
    for word in ("b.h5 of hf://lab/net", str(tmp_path / "cache" / "hub"), "HF_HUB_OFFLINE"):
        assert word in str(caught.value)
    # The client reads the variable when it is imported; that counts as well.
    done = subprocess.run([sys.executable, "-c", FETCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(hub.log) == asked


def test_without_a_network_the_cache_serves(hub, monkeypatch):
    hub.put(REPO, {"a.h5": SMALL})
    hub_file(REPO, "a.h5")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert hub_file(REPO, "a.h5").read_bytes() == SMALL


@pytest.mark.slow  # The client tries for 23 seconds, at no cost.
def test_without_a_network_and_without_the_file(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(WeightsError, match="a.h5 of hf://lab/net is not in the cache .* connect"):
        hub_file(REPO, "a.h5")


def test_an_endpoint_that_is_none(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    with pytest.raises(WeightsError, match="could not be fetched from nonsense"):
        hub_file(REPO, "a.h5")


def test_a_cache_that_cannot_be_written(hub, monkeypatch, tmp_path):
    hub.put(REPO, {"a.h5": SMALL})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hub").write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="cannot be kept in .* KERAS_STC_HOME"):
        hub_file(REPO, "a.h5")


def test_published(hub):
    old = hub.put(REPO, {"config.json": as_json(CONFIG), "model.weights.h5": SMALL})
    published = fetch_published(f"hf://{REPO}")
    assert published.address == HubAddress(REPO) and published.revision == old
    assert published.config == CONFIG and published.weights.read_bytes() == SMALL
    later = {**CONFIG, "weights": {**CONFIG["weights"], "sha256": "0" * 64}}
    hub.put(REPO, {"config.json": as_json(later)})
    assert fetch_published(f"hf://{REPO}@{old}").weights.read_bytes() == SMALL
    with pytest.raises(WeightsError, match=f"model.weights.h5 .* Expected: {'0' * 64}"):
        fetch_published(HubAddress(REPO))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "it has no config.json"),
        (b"\x00", "its config.json is not JSON"),
        (as_json([]), "lacks architecture, video_config, weights"),
        (as_json({"model_type": "bert"}), "lacks architecture, video_config, weights"),
        (as_json({**CONFIG, "weights": {"file": "a.h5"}}), "lacks weights.sha256"),
        (
            as_json({**CONFIG, "weights": {"file": "../x.weights.h5", "sha256": DIGEST}}),
            "names no .weights.h5 file: '../x.weights.h5'",
        ),
    ],
)
def test_somebody_elses_repository(hub, config, words):
    hub.put(REPO, {"model.safetensors": SMALL, **({"config.json": config} if config else {})})
    with pytest.raises(WeightsError, match="was not made by `keras-stc publish`") as caught:
        fetch_published(f"hf://{REPO}")
    assert words in str(caught.value)


def test_addresses():
    assert parse_address("hf://lab/net.v2_a-b") == HubAddress("lab/net.v2_a-b")
    for revision in ("main", "v1.0", "0123abcd", "refs/pr/1", "feature/x+1"):
        address = parse_address(f"hf://lab/net@{revision}")
        assert address == HubAddress("lab/net", revision)
        assert str(address) == f"hf://lab/net@{revision}" and parse_address(address) is address


@pytest.mark.parametrize(
    "typed",
    [
        *("lab/net", "hf://", "hf://net", "hf://lab/net/file.h5", "hf://lab/", "hf:/lab/net"),
        *("hf://lab/net@", "hf://lab/net@v 1", "hf://lab/net@../../x", "hf://lab/../net"),
        *("hf://-lab/net", "hf://lab/ne--t", "hf://lab/net.git", "https://huggingface.co/lab/net"),
        None,
    ],
)
def test_malformed_addresses(typed):
    with pytest.raises(WeightsError, match="must be hf://owner/repo or hf://owner/repo@revision"):
        parse_address(typed)
