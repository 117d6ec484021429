"""Damages and forgeries of files, and what may come of reading them.

Each takes a generator and the bytes of two whole files, and returns the bytes of another one.
"""

import io
import json
import warnings
import zipfile

import numpy as np

DIRECTORY = b"PK\x01\x02"  # begins an entry of a zip archive's directory
HEADER = b"PK\x03\x04"  # and this the header of a part


def flip_a_bit(rng, content, first, end):
    content = bytearray(content)
    content[int(rng.integers(first, end))] ^= 1 << int(rng.integers(8))
    return bytes(content)


def flip_bits(rng, content, _):
    for _ in range(rng.integers(1, 4)):
        content = flip_a_bit(rng, content, 0, len(content))
    return content


def flip_a_bit_of_the_directory(rng, content, _):
    return flip_a_bit(rng, content, content.index(DIRECTORY), len(content))


def flip_a_bit_of_a_header(rng, content, _):
    starts = [i for i in range(len(content)) if content.startswith(HEADER, i)]
    start = int(rng.choice(starts))
    return flip_a_bit(rng, content, start, start + 50)


def overwrite(rng, content, _):
    start = int(rng.integers(len(content)))
    length = int(rng.integers(1, 600))
    run = bytes(length) if rng.random() < 0.5 else rng.bytes(length)
    return content[:start] + run[: len(content) - start] + content[start + length :]


def truncate(rng, content, _):
    return content[: int(rng.integers(len(content)))]


def cut_out(rng, content, _):
    start = int(rng.integers(len(content)))
    return content[:start] + content[start + int(rng.integers(1, 600)) :]


def repeat(rng, content, _):
    start = int(rng.integers(len(content)))
    end = start + int(rng.integers(1, 600))
    return content[:end] + content[start:]


def splice(rng, content, other):
    return content[: int(rng.integers(len(content)))] + other[int(rng.integers(len(other))) :]


def splice_in_place(rng, content, other):
    cut = int(rng.integers(min(len(content), len(other))))
    return content[:cut] + other[cut:]


def declare_absurd_sizes(rng, content, _):
    starts = [i for i in range(len(content)) if content.startswith(DIRECTORY, i)]
    packed_unpacked_place = [20, 24, 42]
    field = int(rng.choice(starts)) + int(rng.choice(packed_unpacked_place))
    size = int(rng.choice([2**32 - 1, 2**31, 2**30, 0]))
    return content[:field] + size.to_bytes(4, "little") + content[field + 4 :]


DAMAGES = [
    flip_bits,
    flip_a_bit_of_the_directory,
    flip_a_bit_of_a_header,
    overwrite,
    truncate,
    cut_out,
    repeat,
    splice,
    splice_in_place,
    declare_absurd_sizes,
]
OF_ANY_FILE = [flip_bits, overwrite, truncate, cut_out, repeat, splice, splice_in_place]


def rezip(content, change):
    """The archive whose parts are what `change` makes of those of another one."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = change({name: archive.read(name) for name in archive.namelist()})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return packed.getvalue()


def swap_parts(rng, content, _):
    def swap(parts):
        a, b = rng.choice(list(parts), 2, replace=len(parts) < 2)
        return {**parts, a: parts[b], b: parts[a]}

    return rezip(content, swap)


def drop_or_rename_a_part(rng, content, _):
    def change(parts):
        name = str(rng.choice(list(parts)))
        part = parts.pop(name)
        if rng.random() < 0.5:
            return parts
        return {**parts, str(rng.choice(["../evil", "/evil", "evil", name.upper()])): part}

    return rezip(content, change)


SMALL_VALUES = [None, True, -1, 0, 3, 0.5, float("nan"), "", "x", [], {}, "os>system"]
LARGE_VALUES = [10**6, 10**9, 10**30, [10**5, 10**5, 1]]


def change_the_config(rng, content, _):
    """Another value, or none, somewhere in config.json."""
    values = [*SMALL_VALUES, *LARGE_VALUES]

    def change(parts):
        config = json.loads(parts["config.json"])
        node, key = somewhere(rng, config)
        if rng.random() < 0.15:
            del node[key]
        else:
            node[key] = values[int(rng.integers(len(values)))]
        return {**parts, "config.json": json.dumps(config).encode()}

    return rezip(content, change)


def somewhere(rng, node):
    """A list or dict inside `node`, and one of its keys; rarely one that holds others."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[int(rng.integers(len(keys)))]
        if not (isinstance(node[key], dict | list) and node[key]) or rng.random() < 0.15:
            return node, key
        node = node[key]


def change_an_array_header(rng, content, _):
    """Another shape or type in the header of a .npy file, whose length stays."""
    shapes = ["(4, 9, 7) ", "(9**9, 9) ", "(40,10**9)", "(99999999)", "(-1, 9, 7)", "(0, 9, 7) "]
    texts = [
        *(("(40, 9, 7)", shape) for shape in shapes),
        *(("|u1", dtype) for dtype in ("|O8", "<f8", "|V9", "<M8")),
        ("False", "True "),
        ("{", "("),
        ("NUMPY", "NUMPX"),
    ]
    old, new = (text.encode() for text in texts[int(rng.integers(len(texts)))])
    return rezip(
        content, lambda parts: {name: part.replace(old, new) for name, part in parts.items()}
    )


def same_config(a, b):
    names = [{**vae.get_config(), "name": ""} for vae in (a, b)]
    return json.dumps(names[0]) == json.dumps(names[1])


def same_model(a, b):
    variables = [vae.variables + vae.optimizer.variables for vae in (a, b)]
    return same_config(a, b) and all(np.array_equal(p, q) for p, q in zip(*variables, strict=True))


def outcome(read, path):
    """What reading gives, or the line of its refusal; anything else than these two is a bug."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the command line they do not stop it
        try:
            return read(path)
        except ValueError as error:
            if path.name not in str(error):
                raise
            return None
