"""The learning rate of the recipes, step by step."""

import keras


@keras.saving.register_keras_serializable(package="vae_keras")
class RiseAndFall(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is `peak` after `warm_up` steps, and zero from `num_steps` on."""

    def __init__(self, peak, warm_up, num_steps):
        self.peak = peak
        self.warm_up = warm_up
        self.num_steps = num_steps

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = (step + 1) / (self.warm_up + 1)
        fall = (self.num_steps - step) / (self.num_steps - self.warm_up)
        return self.peak * keras.ops.clip(keras.ops.minimum(rise, fall), 0, 1)

    def get_config(self):
        return {"peak": self.peak, "warm_up": self.warm_up, "num_steps": self.num_steps}
