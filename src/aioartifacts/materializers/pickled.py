"""Everything else: a pickle."""

from __future__ import annotations

from aioartifacts.materializers.pickling import PickledMaterializer


class PickleMaterializer(PickledMaterializer):
    """The fallback: takes whatever cloudpickle does."""

    name = "pickle"
    format = "pickle"

    def accepts(self, obj: object) -> bool:
        return True
