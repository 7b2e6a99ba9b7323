"""Small servers to read and to run, each a file of its own: ``python -m examples.kv``."""
