"""From objects to parts and back: one file per family of types."""
