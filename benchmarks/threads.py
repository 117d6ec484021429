"""One thread for all that computes: the environment's names for it, library by library."""

THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip
ONE_THREAD = dict.fromkeys(THREADS, "1")
