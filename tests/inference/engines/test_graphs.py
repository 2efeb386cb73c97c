import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convlstm.inference.engines import graphs
from convlstm.models import stem

pytestmark = pytest.mark.pure


def test_constants_are_those_of_the_network() -> None:
    assert graphs.CONTRAST_FLOOR == stem.CONTRAST_FLOOR * 255
    for differences in ("frame", "local", "both"):
        assert len(graphs.grey_kinds(differences)) == stem.num_differences(differences)


@given(low=st.integers(0, 255), span=st.integers(0, 255), seed=st.integers(0, 99))
def test_exposure_is_taken_out_as_in_the_stem(low: int, span: int, seed: int) -> None:
    frame = np.random.RandomState(seed).randint(low, min(255, low + span) + 1, (32, 64, 3)).astype(np.uint8)
    mean, gain = graphs.exposure(frame)
    assert mean.dtype == gain.dtype == np.float32
    planes = torch.from_numpy(frame).permute(2, 0, 1)[None]
    wanted, _ = stem.take_out_exposure(planes)
    np.testing.assert_allclose((planes.numpy() - mean) * gain, wanted.numpy(), atol=1e-4, rtol=0)
