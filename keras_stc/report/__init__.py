"""An HTML page of a training run: figures, confusion matrix, curves, what single videos show."""

from keras_stc.report.page import write_report

__all__ = ["write_report"]
