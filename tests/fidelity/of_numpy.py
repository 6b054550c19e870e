"""A subclass of ndarray with an attribute."""

from __future__ import annotations

from typing import Any

import numpy as np


class Labelled(np.ndarray):  # type: ignore[type-arg]
    label: str = ""

    def __array_finalize__(self, obj: Any) -> None:
        self.label = getattr(obj, "label", "")

    def __reduce__(self) -> Any:
        function, arguments, state = super().__reduce__()  # type: ignore[misc]
        return function, arguments, (*state, self.label)

    def __setstate__(self, state: Any) -> None:
        self.label = state[-1]
        super().__setstate__(state[:-1])
