"""`VideoError` and `VideoWarning`."""


class VideoError(ValueError):
    """A video, or a list of videos, that cannot be used.

    The message is one sentence: which file, what was expected, what to do about it. Command lines
    print it as it is; the training pipeline records it and goes on with another video.
    """


class VideoWarning(UserWarning):
    """Videos that are missing, where others are there: how many and which, in one sentence."""
