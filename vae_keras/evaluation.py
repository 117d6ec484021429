"""How good is it: which latents are used, and what a classifier of digits makes of samples, to be read beside real digits."""

import keras
import numpy as np
from keras import layers

from vae_keras.recipes import make_optimizer

CONFIDENCE = 0.9  # above it, an image counts as recognised
IN_USE = 0.01  # nats: a latent whose mean KL divergence is above it is in use


def kl_per_latent(z_mean, z_log_var):
    """The KL divergence of Q(z|X) from the prior N(0, I), latent by latent, averaged over the images.

    Its sum over the latents is the KL term of the loss. A latent near 0 is not used: Q(z|X) is the prior there, whatever X.
    Source: the second bracket of Equation 14, before it is summed.

    Args:
        z_mean, z_log_var: What the encoder makes of the images, each (n, latent_dim).

    Returns:
        Array (latent_dim,): nats per image.
    """
    return 0.5 * np.mean(np.exp(z_log_var) + np.square(z_mean) - 1.0 - z_log_var, axis=0)


def train_classifier(x, y, epochs=4, seed=0, verbose=0):
    """Train a small convolutional classifier of digits.

    Args:
        x: Training images (n, 28, 28, 1) in [0, 1]. y: Their digits, integers (n,).
        epochs: Number of passes over them.
        seed: Integer that fixes the weights and the order of the images.
        verbose: 1 shows progress bars.

    Returns:
        A Keras model from images (n, 28, 28, 1) to the pair of probabilities (n, 10) and features (n, 128).
    """
    keras.utils.set_random_seed(seed)
    images = keras.Input(x.shape[1:])
    h = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(images)
    h = layers.Conv2D(64, 3, strides=2, padding="same", use_bias=False)(h)
    h = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(h))
    features = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Dense(128)(layers.Flatten()(h))))
    probabilities = layers.Dense(10, activation="softmax")(layers.Dropout(0.3)(features))
    classifier = keras.Model(images, probabilities)
    classifier.compile(make_optimizer("default", len(x), epochs, 256), "sparse_categorical_crossentropy")
    classifier.fit(x, y, epochs=epochs, batch_size=256, verbose=verbose)
    return keras.Model(images, (probabilities, features))


def frechet_distance(features, other):
    """The Frechet distance of two sets of features (n, k), each taken for a normal distribution.

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), with the means m and covariances S of the two. Source: Heusel et al. (2017),
    "GANs trained by a two time-scale update rule", Equation 6. It has the square of the features' unit: compare it with
    distances that the same classifier gave, on as many images.
    """
    covariance, other_covariance = np.cov(features.T), np.cov(other.T)
    # the trace of the root is the sum of the roots of the eigenvalues, which are real and not negative but for rounding
    roots = np.sqrt(np.linalg.eigvals(covariance @ other_covariance).real.clip(0)).sum()
    shift = features.mean(axis=0) - other.mean(axis=0)
    return shift @ shift + np.trace(covariance) + np.trace(other_covariance) - 2 * roots


def sample_quality(images, real_images, classifier):
    """Measure how much images look like digits.

    Args:
        images: Samples (n, 28, 28, 1) in [0, 1]. real_images: What to compare their features with, of that shape.
        classifier: What `train_classifier` returns.

    Returns:
        dict: "recognised", the share of images to which the classifier gives one digit with a probability above 0.9;
        "digit_shares" (10,), the shares of the digits that it sees; and "frechet_distance" to the real images.
    """
    probabilities, features = classifier.predict(images, batch_size=500, verbose=0)
    _, real_features = classifier.predict(real_images, batch_size=500, verbose=0)
    digits = np.bincount(probabilities.argmax(axis=1), minlength=10)
    return {
        "recognised": float((probabilities.max(axis=1) > CONFIDENCE).mean()),
        "digit_shares": digits / digits.sum(),
        "frechet_distance": float(frechet_distance(features, real_features)),
    }
