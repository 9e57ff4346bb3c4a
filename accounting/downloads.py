"""Files that are sent while they are read, so that any number of rows takes no more memory."""

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def download(
    request: HttpRequest, pieces: Iterator[bytes], *, content_type: str, headers: Mapping[str, str]
) -> StreamingHttpResponse:
    """The pieces as a file."""
    return StreamingHttpResponse(
        _in_thread(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type=content_type,
        headers=dict(headers),
    )


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece as it is read in the request's own thread: Django would read a plain iterator to its end first."""
    read_next = sync_to_async(partial(next, pieces, None))
    while (piece := await read_next()) is not None:
        yield piece
