"""Where results live: a folder or S3, the datasets in it, and who is running what."""

from tune_jobs.storage.storage import Storage, StoredObject

__all__ = ["Storage", "StoredObject"]
