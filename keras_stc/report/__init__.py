"""HTML pages of a training, an evaluation or a prediction: one file each, without scripts."""

from keras_stc.report.evaluation import wilson_interval
from keras_stc.report.page import prediction_report, write_report

__all__ = ["prediction_report", "wilson_interval", "write_report"]
