"""Buckets and their objects, in memory, with the preconditions that writers rely on."""

import base64
import datetime as dt
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

LOCATION = "US-CENTRAL1"


class StorageRefusal(Exception):
    """A refusal of the JSON API."""

    def __init__(self, status: int, message: str, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        errors = [{"message": self.message, "domain": "global", "reason": self.reason}]
        return {"error": {"code": self.status, "message": self.message, "errors": errors}}


def crc32c(data: bytes) -> str:
    """Base64 of the big-endian checksum."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    """The same for MD5."""
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@dataclass(frozen=True)
class Stored:
    """One generation of an object."""

    bucket: str
    name: str
    data: bytes
    generation: int
    created: dt.datetime
    updated: dt.datetime
    content_type: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    metageneration: int = 1

    @property
    def crc32c(self) -> str:
        """Its checksum, as the API writes it."""
        return crc32c(self.data)

    @property
    def md5(self) -> str:
        """The same for MD5."""
        return md5(self.data)

    @property
    def etag(self) -> str:
        """Changes with the content and with the metadata."""
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()


@dataclass(frozen=True)
class Conditions:
    """What must hold of the object that is there now; 0 as a generation means that there is none."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    def check(self, there: Stored | None, reading: bool = False) -> None:
        """Refuse with 412, or with 304 where a reader has it already."""
        generation, metageneration = (there.generation, there.metageneration) if there else (0, 0)
        for wanted, found in ((self.generation, generation), (self.metageneration, metageneration)):
            if wanted is not None and wanted != found:
                raise StorageRefusal(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")
        for unwanted, found in ((self.not_generation, generation), (self.not_metageneration, metageneration)):
            if unwanted is not None and unwanted == found:
                status, reason = (304, "notModified") if reading else (412, "conditionNotMet")
                raise StorageRefusal(status, "At least one of the pre-conditions you specified did not hold.", reason)


ALWAYS = Conditions()


class Buckets:
    """All buckets of the project."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._buckets: dict[str, tuple[dt.datetime, dict[str, Stored]]] = {}
        self._generation = 1_700_000_000_000_000

    def create(self, name: str) -> None:
        """Make a bucket."""
        with self._lock:
            if name in self._buckets:
                message = "Your previous request to create the named bucket succeeded and you already own it."
                raise StorageRefusal(409, message, "conflict")
            self._buckets[name] = (dt.datetime.now(dt.UTC), {})

    def delete_bucket(self, name: str) -> None:
        """Remove an empty one."""
        with self._lock:
            if self._objects(name):
                raise StorageRefusal(409, "The bucket you tried to delete is not empty.", "conflict")
            del self._buckets[name]

    def created(self, name: str) -> dt.datetime:
        """When a bucket was made."""
        with self._lock:
            self._objects(name)
            return self._buckets[name][0]

    def names(self) -> list[str]:
        """The buckets."""
        with self._lock:
            return sorted(self._buckets)

    def objects(self, bucket: str, prefix: str = "") -> list[Stored]:
        """What a bucket holds, in the order of the names."""
        with self._lock:
            return [stored for name, stored in sorted(self._objects(bucket).items()) if name.startswith(prefix)]

    def get(self, bucket: str, name: str, generation: int | None = None, conditions: Conditions = ALWAYS) -> Stored:
        """An object."""
        with self._lock:
            stored = self._there(bucket, name, generation)
            conditions.check(stored, reading=True)
            return stored

    def put(self, bucket: str, name: str, data: bytes, conditions: Conditions = ALWAYS, **facts: Any) -> Stored:
        """Write an object; facts: content_type, metadata, fields."""
        with self._lock:
            objects = self._objects(bucket)
            conditions.check(objects.get(name))
            self._generation += 1
            now = dt.datetime.now(dt.UTC)
            objects[name] = Stored(bucket, name, data, self._generation, now, now, **facts)
            return objects[name]

    def check(self, bucket: str, name: str, conditions: Conditions) -> None:
        """Refuse what a write would be refused for."""
        with self._lock:
            conditions.check(self._objects(bucket).get(name))

    def patch(self, bucket: str, name: str, change: dict[str, Any], conditions: Conditions = ALWAYS) -> Stored:
        """Change an object's metadata: the content and its generation stay."""
        with self._lock:
            there = self._there(bucket, name, None)
            conditions.check(there)
            given = change.pop("metadata", {}) or {}
            metadata = {key: value for key, value in {**there.metadata, **given}.items() if value is not None}
            content_type = change.pop("contentType", there.content_type)
            facts = {"content_type": content_type, "metadata": metadata, "fields": {**there.fields, **change}}
            now = dt.datetime.now(dt.UTC)
            stored = Stored(
                bucket, name, there.data, there.generation, there.created, now, **facts, metageneration=there.metageneration + 1
            )
            self._objects(bucket)[name] = stored
            return stored

    def delete(self, bucket: str, name: str, generation: int | None = None, conditions: Conditions = ALWAYS) -> None:
        """Remove an object."""
        with self._lock:
            conditions.check(self._there(bucket, name, generation))
            del self._objects(bucket)[name]

    def under(self, uri: str) -> Iterator[tuple[str, bytes]]:
        """The objects at or below a gs:// URI: the path relative to it ('' for the object itself), and the content."""
        bucket, name = split(uri)
        if bucket not in self.names():
            return
        for stored in self.objects(bucket, name.rstrip("/")):
            relative = stored.name.removeprefix(name.rstrip("/"))
            if relative == "" or relative.startswith("/") or name == "":
                yield relative.lstrip("/"), stored.data

    def copy(self, source: str, target: str) -> None:
        """Copy what is below a gs:// URI to below another."""
        for relative, data in list(self.under(source)):
            bucket, name = split(f"{target}/{relative}")
            self.put(bucket, name, data)

    def _objects(self, bucket: str) -> dict[str, Stored]:
        if bucket not in self._buckets:
            raise StorageRefusal(404, "The specified bucket does not exist.", "notFound")
        return self._buckets[bucket][1]

    def _there(self, bucket: str, name: str, generation: int | None) -> Stored:
        stored = self._objects(bucket).get(name)
        if stored is None or generation not in (None, stored.generation):
            raise StorageRefusal(404, f"No such object: {bucket}/{name}", "notFound")
        return stored


def split(uri: str) -> tuple[str, str]:
    """The bucket and the name of a gs:// URI."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name
