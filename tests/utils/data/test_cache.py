"""All stores give the same; what is particular to memory. The disk has its own file."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convlstm.clips import resize_frame
from convlstm.config import Cache, TrainConfig
from convlstm.errors import ConfigError
from convlstm.progress import Progress
from convlstm.sources.folder import FolderSource
from convlstm.utils.data import cache
from convlstm.utils.data.cache import MemoryCache, open_store
from convlstm.utils.data.cache_disk import DiskCache
from convlstm.utils.data.frames import FrameDecoder, FrameStore
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import LabelledSequence, open_sequences

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]
WriteVideo = Callable[..., Path]
MakeFrames = Callable[..., list[Pixels]]

SIZE = (32, 64)
SHARES_SIZE = (4, 8)


def config_for(root: Path, kind: Cache, **changes: Any) -> TrainConfig:
    config = TrainConfig(data_root=root, cache=kind, target_size=SIZE, seq_length=2, stride=1)
    return replace(config, **changes)


def opened(config: TrainConfig, names: Sequence[str]) -> list[LabelledSequence]:
    sequences, left_out = open_sequences([ManifestRow(n, "dynamic", n, None, None, 2) for n in names], config)
    assert not left_out
    return sequences


def store_of(root: Path, kind: Cache, names: Sequence[str], **changes: Any) -> FrameStore:
    config = config_for(root, kind, **changes)
    return open_store(opened(config, names), config)


def read(store: FrameStore, sequence: int, span: range) -> tuple[Pixels, NDArray[np.float16], dict[int, str]]:
    """What a store gives for a span, in arrays that held something else before."""
    frames = np.full((len(span), *SIZE, 3), 77, dtype=np.uint8)
    shares = np.full((len(span), *SHARES_SIZE), 7, dtype=np.float16)
    return frames, shares, store.read(sequence, span, frames, shares)


def all_spans(runs: Sequence[range]) -> list[range]:
    return [range(start, stop) for run in runs for start in run for stop in range(start + 1, run.stop + 1)]


def write_masks(folder: Path, count: int, height: int = 48, width: int = 80) -> None:
    folder.mkdir()
    for index in range(count):
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[: 5 * index + 3, : 7 * index + 2] = 255
        Image.fromarray(mask).save(folder / f"frame_{index:06d}.png")


@pytest.fixture
def root(tmp_path: Path, write_folder: WriteFolder, write_video: WriteVideo, make_frames: MakeFrames) -> Path:
    """One sequence of every kind."""
    frames = make_frames(6, 48, 80)
    write_folder(tmp_path / "plain", frames)
    numbers = (0, 1, 2, 3, 6, 7)  # and by a median step of 1, two frames are missing
    write_folder(tmp_path / "gaps", frames, [f"f_{number}.png" for number in numbers])
    masked = write_folder(tmp_path / "masked", frames[:4])
    write_masks(masked / "masks", 4)
    damaged = write_folder(tmp_path / "damaged", frames)
    (damaged / "frame_000001.png").write_bytes(b"")
    (damaged / "frame_000004.png").write_bytes((damaged / "frame_000004.png").read_bytes()[:200])
    bad_mask = write_folder(tmp_path / "bad_mask", frames[:4])
    write_masks(bad_mask / "masks", 4)
    (bad_mask / "masks" / "frame_000002.png").write_bytes(b"no image")
    (bad_mask / "frame_000000.png").write_bytes(b"no image either")
    lost = write_folder(tmp_path / "lost", frames[:3])
    for path in lost.iterdir():
        path.write_bytes(b"")
    write_video(tmp_path / "clip.mp4", frames * 2, options={"g": "6", "bf": "2"})
    for name, codec in (("torn.mp4", "libx264"), ("painted.mp4", "mpeg4")):
        damage_last_packet(write_video(tmp_path / name, frames, codec=codec, options={"g": "6", "bf": "0"}))
    return tmp_path


def damage_last_packet(path: Path) -> None:
    """Its frame is lost with some codecs; with others the decoder paints over the errors."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(container.streams.video[0]) if packet.size]
    data = bytearray(path.read_bytes())
    start, size = places[-1]
    assert start is not None
    data[start + size // 3 : start + size] = bytes(size - size // 3)
    path.write_bytes(data)


NAMES = ("plain", "gaps", "masked", "damaged", "bad_mask", "lost", "clip.mp4", "torn.mp4", "painted.mp4")
UNREADABLE = ((), (), (), (1, 4), (0, 2), (0, 1, 2), (), (5,), (5,))


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_every_store_gives_what_the_decoder_gives(root: Path, kind: Cache) -> None:
    decoder, store = store_of(root, "none", NAMES), store_of(root, kind, NAMES)
    for place, sequence in enumerate(opened(config_for(root, "none"), NAMES)):
        for span in all_spans(sequence.source.runs):
            frames, shares, reasons = read(decoder, place, span)
            kept_frames, kept_shares, kept_reasons = read(store, place, span)
            np.testing.assert_array_equal(kept_frames, frames, err_msg=f"{sequence.source.name} {span}")
            np.testing.assert_array_equal(kept_shares, shares, err_msg=f"{sequence.source.name} {span}")
            expected = [index for index in UNREADABLE[place] if index in span]
            assert list(kept_reasons) == expected and sorted(reasons) == expected


@pytest.mark.parametrize("kind", ["none", "ram", "disk"])
def test_what_the_pixels_and_shares_are(root: Path, kind: Cache, make_frames: MakeFrames) -> None:
    """Beside being the same everywhere, they are right."""
    store = store_of(root, kind, ["gaps", "masked"])
    original = make_frames(6, 48, 80)
    frames, shares, reasons = read(store, 0, range(6, 8))
    np.testing.assert_array_equal(frames, [resize_frame(pixels, SIZE) for pixels in original[4:]])
    assert np.isnan(shares).all() and not reasons
    _, shares, _ = read(store, 1, range(2, 3))
    mask = np.zeros((48, 80))
    mask[:13, :16] = 1  # two and a sixth rows of blocks, 12 pixels high, and one and three fifths columns of 10
    by_block = mask.reshape(4, 12, 8, 10).mean(axis=(1, 3))
    np.testing.assert_allclose(shares[0], by_block, atol=1e-3)
    assert shares[0, 0].tolist()[:3] == pytest.approx([1, 0.6, 0], abs=1e-3)


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_reasons_name_sequence_frame_and_cause(root: Path, kind: Cache) -> None:
    store = store_of(root, kind, NAMES)
    _, _, reasons = read(store, 3, range(6))
    assert reasons[1].startswith(f"{root}/damaged: frame 1 does not decode (frame_000001.png: empty file, frame_00")
    assert reasons[4].startswith(f"{root}/damaged: frame 4 does not decode (frame_000001.png: empty file, frame_00")
    _, _, reasons = read(store, 4, range(4))
    assert reasons[0].startswith(f"{root}/bad_mask: frame 0 does not decode (frame_000000.png: not a readable image")
    assert reasons[2].startswith(f"{root}/bad_mask/masks/frame_000002.png: not a readable image")
    _, _, reasons = read(store, 5, range(3))
    assert [reason.split(" (")[0] for reason in reasons.values()] == [
        f"{root}/lost: frame {index} does not decode" for index in range(3)
    ]


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_video_of_which_nothing_decodes_costs_itself_only(root: Path, kind: Cache) -> None:
    config = config_for(root, kind)
    sequences = opened(config, ["clip.mp4", "plain"])
    assert len(sequences[0].source.runs[0]) == 12
    path = root / "clip.mp4"
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    store = open_store(sequences, config)
    frames, shares, reasons = read(store, 0, range(12))
    assert list(reasons) == list(range(12)) and not frames.any() and np.isnan(shares).all()
    assert reasons[3].startswith(f"{path}: frame 3 does not decode (frame 0, frame 1")
    assert not read(store, 1, range(6))[2]


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_video_that_vanished_says_so(root: Path, kind: Cache) -> None:
    config = config_for(root, kind)
    sequences = opened(config, ["clip.mp4"])
    assert sequences[0].source.runs == [range(12)]
    (root / "clip.mp4").unlink()
    _, _, reasons = read(open_store(sequences, config), 0, range(2))
    assert "frame 1 does not decode" in reasons[1] and "cannot be opened as a video: No such file" in reasons[1]


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_frames_beyond_those_announced_are_left_out(root: Path, kind: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_for(root, kind)
    sequences = opened(config, ["plain", "masked"])
    monkeypatch.setattr(FolderSource, "runs", property(lambda self: [range(2), range(3, 4)]))
    frames, _, reasons = read(open_store(sequences, config), 0, range(3, 4))
    np.testing.assert_array_equal(frames[0], read(FrameDecoder(sequences, SIZE), 0, range(3, 4))[0][0])
    assert not reasons


@pytest.mark.parametrize(("kind", "expected"), [("none", FrameDecoder), ("ram", MemoryCache), ("disk", DiskCache)])
def test_the_setting_picks_the_store(root: Path, kind: Cache, expected: type) -> None:
    assert isinstance(store_of(root, kind, ["plain"]), expected)
    assert (root / ".convlstm_cache").exists() == (kind == "disk")


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_filling_decodes_every_frame_once_in_threads_and_tells_it_from_one(
    root: Path, kind: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    threads, tellers, counts = set(), set(), []
    original = FolderSource.__iter__

    def iterate(self: FolderSource) -> Any:
        for frame in original(self):
            decoded.append(f"{self.folder.name} {frame.index}")
            threads.add(threading.current_thread())
            yield frame

    def advance(self: Progress, count: int = 1, note: str = "") -> None:
        if self.description == "caching":
            counts.append(count)
            tellers.add(threading.current_thread())

    monkeypatch.setattr(FolderSource, "__iter__", iterate)
    monkeypatch.setattr(Progress, "advance", advance)
    store = store_of(root, kind, ["plain", "masked", "damaged"])
    for span in all_spans([range(4)]):
        read(store, 1, span)
    assert len(decoded) == len(set(decoded)) == 6 + 4 + 4
    assert tellers == {threading.current_thread()} and not threads & tellers
    assert sum(counts) == 6 + 4 + 6


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_no_thread_is_left_where_loaders_are_forked(root: Path, kind: Cache) -> None:
    before = threading.active_count()
    store_of(root, kind, NAMES)
    assert threading.active_count() == before


@pytest.fixture
def free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`free_memory(kibibytes)`: what the system says from then on."""

    def pretend(kibibytes: int) -> None:
        meminfo = tmp_path / "meminfo"
        meminfo.write_text(f"MemTotal:       98765432 kB\nMemFree:  1 kB\nMemAvailable:   {kibibytes} kB\n")
        monkeypatch.setattr(cache, "MEMINFO", meminfo)

    return pretend


def test_too_little_memory_is_refused_before_anything_is_decoded(
    root: Path, free_memory: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 4 * (32 * 64 * 3 + 4 * 8 * 2)
    free_memory(needed // 1024)
    monkeypatch.setattr(FolderSource, "__iter__", lambda self: pytest.fail("decoded"))
    with pytest.raises(ConfigError, match=r"^cache: the frames take 0\.0 GiB, but 0\.0 GiB of memory are free: ") as e:
        store_of(root, "ram", ["masked"])
    assert e.value.exit_code == 2
    monkeypatch.undo()
    free_memory(needed // 1024 * 2)
    assert isinstance(store_of(root, "ram", ["masked"]), MemoryCache)


@pytest.mark.parametrize(("answers", "is_refused"), [(True, True), (False, False)])
def test_without_meminfo_the_system_is_asked_and_trusted_where_it_does_not_tell(
    root: Path, monkeypatch: pytest.MonkeyPatch, answers: bool, is_refused: bool
) -> None:
    def sysconf(name: str) -> int:
        if not answers:
            raise ValueError(f"unrecognized configuration name {name}")
        return {"SC_AVPHYS_PAGES": 4, "SC_PAGE_SIZE": 4096}[name]

    monkeypatch.setattr(cache, "MEMINFO", root / "none")
    monkeypatch.setattr(os, "sysconf", sysconf)
    if is_refused:
        with pytest.raises(ConfigError, match="memory are free"):
            store_of(root, "ram", ["plain"])
    else:
        assert isinstance(store_of(root, "ram", ["plain"]), MemoryCache)
