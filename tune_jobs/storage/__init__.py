"""Where results live: a folder or S3, the datasets in it, and the claims on running points."""

from tune_jobs.storage.seal import DamagedError
from tune_jobs.storage.storage import READERS, Content, Storage, StoredObject

__all__ = ["READERS", "Content", "DamagedError", "Storage", "StoredObject"]
