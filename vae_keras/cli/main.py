"""The command line: `vae-keras figures | train | sample | evaluate | export | notebooks`."""

import argparse
import contextlib
import json
import os
import sys
import textwrap

import keras

from vae_keras.cli import commands
from vae_keras.cli.quiet import quiet_stderr

DESCRIPTION = (
    "Train, sample and measure variational autoencoders. "
    "Losses are nats per image, summed over pixels and latents."
)


def run():
    """Run the command line and end the process with its code."""
    code = main()
    if code and "--distribute" in sys.argv:
        os._exit(code)  # at a normal exit JAX would wait for the other processes, and then abort
    sys.exit(code)


def main(arguments=None) -> int:
    """Run one command. Returns 0 when done, 2 after bad input or at NaN, 130 when interrupted."""
    options = vars(_parser().parse_args(arguments))
    name = options.pop("command")
    as_json = options.pop("json")
    show_traceback = options.pop("traceback")
    try:
        # progress goes to stderr, so that stdout holds the result alone
        with contextlib.redirect_stdout(sys.stderr):
            if not options.get("distribute"):  # processes join before anything is computed
                with quiet_stderr():
                    keras.ops.zeros(1)  # the backend has more to say at its first operation
            results = getattr(commands, name)(**options)
    except (ValueError, OSError, FloatingPointError) as error:
        if show_traceback:
            raise
        line = textwrap.shorten(str(error), 1000)
        print(f"vae_keras {name}: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nvae_keras {name}: interrupted", file=sys.stderr)
        return 130
    if results:
        print(json.dumps(results, indent=2) if as_json else _table(results))
    return 0


def _table(results):
    """Lay the results out in two columns; a list takes a row for each item."""
    rows = []
    for name, value in results.items():
        for item in value if isinstance(value, list) else [value]:
            rows.append((name.replace("_", " "), item))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {item}" for name, item in rows)


class _Parser(argparse.ArgumentParser):
    def error(self, message):  # in one line
        print(f"{self.prog}: {message} (see --help)", file=sys.stderr)
        sys.exit(2)


def _integer(text, low=1, high=2**31):
    if not (text.isdecimal() and low <= int(text) < high):
        wanted = f"an integer of at least {low} and below {high}"
        raise argparse.ArgumentTypeError(f"must be {wanted}; got {text}")
    return int(text)


def _seed(text):
    return _integer(text, low=0)


def _parser():
    parser = _Parser(prog="vae_keras", description=DESCRIPTION, allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    does = "train the default network on MNIST and write its figures"
    _add(subparsers, "figures", does, "figures", "folder for the figures and the models")
    _add_train(subparsers)
    _add_sample(subparsers)
    _add_evaluate(subparsers)
    _add_export(subparsers)
    _add_notebooks(subparsers)
    return parser


def _add(subparsers, name, does, output, output_help):
    add = _add_command(subparsers, name, does)
    add("--seed", type=_seed, default=0, help="fixes weights, noise and shuffling")
    add("--output", default=output, help=output_help)
    return add


def _add_command(subparsers, name, does):
    formatter = argparse.ArgumentDefaultsHelpFormatter
    command = subparsers.add_parser(
        name, help=does, description=does, allow_abbrev=False, formatter_class=formatter
    )
    add = command.add_argument
    add("--json", action="store_true", help="print the results as JSON")
    add("--traceback", action="store_true", help="show where an error was raised, not one line")
    return add


def _add_train(subparsers):
    does = "train a network, and save it after every epoch"
    add = _add(subparsers, "train", does, "vae.keras", "model file to write")
    by_recipe = "as the network's recipe says if not given"
    go_on = "go on from --output, as the run that wrote it would have"
    add("--resume", action="store_true", help=go_on)
    own = "your own images, a folder of image files or an .npz or .npy file; MNIST if not given"
    _add_data(add, f"{own}. Its x_test, or else a tenth of the images, is not trained on")
    files = "read the image files while training goes on, for more than memory holds"
    add("--stream", action="store_true", help=f"{files}; at most 1000 of them are held out")
    add("--network", choices=("default", "keng2017"), default="default", help="which networks")
    add("--latent-dim", type=_integer, default=64, help="number of latent variables")
    passes = "if one is given alone, or none, few images are taken several times an epoch"
    add("--epochs", type=_integer, help=by_recipe)
    add("--batch-size", type=_integer, help=f"{by_recipe}; {passes}")
    likelihoods = ("bernoulli", "gaussian")
    add("--likelihood", choices=likelihoods, default="bernoulli", help="of a pixel given z")
    add("--sigma", type=float, help="deviation of the gaussian likelihood; learned if not given")
    add("--tensorboard", metavar="DIR", help="write logs for TensorBoard to this folder")
    everywhere = "use all devices, on JAX those of all processes of the run"
    add("--distribute", action="store_true", help=everywhere)


def _add_data(add, data_help):
    add("--data", help=data_help)
    scale = "scale image files to this height and width, and cut off what sticks out at two sides"
    add("--image-size", nargs=2, type=_integer, metavar=("H", "W"), help=scale)
    behind = "behind transparent pixels of image files: a name, or #rrggbb"
    add("--background", default="white", metavar="COLOUR", help=behind)


def _add_sample(subparsers):
    does = "decode draws from the prior N(0, I) of a saved model"
    add = _add(subparsers, "sample", does, "samples.png", "a .png grid or an .npz array")
    add("model", help="a saved .keras file")
    add("--n", type=_integer, default=100, help="number of images")


def _add_evaluate(subparsers):
    does = "measure a saved model on images"
    add = _add(subparsers, "evaluate", does, None, "JSON file to write the results to as well")
    add("model", help="a saved .keras file")
    own = "your own images, as for train; the MNIST test set if not given"
    part = "Measured is x_test; without one, what the model's run held out of these very images"
    name = "or else all of them. They are called test images where the run's record shows that it"
    _add_data(add, f"{own}. {part}; {name} trained on none of them, and else images")
    add("--num-samples", type=_integer, default=100, help="draws of z an image for log P(X)")


def _add_export(subparsers):
    does = "write encoder and decoder of a saved model for other runtimes"
    add = _add(subparsers, "export", does, "exported", "folder for the two files")
    add("model", help="a saved .keras file")
    add("--format", choices=("onnx",), default="onnx", help="of the files: ONNX")


def _add_notebooks(subparsers):
    does = "lay the notebooks, and the records that they read, into a folder"
    add = _add_command(subparsers, "notebooks", does)
    add("folder", metavar="DIR", help="made if it is not there; no changed file is replaced")
    add("--student", action="store_true", help="leave out the answers to the exercises")
