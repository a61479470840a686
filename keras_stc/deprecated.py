"""Old names of arguments, accepted for one version."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed(**names: str) -> Callable[[Function], Function]:
    """A decorator: `renamed(licence="license")` passes the old keyword on as the new one.

    Args:
        **names: `{old: new}`.

    Returns:
        A decorator of functions, which warn where the old keyword is given.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args, **kwargs):
            for old, new in names.items():
                if old in kwargs:
                    warnings.warn(
                        f"`{old}` is called `{new}` now; the next version forgets the old name.",
                        DeprecationWarning,
                        stacklevel=2,
                    )
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return cast(Function, call)

    return decorate
