"""The root of every error the gateway raises on purpose, and the branch that conversion itself raises.

    GatewayError                     carries the decision: may_retry, may_fall_back, retry_after_s
    ├── ConversionError
    │   ├── RequestInvalid           the client's body breaks its own dialect
    │   ├── RequestInexpressible     the client's body is fine, this target cannot take it
    │   ├── UpstreamInvalid          the upstream's bytes break its dialect
    │   ├── UpstreamStreamCut        the upstream's stream ended before it said that it was done
    │   └── TransformationFailed     an operator's transformation left what is no body any more
    └── UpstreamError                the upstream answered, and the answer was no
        ├── UpstreamRejected         it finds fault with the request
        │   └── PromptTooLong        … because the prompt does not fit the model
        ├── UpstreamUnauthorized     it does not accept the gateway's credential
        ├── UpstreamOutOfCredit      the account behind the credential has no money left
        ├── UpstreamForbidden        its moderation or guardrail refused the content
        ├── UpstreamModelUnknown     it has no such model, or no endpoint for it
        ├── UpstreamTooLarge         it finds the body too large
        ├── UpstreamTimedOut         it gave up waiting for its own model
        ├── UpstreamRateLimited      it asks to slow down
        ├── UpstreamOverloaded       it has no capacity now
        └── UpstreamBroken           it failed inside

Errors of the network itself (refused, reset, timeouts) are the branch in ``routing/upstream/errors.py``.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Self

MESSAGE_CHARS_MAX = 1000


class GatewayError(Exception):
    """Something the gateway can explain to the client. The message never holds a secret."""

    may_retry: ClassVar[bool] = False
    may_fall_back: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s

    def as_value(self) -> Self:
        """The error, to be kept: without its and its causes' tracebacks.

        Their frames know whoever keeps it, and what those hold, be it 64 MB, would wait for the collector.
        """
        error: BaseException | None = self
        while error is not None and error.__traceback__ is not None:
            error.__traceback__ = None
            error = error.__cause__ or error.__context__
        return self


class ConversionError(GatewayError):
    """A body or a stream that could not be translated."""


class RequestInvalid(ConversionError):
    """The client's body breaks the client's own dialect; ``path`` names the field where there is one.

    The message may repeat the client's own words, so it is cut to a length that can be read.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__((f"{path}: {message}" if path else message)[:MESSAGE_CHARS_MAX])
        self.path = path


class RequestInexpressible(RequestInvalid):
    """The request is valid, but this target's dialect has no way to say it; another target may."""

    may_fall_back = True


class UpstreamInvalid(ConversionError):
    """The upstream's bytes break its own dialect."""

    may_retry = True
    may_fall_back = True


TOO_DEEP = "the upstream's answer is nested too deeply to be written again"
"""orjson reads 1,024 levels and writes 254; it says so by a JSONEncodeError."""


class UpstreamStreamCut(ConversionError):
    """The upstream's stream ended before a finish reason or an end mark was seen."""

    may_retry = True
    may_fall_back = True


class TransformationFailed(ConversionError):
    """An operator's transformation could not be applied, or left what cannot be sent on: no fault of the client's.

    Another target may be without that transformation.
    """

    may_fall_back = True


@dataclass(frozen=True, slots=True)
class NativeError:
    """An upstream's error answer as it came, for a client of the same dialect: clients act on its very words."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class UpstreamError(GatewayError):
    """The upstream answered with an error of its own.

    ``native`` is set where the client may be given that answer untouched.
    ``upstream_status`` is the HTTP status, or the code inside the body of an answer that began with 200;
    None when neither was told. ``upstream_code`` is the upstream's own word for it.
    """

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        upstream_code: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.upstream_status = upstream_status
        self.upstream_code = upstream_code
        self.native: NativeError | None = None


class UpstreamRejected(UpstreamError):
    """The upstream finds fault with the request itself (400, 422)."""


class PromptTooLong(UpstreamRejected):
    """The prompt does not fit the model's context window; the message is in the words clients act on."""


class UpstreamUnauthorized(UpstreamError):
    """The upstream does not accept the gateway's credential: ours to mend, not the client's."""

    may_fall_back = True


class UpstreamOutOfCredit(UpstreamError):
    """The account behind the credential has no credit left: ours to mend, not the client's."""

    may_fall_back = True


class UpstreamForbidden(UpstreamError):
    """The upstream's moderation or a guardrail refused the content."""


class UpstreamModelUnknown(UpstreamError):
    """The upstream has no such model, or nobody who serves it under the demands made."""

    may_fall_back = True


class UpstreamTooLarge(UpstreamError):
    """The upstream finds the body too large."""

    may_fall_back = True


class UpstreamTimedOut(UpstreamError):
    """The upstream waited too long for its own model (408, 504)."""

    may_retry = True
    may_fall_back = True


class UpstreamRateLimited(UpstreamError):
    """The upstream asks to slow down (429)."""

    may_retry = True
    may_fall_back = True


class UpstreamOverloaded(UpstreamError):
    """The upstream has no capacity at the moment (503, 529)."""

    may_retry = True
    may_fall_back = True


class UpstreamBroken(UpstreamError):
    """The upstream failed inside (any other 5xx, or an error without a status)."""

    may_retry = True
    may_fall_back = True
