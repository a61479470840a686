"""The networks of the zoo.

Names load when they are first used, so that the zoo's tables are read without Keras.
"""

import lazy_loader

# What is public, and where it lives: `__init__.pyi`, which editors read too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
