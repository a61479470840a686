from .answers import Answers as Answers, kept_answers as kept_answers
from .build import create_distillation as create_distillation, create_transfer as create_transfer
from .dataset import pair_dataset as pair_dataset
from .distillation import ClipTeacher as ClipTeacher, Distillation as Distillation
from .distillation_dataset import distillation_dataset as distillation_dataset
from .distillation_loop import train_distillation as train_distillation
from .loop import train_transfer as train_transfer
from .model import CorrespondenceTransfer as CorrespondenceTransfer
from .recipe import RECIPES as RECIPES, TransferRecipe as TransferRecipe
from .teacher import FrameTeacher as FrameTeacher
from .teachers import create_teacher as create_teacher

__all__ = [
    "Answers",
    "ClipTeacher",
    "CorrespondenceTransfer",
    "Distillation",
    "FrameTeacher",
    "RECIPES",
    "TransferRecipe",
    "create_distillation",
    "create_teacher",
    "create_transfer",
    "distillation_dataset",
    "kept_answers",
    "pair_dataset",
    "train_distillation",
    "train_transfer",
]
