import time

import pytest
import torch

from convlstm.benchmark.machine import cpu_name, describe_machine, matmul_tflops, seconds_of


def test_the_machine_has_a_name_and_a_rate() -> None:
    machine = describe_machine(is_quick=True)
    assert machine["cpu"] == cpu_name() != ""
    assert machine["threads"] == torch.get_num_threads() and machine["cores"] >= 1
    assert all(rate > 0 for rate in machine["matmul_tflops"].values())


def test_the_rate_counts_products_and_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlstm.benchmark.machine.seconds_of", lambda work, a, b: 0.5 * len(work(a, b)) / 8)
    assert matmul_tflops(torch.float32, (8, 4)) == pytest.approx(2 * 8**3 / 0.5 / 1e12)


def test_seconds_are_those_of_the_work() -> None:
    assert 0.05 <= seconds_of(time.sleep, 0.05) < 5
