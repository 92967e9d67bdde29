"""Does the input of a training keep up with decoding alone? On generated photographs, on this machine.

    python benchmarks/input.py --images 10000 --threads 2 --folder photographs

Draws JPEGs of about 500 x 375 pixels and 115 kB, the mean of ILSVRC, into FOLDER (once), packs them (once), and times,
in turn and several times over: decoding the packed JPEGs and nothing else; an epoch of training input at S = 256; an
epoch with S from [256; 512]. Writes `results/imagenet/input.json` for the page "At ImageNet's scale".
"""

from __future__ import annotations

import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated

import joblib
import numpy as np
import psutil
import torch
import typer
from PIL import Image
from scipy.stats import chisquare

from vgglib import devices, provenance
from vgglib.augment import draw, generator
from vgglib.data import pack, packed
from vgglib.data.ahead import PIECE
from vgglib.data.files import opened_image
from vgglib.display.full_size import INPUT_SCHEMA
from vgglib.files import write_atomically
from vgglib.results import default_root, write_sealed

CLASSES = 10
CROP, BATCH = 224, 256
JITTER = (256, 512)


def photograph(number: int) -> bytes:
    """A JPEG whose content costs a decoder what photographs cost: detail at every scale, weaker the finer it is."""
    rng = np.random.default_rng(number)
    height, width = (375, 500) if rng.random() < 0.7 else (500, 375)
    height, width = height + int(rng.integers(-30, 31)), width + int(rng.integers(-30, 31))
    pixels = np.full((height, width, 3), 128.0, np.float32)
    for octave in range(1, 9):
        rows, columns = max(2, height >> octave), max(2, width >> octave)
        coarse = rng.normal(0, 1, (rows, columns, 3)).astype(np.float32)
        planes = [Image.fromarray(coarse[..., k]).resize((width, height), Image.Resampling.BICUBIC) for k in range(3)]
        pixels += 13 * octave**0.4 * np.stack([np.asarray(plane) for plane in planes], 2)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=96)
    return buffer.getvalue()


def write_photographs(folder: Path, images: int, workers: int) -> None:
    """A tree of classes, as ILSVRC is unpacked: `images` in train, a hundredth of it in val."""

    def write(split: str, number: int) -> None:
        path = folder / split / f"n{number % CLASSES:08}" / f"{number}.JPEG"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, photograph(number))

    val = range(images, images + max(CLASSES, images // 100))
    plan = [("train", number) for number in range(images)] + [("val", number) for number in val]
    joblib.Parallel(n_jobs=workers)(joblib.delayed(write)(split, number) for split, number in plan)


class Memory:
    """Bytes that this process holds, watched while a block runs, without what the system caches of files."""

    def __enter__(self) -> Memory:
        self.samples: list[tuple[float, int]] = []
        self.stop = threading.Event()
        self.begun = time.perf_counter()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop.set()
        self.thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self.stop.wait(1.0 if self.samples else 0):
            self.samples.append((time.perf_counter() - self.begun, me.memory_full_info().uss))

    def quarters(self) -> list[float]:
        """The mean of each quarter of the time: flat memory means that they are alike."""
        if len(self.samples) < 4:
            raise SystemExit(
                f"an epoch took {len(self.samples)} seconds, too few to watch its memory: pass more --images."
            )
        return [float(np.mean([bytes_ for _, bytes_ in part])) for part in np.array_split(np.array(self.samples), 4)]


def decoding(images, threads: int) -> float:
    """Images a second."""

    def decode(first: int) -> int:
        some = range(first, min(first + PIECE, len(images.train)))
        return sum(opened_image(images.train.encoded(i), upright=True).width for i in some)

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        sum(pool.map(decode, range(0, len(images.train), PIECE)))
    return len(images.train) / (time.perf_counter() - begun)


def training_input(images, epoch: int, scales: tuple[int, int] | None) -> dict:
    """An epoch of crops as training takes them: images a second, how often each image came, the S that were drawn."""
    split = images.train if scales else images.train.rescaled(JITTER[0])
    order = torch.randperm(len(split), generator=generator(0, epoch, 0))
    drawn: list[torch.Tensor] = []

    def steps():
        for number, index in enumerate(order.split(BATCH)):
            draws = draw(images, split, index, CROP, generator(0, epoch, number + 1), scales)
            drawn.append(draws.sides.amin(1))
            yield draws

    seen, begun = [], time.perf_counter()
    with Memory() as memory:
        for draws, crops in split.crops(steps(), CROP):
            assert crops.shape == (len(draws.index), 3, CROP, CROP)
            seen.append(draws.index)
    seconds = time.perf_counter() - begun
    counts = torch.bincount(torch.cat(seen), minlength=len(split))
    return {
        "images_per_second": len(split) / seconds,
        "each_image_once": bool((counts == 1).all()),
        "scales": torch.cat(drawn),
        "memory_bytes_by_quarter": memory.quarters(),
    }


def main(
    images: Annotated[int, typer.Option(help="Photographs in train, apart from minival.")] = 10_000,
    threads: Annotated[int, typer.Option(help="Threads that decode.")] = 2,
    rounds: Annotated[int, typer.Option(help="How often everything is timed.")] = 3,
    folder: Annotated[Path, typer.Option(help="For the photographs and their pack.")] = Path("photographs"),
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
) -> None:
    """Time the training input beside decoding alone."""
    devices.prepare(1)  # as a training does; the cores belong to the threads that decode
    tree, target = folder / "tree", folder / "pack"
    write_photographs(tree, round(images * (1 + packed.MINIVAL_SHARE)), threads)
    files = sorted(map(str, (tree / "train").rglob("*.JPEG")))
    summary = pack.pack(tree, target, jobs=threads)
    loaded = packed.load(target, threads=threads, decoder="pillow")
    _ = loaded.rgb_components
    found: dict[str, list] = {"decoding": [], "S = 256": [], "S in [256; 512]": []}
    epochs = []
    training_input(loaded, 0, None)  # fills the memory that all epochs use again
    load = os.getloadavg()
    for number in range(rounds):
        found["decoding"].append(decoding(loaded, threads))
        for name, scales in (("S = 256", None), ("S in [256; 512]", JITTER)):
            epoch = training_input(loaded, number, scales)
            found[name].append(epoch["images_per_second"])
            epochs.append(epoch)
        typer.echo({name: round(values[-1]) for name, values in found.items()})
    scales = torch.cat([epoch["scales"] for epoch in epochs[1::2]])
    drawn = torch.bincount(scales, minlength=JITTER[1] + 1)[JITTER[0] :]
    record = {
        "schema": INPUT_SCHEMA,
        "images": len(loaded.train),
        "files": len(files),
        "file_bytes": sum(os.path.getsize(file) for file in files),
        "pack_bytes": summary.size_bytes,
        "packed_images_per_second": summary.packed / summary.seconds if summary.packed else None,
        "threads": threads,
        "images_per_second": found,
        "share_of_decoding": {
            name: median(values) / median(found["decoding"]) for name, values in found.items() if name != "decoding"
        },
        "each_image_once": all(epoch["each_image_once"] for epoch in epochs),
        "memory_bytes_by_quarter": [epoch["memory_bytes_by_quarter"] for epoch in epochs],
        "scales_drawn": int(drawn.sum()),
        "scales_range": [int(scales.min()), int(scales.max())],
        "scales_uniform_p": float(chisquare(drawn.numpy()).pvalue),
        "environment": devices.describe(torch.device("cpu"))
        | provenance.commit()
        | {
            "cores": devices.cores(),
            "load_before": load,
            "measured_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }
    path = (results or default_root()) / "imagenet" / "input.json"
    write_sealed(path, record)
    typer.echo(path)


if __name__ == "__main__":
    typer.run(main)
