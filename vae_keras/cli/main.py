"""The command line: `python -m vae_keras figures | train | sample | evaluate | export`."""

import argparse
import contextlib
import json
import sys
import textwrap

import keras

from vae_keras.cli import commands
from vae_keras.cli.quiet import quiet_stderr

DESCRIPTION = "Train, sample and measure variational autoencoders. Losses are nats per image, summed over pixels and latents."


def main(arguments=None):
    """Run one command. Returns 0 when done, 2 after bad input or a loss of NaN, 130 when interrupted; wrong usage exits with 2."""
    options = vars(_parser().parse_args(arguments))
    name, as_json = options.pop("command"), options.pop("json")
    try:
        # progress goes to stderr, so that stdout holds the result alone
        with contextlib.redirect_stdout(sys.stderr):
            with quiet_stderr():
                if not options.get("distribute"):  # processes join before anything is computed
                    keras.ops.zeros(1)  # the backend has more to say at its first operation
            results = getattr(commands, name)(**options)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"vae_keras {name}: {textwrap.shorten(str(error), 1000)}", file=sys.stderr)  # in one line
        return 2
    except KeyboardInterrupt:
        print(f"\nvae_keras {name}: interrupted", file=sys.stderr)
        return 130
    if results:
        print(json.dumps(results, indent=2) if as_json else _table(results))
    return 0


def _table(results):
    """Lay the results out in two columns; a list takes a row for each item."""
    rows = [(name, item) for name, value in results.items() for item in (value if isinstance(value, list) else [value])]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {item}" for name, item in rows)


class _Parser(argparse.ArgumentParser):
    def error(self, message):  # in one line
        print(f"{self.prog}: {message} (see --help)", file=sys.stderr)
        sys.exit(2)


def _integer(text, low=1, high=2**31):
    if not (text.isdecimal() and low <= int(text) < high):
        raise argparse.ArgumentTypeError(f"must be an integer of at least {low} and below {high}; got {text}")
    return int(text)


def _seed(text):
    return _integer(text, low=0)


def _parser():
    parser = _Parser(prog="vae_keras", description=DESCRIPTION)
    subparsers = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def add(name, does, output, output_help):
        command = subparsers.add_parser(name, help=does, description=does, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        command.add_argument("--seed", type=_seed, default=0, help="fixes weights, noise and shuffling")
        command.add_argument("--output", default=output, help=output_help)
        command.add_argument("--json", action="store_true", help="print the results as JSON")
        return command

    add("figures", "train the default network on MNIST and write its figures", "figures", "folder for the figures and the model")

    command = add("train", "train a network, and save it after every epoch", "vae.keras", "model file to write")
    command.add_argument("--resume", action="store_true", help="go on from --output, as the run that wrote it would have")
    command.add_argument("--data", help="your own images, an .npz file or a folder of PNG files; MNIST if not given")
    command.add_argument("--network", choices=("default", "keng2017"), default="default", help="which networks to train")
    command.add_argument("--latent-dim", type=_integer, default=64, help="number of latent variables")
    command.add_argument("--epochs", type=_integer, help="as the network's recipe says if not given")
    command.add_argument("--batch-size", type=_integer, help="as the network's recipe says if not given")
    command.add_argument("--likelihood", choices=("bernoulli", "gaussian"), default="bernoulli", help="of a pixel given z")
    command.add_argument("--sigma", type=float, help="standard deviation of the gaussian likelihood; learned if not given")
    command.add_argument("--distribute", action="store_true", help="use all devices, on JAX those of all processes of the run")

    command = add("sample", "decode draws from the prior N(0, I) of a saved model", "samples.png", "a .png grid or an .npz array")
    command.add_argument("model", help="a saved .keras file")
    command.add_argument("--n", type=_integer, default=100, help="number of images")

    command = add("evaluate", "measure a saved model on test images", None, "JSON file to write the results to as well")
    command.add_argument("model", help="a saved .keras file")
    command.add_argument("--data", help="your own images, as for train; the MNIST test set if not given")
    command.add_argument("--num-samples", type=_integer, default=100, help="draws of z an image for log P(X)")

    command = add("export", "write encoder and decoder of a saved model for other runtimes", "exported", "folder for the two files")
    command.add_argument("model", help="a saved .keras file")
    command.add_argument("--format", choices=("onnx",), default="onnx", help="of the files: ONNX")
    return parser
