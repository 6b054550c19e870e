"""A subclass of polars' DataFrame."""

from __future__ import annotations

import polars as pl


class Labelled(pl.DataFrame):
    pass
