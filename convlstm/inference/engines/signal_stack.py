"""Signals after OpenVINO.

OpenVINO 2026.4 gives the thread that loads a model a signal stack of its own and frees that memory with the model.
Python handles signals on such a stack where there is one, so the next Ctrl-C or SIGTERM would end the process with a
segmentation fault, with nothing written to its end.
"""

import ctypes
import sys

_SS_DISABLE = 2


class _SignalStack(ctypes.Structure):
    _fields_ = [("memory", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def signal_stack_size() -> int:
    """Bytes of this thread's signal stack; 0 where signals are handled on the ordinary one."""
    if sys.platform != "linux":
        return 0
    found = _SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return 0 if found.flags & _SS_DISABLE else int(found.size)


def drop_signal_stack() -> None:
    """Let this thread handle signals on its ordinary stack again."""
    if sys.platform == "linux":
        ctypes.CDLL(None).sigaltstack(ctypes.byref(_SignalStack(None, _SS_DISABLE, 0)), None)
