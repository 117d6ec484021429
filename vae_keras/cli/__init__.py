"""The command line, and how it runs: trainings that can be resumed, devices, figures."""
