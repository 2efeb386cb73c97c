import errno
import json
import logging
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from convlstm.clips import shrink_frame
from convlstm.config import TrainConfig
from convlstm.errors import ConfigError
from convlstm.progress import Progress
from convlstm.sources.folder import FolderSource
from convlstm.utils.data import cache_disk
from convlstm.utils.data.array_file import ArrayWriter
from convlstm.utils.data.cache_disk import DiskCache
from convlstm.utils.data.frames import FrameDecoder, FrameStore
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import LabelledSequence, open_sequences

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]
Damage = Callable[[Path], object]

SIZE = (32, 64)
NAMES = ("a", "b", "c")


def config_for(root: Path, **changes: Any) -> TrainConfig:
    config = TrainConfig(data_root=root, cache="disk", target_size=SIZE, seq_length=2, stride=1)
    return replace(config, **changes)


def opened(config: TrainConfig, names: Sequence[str]) -> list[LabelledSequence]:
    sequences, left_out = open_sequences([ManifestRow(n, "dynamic", n, None, None, 2) for n in names], config)
    assert not left_out
    return sequences


def open_cache(root: Path, names: Sequence[str] = NAMES, **changes: Any) -> DiskCache:
    config = config_for(root, **changes)
    return DiskCache(opened(config, names), config)


class Content(NamedTuple):
    frames: Pixels
    shares: NDArray[np.float16]
    unreadable: dict[int, str]


def read(store: FrameStore, sequence: int, span: range) -> Content:
    frames = np.full((len(span), *SIZE, 3), 77, dtype=np.uint8)
    shares = np.full((len(span), SIZE[0] // 8, SIZE[1] // 8), 7, dtype=np.float16)
    return Content(frames, shares, store.read(sequence, span, frames, shares))


def assert_right(store: FrameStore, root: Path, names: Sequence[str] = NAMES) -> None:
    """What is kept is what the files hold now."""
    sequences = opened(config_for(root), names)
    decoder = FrameDecoder(sequences, SIZE)
    for place, sequence in enumerate(sequences):
        for run in sequence.source.runs:
            kept, expected = read(store, place, run), read(decoder, place, run)
            np.testing.assert_array_equal(kept.frames, expected.frames)
            np.testing.assert_array_equal(kept.shares, expected.shares)
            assert kept.unreadable.keys() == expected.unreadable.keys()


def entries(folder: Path) -> dict[str, Path]:
    """Folders of the cache by the name of their sequence. All of them are whole, and nothing else lies about."""
    found = {}
    for path in folder.iterdir():
        if path.name in (".lock", "CACHEDIR.TAG"):
            continue
        assert re.fullmatch("[0-9a-f]{24}", path.name)
        index = json.loads((path / "index.json").read_text())
        assert len(np.load(path / "frames.npy")) == sum(stop - start for start, stop in index["runs"])
        found[Path(index["name"]).name] = path
    return found


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file and folder, and when it was made."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def root(tmp_path: Path, write_folder: WriteFolder, make_frames: Callable[..., list[Pixels]]) -> Path:
    """Three sequences; `a` has masks and an unreadable frame, `b` a gap."""
    frames = make_frames(6, 48, 80)
    root = tmp_path / "data"
    write_folder(root / "a", frames[:4])
    (root / "a" / "frame_000002.png").write_bytes(b"")
    write_folder(root / "a" / "masks", [frame[..., 0] // 140 for frame in frames[:4]])
    write_folder(root / "b", frames, [f"f_{number}.png" for number in (0, 1, 2, 3, 6, 7)])
    write_folder(root / "c", frames[3:])
    return root


def test_anyone_can_open_what_is_kept(root: Path) -> None:
    store = open_cache(root)
    folder = root / ".convlstm_cache"
    kept = entries(folder)
    assert kept.keys() == set(NAMES)
    assert (folder / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    frames, shares = (np.load(kept["a"] / name, mmap_mode="r") for name in ("frames.npy", "shares.npy"))
    assert (frames.dtype, frames.shape) == (np.uint8, (4, 32, 64, 3))
    assert (shares.dtype, shares.shape) == (np.float16, (4, 4, 8))
    content = read(store, 0, range(4))
    np.testing.assert_array_equal(frames, content.frames)
    np.testing.assert_array_equal(shares, content.shares)
    assert not (kept["b"] / "shares.npy").exists()
    index = json.loads((kept["b"] / "index.json").read_text())
    assert index["name"] == str(root / "b") and index["runs"] == [[0, 4], [6, 8]] and index["unreadable"] == {}
    assert list(json.loads((kept["a"] / "index.json").read_text())["unreadable"]) == ["2"]


def test_cache_dir_says_where(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "inside"
    assert_right(open_cache(root, cache_dir=folder), root)
    assert entries(folder).keys() == set(NAMES)
    assert not (root / ".convlstm_cache").exists()


def test_a_second_start_makes_nothing_and_takes_no_lock(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_cache(root)
    before = stamps(root)
    monkeypatch.setattr(cache_disk, "FileLock", lambda path: pytest.fail("took the lock"))
    monkeypatch.setattr(FolderSource, "__iter__", lambda self: pytest.fail("decoded"))
    assert read(open_cache(root), 0, range(4)).unreadable.keys() == {2}
    assert_right(open_cache(root), root)
    assert stamps(root) == before


def change_content(folder: Path) -> None:
    shutil.copy(folder / "frame_000001.png", folder / "frame_000000.png")


def change_time_only(folder: Path) -> None:
    """As an edit does that leaves the size."""
    os.utime(folder / "frame_000000.png", ns=(1, 1))


def change_size_only(folder: Path) -> None:
    """As a copy does that keeps times."""
    time_ns = (folder / "frame_000000.png").stat().st_mtime_ns
    change_content(folder)
    with (folder / "frame_000000.png").open("ab") as file:
        file.write(b"more")
    os.utime(folder / "frame_000000.png", ns=(time_ns, time_ns))


def mend_frame(folder: Path) -> None:
    shutil.copy(folder / "frame_000001.png", folder / "frame_000002.png")


def add_frame(folder: Path) -> None:
    shutil.copy(folder / "frame_000001.png", folder / "frame_000004.png")
    shutil.copy(folder / "masks" / "frame_000001.png", folder / "masks" / "frame_000004.png")


def remove_frame(folder: Path) -> None:
    (folder / "frame_000003.png").unlink()


def change_mask(folder: Path) -> None:
    shutil.copy(folder / "masks" / "frame_000003.png", folder / "masks" / "frame_000000.png")
    os.utime(folder / "masks" / "frame_000000.png", ns=(1, 1))


def remove_masks(folder: Path) -> None:
    shutil.rmtree(folder / "masks")


def rename_frames(folder: Path) -> None:
    """The same files with a gap."""
    (folder / "frame_000003.png").rename(folder / "frame_000009.png")
    (folder / "masks" / "frame_000003.png").rename(folder / "masks" / "frame_000009.png")


@pytest.mark.parametrize(
    "change",
    [
        change_content,
        change_time_only,
        change_size_only,
        mend_frame,
        add_frame,
        remove_frame,
        change_mask,
        remove_masks,
        rename_frames,
    ],
)
def test_a_changed_sequence_is_made_anew_and_it_alone(root: Path, change: Damage) -> None:
    open_cache(root)
    before = entries(root / ".convlstm_cache")
    times = {name: stamps(path) for name, path in before.items()}
    change(root / "a")
    assert_right(open_cache(root), root)
    after = entries(root / ".convlstm_cache")
    assert after == before
    assert {name for name, path in after.items() if stamps(path) != times[name]} == {"a"}


def test_added_masks_are_noticed(root: Path) -> None:
    open_cache(root)
    shutil.copytree(root / "c", root / "c" / "masks")
    store = open_cache(root)
    assert_right(store, root)
    assert not np.isnan(read(store, 2, range(3)).shares).any()


def test_an_edited_video_is_made_anew(
    tmp_path: Path, write_video: Callable[..., Path], make_frames: Callable[..., list[Pixels]]
) -> None:
    for frames in (make_frames(5), make_frames(5)[::-1]):
        write_video(tmp_path / "v.mp4", frames)
        assert_right(open_cache(tmp_path, ["v.mp4"]), tmp_path, ["v.mp4"])
    assert len(entries(tmp_path / ".convlstm_cache")) == 1


def test_another_size_has_its_own_entries(root: Path) -> None:
    open_cache(root)
    before = stamps(root / ".convlstm_cache")
    del before[root / ".convlstm_cache"]
    open_cache(root, target_size=(64, 32))
    after = stamps(root / ".convlstm_cache")
    assert before.items() <= after.items()
    assert len(list((root / ".convlstm_cache").glob("*/frames.npy"))) == 6


def test_one_sequence_twice_is_kept_once(root: Path) -> None:
    store = open_cache(root, ["c", "c", "b"])
    assert_right(store, root, ["c", "c", "b"])
    assert entries(root / ".convlstm_cache").keys() == {"b", "c"}


def resize_file(path: Path, change: int) -> None:
    os.truncate(path, path.stat().st_size + change)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def edit_index(entry: Path, **changes: Any) -> None:
    index = json.loads((entry / "index.json").read_text())
    (entry / "index.json").write_text(json.dumps({**index, **changes}))


DAMAGES: dict[str, Damage] = {
    "frames cut": lambda entry: resize_file(entry / "frames.npy", -1),
    "frames longer": lambda entry: resize_file(entry / "frames.npy", 1),
    "frames empty": lambda entry: (entry / "frames.npy").write_bytes(b""),
    "frames gone": lambda entry: (entry / "frames.npy").unlink(),
    "frames of another shape": lambda entry: np.save(entry / "frames.npy", np.zeros((2, 64, 64, 3), np.uint8)),
    "frames of another type": lambda entry: np.save(entry / "frames.npy", np.zeros((4, 32, 64, 3), np.int8)),
    "shares cut": lambda entry: resize_file(entry / "shares.npy", -20),
    "shares gone": lambda entry: (entry / "shares.npy").unlink(),
    "index gone": lambda entry: (entry / "index.json").unlink(),
    "index empty": lambda entry: (entry / "index.json").write_bytes(b""),
    "index cut": lambda entry: resize_file(entry / "index.json", -9),
    "index of zeros": lambda entry: (entry / "index.json").write_bytes(bytes(300)),
    "index no text": lambda entry: (entry / "index.json").write_bytes(b"\xff\xfe{"),
    "index a list": lambda entry: (entry / "index.json").write_text("[]"),
    "index without reasons": lambda entry: edit_index(entry, unreadable=None),
    "index with odd reasons": lambda entry: edit_index(entry, unreadable={"two": "x"}),
    "index of other runs": lambda entry: edit_index(entry, runs=[[0, 3], [4, 5]]),
    "index of other files": lambda entry: edit_index(entry, key="0" * 64),
    "everything gone but the folder": empty,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_made_anew_and_it_alone(root: Path, damage: Damage) -> None:
    open_cache(root)
    before = entries(root / ".convlstm_cache")
    others = stamps(before["b"]) | stamps(before["c"])
    damage(before["a"])
    damaged = stamps(before["a"])
    assert_right(open_cache(root), root)
    assert entries(root / ".convlstm_cache") == before and stamps(before["a"]) != damaged
    assert stamps(before["b"]) | stamps(before["c"]) == others


def test_what_is_sent_to_loader_processes_is_small_and_reads_the_same(root: Path) -> None:
    store = open_cache(root)
    sent = pickle.dumps(store)
    assert len(sent) < 2000
    assert_right(pickle.loads(sent), root)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_no_file_stays_open(root: Path) -> None:
    before = os.listdir("/proc/self/fd")
    store = open_cache(root)
    read(store, 0, range(4))
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("file", ["frames.npy", "shares.npy"])
@pytest.mark.parametrize("kind", ["gone", "cut", "replaced"])
def test_a_file_that_changes_under_training_costs_its_frames(root: Path, file: str, kind: str) -> None:
    store = open_cache(root)
    path = entries(root / ".convlstm_cache")["a"] / file
    if kind == "gone":
        path.unlink()
    elif kind == "cut":
        resize_file(path, -1)
    else:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    content_now = read(store, 0, range(1, 3))
    assert list(content_now.unreadable) == [1, 2]
    assert all(reason.startswith(f"{path}: cached frames ") for reason in content_now.unreadable.values())
    assert ("No such file" in content_now.unreadable[1]) == (kind == "gone")
    assert not content_now.frames.any() and np.isnan(content_now.shares).all()
    assert not read(store, 1, range(4)).unreadable
    assert_right(open_cache(root), root)


def test_too_little_space_is_refused_with_both_numbers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(num_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 0, num_bytes))

    needed = 13 * 32 * 64 * 3 + 4 * 4 * 8 * 2
    monkeypatch.setattr(cache_disk, "RESERVE_BYTES", 1000)
    free(needed + 999)
    with pytest.raises(ConfigError, match=r"^cache: the frames take 0\.0 GiB, but 0\.0 GiB are free in /.*cache_dir"):
        open_cache(root)
    assert entries(root / ".convlstm_cache") == {}
    free(needed + 1000)
    open_cache(root)
    change_content(root / "c")
    free(3 * 32 * 64 * 3 + 1000)  # as much as is missing
    assert_right(open_cache(root), root)


def test_the_numbers_are_in_gib(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 0, 3 << 29))
    monkeypatch.setattr(cache_disk, "needed_bytes", lambda *_: 2 << 30)
    with pytest.raises(ConfigError, match=r"take 6\.0 GiB, but 1\.5 GiB are free in"):
        open_cache(root)


def test_a_folder_that_cannot_be_made_names_the_flag(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=rf"^--cache_dir {folder}: cannot be written: \w+.*: give a folder"):
            open_cache(root, cache_dir=folder)


def test_a_folder_that_cannot_be_written_names_the_flag(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(ConfigError, match=rf"^--cache_dir {folder}: cannot be written: Permission denied"):
        open_cache(root, cache_dir=folder)


def fail_in_row(number: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all rows that are written, the one of that number fails."""
    original, written = ArrayWriter.__setitem__, []

    def set_row(self: ArrayWriter, row: int, value: Any) -> None:
        written.append(row)
        if len(written) >= number:
            raise error
        original(self, row, value)

    monkeypatch.setattr(ArrayWriter, "__setitem__", set_row)


@pytest.mark.parametrize("number", [1, 4, 12])
def test_a_disk_that_fills_up_leaves_no_half_entry(root: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_in_row(number, OSError(errno.ENOSPC, "No space left on device"), monkeypatch)
    with pytest.raises(ConfigError, match=r"^--cache_dir .*: cannot be written: No space left on device: give") as e:
        open_cache(root)
    assert e.value.exit_code == 2
    entries(root / ".convlstm_cache")
    monkeypatch.undo()
    assert_right(open_cache(root), root)


def test_a_failing_rewrite_leaves_the_old_entry(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_cache(root)
    before = entries(root / ".convlstm_cache")
    change_content(root / "a")
    times = stamps(before["a"])
    fail_in_row(2, OSError(errno.EIO, "Input/output error"), monkeypatch)
    with pytest.raises(ConfigError, match="Input/output error"):
        open_cache(root)
    assert entries(root / ".convlstm_cache") == before and stamps(before["a"]) == times


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_interrupt_stops_at_once_and_leaves_no_half_entry(
    root: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch, write_folder: WriteFolder
) -> None:
    """The interrupt comes in the main thread, while the others decode."""
    write_folder(root / "long", [np.zeros((8, 8, 3), dtype=np.uint8)] * 300)
    decoded = []
    original = FolderSource.__iter__

    def iterate(self: FolderSource) -> Any:
        for frame in original(self):
            decoded.append(frame.index)
            time.sleep(0.005)
            yield frame

    def advance(self: Progress, count: int = 1, note: str = "") -> None:
        if self.description == "caching":
            raise error

    monkeypatch.setattr(FolderSource, "__iter__", iterate)
    monkeypatch.setattr(Progress, "advance", advance)
    num_threads = threading.active_count()
    with pytest.raises(type(error)):
        open_cache(root, ["long", *NAMES])
    assert len(decoded) < 100 and threading.active_count() == num_threads
    assert "long" not in entries(root / ".convlstm_cache")
    monkeypatch.undo()
    assert_right(open_cache(root, ["long", *NAMES]), root, ["long", *NAMES])


def test_what_killed_processes_left_goes_when_the_lock_is_held(root: Path) -> None:
    open_cache(root)
    left_over = root / ".convlstm_cache" / ".tmp-0123"
    left_over.mkdir()
    (left_over / "frames.npy").write_bytes(b"half")
    with FileLock(root / ".convlstm_cache" / ".lock"):
        open_cache(root)
        assert left_over.exists()  # it may belong to a process that is at work
    open_cache(root)
    assert not left_over.exists()
    left_over.mkdir()
    change_content(root / "a")
    open_cache(root)
    assert not left_over.exists()


def test_who_finds_the_cache_being_filled_waits_and_says_so(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = root / ".convlstm_cache"
    folder.mkdir()
    with caplog.at_level(logging.INFO), FileLock(folder / ".lock"):
        waiting = threading.Thread(target=open_cache, args=(root,))
        waiting.start()
        deadline = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
        assert waiting.is_alive()
        assert entries(folder) == {}
    waiting.join(timeout=20)
    assert caplog.messages == [f"another process is filling the cache {folder}: waiting"]
    assert entries(folder).keys() == set(NAMES)


# Opens the cache in a process of its own, slowly; says which sequences it decodes.
OPEN_SLOWLY = """
import sys, time
from pathlib import Path
from convlstm.clips import shrink_frame
from convlstm.config import TrainConfig
from convlstm.sources.folder import FolderSource
from convlstm.utils.data.cache import open_store
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import open_sequences

def iterate(self):
    sys.stdout.write(f"decodes {self.folder.name}\\n")
    sys.stdout.flush()
    for frame in original(self):
        time.sleep(0.01)
        yield frame

root, names = Path(sys.argv[1]), sys.argv[2:]
original, FolderSource.__iter__ = FolderSource.__iter__, iterate
config = TrainConfig(data_root=root, cache="disk", target_size=(32, 64), seq_length=2, stride=1)
sequences, _ = open_sequences([ManifestRow(n, "dynamic", n, None, None, 2) for n in names], config)
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
open_store(sequences, config)
sys.stdout.write("open\\n")
"""


def start(root: Path, names: Sequence[str]) -> "subprocess.Popen[str]":
    """A process that is about to open the cache, and does so when it is told to."""
    command = [sys.executable, "-c", OPEN_SLOWLY, str(root), *names]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.slow
def test_two_processes_make_each_entry_once(root: Path) -> None:
    processes = [start(root, NAMES) for _ in range(2)]
    for process in processes:
        go(process)
    lines = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    assert Counter(lines) == {"open": 2, **{f"decodes {name}": 1 for name in NAMES}}
    assert_right(open_cache(root), root)
    assert entries(root / ".convlstm_cache").keys() == set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(4))
def test_a_process_killed_at_a_random_moment_leaves_nothing_wrong(root: Path, attempt: int) -> None:
    if attempt % 2:
        open_cache(root)
        for name in ("a", "b"):
            shutil.copy(root / "c" / "frame_000002.png", next((root / name).glob("*_*1.png")))
    process = start(root, NAMES)
    go(process)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("decodes ")
    time.sleep(random.uniform(0, 0.08))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert_right(open_cache(root), root)
    assert entries(root / ".convlstm_cache").keys() == set(NAMES)


# Opens the cache again and again, each time in a process that kills itself one file operation later.
KILL_EVERYWHERE = """
import os, shutil, signal, sys
from pathlib import Path
from convlstm.clips import shrink_frame
from convlstm.config import TrainConfig
from convlstm.utils.data.cache import open_store
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import open_sequences

root, caches, outdated, names = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]

def open_and_die(moment, folder):
    config = TrainConfig(
        data_root=root, cache="disk", cache_dir=folder, target_size=(32, 64), seq_length=2, stride=1
    )
    sequences, _ = open_sequences([ManifestRow(n, "dynamic", n, None, None, 2) for n in names], config)
    num_operations = 0

    def count(event, arguments):
        nonlocal num_operations
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            num_operations += ".tmp-" in str(arguments[0]) or event in ("os.remove", "os.rmdir")
            if num_operations == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    open_store(sequences, config)

for moment in range(1, 500):
    folder = caches / str(moment)
    if outdated.exists():
        shutil.copytree(outdated, folder)
    child = os.fork()
    if child == 0:
        open_and_die(moment, folder)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        sys.exit(0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
sys.exit("never finished")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("is_outdated", [False, True], ids=["new", "outdated"])
def test_a_kill_between_any_two_file_operations_leaves_nothing_wrong(
    root: Path, tmp_path: Path, is_outdated: bool
) -> None:
    outdated, caches = tmp_path / "outdated", tmp_path / "caches"
    caches.mkdir()
    if is_outdated:
        open_cache(root, cache_dir=outdated)
        change_content(root / "a")
        change_content(root / "c")
    command = [sys.executable, "-c", KILL_EVERYWHERE, str(root), str(caches), str(outdated), "a", "c"]
    subprocess.run(command, check=True, timeout=240)
    moments = list(caches.iterdir())
    assert len(moments) > 10
    for folder in moments:
        assert_right(open_cache(root, ["a", "c"], cache_dir=folder), root, ["a", "c"])
        assert {"a", "c"} <= entries(folder).keys()


def test_shrunk_frames_are_kept_beside_whole_ones(root: Path) -> None:
    whole = open_cache(root)
    shrunk = open_cache(root, downsample=2)
    frames = np.zeros((3, SIZE[0] // 2, SIZE[1] // 2, 3), dtype=np.uint8)
    shares = np.zeros((3, SIZE[0] // 8, SIZE[1] // 8), dtype=np.float16)
    assert not shrunk.read(1, range(3), frames, shares)
    expected = read(whole, 1, range(3)).frames
    np.testing.assert_array_equal(frames, np.stack([shrink_frame(frame, 2) for frame in expected]))
    assert_right(open_cache(root), root)
