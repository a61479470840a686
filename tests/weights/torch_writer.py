"""Files as `torch.save` writes them, made without PyTorch, to be right or wrong at will."""

import io
import pickle
import struct
import zipfile

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
}


class _Pickler(pickle._Pickler):
    """Writes an array as PyTorch writes a tensor: a call that names its storage and strides."""

    def __init__(self, file, legacy):
        super().__init__(file, 2)
        self.legacy, self.storages = legacy, []

    def save(self, value, save_persistent_id=True):
        if not isinstance(value, np.ndarray):
            return super().save(value, save_persistent_id)
        self.storages.append(value)
        self.write(b"ctorch._utils\n_rebuild_tensor_v2\n(" + b"(")
        super().save("storage")
        self.write(f"ctorch\n{STORAGES[value.dtype.name]}\n".encode())
        last = (None,) if self.legacy else ()
        for each in (str(len(self.storages) - 1), "cpu", value.size, *last):
            super().save(each)
        self.write(b"tQ")
        for each in (0, value.shape, tuple(s // value.itemsize for s in value.strides), False):
            super().save(each)
        return self.write(b"ccollections\nOrderedDict\n)RtR")


def _pickled(content, legacy):
    file = io.BytesIO()
    pickler = _Pickler(file, legacy)
    pickler.dump(content)
    return file.getvalue(), pickler.storages


def zip_file(path, content, *, compression=zipfile.ZIP_STORED, byte_order="little", **entries):
    """Writes the format since PyTorch 1.6.

    Args:
        path: Where to.
        content: Dictionaries, lists and the like, with arrays for tensors.
        compression: Of the archive.
        byte_order: What it says it has.
        **entries: `{name: bytes}` in place of what there would be, or beside it.
    """
    data, storages = _pickled(content, legacy=False)
    files = {"data.pkl": data, "byteorder": byte_order.encode(), "version": b"3\n"}
    files |= {f"data/{i}": array.tobytes() for i, array in enumerate(storages)}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, bytes_ in {**files, **entries}.items():
            archive.writestr(f"archive/{name}", bytes_)


def sequence_file(path, content, *, system=None):
    """Writes the format before PyTorch 1.6, or with `_use_new_zipfile_serialization=False`."""
    system = {"protocol_version": PROTOCOL, "little_endian": True} if system is None else system
    data, storages = _pickled(content, legacy=True)
    with open(path, "wb") as file:
        for head in (MAGIC, PROTOCOL, system):
            pickle.dump(head, file, 2)
        file.write(data)
        pickle.dump([str(i) for i in range(len(storages))], file, 2)
        for array in storages:
            file.write(struct.pack("<q", array.size) + array.tobytes())
