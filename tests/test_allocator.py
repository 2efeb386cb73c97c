"""What freed memory costs when it is needed again."""

import subprocess
import sys

import pytest

FAULTS_OF_REUSE = """
import resource, torch
from convlstm.allocator import reuse_freed_memory
{call}
def faults():
    for _ in range(20):
        torch.ones(20_000_000)  # 80 MB: over 32 MB glibc maps anew each time
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
print(faults() - before)
"""


def page_faults(call: str) -> int:
    script = FAULTS_OF_REUSE.format(call=call)
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_large_blocks_are_reused_without_page_faults() -> None:
    assert page_faults("reuse_freed_memory()") < 0.2 * page_faults("pass")
