"""Videos to clips: sources, decoding, sampling, transforms, `tf.data`.

Names load when they are first used, so that importing this package imports neither PyAV nor
TensorFlow.
"""

import importlib

_HOME = {
    "ClipBatch": "timeline",
    "FrameReader": "readers",
    "Geometry": "transforms",
    "HMDB51": "data_sets",
    "Kinetics": "data_sets",
    "PackedVideos": "packed",
    "Quarantine": "quarantine",
    "UCF101": "data_sets",
    "Video": "sources",
    "VideoCSV": "sources",
    "VideoError": "errors",
    "VideoFolder": "sources",
    "VideoInfo": "readers",
    "VideoReader": "decode",
    "VideoSet": "sources",
    "VideoWarning": "errors",
    "absolute_data": "specs",
    "clip_dataset": "clips",
    "data_splits": "specs",
    "data_subsets": "specs",
    "evaluation_geometry": "transforms",
    "find_video_error": "quarantine",
    "open_data": "specs",
    "open_unlabelled": "unlabelled",
    "open_video": "readers",
    "pack": "shards",
    "probe": "decode",
    "training_geometry": "transforms",
    "verify_shards": "packed",
    "video_clips": "timeline",
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
