"""Google Cloud Storage as an async object store, over gcloud-aio-storage's session and token."""

from aioartifacts.objects.gcs.settings import AccessToken
from aioartifacts.objects.gcs.store import GCSObjectStore

__all__ = ["AccessToken", "GCSObjectStore"]
