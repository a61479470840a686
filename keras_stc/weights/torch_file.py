"""PyTorch's files without PyTorch: the tensors of a checkpoint, as arrays.

`torch.save` writes a zip archive (a pickle, and a file for each storage), or, up to version 1.5
and on request, one pickle after another with the storages behind them. Both are read; nothing in
them is run, and nothing outside them is touched.

Format: torch/serialization.py and torch/_utils.py of PyTorch 0.4 to 2.13.
"""

import io
import math
import os
import struct
import zipfile

import numpy as np

from keras_stc.files import first_line
from keras_stc.weights.cache import WeightsError
from keras_stc.weights.load import DAMAGE, LARGEST
from keras_stc.weights.torch_pickle import (
    ForbiddenError,
    Tensor,
    TorchFileError,
    read_pickle,
    shown,
)

#: What the older format begins with.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

#: Bytes that the archive adds to its arrays; what a small file may hold more than its size.
OVERHEAD = 1 << 20


def read_state_dict(path):
    """The tensors of a checkpoint: of its `state_dict`, or of itself where it has none.

    Example:

    ```python
    read_state_dict("r3d_18-b3b3357e.pth")["stem.0.weight"].shape   # (64, 3, 3, 7, 7)
    ```

    Args:
        path: Path of a file that `torch.save` wrote.

    Returns:
        `{name: array}` in the order of the file; floating point as float32.

    Raises:
        WeightsError: If the file is damaged, or holds anything but tensors, dictionaries, lists,
            tuples, text and numbers.
    """
    try:
        with open(path, "rb") as file:
            return _tensors(file, os.fstat(file.fileno()).st_size)
    except ForbiddenError as error:
        raise WeightsError(
            f"{path} asks for more than tensors, and only tensors may be in it: it is refused "
            f"({error})."
        ) from error
    except (*DAMAGE, IndexError, OverflowError, MemoryError, struct.error) as error:
        raise WeightsError(
            f"{path} cannot be read as a PyTorch checkpoint: {first_line(error)}"
        ) from error


def _tensors(file, size):
    open_container = _Archive if zipfile.is_zipfile(file) else _Sequence
    file.seek(0)
    container = open_container(file, size)
    content = container.content
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise TorchFileError("it holds no dictionary of tensors")
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    # A tensor may repeat what its storage holds once, and many may share one.
    if sum(4 * math.prod(t.shape) for t in tensors.values()) > LARGEST * size + OVERHEAD:
        raise TorchFileError("its tensors are far larger than the file")
    storages = {}
    return {name: _array(tensor, container, storages) for name, tensor in tensors.items()}


def _array(tensor, container, storages):
    storage = tensor.storage
    kind = np.dtype("u2" if storage.kind == "bfloat16" else storage.kind)
    kind = kind.newbyteorder(container.byte_order)
    if storage.key not in storages:
        content = container.storage(storage.key, storage.elements * kind.itemsize)
        storages[storage.key] = storage.kind, content
    if storages[storage.key][0] != storage.kind:
        raise TorchFileError("a storage of it is of two types")
    elements = np.frombuffer(storages[storage.key][1], kind)[storage.start :][: storage.length]
    if 0 in tensor.shape:
        array = np.empty(tensor.shape, kind)
    else:
        array = np.lib.stride_tricks.as_strided(
            elements[tensor.offset :],
            tensor.shape,
            [stride * kind.itemsize for stride in tensor.strides],
            writeable=False,
        )
    if storage.kind == "bfloat16":  # the upper half of a float32
        return (array.astype("u4") << 16).view("f4")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite there
        return array.astype("f4" if kind.kind == "f" else kind.newbyteorder("="))


class _Archive:
    """The zip format: `NAME/data.pkl`, `NAME/byteorder`, `NAME/data/0`, ..."""

    def __init__(self, file, size):
        self.archive = zipfile.ZipFile(file)
        names = self.archive.namelist()
        if len(set(names)) != len(names):
            raise TorchFileError("two entries of it have one name")
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise TorchFileError("it is a zip archive without the one data.pkl that PyTorch writes")
        self.folder = pickles[0].removesuffix("data.pkl")
        order = "little"
        if f"{self.folder}byteorder" in names:
            order = self._read("byteorder")
            order = order.decode("ascii", "replace")
        if order not in ("little", "big"):
            raise TorchFileError(f"its byte order is {order!r:.40}, neither little nor big")
        self.byte_order = {"little": "<", "big": ">"}[order]
        content = self._read("data.pkl")
        self.content = read_pickle(io.BytesIO(content), len(content))

    def storage(self, key, size):
        """The bytes of a storage, which must be `size`."""
        return self._read(f"data/{key}", size)

    def _read(self, name, size=None):
        info = self.archive.getinfo(self.folder + name)
        # PyTorch compresses nothing; what is not compressed cannot be larger than the file.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise TorchFileError(f"its entry {name!r:.40} is compressed")
        if size is not None and info.file_size != size:
            raise TorchFileError(f"its entry {name!r:.40} must have {size} bytes")
        return self.archive.read(info)


class _Sequence:
    """The older format: magic number, version, system, content, keys, then the storages.

    Storages are written with the smaller byte first on every machine.
    """

    byte_order = "<"

    def __init__(self, file, size):
        self.file, self.size = file, size
        head = [_next_pickle(file, size)]
        if head[0] != MAGIC:
            raise TorchFileError("it begins with neither of PyTorch's two signs")
        head += [_next_pickle(file, size) for _ in range(2)]
        if head[1] != PROTOCOL:
            raise TorchFileError(f"its format has the number {shown(head[1])}, not {PROTOCOL}")
        if not isinstance(head[2], dict) or head[2].get("little_endian") is not True:
            raise TorchFileError("it is of a machine with another byte order")
        self.content = _next_pickle(file, size)
        keys = _next_pickle(file, size)
        if not isinstance(keys, list) or not all(isinstance(key, (str, int)) for key in keys):
            raise TorchFileError("its list of storages is malformed")
        self.keys = [str(key) for key in keys]
        self.at = file.tell()
        self.sizes = _storage_sizes(self.content)
        self.places = {}

    def storage(self, key, size):
        """The bytes of a storage, which must be `size`."""
        if not self.places:
            self._find()
        start, known_size = self.places[key]
        if known_size != size:
            raise TorchFileError(f"its storage {key!r:.40} is of two sizes")
        self.file.seek(start)
        return self.file.read(size)

    def _find(self):
        at = self.at
        for key in self.keys:
            if key not in self.sizes:
                raise TorchFileError(f"its storage {key!r:.40} belongs to nothing")
            elements, item = self.sizes[key]
            self.file.seek(at)
            (declared,) = struct.unpack("<q", self.file.read(8))
            at += 8
            if declared != elements or at + elements * item > self.size:
                raise TorchFileError(f"its storage {key!r:.40} is cut or of another size")
            self.places[key] = at, elements * item
            at += elements * item


def _next_pickle(file, size):
    return read_pickle(file, size - file.tell())


def _storage_sizes(content):
    """`{key: (elements, bytes of one)}` of every storage below the content."""
    sizes, seen, waiting = {}, set(), [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            item = 2 if value.storage.kind == "bfloat16" else np.dtype(value.storage.kind).itemsize
            sizes[value.storage.key] = value.storage.elements, item
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, dict) else value
    return sizes
