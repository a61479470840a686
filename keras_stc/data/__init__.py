"""Videos to clips: sources, decoding, sampling, transforms, `tf.data`.

Names load when they are first used, so that importing this package imports neither PyAV nor
TensorFlow.
"""

import importlib

_HOME = {
    "ClipBatch": "clips.whole_video",
    "ClipSequence": "clips.sequence",
    "Crops": "clips.crops",
    "Data": "sets.data",
    "Division": "sets.division",
    "FrameReader": "video.reader",
    "Geometry": "geometry",
    "HMDB51": "sets.official",
    "Kinetics": "sets.kinetics",
    "PackedVideos": "sets.packed",
    "Quarantine": "clips.quarantine",
    "RandomCrops": "clips.crops",
    "UCF101": "sets.official",
    "Video": "sets.video",
    "VideoCSV": "sets.table",
    "VideoError": "errors",
    "VideoFolder": "sets.folder",
    "VideoInfo": "video.reader",
    "VideoReader": "video.pyav_reader",
    "VideoSet": "sets.video",
    "VideoWarning": "errors",
    "absolute_data": "sets.open",
    "clip_dataset": "clips.dataset",
    "data_splits": "sets.open",
    "data_subsets": "sets.open",
    "divide": "sets.division",
    "divide_unlabelled": "sets.division",
    "evaluation_geometry": "geometry",
    "find_video_error": "clips.quarantine",
    "held_out": "sets.division",
    "open_data": "sets.open",
    "open_source": "sets.open",
    "open_unlabelled": "sets.unlabelled",
    "open_video": "video.open",
    "pack": "packing",
    "probe": "video.pyav_reader",
    "training_geometry": "geometry",
    "verify_shards": "sets.packed",
    "video_clips": "clips.whole_video",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
