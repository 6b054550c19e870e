"""Materializers registered in three ways: by a call, as a decorator, and by an installed package's entry point."""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

import aioartifacts as aa
from aioartifacts.sync import MemoryArtifactStore


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


class Text(aa.Materializer):
    """What the three have in common."""

    safe = True

    def accepts(self, obj: object) -> bool:
        return type(obj) is Celsius

    def dump(self, obj: object) -> aa.Dump:
        assert isinstance(obj, Celsius)
        return aa.Dump([aa.Part("degrees.txt", aa.Buffers(repr(obj.degrees).encode()))])

    def load(self, parts: aa.Parts) -> Celsius:
        return Celsius(float(bytes(parts.read("degrees.txt"))))


TYPES = '''
class Point:
    def __init__(self, x):
        self.x = x
'''
PLUGIN = '''
import aioartifacts as aa
from geometry import Point

class PointMaterializer(aa.Materializer):
    name = format = "geometry"
    safe = True
    def accepts(self, obj): return type(obj) is Point
    def dump(self, obj): return aa.Dump([aa.Part("x.txt", aa.Buffers(str(obj.x).encode()))])
    def load(self, parts): return Point(int(bytes(parts.read("x.txt"))))
'''


def install(folder: Path) -> None:
    """Do what ``pip install geometry my-plugin`` would do.

    In the plug-in's pyproject.toml; the name on the left is the top-level package of the types it is for, not the plug-in's own::

        [project.entry-points."aioartifacts.materializers"]
        geometry = "my_plugin:PointMaterializer"
    """
    (folder / "geometry.py").write_text(TYPES)
    (folder / "my_plugin.py").write_text(PLUGIN)
    info = folder / "my_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aioartifacts.materializers]\ngeometry = my_plugin:PointMaterializer\n")
    sys.path.insert(0, str(folder))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        print("installed:", [point.name for point in entry_points(group="aioartifacts.materializers")])
        from geometry import Point  # type: ignore[import-not-found]

        other = MemoryArtifactStore()  # nothing is registered by hand
        other.save(Point(7), "c")
        print(other.info("c").format, other.load("c").x)

    store = MemoryArtifactStore()

    class ByCall(Text):
        name = format = "celsius-call"

    store.materializers.register(ByCall(), types=Celsius)
    store.save(Celsius(21.5), "a")
    print(store.info("a").format, store.load("a").degrees)

    @store.materializers.register(types=Celsius)  # the latest is asked first
    class ByDecorator(Text):
        name = format = "celsius-decorator"

    store.save(Celsius(22.5), "b")
    print(store.info("b").format, store.load("b").degrees, "and still", store.load("a").degrees)


if __name__ == "__main__":
    main()
