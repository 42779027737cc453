"""Files from the internet: in pieces, resumed where they broke off, and checked."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._version import __version__
from ..core.errors import InputError
from ..core.events import Event, Notice, Progress, Started

CHUNK = 256 * 2**10  # bytes
TRIES = 3  # for a broken line, and for a corrupt file
TIMEOUT = 20.0  # seconds without a byte
PAUSE = 1.0  # seconds before a busy server is asked again; twice as long each time
BROKEN = (urllib.error.URLError, http.client.HTTPException, OSError)
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Answer:
    """What a server says of a file.

    Attributes
    ----------
    start : int
        The first byte that it sends.
    total : int
        Size of the whole file; 0 where it does not say.
    tag : str
        Its mark of this version of the file; empty where there is none.
    sha256 : str
        Of the whole file, where it says so.
    """

    start: int
    total: int
    tag: str
    sha256: str


def fetch(url: str, path: Path, sha256: str = "") -> Generator[Event, Any, None]:
    """Download a file.

    What was loaded is kept beside `path` under ``.part`` when this is closed or the line breaks, and the
    next call goes on there. Proxies are those of the environment (``HTTPS_PROXY``) or the system.

    Parameters
    ----------
    url : str
        http or https.
    path : Path
        Where the whole file goes, once it was checked.
    sha256 : str
        Hexadecimal digits that the hash begins with; empty where it is not known. Then the hash, or at
        least the size, that the server tells is checked.

    Yields
    ------
    Event
        Started (bytes), Progress, and Notice where something had to be done again.

    Raises
    ------
    InputError
        If the server cannot be reached, is busy or does not give such a file, or the file is corrupt
        again and again.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError("url", url, "give an address that begins with https://")
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(TRIES):
        answer = yield from _load(url, part)
        problem = _check(part, answer, sha256)
        if not problem:
            os.replace(part, path)
            _tag_file(part).unlink(missing_ok=True)
            return
        part.unlink()
        if attempt + 1 < TRIES:
            yield Notice(f"The download is corrupt ({problem}): it begins again", dict(url=url))
    mend = "the file on the server, or the way to it, is damaged: try later, or open a file instead"
    raise InputError("download", f"{url}: {problem}", mend)


def _load(url: str, part: Path) -> Generator[Event, Any, Answer]:
    """Load what is missing of `part`, going on where the line breaks."""
    for attempt in range(TRIES):
        before = part.stat().st_size if part.is_file() else 0
        try:
            return (yield from _load_once(url, part))
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # what is there does not belong to the file of today
                part.unlink()
                continue
            if not _is_busy(error) or attempt + 1 == TRIES:
                raise _refused(url, error) from error
            yield Notice(f"The server is busy ({error.code} {error.reason}): trying again")
            time.sleep(PAUSE * 2**attempt)
        except BROKEN as error:
            loaded = part.stat().st_size if part.is_file() else 0
            if attempt + 1 == TRIES or (not loaded and not before and attempt):
                raise _offline(url, error) from error
            yield Notice(f"The line broke ({_reason(error)}): going on from {loaded:,} bytes")
    raise InputError("download", url, "the server sends no usable answer; try later")


def _load_once(url: str, part: Path) -> Generator[Event, Any, Answer]:
    have = part.stat().st_size if part.is_file() else 0
    tag = _tag_file(part).read_text() if have and _tag_file(part).is_file() else ""
    headers = {"User-Agent": f"napari-papernets/{__version__}", "Accept-Encoding": "identity"}
    if have and tag:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    request = urllib.request.Request(url, headers=headers)
    # `urlopen` would keep the proxies of its first call in this process.
    with urllib.request.build_opener().open(request, timeout=TIMEOUT) as response:
        answer = _read_answer(response, have)
        _tag_file(part).write_text(answer.tag)
        yield Started(answer.total, "byte", f"from {urlsplit(url).hostname}")
        done = answer.start
        with part.open("ab" if answer.start else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                yield Progress(done, answer.total)
        if done < answer.total:
            raise http.client.IncompleteRead(b"", answer.total - done)
    return answer


def _read_answer(response: Any, have: int) -> Answer:
    headers = response.headers
    sent = int(headers.get("Content-Length") or 0)
    ranged = re.match(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range") or "")
    start, total = (int(ranged[1]), int(ranged[2])) if ranged and response.status == 206 else (0, sent)
    if start not in (0, have):
        raise http.client.HTTPException(f"asked for byte {have}, got {start}")
    tag = headers.get("ETag") or ""
    linked = (headers.get("X-Linked-ETag") or tag).strip('"')
    return Answer(start, total, tag, linked if SHA256.fullmatch(linked) else "")


def _check(part: Path, answer: Answer, sha256: str) -> str:
    """What is wrong with a file; empty where nothing is."""
    size = part.stat().st_size
    if answer.total and size != answer.total:
        return f"{size:,} bytes instead of {answer.total:,}"
    wanted = sha256 or answer.sha256
    if wanted:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(wanted.lower()):
            return f"SHA-256 {found[:12]}… instead of {wanted[:12]}…"
    return ""


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _reason(error: BaseException) -> str:
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _is_busy(error: urllib.error.HTTPError) -> bool:
    """Whether the same question may get an answer later."""
    return error.code in (408, 429) or error.code >= 500


def _refused(url: str, error: urllib.error.HTTPError) -> InputError:
    if _is_busy(error):
        mend = "the server is busy: try again later"
    elif error.code in (401, 403, 407):
        mend = "it is not given to everybody: load it in a browser where you may, and open the file"
    else:
        mend = "the server has no such file any more; open a file that you have instead"
    return InputError("download", f"{url}: {error.code} {error.reason}", mend)


def _offline(url: str, error: BaseException) -> InputError:
    mend = (
        f"check the connection and, behind a proxy, HTTPS_PROXY; or load {url} in a browser, on another "
        "machine if need be, and open the file"
    )
    received = f"no connection to {urlsplit(url).hostname} ({_reason(error)})"
    return InputError("download", received, mend)
