"""Can this interpreter load an artifact? Answered from its record, without decoding or even reading a part."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from aioartifacts.errors import MaterializerError, MissingDependencyError
from aioartifacts.materializers.base import Materializer
from aioartifacts.operations import Compute, Config, Steps
from aioartifacts.reading import Found, environment, find, may_run_code
from aioartifacts.types import Explanation


def explain(path: str, config: Config) -> Steps[Explanation]:
    """Read the record, find its materializer, and say what stands between this interpreter and the object.

    Raises:
        ArtifactNotFoundError: there is no such artifact.
        RecordError: its record is damaged, or was written by a newer version.
    """
    found = yield from find(path, config)
    # In a worker, for both may take long: one imports a library, the other looks at the disk.
    explanation: Explanation = yield Compute(lambda: _explain(found, config))
    return explanation


def _explain(found: Found, config: Config) -> Explanation:
    reasons: list[str] = []
    cautions: list[str] = []
    install: list[str] = []
    materializer: Materializer | None = None

    def note(error: Exception) -> None:
        reasons.append(str(error))
        if isinstance(error, MissingDependencyError) and error.install:
            install.append(error.install)

    try:
        materializer = config.materializers.for_format(found.format)
    except MaterializerError as error:
        note(error)
    try:
        trusted = may_run_code(found, materializer, config, config.doubt() if config.trust is None else None)
        if materializer is not None:
            materializer.check_loadable(found.type, found.meta, trusted=trusted)
    except Exception as error:  # it is not trusted; or of the materializer, what it would raise on loading
        note(error)
    if materializer is not None:
        cautions += _differing(found.environment, environment(materializer))
        home = found.type.partition(".")[0]
        if not reasons and home != "__main__" and home.isidentifier() and not _importable(home):
            cautions.append(f"it is a {found.type}, and there is no module {home!r} here")
    return Explanation(
        path=found.path,
        type=found.type,
        format=found.format,
        loadable=not reasons,
        reasons=tuple(reasons),
        cautions=tuple(cautions),
        install=install[0] if install else None,
        environment=found.environment,
    )


def _differing(wrote: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    return [
        f"written with {package} {version}, and here is {here.get(package, 'none')}"
        for package, version in wrote.items()
        if here.get(package) != version
    ]


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
