"""How fast aioartifacts is: beside the raw limit, and beside what one would use instead. Run ``python -m benchmarks``."""
