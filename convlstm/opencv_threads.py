"""How many threads OpenCV takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def opencv_in_one_thread() -> Iterator[None]:
    """Inside, OpenCV computes in the thread that calls it; its setting is the process's, and comes back afterwards.

    Its own threads wait busily for work, on the cores that decoder and encoder need: on two cores a frame was encoded
    in 1.5 ms instead of 1.7.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
