"""Measures what it costs to train on files that are read while training goes on.

`python benchmarks/streaming.py` writes image files to a temporary folder. It trains on them as
`vae-keras train --stream` does and from memory, in turn, one epoch each, and takes the ratio of
their seconds in each round. Then it streams an epoch of batches from 10 000 and from 100 000 files,
each in a process of its own, and takes the peak of its memory.

The record is benchmarks/records/streaming.json. It is made on committed code alone; trials go to
another folder, --output.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from measuring import interleave, peak_memory
from PIL import Image
from record import origin_of, parse_trial, write_record

from vae_keras import ConvVAE, load_images, load_mnist, make_optimizer, stream_images

ROUNDS = 3
FILES = {28: 10_000, 64: 2000}  # of an epoch, by the side of the images; the larger are in colour
FOLDERS = (10_000, 100_000)  # numbers of files between which memory is compared
STREAM = """
from vae_keras import stream_images
batches = stream_images({folder!r}, batch_size=256, seed=0)
dataset = batches.for_backend()
for batch in dataset:
    pass
"""


def write_files(folder, number, side):
    """Write digits as PNG files: 28 pixels a side in grey, or larger in colour."""
    digits = (255 * load_mnist()[0][0][:, :, :, 0]).astype("uint8")
    for i in range(number):
        path = folder / f"{i // 1000:03}" / f"{i:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(digits[i % len(digits)])
        if side != 28:
            image = image.resize((side, side)).convert("RGB")
        image.save(path)


def slower(folder, rounds, batch_size=256):
    """How many times as long an epoch takes from files as from memory: a sorted list, by rounds."""
    x = load_images(folder)
    vae = ConvVAE(image_shape=x.shape[1:], seed=0)
    vae.compile(make_optimizer("default", len(x), epochs=4 * rounds, batch_size=batch_size))
    streamed = stream_images(folder, batch_size, seed=0)
    tasks = {
        "files": lambda: vae.fit(streamed, verbose=0),
        "memory": lambda: vae.fit(x, batch_size=batch_size, verbose=0),
    }
    interleave(1, tasks)  # traces the network and fills caches
    seconds = interleave(rounds, tasks)
    pairs = zip(seconds["files"], seconds["memory"], strict=True)
    return sorted(round(files / memory, 3) for files, memory in pairs)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options = parse_trial(parser)
    record = {**origin_of(options.output), "seconds_by_those_from_memory": {}, "peak_mebibytes": {}}
    keras.utils.set_random_seed(0)
    for side, number in FILES.items():
        number = min(number, options.images or number)
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), number, side)
            ratios = slower(folder, ROUNDS)
        record["seconds_by_those_from_memory"][f"{side} x {side}"] = ratios
        print(f"{number} images of {side} x {side}: {ratios} times the seconds", flush=True)
    for number in np.minimum(FOLDERS, options.images or max(FOLDERS)).tolist():
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), number, 28)
            peak = peak_memory(STREAM.format(folder=folder))
        record["peak_mebibytes"][str(number)] = round(peak)
        print(f"{number} files: {peak:.0f} MiB at most", flush=True)
    write_record(record, "streaming", options.output)
    print(options.output / "streaming.json")


if __name__ == "__main__":
    main()
