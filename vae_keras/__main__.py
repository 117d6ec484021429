"""`python -m vae_keras`: the command line."""

import os
import sys

from vae_keras.cli.main import main

if __name__ == "__main__":
    code = main()
    if code and "--distribute" in sys.argv:
        os._exit(code)  # at a normal exit JAX would wait for the other processes, and then abort
    sys.exit(code)
