"""A checkpoint notices every change: 1,000 files that were cut off, emptied, or had one bit turned, wherever it is."""

import random
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from convlstm.errors import CheckpointError
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

LENGTH_OF_LAST_RECORD, LENGTH_OF_SEAL = 22, 80  # the archive's, and of the comment that closes it


class Regions(NamedTuple):
    """Where the parts of the archive stand that hold no content."""

    padding: list[int]
    directory: range
    end: range


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `last.pth` as training writes it: weights, and the optimizer's state after a step."""
    torch.manual_seed(0)
    model = TemporalClassifier()
    optimizer = torch.optim.Adam(model.parameters())
    model.logits(torch.rand(1, 2, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    training = {
        "epoch": 1,
        "step": 1,
        "history": [{"epoch": 1, "val_loss": 0.5}],
        "weights": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
    }
    path = tmp_path_factory.mktemp("weights") / "last.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), model.config, 4, (64, 64), 0.5, 25, training=training))
    return path


@pytest.fixture(scope="module")
def regions(last: Path) -> Regions:
    data = last.read_bytes()
    last_record = data[-LENGTH_OF_LAST_RECORD - LENGTH_OF_SEAL :]
    assert last_record.startswith(b"PK\5\6")
    size, start = struct.unpack_from("<II", last_record, 12)
    padding: list[int] = []
    with zipfile.ZipFile(last) as archive:
        for member in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, member.header_offset + 26)
            header = member.header_offset + 30 + name
            padding.extend(range(header, header + extra))
    assert len(padding) > 1000
    return Regions(padding, range(start, start + size), range(start + size, len(data)))


def refused(path: Path) -> bool:
    """Whether loading fails as it must: a CheckpointError whose one line names the file."""
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        return str(error).startswith(f"{path}: ") and str(error).isprintable()
    return False


def survives_cut(path: Path, length: int) -> bool:
    """Whether the file, cut off after `length` bytes, loads after all; it is made whole again."""
    rest = path.read_bytes()[length:]
    with path.open("r+b", buffering=0) as file:
        file.truncate(length)
        survives = not refused(path)
        file.seek(length)
        file.write(rest)
    return survives


def survives_turn(path: Path, place: int, bit: int) -> bool:
    """Whether the file, with that bit turned, loads after all; it is made whole again."""
    with path.open("r+b", buffering=0) as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))
        survives = not refused(path)
        file.seek(place)
        file.write(bytes([byte]))
    return survives


@pytest.mark.slow
def test_a_thousand_mutants(last: Path, regions: Regions) -> None:
    generator = random.Random(20)
    whole = last.read_bytes()

    def cuts() -> Iterator[int]:
        yield from (0, 1, len(whole) - 1, len(whole) - LENGTH_OF_SEAL, regions.end.start, regions.directory.start)
        yield from (len(whole) - generator.randrange(1, 200) for _ in range(44))
        yield from (generator.randrange(len(whole)) for _ in range(250))

    def turns() -> Iterator[int]:
        yield from (generator.randrange(len(whole)) for _ in range(300))
        for places in (regions.padding, regions.directory):
            yield from (generator.choice(places) for _ in range(100))
        yield from (generator.choice(regions.end) for _ in range(200))

    survivors: list[object] = [length for length in cuts() if survives_cut(last, length)]
    survivors += [
        (place, bit)
        for place, bit in ((place, generator.randrange(8)) for place in turns())
        if survives_turn(last, place, bit)
    ]
    assert sum(1 for _ in cuts()) + sum(1 for _ in turns()) == 1000
    assert survivors == []
    assert last.read_bytes() == whole and not refused(last)


@pytest.mark.slow
def test_no_bit_of_the_seal_is_left_out(last: Path, regions: Regions) -> None:
    """Its marker, its digits, and the length of the comment that it is."""
    bits = [(place, bit) for place in regions.end[-LENGTH_OF_SEAL - 2 :] for bit in range(8)]
    assert len(bits) == 8 * (2 + LENGTH_OF_SEAL)
    assert [turn for turn in bits if survives_turn(last, *turn)] == []


def test_torch_alone_misses_a_turned_bit(last: Path, regions: Regions, tmp_path: Path) -> None:
    """Else the seal would not be needed."""
    data = bytearray(last.read_bytes())
    data[regions.padding[500]] ^= 1
    (tmp_path / "turned.pth").write_bytes(data)
    content, turned = (torch.load(path, weights_only=True) for path in (last, tmp_path / "turned.pth"))
    for name, tensor in content["model_state_dict"].items():
        assert torch.equal(turned["model_state_dict"][name], tensor)
    assert refused(tmp_path / "turned.pth")
