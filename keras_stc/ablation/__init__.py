"""The paper's ablations: which parts of a network matter, with seeds, a table and a plot."""

from keras_stc.ablation.plot import save_plot
from keras_stc.ablation.run import run_ablation
from keras_stc.ablation.studies import FORMS, Form, Setting, Study
from keras_stc.ablation.table import markdown, rows

__all__ = ["FORMS", "Form", "Setting", "Study", "markdown", "rows", "run_ablation", "save_plot"]
