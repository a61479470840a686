"""Packed shards: videos as TFRecords of JPEG frames, which many clips a second can be read from.

A packed folder holds, for every shard, `videos-00000.tfrecord`, one `tf.train.SequenceExample` a
video under MediaPipe's keys, which TensorFlow's Model Garden reads as well; `videos-00000.json`,
what each video is; and `videos-00000.npy`, where each frame lies, so that a clip can be read
without the rest of its video. Optical flow, where it is packed too, lies in the same records, under
a key of our own, and has a table of its own, `videos-00000-flow.npy`. `index.json` is written last
and holds the classes, the videos, their subsets and the SHA-256 of every file.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import hashlib
import importlib.util
import json
import operator
import os
import pathlib
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_stc import files
from keras_stc.checks import at_least, one_of
from keras_stc.data.clips.quarantine import Quarantine
from keras_stc.data.clips.stream import read_ahead
from keras_stc.data.cores import available_cores
from keras_stc.data.errors import VideoError
from keras_stc.data.geometry import Geometry
from keras_stc.data.sets.open import open_source
from keras_stc.data.sets.packed import LAYOUT
from keras_stc.data.video import cache
from keras_stc.data.video.flow import described, flow_method, with_flow
from keras_stc.data.video.isolated import open_isolated
from keras_stc.data.video.shard import FLOW_TABLE, FRAME_TABLE
from keras_stc.video_config import FLOWS

if TYPE_CHECKING:
    from keras_stc.data.sets.data import Data

#: Pixels of the short side: what training at 112 resizes to (paper, section 4.2), so that reading
#: needs no resizing.
SHORT_SIDE = 122

#: JPEG quality; our choice, between loss (docs/data.md) and what reading costs.
QUALITY = 90

#: Videos in a shard; some 100 MB of UCF101, the field's usual size of a shard.
VIDEOS_PER_SHARD = 100

#: Frames held in memory while a video is packed.
CHUNK = 64


def pack(
    data: str | os.PathLike[str] | Data,
    out: str | os.PathLike[str],
    short_side: int = SHORT_SIDE,
    quality: int = QUALITY,
    videos_per_shard: int = VIDEOS_PER_SHARD,
    workers: int | None = None,
    progress: Callable[..., object] | None = None,
    quarantine: Quarantine | None = None,
    labels: bool = True,
    flow: str | None = None,
) -> dict[str, Any]:
    """Packs videos into shards; run again, it goes on with the shards that are not there yet.

    Example:

    ```python
    keras_stc.data.pack("ucf101:UCF-101:all", "packed/ucf101")
    train = keras_stc.data.open_data("shards:packed/ucf101:1", "train")
    ```

    Args:
        data: What `open_source` takes. All splits and subsets are packed, every video once.
        out: Folder of the shards.
        short_side: Pixels of the frames' short side; smaller frames keep their size.
        quality: Of the JPEG frames, 1 to 100.
        videos_per_shard: Videos in a shard.
        workers: Videos packed at a time. Defaults to the number of processor cores.
        progress: Called with the number of videos done, `done`, and of all, `total`.
        quarantine: A `Quarantine` for videos that cannot be packed, or `None` for a new one.
        labels: Whether the data has labels; otherwise it is what `open_unlabelled` takes.
        flow: A method of `VideoConfig(flow=...)`, by which the optical flow of every frame is
            packed beside it, in pixels of the packed frames; `None` for none.

    Returns:
        The index, a dict.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: If TensorFlow is not installed, or what computes the flow.
        VideoError: If there is no such data, if the folder holds something else, or if more than
            half of the videos cannot be used.
    """
    at_least(8, short_side=short_side)
    at_least(1, videos_per_shard=videos_per_shard)
    if not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be from 1 to 100. Received: quality={quality!r}")
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError("Packing videos needs TensorFlow: pip install tensorflow")
    if flow is not None:
        one_of(FLOWS, flow=flow)
        flow_method(flow)  # what is missing is said before videos are looked for
    data = open_source(data)
    videos, class_names, splits, subsets = _everything(data) if labels else _unlabelled(data)
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    settings = {"short_side": short_side, "quality": quality, "videos_per_shard": videos_per_shard}
    if flow is not None:
        settings["flow"] = described(flow)
    quarantine = Quarantine() if quarantine is None else quarantine
    quarantine.watch(video.name for video in videos)
    report = _Progress(progress, len(videos))
    workers = workers or available_cores()
    busy = VideoError(f"{out} is being written by another process; wait until it is done.")
    with (
        files.alone(out, busy),
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        files.remove_unfinished(out)
        unlabelled = {} if labels else {"labels": False}
        _claim(out, {"layout": LAYOUT, "data": data.spec, **settings, **unlabelled})
        shards = []
        for number, first in enumerate(range(0, len(videos), videos_per_shard)):
            part = videos[first : first + videos_per_shard]
            path = out / f"videos-{number:05d}.tfrecord"
            names = [None if v.label is None else class_names[v.label] for v in part]
            key = _key(part, names, settings)
            shard = _finished(path, key, part)
            if shard is None:
                # The index of an earlier pack is not that of what is written from now on.
                (out / "index.json").unlink(missing_ok=True)
                jobs = [(v, n, short_side, quality, flow) for v, n in zip(part, names, strict=True)]
                # Only a few of them wait in memory.
                packed = read_ahead(pool, _packed, jobs, 2 * workers)
                shard = _write_shard(path, key, packed, quarantine, report, settings.get("flow"))
            for failed, reason in shard["failures"].items():
                quarantine.add(failed, reason)
            report(first + len(part))
            shards.append((path.name, shard))
        index = {
            "layout": LAYOUT,
            "data": str(data),
            **settings,
            "class_names": list(class_names),
            "splits": list(splits),
            "shards": [
                {"file": name, "sha256": {**shard["sha256"], **_own_hash(out / name)}}
                for name, shard in shards
            ],
            "videos": [
                {"shard": name, "row": row, **video, "subsets": subsets[_identity(video)]}
                for name, shard in shards
                for row, video in enumerate(shard["videos"])
            ],
            "failures": quarantine.reasons,
        }
        files.write_atomically(out / "index.json", json.dumps(index))
    bad = out / "quarantine.csv"
    if len(quarantine):
        quarantine.save(bad)
    else:
        bad.unlink(missing_ok=True)
    return index


class _Progress:
    def __init__(self, call, total):
        self.call, self.total, self.done = call, total, 0

    def __call__(self, done=None):
        self.done = self.done + 1 if done is None else done
        if self.call:
            self.call(self.done, self.total)


def _everything(data):
    """All videos of all splits, each once, and the subset that each split has it in.

    Rows of a list without a label are among them.

    Raises:
        VideoError: If one of them has two labels, or is in two subsets of a split.
    """
    subsets, videos, class_names = collections.defaultdict(dict), {}, ()
    splits = data.splits
    for k, split in enumerate(splits):
        whole = split.partly_labelled()
        class_names = whole.class_names
        for video in whole:
            first = videos.setdefault(_identity(_place(video)), video)
            if first.label != video.label:
                both = [
                    "no class" if label is None else repr(class_names[label])
                    for label in (first.label, video.label)
                ]
                raise VideoError(
                    f"{split} lists {video.name} as {' and '.join(both)}; expected one label for a "
                    "video, or for each piece of it: correct the list."
                )
        for subset in split.subsets:
            for video in split.partly_labelled(subset):
                first = subsets[_identity(_place(video))].setdefault(k, subset)
                if first != subset:
                    raise VideoError(
                        f"{split} has {video.name} in both {first!r} and {subset!r}; expected it "
                        "in one of them: correct the list."
                    )
    lists = {i: [subsets[i].get(k) for k in range(len(splits))] for i in videos}
    names = [split.name.rpartition(":")[2] for split in splits] if len(splits) > 1 else [""]
    return list(videos.values()), class_names, names, lists


def _unlabelled(data):
    videos = list(data.unlabelled(data.learnable))
    return videos, (), [""], collections.defaultdict(lambda: [None])


def _place(video):
    return {"path": video.place, "start": video.start, "end": video.end}


#: What tells one from others.
_identity = operator.itemgetter("path", "start", "end")


def _claim(out, settings):
    """Says whose folder it is, or refuses somebody else's."""
    path = out / "pack.json"
    if path.exists():
        earlier = json.loads(path.read_text())
        for name in (*settings, *earlier):
            old, new = earlier.get(name), settings.get(name)
            if old != new:
                raise VideoError(
                    f"{out} holds shards with {name}={old!r}, not {new!r}; "
                    "choose another folder, or delete this one."
                )
    elif any(path.name != ".lock" for path in out.iterdir()):
        raise VideoError(f"{out} holds other files; choose another folder for the shards.")
    files.write_atomically(path, json.dumps(settings, indent=1))


def _key(videos, names, settings):
    """A hash of what a shard is made of: files that have changed are packed again."""
    parts = [
        (*video.identity, video.label, name) for video, name in zip(videos, names, strict=True)
    ]
    return hashlib.sha256(json.dumps([LAYOUT, settings, parts]).encode()).hexdigest()


def _finished(path, key, videos):
    """What is known of a shard that is there; `None` where it has to be written (again)."""
    try:
        shard = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return None
    # Flow has a table of its own, which only what is known of the shard names.
    parts = {path.name, path.with_suffix(".npy").name, *shard.get("sha256", ())}
    is_written = all((path.parent / name).exists() for name in parts)
    if not is_written or shard.get("key") != key:
        return None
    # An address that failed may answer today; a file that did has not changed since.
    failed = [video for video in videos if video.name in shard["failures"]]
    return None if any(cache.file_key(video.path) is None for video in failed) else shard


def _packed(video, *how):
    """Runs in a thread: `(video, what _pack_video made of it or None, why not)`."""
    try:
        return video, _pack_video(video, *how), None
    except VideoError as error:
        return video, None, str(error)


def _pack_video(video, label_text, short_side, quality, flow=None):
    """`(serialised SequenceExample, what the video is, frames, their flow)`."""
    import tensorflow as tf

    encode = functools.partial(tf.io.encode_jpeg, quality=quality, optimize_size=True)
    jpegs, flows = [], []
    with open_isolated(video.path, threads=1) as reader:
        first, count = video.frame_range(reader.info)
        info = reader.info
        # Never enlarged: that would cost room and show nothing.
        geometry = Geometry(short_side=min(short_side, info.height, info.width))
        numbers = np.arange(first, first + count)
        chunks = np.split(numbers, range(CHUNK, count, CHUNK))
        for pixels in reader.clips(chunks, geometry):
            height, width = pixels.shape[1:3]
            jpegs += [encode(frame).numpy() for frame in pixels]
        for moved in with_flow(reader, flow).clips(chunks, geometry) if flow else ():
            # One grey picture, to the right above downwards, as mmcv keeps flow.
            planes = np.concatenate([moved[..., 0], moved[..., 1]], axis=1)[..., None]
            flows += [encode(each).numpy() for each in planes]
    times = [round(1e6 * k / info.fps) for k in range(count)]
    example = tf.train.SequenceExample()
    context, lists = example.context.feature, example.feature_lists.feature_list
    context["image/format"].bytes_list.value.append(b"JPEG")
    context["image/channels"].int64_list.value.append(3)
    context["image/height"].int64_list.value.append(height)
    context["image/width"].int64_list.value.append(width)
    context["image/frame_rate"].float_list.value.append(info.fps)
    context["clip/data_path"].bytes_list.value.append(os.fsencode(video.place))
    if video.label is not None:
        context["clip/label/index"].int64_list.value.append(video.label)
        context["clip/label/text"].bytes_list.value.append(label_text.encode())
    for jpeg, moment in zip(jpegs, times, strict=True):
        lists["image/encoded"].feature.add().bytes_list.value.append(jpeg)
        lists["image/timestamp"].feature.add().int64_list.value.append(moment)
    for jpeg in flows:
        lists["flow/encoded"].feature.add().bytes_list.value.append(jpeg)
    description = {
        **_place(video),
        "label": video.label,
        "frames": count,
        "fps": info.fps,
        "height": height,
        "width": width,
    }
    try:
        return example.SerializeToString(), description, jpegs, flows
    except Exception as error:  # protobuf's EncodeError, or ValueError
        raise VideoError(
            f"{video.path} is too long for one record of at most 2 GB ({count} frames): list it in "
            "pieces, with start and end in a CSV file."
        ) from error


def _write_shard(path, key, packed, quarantine, report, flow):
    """Writes a shard; its .json last, which says that it is whole."""
    import tensorflow as tf

    path.with_suffix(".json").unlink(missing_ok=True)
    videos, failures, position, rows = [], {}, 0, 0
    tables = {path.with_suffix(".npy"): [np.empty(0, FRAME_TABLE)]}
    if flow:
        tables[path.with_name(path.stem + FLOW_TABLE)] = [np.empty(0, FRAME_TABLE)]
    with files.atomic_path(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for video, result, reason in packed:
            report()
            if result is None:
                quarantine.add(video.name, reason)
                failures[video.name] = reason
                continue
            record, description, *pictures = result
            writer.write(record)
            for table, jpegs in zip(tables.values(), pictures, strict=False):
                # A record is 8 bytes of length, 4 of their checksum, the data, and 4 of checksum.
                table.append(_frame_table(record, jpegs, position + 12))
            position += len(record) + 16
            videos.append({**description, "first": rows})
            rows += description["frames"]
    for name, table in tables.items():
        with files.atomic_path(name) as temporary, temporary.open("wb") as file:
            np.save(file, np.concatenate(table))
    shard = {
        "key": key,
        **({"flow": flow} if flow else {}),
        "videos": videos,
        "failures": failures,
        "sha256": {file.name: files.sha256(file) for file in (path, *tables)},
    }
    files.write_atomically(path.with_suffix(".json"), json.dumps(shard))
    return shard


def _own_hash(path):
    """Name and SHA-256 of what says what a shard holds."""
    path = path.with_suffix(".json")
    return {path.name: files.sha256(path)}


def _frame_table(record, jpegs, start):
    table, offset = np.empty(len(jpegs), FRAME_TABLE), 0
    for row, jpeg in zip(table, jpegs, strict=True):
        offset = record.index(jpeg, offset)
        row["offset"], row["bytes"], row["crc"] = start + offset, len(jpeg), zlib.crc32(jpeg)
        offset += len(jpeg)
    return table
