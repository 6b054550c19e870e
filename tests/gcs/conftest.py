from aioartifacts.testing.pytest_plugin import gcs_server, gcs_server_process

__all__ = ["gcs_server", "gcs_server_process"]
