import cv2
import pytest

from convlstm.opencv_threads import opencv_in_one_thread

pytestmark = pytest.mark.pure


def test_the_setting_comes_back_also_after_an_error() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with pytest.raises(KeyError), opencv_in_one_thread():
            assert cv2.getNumThreads() == 1
            raise KeyError
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
