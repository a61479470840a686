from .build import create_transfer as create_transfer
from .dataset import pair_dataset as pair_dataset
from .loop import train_transfer as train_transfer
from .model import CorrespondenceTransfer as CorrespondenceTransfer
from .recipe import RECIPES as RECIPES, TransferRecipe as TransferRecipe
from .teacher import FrameTeacher as FrameTeacher
from .teachers import create_teacher as create_teacher

__all__ = [
    "CorrespondenceTransfer",
    "FrameTeacher",
    "RECIPES",
    "TransferRecipe",
    "create_teacher",
    "create_transfer",
    "pair_dataset",
    "train_transfer",
]
