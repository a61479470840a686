"""`python -m keras_stc` is `keras-stc`."""

import sys

from keras_stc.cli import main

if __name__ == "__main__":
    sys.exit(main())
