"""The network's branch of the error tree: what went wrong before, or instead of, an answer.

GatewayError
└── NetworkError
    ├── UpstreamUnreachable         refused, no such host, no route
    ├── AddressRefused              the gateway may not call the address (GATEWAY_OUTBOUND_DENY)
    ├── UpstreamTlsFailed           the server's certificate or the handshake
    ├── UpstreamDisconnected        the connection broke before the answer was complete
    ├── UpstreamAnswerTooLarge      more bytes than an answer may have
    └── UpstreamTimeout
        ├── ConnectTimeout          no connection within connect_s
        ├── FirstByteTimeout        no byte of the answer within first_byte_s
        ├── IdleTimeout             silence of idle_s between two pieces
        └── TotalTimeout            not finished within total_s
"""

from conversion.errors import GatewayError


class NetworkError(GatewayError):
    """The connection to a provider failed."""

    may_retry = True
    may_fall_back = True


class UpstreamUnreachable(NetworkError):
    """Nobody answers at the provider's address."""


class AddressRefused(NetworkError):
    """The provider's address, or what its name leads to, is one the gateway may not call."""

    may_retry = False


class UpstreamTlsFailed(NetworkError):
    """The server's certificate, or the TLS handshake, is not accepted."""

    may_retry = False


class UpstreamDisconnected(NetworkError):
    """The connection broke before the answer was complete."""


class UpstreamAnswerTooLarge(NetworkError):
    """The answer has more bytes than the gateway holds for one request."""

    may_retry = False


class UpstreamTimeout(NetworkError):
    """One of the provider's timeouts is over."""

    setting = ""


class ConnectTimeout(UpstreamTimeout):
    """No connection within connect_timeout_s."""

    setting = "connect_timeout_s"


class FirstByteTimeout(UpstreamTimeout):
    """No byte of the answer within first_byte_timeout_s."""

    setting = "first_byte_timeout_s"


class IdleTimeout(UpstreamTimeout):
    """Silence for longer than idle_timeout_s between two pieces of the answer."""

    setting = "idle_timeout_s"


class TotalTimeout(UpstreamTimeout):
    """The attempt took longer than total_timeout_s."""

    setting = "total_timeout_s"
    may_retry = False
