import os
import subprocess
import sys

import pytest

from convlstm.inference.engines.installed import is_installed

OPEN_AND_SIGNAL = """
import gc, os, signal
import numpy as np
from convlstm.inference.engines.signal_stack import signal_stack_size
from convlstm.inference.open import open_engine
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
for _ in range(3):
    engine = open_engine("shipped", engine="openvino")
    size = engine.weights.target_size
    engine.encode(np.zeros((2, *size, 3), dtype=np.uint8))
    assert signal_stack_size() == 0, signal_stack_size()
    del engine
    gc.collect()
    os.kill(os.getpid(), signal.SIGTERM)
print(len(heard))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks are looked at on Linux")
@pytest.mark.skipif(not is_installed("openvino"), reason="OpenVINO is not installed: pip install convlstm[openvino]")
@pytest.mark.skipif(not is_installed("export"), reason="onnx is not installed: pip install convlstm[onnx]")
def test_signals_are_heard_after_a_model_is_gone() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-X", "faulthandler", "-c", OPEN_AND_SIGNAL]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (ended.returncode, ended.stdout) == (0, "3\n"), ended.stderr
