import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convlstm.config import ModelConfig
from convlstm.inference.probabilities import class_probabilities, dynamic_probability
from convlstm.models.temporal_classifier import TemporalClassifier, clip_logits
from convlstm.types import Float32Array

pytestmark = pytest.mark.pure

CLASSES = {1: ("static", "dynamic"), 3: ("static", "dynamic", "negative"), 4: ("calm", "smoke", "fire", "fog")}


def logits_of(num_outputs: int) -> st.SearchStrategy[Float32Array]:
    return hnp.arrays(np.float32, (2, num_outputs, 2, 3), elements=st.floats(-200, 200, width=32))


@given(logits=st.sampled_from(sorted(CLASSES)).flatmap(logits_of))
def test_as_the_network_does(logits: Float32Array) -> None:
    model = TemporalClassifier(ModelConfig(classes=CLASSES[logits.shape[1]]))
    wanted = model.dynamic_probability(torch.from_numpy(logits)).detach().numpy()
    found = dynamic_probability(logits, model.config)
    assert found.dtype == np.float32 and found.shape == (2, 2, 3)
    np.testing.assert_allclose(found, wanted, atol=1e-6, rtol=0)
    classes = class_probabilities(logits)
    np.testing.assert_allclose(classes, clip_logits(torch.from_numpy(logits)).softmax(dim=1), atol=1e-6, rtol=0)
    assert classes.shape == (2, len(model.config.classes))


def test_the_ends_of_the_scale() -> None:
    logits = np.array([-1e4, 0, 1e4], dtype=np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_array_equal(dynamic_probability(logits, ModelConfig()), [[[0, 0.5, 1]]])
