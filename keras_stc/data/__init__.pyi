from .clips.crops import Crops as Crops, RandomCrops as RandomCrops
from .clips.dataset import clip_dataset as clip_dataset
from .clips.quarantine import Quarantine as Quarantine, find_video_error as find_video_error
from .clips.sequence import ClipSequence as ClipSequence
from .clips.whole_video import ClipBatch as ClipBatch, video_clips as video_clips
from .errors import VideoError as VideoError, VideoWarning as VideoWarning
from .geometry import (
    Geometry as Geometry,
    evaluation_geometry as evaluation_geometry,
    training_geometry as training_geometry,
)
from .packing import pack as pack
from .sets.data import Data as Data
from .sets.division import (
    Division as Division,
    divide as divide,
    divide_unlabelled as divide_unlabelled,
    held_out as held_out,
)
from .sets.folder import VideoFolder as VideoFolder
from .sets.kinetics import Kinetics as Kinetics
from .sets.official import HMDB51 as HMDB51, UCF101 as UCF101
from .sets.open import (
    open_data as open_data,
    open_source as open_source,
)
from .sets.packed import PackedVideos as PackedVideos, verify_shards as verify_shards
from .sets.table import VideoCSV as VideoCSV
from .sets.unlabelled import open_unlabelled as open_unlabelled
from .sets.video import Video as Video, VideoSet as VideoSet
from .video.open import open_video as open_video
from .video.pyav_reader import VideoReader as VideoReader, probe as probe
from .video.reader import FrameReader as FrameReader, VideoInfo as VideoInfo

__all__ = [
    "ClipBatch",
    "ClipSequence",
    "Crops",
    "Data",
    "Division",
    "FrameReader",
    "Geometry",
    "HMDB51",
    "Kinetics",
    "PackedVideos",
    "Quarantine",
    "RandomCrops",
    "UCF101",
    "Video",
    "VideoCSV",
    "VideoError",
    "VideoFolder",
    "VideoInfo",
    "VideoReader",
    "VideoSet",
    "VideoWarning",
    "clip_dataset",
    "divide",
    "divide_unlabelled",
    "evaluation_geometry",
    "find_video_error",
    "held_out",
    "open_data",
    "open_source",
    "open_unlabelled",
    "open_video",
    "pack",
    "probe",
    "training_geometry",
    "verify_shards",
    "video_clips",
]
