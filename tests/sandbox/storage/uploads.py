"""The three kinds of upload: in one piece, multipart, and resumable in chunks. Each honours the preconditions and checks the checksums it is given."""

import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.sandbox.storage.buckets import Buckets, Conditions, StorageRefusal, Stored, crc32c, md5
from tests.sandbox.storage.resource import conditions
from tests.sandbox.web import Request

# What a writer may say of an object beside its content; the rest is the service's to say.
_FIELDS = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "customTime")


@dataclass
class _Session:
    bucket: str
    name: str
    about: dict[str, Any]
    wanted: Conditions
    data: bytearray = field(default_factory=bytearray)
    stored: Stored | None = None


class Uploads:
    """Uploads under way, by their id."""

    def __init__(self, buckets: Callable[[], Buckets]) -> None:
        self._buckets = buckets
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}

    def whole(self, request: Request, bucket: str, *, multipart: bool) -> Stored:
        """An upload in one request."""
        about, data = _parts(request) if multipart else ({"contentType": request.headers.get("content-type")}, request.body)
        return self._store(bucket, request.one("name") or about["name"], data, about, conditions(request), request)

    def start(self, request: Request, bucket: str) -> str:
        """Begin a resumable upload; gives its id."""
        about = request.json()
        about.setdefault("contentType", request.headers.get("x-upload-content-type"))
        session = _Session(bucket, request.one("name") or about["name"], about, conditions(request))
        self._buckets().check(bucket, session.name, session.wanted)
        with self._lock:
            self._sessions[name := uuid.uuid4().hex] = session
        return name

    def chunk(self, request: Request) -> Stored | int:
        """A piece of it: gives the object where it was the last, else the number of bytes so far."""
        session = self._session(request)
        if session.stored:
            return session.stored
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", request.headers.get("content-range", ""))
        if match is None:  # all of it, in one piece
            session.data[:] = request.body
            total: int | None = len(request.body)
        else:
            total = None if match[3] == "*" else int(match[3])
            if match[1] is not None:
                self._append(session, int(match[1]), request.body)
        if total is None or len(session.data) < total:
            return len(session.data)
        session.stored = self._store(session.bucket, session.name, bytes(session.data), session.about, session.wanted, request)
        return session.stored

    def forget(self, request: Request) -> None:
        """Give an upload up."""
        self._session(request)
        with self._lock:
            del self._sessions[request.query["upload_id"][0]]

    def _append(self, session: _Session, start: int, data: bytes) -> None:
        if start > len(session.data):
            raise StorageRefusal(503, f"a chunk at {start}, where {len(session.data)} bytes are here", "backendError")
        session.data[start:] = data

    def _session(self, request: Request) -> _Session:
        with self._lock:
            session = self._sessions.get(request.one("upload_id") or "")
        if session is None:
            raise StorageRefusal(404, "No such upload", "notFound")
        return session

    def _store(self, bucket: str, name: str, data: bytes, about: dict[str, Any], wanted: Conditions, request: Request) -> Stored:
        said = dict(part.strip().split("=", 1) for part in request.headers.get("x-goog-hash", "").split(",") if "=" in part)
        facts = {"content_type": about.get("contentType"), "metadata": about.get("metadata") or {}}
        fields = {name: about[name] for name in _FIELDS if about.get(name) is not None}
        for given, found in (
            (about.get("crc32c") or said.get("crc32c"), crc32c(data)),
            (about.get("md5Hash") or said.get("md5") or request.headers.get("content-md5"), md5(data)),
        ):
            if given and given != found:
                raise StorageRefusal(400, f"Provided checksum {given!r} does not match the content's, {found!r}.", "invalid")
        return self._buckets().put(bucket, name, data, wanted, **facts, fields=fields)


def _parts(request: Request) -> tuple[dict[str, Any], bytes]:
    """A multipart/related body: the object's metadata, then its content."""
    match = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if match is None:
        raise StorageRefusal(400, "Missing multipart boundary.", "badContent")
    mark = b"--" + match[1].encode()
    pieces = request.body.split(mark)
    if len(pieces) < 4:
        raise StorageRefusal(400, "Malformed multipart body.", "badContent")
    # The content may hold the mark's bytes only by the writer's mistake; it is what stands between the second mark and the last.
    about = json.loads(pieces[1].split(b"\r\n\r\n", 1)[1])
    head, content = mark.join(pieces[2:-1]).split(b"\r\n\r\n", 1)
    kind = re.search(rb"content-type:\s*([^\r\n]+)", head, re.IGNORECASE)
    about.setdefault("contentType", kind[1].decode() if kind else None)
    return about, content.removesuffix(b"\r\n")
