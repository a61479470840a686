"""PyTorch's files without PyTorch: right ones to the bit, wrong ones refused in a sentence."""

import collections
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch_writer

from keras_stc.weights.cache import WeightsError
from keras_stc.weights.torch_file import read_state_dict

RNG = np.random.default_rng(3)
WRITERS = (torch_writer.zip_file, torch_writer.sequence_file)


def content():
    return {
        "epoch": 3,
        "best": (0.5, None, True, "text", -(10**30)),
        "state_dict": collections.OrderedDict(
            [
                ("conv.weight", RNG.normal(size=(4, 3, 2, 2, 2)).astype("float32")),
                ("half", RNG.normal(size=5).astype("float16")),
                ("double", RNG.normal(size=(2, 3))),
                ("counter", np.array(7)),
                ("turned", RNG.normal(size=(3, 5)).astype("float32").T),
                ("not a tensor", [1, {2: "x"}]),
            ]
        ),
    }


def check(got, tensors):
    assert list(got) == list(tensors)
    for name, want in tensors.items():
        want = want.astype("float32") if want.dtype.kind == "f" else want
        assert got[name].dtype == want.dtype, name
        np.testing.assert_array_equal(got[name], want, err_msg=name)


def refused(path):
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    sentence = str(caught.value)
    assert str(path) in sentence and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("write", WRITERS)
def test_both_formats(write, tmp_path):
    whole = content()
    whole["state_dict"]["turned"] = np.ascontiguousarray(whole["state_dict"]["turned"])
    write(tmp_path / "x.pth", whole)
    tensors = {k: v for k, v in whole["state_dict"].items() if isinstance(v, np.ndarray)}
    check(read_state_dict(tmp_path / "x.pth"), tensors)
    write(tmp_path / "y.pth", tensors)  # bare, as torchvision publishes them
    check(read_state_dict(tmp_path / "y.pth"), tensors)


def torch_tensors(torch, dtype):
    base = (torch.arange(60) - 20).to(dtype)
    return {
        "whole": base.view(3, 4, 5),
        "turned": base.view(3, 20).t(),
        "strided": base[7:19:2],
        "shared": base,
        "parameter": torch.nn.Parameter(base.float() / 7),
        "scalar": torch.tensor(3).to(dtype),
        "empty": torch.empty(0, 3).to(dtype),
        "expanded": base[30:31].expand(7),
    }


@pytest.mark.torch
@pytest.mark.parametrize("new", [True, False])
def test_what_pytorch_wrote(new, tmp_path):
    torch = pytest.importorskip("torch")
    names = "float16 bfloat16 float32 float64 int64 int32 int16 int8 uint8 bool".split()
    for name in names:
        tensors = torch_tensors(torch, getattr(torch, name))
        state = collections.OrderedDict(tensors)
        state._metadata = {"": {"version": 1}}
        wrapped = {"state_dict": state, "optimizer": {"state": {0: {"m": tensors["shared"]}}}}
        for each in (state, wrapped):
            torch.save(each, tmp_path / "x.pth", _use_new_zipfile_serialization=new)
            want = {
                key: (t.float() if t.is_floating_point() else t).detach().numpy()
                for key, t in tensors.items()
            }
            check(read_state_dict(tmp_path / "x.pth"), want)


@pytest.mark.torch
def test_the_hand_made_files_are_pytorchs(tmp_path):
    """PyTorch reads what `torch_writer` writes to the same arrays."""
    torch = pytest.importorskip("torch")
    for write in WRITERS:
        write(tmp_path / "x.pth", content()["state_dict"])
        theirs = torch.load(tmp_path / "x.pth", weights_only=True)
        ours = read_state_dict(tmp_path / "x.pth")
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name].numpy().astype(array.dtype))


def test_pytorch_is_not_needed(tmp_path):
    torch_writer.zip_file(tmp_path / "x.pth", content())
    probe = (
        "import sys; sys.modules['torch'] = None\n"
        "from keras_stc.weights.torch_file import read_state_dict\n"
        "print(len(read_state_dict(sys.argv[1])))"
    )
    command = [sys.executable, "-c", probe, str(tmp_path / "x.pth")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "5\n", done.stderr


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def nested(times):
    """A pickle's beginning: a tuple of two of a tuple of two ..., so deep that no text holds it."""
    pairs = (b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(times))
    return b")q\x00" + b"".join(pairs)


def test_little_does_not_become_very_much(tmp_path):
    path = tmp_path / "x.pth"
    for end, words in (
        (b"\x8c\x01x\x93.", "damaged"),
        (b"(h(NNNNtQ.", "a persistent <tuple>"),
        (b"(U\x07storageh(NNNtQ.", "a storage of the kind <tuple>"),
    ):
        torch_writer.zip_file(path, {}, **{"data.pkl": nested(40) + end})
        assert words in refused(path)


def test_anything_else_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    for write in WRITERS:
        write(path, {"a": Evil(tmp_path / "written")})
        assert "asks for more than tensors" in refused(path) and "open" in refused(path)
        write(path, {"a": {3, 4}})
        assert "asks for more than tensors" in refused(path)
    for pickled, words in (
        (b"cos\nsystem\n(S'touch written'\ntR.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.", "os.system"),
        (b"(S'x'\nios\nsystem\n.", "the operation INST"),
        (b"ccollections\nOrderedDict\n}S'fromkeys'\nNsb.", "attributes of something else"),
        (b"}(K\x01K\x02K\x03u.", "damaged"),
        (b"}))s.", "a dictionary with a tuple"),
        (b"}Ntr.", "damaged"),
        (b"}r\xff\xff\xff\xff.", "no dictionary of tensors"),
        (b"]((lp0\ng9\n.", "damaged"),
        (b"U\x01xQ.", "damaged"),
        (b"(U\x06moduleNNNNtQ.", "a persistent 'module'"),
        (b"cos\nsys\rtem\n.", "asks for more"),
        (b"", "damaged"),
        (b"}", "damaged"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),
    ):
        torch_writer.zip_file(path, {}, **{"data.pkl": pickled})
        assert words in refused(path), pickled
    assert [file.name for file in tmp_path.iterdir()] == ["x.pth"]


def tensor_pickle(
    elements="K\x04", key="0", offset="K\x00", shape="K\x04\x85", strides="K\x01\x85"
):
    """`{"a": tensor}` by hand, with numbers that no PyTorch would write."""
    storage = f"(U\x07storagectorch\nFloatStorage\nU{chr(len(key))}{key}U\x03cpu{elements}tQ"
    call = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}{offset}{shape}{strides}\x89Nt"
    return f"}}U\x01a{call}Rs.".encode("latin-1")


def test_tensors_that_reach_too_far(tmp_path):
    path = tmp_path / "x.pth"
    storage = np.arange(4, dtype="float32").tobytes()

    def attempt(**numbers):
        entries = {"data.pkl": tensor_pickle(**numbers), "data/0": storage}
        torch_writer.zip_file(path, {}, **entries)
        return path

    np.testing.assert_array_equal(read_state_dict(attempt())["a"], [0, 1, 2, 3])
    huge = "\x8a\x08" + "\xff" * 7 + "\x7f"
    for numbers, words in (
        ({"offset": "K\x01"}, "reaches beyond"),
        ({"strides": "K\x02\x85"}, "reaches beyond"),
        ({"shape": f"{huge}\x85"}, "reaches beyond"),
        ({"offset": huge}, "reaches beyond"),
        ({"shape": f"{huge}\x85", "strides": "K\x00\x85"}, "far larger than the file"),
        ({"offset": "J\xff\xff\xff\xff"}, "impossible shape"),
        ({"strides": "J\xff\xff\xff\xff\x85"}, "impossible shape"),
        ({"shape": "\x88\x85"}, "impossible shape"),
        ({"shape": "K\x02K\x02\x86"}, "damaged"),
        ({"elements": "K\x05", "shape": "K\x05\x85"}, "must have 20 bytes"),
        ({"elements": huge, "shape": "K\x05\x85"}, "must have"),
        ({"elements": "J\xff\xff\xff\xff"}, "impossible size"),
        ({"key": "../../x"}, "cannot be read"),
        ({"key": "/etc/passwd"}, "cannot be read"),
        ({"key": "9"}, "cannot be read"),
    ):
        assert words in refused(attempt(**numbers)), numbers


def test_archives_that_are_not_pytorchs(tmp_path):
    path = tmp_path / "x.pth"
    zeros = {"a": np.zeros(10**6, "float32")}
    torch_writer.zip_file(path, zeros, compression=zipfile.ZIP_DEFLATED)
    assert os.path.getsize(path) < 10**5 and "is compressed" in refused(path)
    torch_writer.zip_file(path, zeros, byte_order="middle")
    assert "neither little nor big" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
    assert "without the one data.pkl" in refused(path)
    torch_writer.zip_file(path, zeros)
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", b"x" * 4 * 10**6)
    assert "have one name" in refused(path)
    torch_writer.sequence_file(path, zeros, system={"little_endian": False})
    assert "another byte order" in refused(path)
    path.write_bytes(b"no such thing")
    assert "cannot be read as a PyTorch checkpoint" in refused(path)
    path.write_bytes(pickle.dumps({"a": 1}, 2))
    assert "neither of PyTorch's two signs" in refused(path)
    for write in WRITERS:
        write(path, [np.zeros(3, "float32")])
        assert "no dictionary of tensors" in refused(path)


def test_a_big_endian_archive_is_read(tmp_path):
    values = np.arange(4, dtype="float32")
    entries = {"data.pkl": tensor_pickle(), "data/0": values.astype(">f4").tobytes()}
    torch_writer.zip_file(tmp_path / "x.pth", {}, byte_order="big", **entries)
    check(read_state_dict(tmp_path / "x.pth"), {"a": values})


@pytest.mark.parametrize("write", WRITERS)
def test_damaged_files_get_a_sentence(write, tmp_path):
    """Cut anywhere, or with bytes changed anywhere: refused, or read to arrays, never a crash."""
    path = tmp_path / "x.pth"
    write(path, content())
    whole = path.read_bytes()
    refusals = 0
    for cut in RNG.integers(0, len(whole), 150):
        path.write_bytes(whole[:cut])
        refused(path)
    for _ in range(600):
        damaged = bytearray(whole)
        for place in RNG.integers(0, len(whole), RNG.integers(1, 4)):
            damaged[place] = RNG.integers(256)
        path.write_bytes(damaged)
        try:
            found = read_state_dict(path)
        except WeightsError as error:
            refusals += 1
            assert "\n" not in str(error)
        else:
            assert all(isinstance(array, np.ndarray) for array in found.values())
    assert refusals > 100
