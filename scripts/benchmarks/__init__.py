"""One file a part of `scripts/benchmark.py`; heavy imports stand inside, so that a part pays for itself alone."""
