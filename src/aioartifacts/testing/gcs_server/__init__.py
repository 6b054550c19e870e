"""A Google Cloud Storage server in memory, for tests and benchmarks: in this process or one of its own.

``async with GCSServer(buckets=("my-bucket",)) as server`` or ``with GCSServerProcess("--bucket", "my-bucket") as server``
and then ``server.url``; or, from a shell, ``python -m aioartifacts.testing.gcs_server --bucket my-bucket --port 4443``.
"""

from aioartifacts.errors import MissingDependencyError

try:
    from .faults import Fault
    from .process import GCSServerProcess
    from .server import GCSServer
    from .tokens import service_account
except ModuleNotFoundError as error:
    raise MissingDependencyError(f"the server needs the package {error.name!r}: pip install 'aioartifacts[gcs]'") from error

__all__ = ["Fault", "GCSServer", "GCSServerProcess", "service_account"]
