"""A subclass of DataFrame with an attribute."""

from __future__ import annotations

import pandas as pd


class Labelled(pd.DataFrame):
    _metadata = ["label"]

    @property
    def _constructor(self) -> type[Labelled]:
        return Labelled
