"""Quarantine: videos that cannot be used are put aside; a majority of them stops the run."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_stc import files
from keras_stc.data.errors import VideoError

if TYPE_CHECKING:
    from keras_stc.data.sets.video import Video


class Quarantine:
    """Which videos could not be used, and why. Several threads may share one.

    Example:

    ```python
    clips = keras_stc.data.clip_dataset(videos, training=True)
    model.fit(clips)
    print(clips.quarantine.report())
    clips.quarantine.save("bad_videos.csv")
    ```

    Args:
        limit: Share of the watched videos that may be bad before the run stops.
        reasons: A dict of videos that are put aside from the start, as `reasons` is.

    Attributes:
        fatal: The sentence with which the run stopped, or `None`.
    """

    def __init__(
        self, limit: float = 0.5, reasons: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    ) -> None:
        self.limit = limit
        self.fatal = None
        self._lock = threading.Lock()
        self._watched = set()
        self._reasons = dict(reasons)

    def watch(self, names: Iterable[str]) -> None:
        """Adds videos to those of which at most `limit` may be bad.

        Args:
            names: Their `Video.name`s; those known already count once.
        """
        with self._lock:
            self._watched.update(names)

    def add(self, name: str, error: Exception | str) -> None:
        """Puts a video aside.

        Args:
            name: Its `Video.name`.
            error: Why: an exception or a sentence. The first reason stays.

        Raises:
            VideoError: If more than `limit` of the watched videos are bad by now.
        """
        with self._lock:
            self._reasons.setdefault(name, str(error))
            bad, total = len(self._reasons), len(self._watched)
            if self.fatal is None and bad > self.limit * total:
                self.fatal = (
                    f"{bad} of {total} videos cannot be used, too many to go on; the first: "
                    f"{next(iter(self._reasons.values()))}"
                )
        self.check()

    def check(self) -> None:
        """Raises the `VideoError` of a run that had to stop."""
        if self.fatal is not None:
            raise VideoError(self.fatal)

    def first_usable(
        self,
        videos: Sequence[Video],
        first: int,
        read: Callable[[Video], Any],
        avoid: Collection[str] = (),
    ) -> tuple[Video, Any]:
        """What is read of a video, or of the next one in the list that can be used.

        Args:
            videos: A list of videos.
            first: Place of the one that is wanted.
            read: Called with a video.
            avoid: Files whose videos take the place of a bad one only where no other can.

        Returns:
            A pair, the video and what `read` returned of it.

        Raises:
            VideoError: If too many videos are bad to go on, or none is left.
        """
        later = (videos[place % len(videos)] for place in range(first + 1, first + len(videos)))
        unwanted = []
        for video in itertools.chain([videos[first]], _put_off(later, avoid, unwanted), unwanted):
            self.check()
            if video.name in self:
                continue
            try:
                return video, read(video)
            except VideoError as error:
                self.add(video.name, error)
        bad = [video.name for video in videos if video.name in self]
        raise VideoError(
            f"{len(bad)} of {len(videos)} videos cannot be used, and none is left to take the "
            f"place of {videos[first].name}; the first: {self.reasons[bad[0]]}"
        )

    @property
    def reasons(self) -> dict[str, str]:
        """A dict from a video's name to the reason, in the order in which they were found."""
        with self._lock:
            return dict(self._reasons)

    def __len__(self) -> int:
        return len(self._reasons)

    def __contains__(self, name: str) -> bool:
        return name in self._reasons

    def report(self) -> str:
        """Text for people: how many, and a line for each; empty where all is well."""
        reasons = self.reasons
        if not reasons:
            return ""
        head = f"{len(reasons)} of {len(self._watched)} videos could not be used:"
        return "\n".join([head, *(f"  {reason}" for reason in reasons.values())])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a CSV file with the columns path,reason.

        Args:
            path: Where to; a file that is there is replaced.
        """
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["path", "reason"])
        writer.writerows(self.reasons.items())
        files.write_atomically(path, text.getvalue())


def saved_reasons(path):
    """What `Quarantine.save` wrote: a dict from a video's name to the reason."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def _put_off(videos, avoid, unwanted):
    """Yields videos, but collects those of the files `avoid` in `unwanted`."""
    for video in videos:
        if video.file in avoid:
            unwanted.append(video)
        else:
            yield video


def find_video_error(error: BaseException | None) -> VideoError | None:
    """The `VideoError` behind an error, such as the one TensorFlow makes of it in `model.fit`.

    Example:

    ```python
    try:
        model.fit(clips)
    except Exception as error:
        sys.exit(str(find_video_error(error) or error))
    ```

    Returns:
        A `VideoError` with the one sentence, or `None` where the error has another cause.
    """
    while error is not None:
        if isinstance(error, VideoError):
            return error
        sentence = re.search(r"\bVideoError: (.+)", str(error))
        if sentence:
            return VideoError(sentence[1].strip())
        error = error.__cause__ or error.__context__
    return None
