"""How the JSON API writes buckets, objects, lists, ranges and preconditions."""

import datetime as dt
import re
from typing import Any
from urllib.parse import quote

from tests.sandbox.names import PROJECT_NUMBER
from tests.sandbox.storage.buckets import LOCATION, Conditions, StorageRefusal, Stored
from tests.sandbox.web import Request

_PAGE = 1000


def stamp(moment: dt.datetime) -> str:
    """A time as the API writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def bucket(name: str, created: dt.datetime, address: str) -> dict[str, Any]:
    """A bucket's metadata."""
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{address}/storage/v1/b/{name}",
        "projectNumber": PROJECT_NUMBER,
        "location": LOCATION,
        "locationType": "region",
        "storageClass": "STANDARD",
        "metageneration": "1",
        "etag": "CAE=",
        "timeCreated": stamp(created),
        "updated": stamp(created),
    }


def object_(stored: Stored, address: str) -> dict[str, Any]:
    """An object's metadata."""
    path = f"storage/v1/b/{stored.bucket}/o/{quote(stored.name, safe='')}"
    return {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "name": stored.name,
        "bucket": stored.bucket,
        "selfLink": f"{address}/{path}",
        "mediaLink": f"{address}/download/{path}?generation={stored.generation}&alt=media",
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "size": str(len(stored.data)),
        "crc32c": stored.crc32c,
        "md5Hash": stored.md5,
        "etag": stored.etag,
        "storageClass": "STANDARD",
        "timeCreated": stamp(stored.created),
        "updated": stamp(stored.updated),
        **({"contentType": stored.content_type} if stored.content_type else {}),
        **({"metadata": stored.metadata} if stored.metadata else {}),
        **stored.fields,
    }


def media_headers(stored: Stored) -> dict[str, str]:
    """What comes with an object's content."""
    return {
        "Content-Type": stored.content_type or "application/octet-stream",
        "ETag": stored.etag,
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": f"crc32c={stored.crc32c},md5={stored.md5}",
        "X-Goog-Stored-Content-Length": str(len(stored.data)),
        "X-Goog-Stored-Content-Encoding": "identity",
        "Accept-Ranges": "bytes",
    }


def listing(found: list[Stored], request: Request, address: str) -> dict[str, Any]:
    """A page of a bucket's objects; with a delimiter, what lies deeper is folded into prefixes."""
    prefix, delimiter = request.one("prefix") or "", request.one("delimiter")
    entries: dict[str, Stored | None] = {}
    for stored in found:
        rest = stored.name[len(prefix) :]
        if delimiter and delimiter in rest:
            entries[prefix + rest.split(delimiter)[0] + delimiter] = None
        else:
            entries[stored.name] = stored
    glob = request.one("matchGlob")
    names = [name for name in sorted(entries) if name > (request.one("pageToken") or "") and (not glob or _glob(glob).fullmatch(name))]
    size = min(int(request.one("maxResults") or _PAGE), _PAGE)
    page = names[:size]
    items = [object_(stored, address) for name in page if (stored := entries[name])]
    prefixes = [name for name in page if entries[name] is None]
    more = {"nextPageToken": page[-1]} if len(names) > size else {}
    return {"kind": "storage#objects", **({"items": items} if items else {}), **({"prefixes": prefixes} if prefixes else {}), **more}


def _glob(pattern: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern)))


def conditions(request: Request, of: str = "") -> Conditions:
    """The preconditions of a request; of: 'Source' for those on what is copied."""
    names = (f"if{of}GenerationMatch", f"if{of}GenerationNotMatch", f"if{of}MetagenerationMatch", f"if{of}MetagenerationNotMatch")
    return Conditions(*(int(value) if (value := request.one(name)) is not None else None for name in names))


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """The span that a Range header asks for, as [start, end); None for all of it."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    start, end = (max(size - int(last), 0), size) if not first else (int(first), min(int(last) + 1, size) if last else size)
    if start >= size:
        raise StorageRefusal(416, f"The requested range cannot be satisfied: {header} of {size}", "requestedRangeNotSatisfiable")
    return start, end
