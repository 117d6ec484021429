"""`python -m vae_keras`: the command line."""

from vae_keras.cli.main import run

if __name__ == "__main__":
    run()
