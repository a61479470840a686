"""Where weights come from and how they get into a model.

Names load when they are first used, so that the registry is read without Keras.
"""

import lazy_loader

# What is public, and where it lives: `__init__.pyi`, which editors read too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
