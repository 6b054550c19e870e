"""Can this interpreter load an artifact? Answered from its record, without decoding or even reading a part."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from aioartifacts.errors import MaterializerError, MissingDependencyError, UntrustedArtifactError
from aioartifacts.operations import Compute, Config, Steps
from aioartifacts.reading import Found, environment, find
from aioartifacts.trust import check_trust
from aioartifacts.types import Explanation, Trust


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
    install = None
    safe = found.safe
    try:
        materializer = config.materializers.for_format(found.format)
    except MissingDependencyError as error:
        reasons.append(str(error))
        install = error.install
    except MaterializerError as error:
        reasons.append(str(error))
    else:
        safe = safe and materializer.safe
        cautions += _differing(found.environment, environment(materializer))
        home = found.type.partition(".")[0]
        if home != "__main__" and home.isidentifier() and not _importable(home):
            cautions.append(f"it is a {found.type}, and there is no module {home!r} here")
    trust: Trust = config.trust or ("data" if safe else config.default_trust())
    try:
        check_trust(path=found.path, format=found.format, safe=safe, signature_valid=found.signed, trust=trust)
    except UntrustedArtifactError as error:
        reasons.append(str(error))
    return Explanation(
        path=found.path,
        type=found.type,
        format=found.format,
        loadable=not reasons,
        reasons=tuple(reasons),
        cautions=tuple(cautions),
        install=install,
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
