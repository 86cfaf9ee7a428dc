"""An HTTP transport with an upper bound on the size and the total time of an answer: a server may be hostile or broken."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

LIMIT_BYTES = 2_000_000
"""A hundred times what the longest useful answer takes."""


class AnswerTooLarge(Exception):
    """The body is larger than :data:`LIMIT_BYTES`, or compressed although plain text was asked for."""


class _Bounded(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, deadline: float, request: httpx.Request) -> None:
        self._inner, self._deadline, self._request = inner, deadline, request

    def __iter__(self) -> Iterator[bytes]:
        seen = 0
        for part in self._inner:
            seen += len(part)
            if seen > LIMIT_BYTES:
                raise AnswerTooLarge(f"more than {LIMIT_BYTES:,} bytes")
            if time.monotonic() > self._deadline:
                # The library's own limit is per read: a byte now and then would hold it for ever.
                raise httpx.ReadTimeout("the whole answer took too long", request=self._request)
            yield part

    def close(self) -> None:
        self._inner.close()


class BoundedTransport(httpx.BaseTransport):
    """Plain HTTP(S) with both bounds."""

    def __init__(self, limit_s: float, connections: int) -> None:
        self._inner = httpx.HTTPTransport(limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections))
        self._limit_s = limit_s

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        deadline = time.monotonic() + self._limit_s
        response = self._inner.handle_request(request)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            response.close()
            raise AnswerTooLarge("a compressed body, which was not asked for")
        assert isinstance(response.stream, httpx.SyncByteStream)
        stream = _Bounded(response.stream, deadline, request)
        return httpx.Response(response.status_code, headers=response.headers, stream=stream, extensions=response.extensions)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()
