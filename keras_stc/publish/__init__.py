"""A trained network to the Hub: its weights, its configuration and a card of what was measured."""

from keras_stc.publish.files import PublishError, write_files
from keras_stc.publish.upload import Upload, publish

__all__ = ["PublishError", "Upload", "publish", "write_files"]
