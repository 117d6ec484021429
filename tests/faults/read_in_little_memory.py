"""Read files with little memory to spare, and print how each was refused, as JSON.

Usage: read_in_little_memory.py LARGEST FILE..., where the first two files are a model and images
that are read. LARGEST is the number of bytes that an archive may unpack to.
"""

import json
import os
import resource
import sys
from pathlib import Path

from vae_keras import _files, load_images, load_vae

SPARE = 2**28  # bytes


def refusal(path):
    try:
        (load_vae if path.suffix == ".keras" else load_images)(path)
    except ValueError as error:
        return str(error)
    return "it was read"


def main(largest, paths):
    for path in paths[:2]:  # what is loaded along with the first takes memory once
        assert refusal(path) == "it was read"
    _files.LARGEST = largest
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    in_use = pages * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (in_use + SPARE, resource.RLIM_INFINITY))
    print(json.dumps({path.name: refusal(path) for path in paths}))


main(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
