"""The JSON API of Cloud Storage: what google-cloud-storage speaks."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from tests.sandbox.faults import Gate
from tests.sandbox.refusal import Refusal
from tests.sandbox.storage import resource
from tests.sandbox.storage.buckets import Buckets, StorageRefusal
from tests.sandbox.storage.resource import conditions, range_of
from tests.sandbox.storage.uploads import Uploads
from tests.sandbox.web import Answer, Request, said

_BUCKETS = re.compile(r"/storage/v1/b/?")
_BUCKET = re.compile(r"/storage/v1/b/([^/]+)")
_LIST = re.compile(r"/storage/v1/b/([^/]+)/o/?")
_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")
_COMPOSE = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/compose")
_COPY = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/(copyTo|rewriteTo)/b/([^/]+)/o/([^/]+)")
_UPLOAD = re.compile(r"(?:/resumable)?/upload/storage/v1/b/([^/]+)/o")


class StorageFront:
    """One request to one answer; `buckets` is asked for at each, because a reset makes new ones."""

    def __init__(self, buckets: Callable[[], Buckets], gate: Gate) -> None:
        self._find = buckets
        self._gate = gate
        self._uploads = Uploads(buckets)
        self.address = ""
        self._routes: list[tuple[re.Pattern[str], str, str, Callable[..., Answer]]] = [
            (_UPLOAD, "POST", "storage.objects.insert", self._insert),
            (_UPLOAD, "PUT", "storage.objects.insert.chunk", self._chunk),
            (_UPLOAD, "DELETE", "storage.objects.insert.cancel", self._forget),
            (_COPY, "POST", "storage.objects.{2}", self._copy),
            (_COMPOSE, "POST", "storage.objects.compose", self._compose),
            (_OBJECT, "GET", "storage.objects.get", self._get),
            (_OBJECT, "PATCH", "storage.objects.patch", self._patch),
            (_OBJECT, "DELETE", "storage.objects.delete", self._delete),
            (_LIST, "GET", "storage.objects.list", self._list),
            (_BUCKET, "GET", "storage.buckets.get", self._bucket),
            (_BUCKET, "DELETE", "storage.buckets.delete", self._delete_bucket),
            (_BUCKETS, "POST", "storage.buckets.insert", self._create),
            (_BUCKETS, "GET", "storage.buckets.list", self._list_buckets),
        ]

    def respond(self, request: Request) -> Answer:
        """Answer, or refuse in the API's own words."""
        try:
            for pattern, method, name, action in self._routes:
                match = pattern.fullmatch(request.raw_path)
                if match and method == request.method:
                    parts = [unquote(part) for part in match.groups()]
                    call = name.format(*(part.removesuffix("To") for part in parts)) if "{" in name else name
                    return self._gate.through(call, lambda: action(request, *parts))  # noqa: B023 (called at once)
            raise StorageRefusal(404, f"the sandbox has no {request.method} {request.path}", "notFound")
        except StorageRefusal as refusal:
            return said(refusal.body(), refusal.status) if refusal.status != 304 else Answer(status=304)
        except Refusal as refusal:  # a fault
            return said(StorageRefusal(refusal.http, refusal.message, refusal.code).body(), refusal.http)
        except (ValueError, KeyError) as error:
            return said(StorageRefusal(400, f"Invalid argument: {error}", "invalid").body(), 400)

    @property
    def _buckets(self) -> Buckets:
        return self._find()

    def _create(self, request: Request) -> Answer:
        name = request.json()["name"]
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", name):
            raise StorageRefusal(400, f"Invalid bucket name: '{name}'", "invalid")
        self._buckets.create(name)
        return self._bucket(request, name)

    def _bucket(self, _: Request, name: str) -> Answer:
        return said(resource.bucket(name, self._buckets.created(name), self.address))

    def _list_buckets(self, request: Request) -> Answer:
        prefix = request.one("prefix") or ""
        names = [name for name in self._buckets.names() if name.startswith(prefix)]
        return said(
            {"kind": "storage#buckets", "items": [resource.bucket(name, self._buckets.created(name), self.address) for name in names]}
        )

    def _delete_bucket(self, _: Request, name: str) -> Answer:
        self._buckets.delete_bucket(name)
        return Answer(status=204)

    def _insert(self, request: Request, bucket: str) -> Answer:
        kind = request.one("uploadType")
        if kind == "resumable":
            upload = self._uploads.start(request, bucket)
            return Answer(headers={"Location": f"{self.address}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload}"})
        return self._object(self._uploads.whole(request, bucket, multipart=kind == "multipart"))

    def _chunk(self, request: Request, _: str) -> Answer:
        received = self._uploads.chunk(request)
        if isinstance(received, int):
            return Answer(status=308, headers={"Range": f"bytes=0-{received - 1}"} if received else {})
        return self._object(received)

    def _forget(self, request: Request, _: str) -> Answer:
        self._uploads.forget(request)
        return Answer(status=499)

    def _get(self, request: Request, bucket: str, name: str) -> Answer:
        generation = request.one("generation")
        stored = self._buckets.get(bucket, name, int(generation) if generation else None, conditions(request))
        if request.one("alt") != "media":
            return self._object(stored)
        headers = resource.media_headers(stored)
        span = range_of(request.headers.get("range"), len(stored.data))
        if span is None:
            return Answer(stored.data, 200, headers)
        start, end = span
        return Answer(stored.data[start:end], 206, headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(stored.data)}"})

    def _patch(self, request: Request, bucket: str, name: str) -> Answer:
        return self._object(self._buckets.patch(bucket, name, request.json(), conditions(request)))

    def _delete(self, request: Request, bucket: str, name: str) -> Answer:
        generation = request.one("generation")
        self._buckets.delete(bucket, name, int(generation) if generation else None, conditions(request))
        return Answer(status=204)

    def _list(self, request: Request, bucket: str) -> Answer:
        return said(resource.listing(self._buckets.objects(bucket, request.one("prefix") or ""), request, self.address))

    def _copy(self, request: Request, bucket: str, name: str, how: str, to_bucket: str, to_name: str) -> Answer:
        generation = request.one("sourceGeneration")
        source = self._buckets.get(bucket, name, int(generation) if generation else None)
        conditions(request, "Source").check(source)
        given = request.json()
        facts = {"content_type": given.get("contentType", source.content_type), "metadata": given.get("metadata", source.metadata)}
        copy = resource.object_(self._buckets.put(to_bucket, to_name, source.data, conditions(request), **facts), self.address)
        if how == "copyTo":
            return said(copy)
        size = str(len(source.data))
        return said({"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size, "done": True, "resource": copy})

    def _compose(self, request: Request, bucket: str, name: str) -> Answer:
        given: dict[str, Any] = json.loads(request.body)
        data = b"".join(self._buckets.get(bucket, each["name"]).data for each in given["sourceObjects"])
        content_type = given.get("destination", {}).get("contentType")
        return self._object(self._buckets.put(bucket, name, data, conditions(request), content_type=content_type))

    def _object(self, stored: Any) -> Answer:
        return said(resource.object_(stored, self.address))
