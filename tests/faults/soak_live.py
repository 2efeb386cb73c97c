"""A day of a camera at 5 frames/s, as fast as it goes: python tests/faults/soak_live.py [FRAMES]

Tiny frames go through the whole live path, decoder process, shared memory, queue, window stream, events, files, with
an engine that costs nothing. Prints a line of figures as JSON; exit code 1 where memory grew by 20 MB or more after the
warm-up, or where frames in are not those processed and dropped.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from convlstm.config import DetectConfig
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.watch import WatchJob, find_cameras

_SERVER = """
import sys, socket
frames = [open(path, "rb").read() for path in sys.argv[2:]]
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    try:
        client.recv(65536)
        client.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Type: multipart/x-mixed-replace; boundary=f\\r\\n\\r\\n")
        for number in range(int(sys.argv[1])):
            jpeg = frames[number % len(frames)]
            head = b"--f\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(jpeg)
            client.sendall(head + jpeg + b"\\r\\n")
    except OSError:
        pass
    client.close()
"""


def memory_mb(process_id: int | str = "self") -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def write_jpegs(folder: Path) -> list[str]:
    """Frames in which a square moves."""
    paths = []
    for index in range(16):
        pixels = np.full((32, 32, 3), 90, dtype=np.uint8)
        pixels[8:16, index : index + 8] = 255
        paths.append(str(folder / f"{index}.jpg"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


def predictor() -> Predictor:
    """Windows of 4 frames of 32x32; what it says changes nothing here."""
    model = TemporalClassifier()
    checkpoint = Checkpoint(model.state_dict(), model.config, 4, (32, 32), threshold=0.5, fps=25)
    return Predictor(checkpoint, device="cpu", engine="torch", stride=3)


class Sampler(threading.Thread):
    """Notes memory and frames every second."""

    def __init__(self, job: WatchJob) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.samples: list[tuple[int, float, float]] = []

    def run(self) -> None:
        """Until the job ends."""
        source = self.job.watches[0].source
        while source.status.state != "ended":
            decoder = source.decoder_process_id
            child = memory_mb(decoder) if decoder is not None and Path(f"/proc/{decoder}").exists() else 0.0
            self.samples.append((source.status.num_frames, memory_mb(), child))
            time.sleep(1)


def main(num_frames: int) -> int:
    """Run, print, judge."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        jpegs = write_jpegs(Path(folder))
        server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(num_frames), *jpegs], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/video.mjpg"
            config = DetectConfig(output=Path(folder) / "results", reconnect=False)
            job = WatchJob(predictor(), config, find_cameras(url, config))
            sampler = Sampler(job)
            sampler.start()
            job.run()
        finally:
            server.kill()
            server.wait()
        status = job.watches[0].source.status
    warm = [sample for sample in sampler.samples if sample[0] > num_frames / 10]
    growth = {name: warm[-1][i] - warm[0][i] if warm else 0.0 for i, name in ((1, "parent"), (2, "decoder"))}
    adds_up = status.num_frames == status.num_taken + status.num_dropped
    report = {
        "frames": status.num_frames,
        "processed": status.num_taken,
        "dropped": status.num_dropped,
        "parent_growth_mb": round(growth["parent"], 1),
        "decoder_growth_mb": round(growth["decoder"], 1),
    }
    print(json.dumps(report))  # noqa: T201 a script
    return int(not adds_up or status.num_frames < num_frames - 1 or max(growth.values()) >= 20)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 432_000))
