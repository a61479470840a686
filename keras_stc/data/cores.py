"""The processor: how many of its cores this process may use, and what they compute in."""

import os
import pathlib
import platform

#: Linux' names of instructions that multiply in bfloat16: of x86 and of ARM.
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


def available_cores():
    """Cores this process may use, which in a container are often fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bfloat16(cpuinfo="/proc/cpuinfo"):
    """Whether the processor multiplies in bfloat16; `None` where that is not to be seen.

    Args:
        cpuinfo: Where Linux lists what the processor has.
    """
    if platform.system() != "Linux":
        return None
    try:
        lines = pathlib.Path(cpuinfo).read_text(errors="replace").splitlines()
    except OSError:
        return None
    names = [line.split()[2:] for line in lines if line.startswith(("flags", "Features"))]
    return bool(BFLOAT16 & set(names[0])) if names else None
