"""Iterators read ahead by threads: their items wait in a queue until somebody needs them."""

import collections
import queue
import threading


class Background:
    """An iterator whose items are made by a thread, some of them in advance.

    An error of the thread's is raised where its items are taken. `close` ends the thread, in the
    middle of a long iteration too.

    Args:
        items: An iterator; a generator is closed when nobody wants more of it.
        ahead: Items that wait at most.
    """

    def __init__(self, items, ahead):
        self._ready = queue.Queue(ahead)
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self):
        return self

    def __next__(self):
        if self._unwanted.is_set():
            raise StopIteration
        item, error = self._ready.get()
        if error is None:
            return item
        self.close()
        raise error

    def stop(self):
        """Lets the thread end, and does not wait for it."""
        self._unwanted.set()

    def close(self):
        """Ends the thread."""
        self.stop()
        self._thread.join()

    def _run(self, items):
        try:
            for item in items:
                if not self._put((item, None)):
                    break
            else:
                self._put((None, StopIteration()))
        except BaseException as error:
            self._put((None, error))
        finally:
            if hasattr(items, "close"):
                items.close()

    def _put(self, item):
        while not self._unwanted.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False


def one_after_the_other(iterators, parallel, ahead):
    """Items of the first iterator, then of the second …, while the next ones run ahead.

    Args:
        iterators: An iterable of them.
        parallel: How many run at a time.
        ahead: Items of each that wait at most.
    """
    running = collections.deque()
    try:
        for iterator in iterators:
            running.append(Background(iterator, ahead))
            if len(running) == parallel:
                yield from running[0]
                running.popleft()
        while running:
            yield from running[0]
            running.popleft()
    finally:
        for each in running:
            each.stop()
        for each in running:
            each.close()
