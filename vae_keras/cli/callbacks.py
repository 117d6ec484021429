"""What watches a training run of the command line: Keras callbacks, each with one job."""

import math
import signal
import threading

import keras

from vae_keras.cli.distribute import save_alone


class StopAtNaN(keras.callbacks.Callback):
    """Ends training at a loss that is NaN or infinite, before that epoch is saved to `path`.

    Raises a `FloatingPointError` at the end of the epoch in which a training loss was so, or after
    which the validation loss is.
    """

    async_safe = True  # it may look at a step's loss while the next step runs

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.bad_steps = []

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            self.bad_steps.append(batch + 1)
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        # the last step's loss was taken before its weights changed, so validation has a say too
        if not self.bad_steps and math.isfinite(logs["val_loss"]):
            return
        step = f"step {min(self.bad_steps)}" if self.bad_steps else "the last step"
        where = f"{step} of epoch {epoch + 1}"
        raise FloatingPointError(f"The loss is NaN or infinite at {where}: {self.path} stays.")


class StopAtInterrupt(keras.callbacks.Callback):
    """Ends training at an interrupt once the step is done, and at a second one at once.

    Python would raise the first wherever it is, and only print it in a finalizer or in a hook of
    the garbage collector: the run would go on. It listens while it is entered as a context, unless
    interrupts are ignored or handled otherwise.
    """

    async_safe = True  # it does not look at the logs

    def __init__(self):
        super().__init__()
        self.heard = False
        in_main = threading.current_thread() is threading.main_thread()
        self.listens = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def __enter__(self):
        if self.listens:
            signal.signal(signal.SIGINT, self.hear)
        return self

    def __exit__(self, *_):
        if self.listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def hear(self, *_):
        if self.heard:
            raise KeyboardInterrupt
        self.heard = True

    def on_train_batch_end(self, batch, logs=None):
        if self.heard:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_end(epoch)


class SaveRun(keras.callbacks.Callback):
    """Saves the model and the record of its run after each epoch, so that no work is lost."""

    def __init__(self, path, record):
        super().__init__()
        self.path = path
        self.record = record

    def on_epoch_end(self, epoch, logs=None):
        self.record["epochs done"] = epoch + 1
        save_alone(self.model, self.path, self.record)
