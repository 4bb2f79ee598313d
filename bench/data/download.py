"""Download of a single file, with retries."""

import logging
from contextlib import suppress

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.util import Retry

from bench.errors import MissingFile, root_cause
from bench.progress import Display

CHUNK = 1 << 16
KIB = 1 << 10
LARGEST = 100 << 20
"""Maximum bytes of a file, the limit of GitHub."""
ATTEMPTS = 5
LONGEST_WAIT = 60.0
"""Maximum seconds between two attempts."""
TIMEOUT = 30.0
"""Timeout in seconds for a connection, and for each piece of the body."""
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses of temporary failures."""


class DownloadError(MissingFile):
    """A file cannot be downloaded; a later attempt may succeed if `temporary`."""

    def __init__(self, label: str, url: str, reason: str, *, temporary: bool = False) -> None:
        cure = f"{'run again later, or ' if temporary else ''}give a folder that has it with --mirror"
        super().__init__(f"{label}: cannot download {url}: {reason}; {cure}")
        self.temporary = temporary


def download(url: str, label: str, display: Display, *, attempts: int = ATTEMPTS) -> bytes:
    """Return the content of a file. `display` shows the progress and each failed attempt.

    Raises `DownloadError` if the server cannot be reached, reports an error, breaks off or sends more than `LARGEST`
    bytes.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # the display reports failed attempts
    adapter = HTTPAdapter(max_retries=_retry(display, label, attempts))
    with requests.Session() as session:
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        for _ in range(attempts):
            try:
                response = session.get(url, headers={"Accept-Encoding": "identity"}, timeout=TIMEOUT, stream=True)
            except requests.RequestException as error:
                temporary = isinstance(error, requests.ConnectionError | requests.Timeout)
                raise DownloadError(label, url, root_cause(error), temporary=temporary) from error
            status = response.status_code
            if status != 200:
                reason = f"the server answers {status} {response.reason or ''}".rstrip()
                raise DownloadError(label, url, reason, temporary=status in TEMPORARY)
            content = bytearray()
            size = response.raw.length_remaining or 0
            with (
                suppress(requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError),
                display.stage(label, size / KIB, "KiB") as stage,
            ):
                for chunk in response.iter_content(CHUNK):
                    content += chunk
                    stage(len(content) / KIB)
                    if len(content) > LARGEST:
                        raise DownloadError(label, url, f"it has more than {LARGEST >> 20} MiB")
                return bytes(content)
            display.say(f"{label}: the connection broke off; trying again")
    raise DownloadError(label, url, f"the connection broke off {attempts} times", temporary=True)


def _retry(display: Display, label: str, attempts: int) -> Retry:
    """Return the policy for requests that fail before the body: wait 0, 2, 4, 8 ... seconds, or as requested."""

    class Policy(Retry):
        def parse_retry_after(self, retry_after: str) -> float:
            return min(super().parse_retry_after(retry_after), LONGEST_WAIT)

        def sleep(self, response: BaseHTTPResponse | None = None) -> None:
            last = self.history[-1]
            reason = root_cause(last.error) if last.error else f"the server answers {last.status}"
            display.say(f"{label}: {reason}; trying again")
            super().sleep(response)

    return Policy(
        total=attempts - 1,
        backoff_factor=1,
        backoff_max=LONGEST_WAIT,
        status_forcelist=TEMPORARY,
        raise_on_status=False,
    )
