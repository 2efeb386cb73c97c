"""The benchmark of verdicts: it counts what it says, with the real network on one scene of each sort and nuisance."""

import json

import pytest

from benchmarks.verify import NUISANCES, SCENES, main


@pytest.mark.slow
def test_right_verdicts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--severity", "0", "--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(lines[-1])
    assert (report["severity"], report["seeds"]) == (0.0, 1)
    assert list(report["right"]) == list(SCENES)
    for line, (scene, counts) in zip(lines, report["right"].items(), strict=False):
        assert list(counts) == list(NUISANCES) and set(counts.values()) <= {0, 1}
        assert line.startswith(f"{scene}: {SCENES[scene]} in {sum(counts.values())} of {len(NUISANCES)} (noise ")
    assert sum(report["right"]["photo pinned up"].values()) == len(NUISANCES)  # nothing moves before a good camera
