"""Knowledge transfer: a frozen 2D network teaches a 3D network on unlabelled videos.

Names load when they are first used, so that importing this package imports no TensorFlow.
"""

import lazy_loader

# What is public, and where it lives: `__init__.pyi`, which editors read too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
