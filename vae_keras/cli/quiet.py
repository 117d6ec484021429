"""Starting Keras without the notes that its backend's C++ code writes to stderr.

They come whatever the log level is. The command line alone holds them back: elsewhere one may be
needed, such as that a GPU's drivers are missing.
"""

import os
import sys
import tempfile
from contextlib import contextmanager, nullcontext


def quiet_at_the_command_line():
    """`quiet_stderr` if the process was started as the command line, else nothing."""
    as_module = sys.orig_argv[1:3] == ["-m", "vae_keras"]
    as_script = os.path.basename(sys.argv[0]) == "vae-keras"
    return quiet_stderr() if as_module or as_script else nullcontext()


@contextmanager
def quiet_stderr():
    """Hold back what is written to the process's stderr; if the block raises, show it after all."""
    if sys.stderr is None:  # a process without one
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
