"""A Hugging Face Space: the page of `keras-stc app`, on the models that MODELS names.

python examples/space/app.py      # here, at http://127.0.0.1:7860
"""

import os

from keras_stc.app import build_app

demo = build_app(os.environ.get("MODELS", "inception_i3d").split(), any_model=False)

if __name__ == "__main__":
    demo.launch()
