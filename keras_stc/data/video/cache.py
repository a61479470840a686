"""Per-process cache of frame indices, so that only a video's first clip pays for numbering.

Numbering the frames of a video takes reading all of its packets. The result is kept in memory, for
this process, as long as the file has the same size and time of change.
"""

import collections
import os
import threading

#: Bytes that all frame indices may take together; some 25,000 videos of ten seconds whose times
#: are irregular, any number whose times are regular. Our choice.
CAPACITY = 64 * 2**20

#: Bytes of an entry besides its arrays, roughly.
ENTRY = 500


class KnownFiles:
    """A dictionary from files to what is known of them; the oldest give way. Threads may share it.

    Args:
        capacity: Bytes that it may take.
    """

    def __init__(self, capacity=CAPACITY):
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries = collections.OrderedDict()
        self._bytes = 0

    def get(self, key):
        """What was put down under a key, or `None`."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key, value, size):
        """Puts a value of so many bytes down; `key` may be `None`: it is not kept then."""
        if key is None:
            return
        size += ENTRY
        with self._lock:
            if key in self._entries:
                self._bytes -= self._entries.pop(key)[1]
            self._entries[key] = value, size
            self._bytes += size
            while self._bytes > self._capacity:
                self._bytes -= self._entries.popitem(last=False)[1][1]

    def clear(self):
        """Forgets everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def __len__(self):
        return len(self._entries)


#: Files read before, by this process.
KNOWN_FILES = KnownFiles()


def file_key(path):
    """What tells a file from itself after a change; `None` for remote and missing ones."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return os.path.abspath(path), status.st_size, status.st_mtime_ns
