"""The pickle in a PyTorch file, read by an allow-list: data alone, nothing that could run.

Python's own unpickler builds whatever a pickle names; restricted to a list of names, it can still
be made to change what stands on that list, or to ask for any amount of memory. So its machine is
rebuilt here for what `torch.save` writes of a checkpoint: tensors, parameters, dictionaries, lists,
tuples, text and numbers (PyTorch's `weights_only=True` goes the same way).
"""

import dataclasses
import pickletools

#: Storage class of PyTorch -> type of its elements, in NumPy's words; `bfloat16` has no such.
STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class TorchFileError(ValueError):
    """What is wrong with a file, as half a sentence."""


class ForbiddenError(TorchFileError):
    """The pickle names something that is not on the list."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """A block of elements that tensors lie in.

    Attributes:
        key: Its name in the file.
        kind: A value of `STORAGES`.
        elements: How many of them the block has.
        start: The first one that is meant, where it is a view of the block.
        length: How many are meant.
    """

    key: str
    kind: str
    elements: int
    start: int
    length: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor that has not been read: where it lies in its storage, in elements.

    Attributes:
        storage: Its `Storage`.
        offset: Of its first element.
        shape: Tuple of integers.
        strides: As many.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickle(file, size):
    """Reads one pickle.

    Args:
        file: A binary file object that stands at its beginning; it stands behind it afterwards.
        size: Bytes that are left in the file, which bounds how much the pickle may build.

    Returns:
        What it holds, with `Tensor` in place of tensors.

    Raises:
        ForbiddenError: If it names anything outside the list.
        TorchFileError: If it is malformed.
    """
    return _Machine(size).run(file)


def shown(value):
    """A value of a pickle for a message; nested ones, whose text may have no end, by their type."""
    return f"{value!r:.40}" if isinstance(value, (str, int)) else f"<{type(value).__name__}>"


#: What marks the beginning of a group of values on the stack.
_MARK = object()


@dataclasses.dataclass(frozen=True)
class _Global:
    """Something that a pickle may name."""

    name: str


class _Machine:
    """The stack and the memory of one pickle."""

    def __init__(self, size):
        self.stack = []
        self.memo = {}
        self.room = size  # Each pair of a copied dictionary has cost a byte at least.

    def run(self, file):
        try:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name != "STOP":  # behind which there is nothing
                    self._step(opcode.name, argument)
            return self.stack.pop()
        except TorchFileError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            raise TorchFileError(f"its pickle is damaged ({type(error).__name__})") from error

    def _step(self, name, argument):
        stack = self.stack
        if name in _IGNORED:
            return
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _SHORT_TUPLES:
            count = _SHORT_TUPLES[name]
            if count > len(stack):
                raise IndexError
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(self._global(name, argument))
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        else:
            raise ForbiddenError(f"the operation {name}")

    def _global(self, name, argument):
        if name == "GLOBAL":
            global_name = argument.replace(" ", ".", 1)
        else:
            names = self.stack[-1:-3:-1]
            del self.stack[-2:]
            if len(names) != 2 or not all(isinstance(each, str) for each in names):
                raise TypeError
            global_name = ".".join(reversed(names))
        if global_name not in _CALLS and global_name.removeprefix("torch.") not in STORAGES:
            raise ForbiddenError(f"{global_name!r:.80}")
        return _Global(global_name)

    def _group(self):
        """Takes the values behind the last mark from the stack."""
        position = len(self.stack) - 1
        while self.stack[position] is not _MARK:
            position -= 1
            if position < 0:
                raise IndexError
        values = self.stack[position + 1 :]
        del self.stack[position:]
        return values

    def _reduce(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or function.name not in _CALLS:
            raise ForbiddenError("a call of something else than tensors and dictionaries")
        self.stack.append(_CALLS[function.name](self, *arguments))

    def _build(self):
        """The attributes of a dictionary, which PyTorch keeps versions in, are left out."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise ForbiddenError("attributes of something else than a dictionary")

    def _set(self, pairs):
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise TypeError
        if len(pairs) % 2:
            raise IndexError
        self._fill(target, zip(pairs[::2], pairs[1::2], strict=True))

    def _append(self, values):
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError
        target += values

    def _dictionary(self, pairs=()):
        """`OrderedDict()`, or, as Python 2 wrote it, `OrderedDict([[key, value], ...])`."""
        self.room -= len(pairs)
        if self.room < 0:
            raise TorchFileError("its pickle builds more than it holds")
        built = {}
        self._fill(built, pairs)
        return built

    @staticmethod
    def _fill(target, pairs):
        for key, value in pairs:
            # Other keys could be nested so deeply that hashing them ends the process.
            if not isinstance(key, (str, int)):
                raise ForbiddenError(f"a dictionary with a {type(key).__name__} for a key")
            target[key] = value

    def _tensor(self, storage, offset, shape, strides, *_):
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, Storage) or len(shape) != len(strides):
            raise TypeError
        if len(shape) > 32 or not all(type(number) is int and number >= 0 for number in numbers):
            raise TorchFileError("a tensor of it has an impossible shape")
        reach = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
        if reach > storage.length and 0 not in shape:
            raise TorchFileError("a tensor of it reaches beyond its storage")
        return Tensor(storage, offset, tuple(shape), tuple(strides))

    def _parameter(self, tensor, *_):
        if not isinstance(tensor, Tensor):
            raise TypeError
        return tensor

    def _storage(self):
        """`("storage", class, key, device, elements[, (key, first, length)])`."""
        tag, kind, key, _, elements, *view = self.stack.pop()
        if tag != "storage":
            raise ForbiddenError(f"a persistent {shown(tag)}")
        name = kind.name.removeprefix("torch.") if isinstance(kind, _Global) else ""
        if name not in STORAGES:
            raise ForbiddenError(f"a storage of the kind {name or shown(kind)}")
        start, length = 0, elements
        if view and view[0] is not None:
            _, start, length = view[0]
        if not all(type(n) is int and n >= 0 for n in (elements, start, length)):
            raise TorchFileError("a storage of it has an impossible size")
        if start + length > elements or not isinstance(key, (str, int)):
            raise TorchFileError("a storage of it is malformed")
        self.stack.append(Storage(str(key), STORAGES[name], elements, start, length))


_IGNORED = ("PROTO", "FRAME")
_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),  # Python 2's
)
_CONSTANTS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _dict(machine):
    pairs = machine._group()
    machine.stack.append({})
    machine._set(pairs)


def _set_item(machine):
    pair = machine.stack[-2:]
    del machine.stack[-2:]
    machine._set(pair)


_ACTIONS = {
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._storage,
    "TUPLE": lambda machine: machine.stack.append(tuple(machine._group())),
    "LIST": lambda machine: machine.stack.append(machine._group()),
    "DICT": _dict,
    "SETITEM": _set_item,
    "SETITEMS": lambda machine: machine._set(machine._group()),
    "APPEND": lambda machine: machine._append([machine.stack.pop()]),
    "APPENDS": lambda machine: machine._append(machine._group()),
}
_CALLS = {
    "collections.OrderedDict": _Machine._dictionary,
    "torch._utils._rebuild_tensor": _Machine._tensor,
    "torch._utils._rebuild_tensor_v2": _Machine._tensor,
    "torch._utils._rebuild_parameter": _Machine._parameter,
    "torch._utils._rebuild_parameter_with_state": _Machine._parameter,
}
