"""What to do about an error that a first try may meet, by the name of the error."""

from collections.abc import Mapping

OTHERWISE = "The message says what happened. The log has more, under the request's id."
REMEDIES: Mapping[str, str] = {
    "AddressRefused": "The gateway does not call such addresses unless GATEWAY_OUTBOUND_ALLOW names them (see Settings in the documentation).",
    "ConnectTimeout": "Nobody answers at the base URL. Is the server running, and may this machine reach it (firewall, proxy, VPN)?",
    "UpstreamUnreachable": "Look at the base URL: host, port and path. Is the server running, and may this machine reach it? In a container, 127.0.0.1 is the container itself.",
    "UpstreamDisconnected": "The connection broke. Is it https where the address says http, or a proxy in between?",
    "UpstreamTlsFailed": "The server's certificate is not trusted. Enter its CA bundle on the provider's page, under TLS.",
    "FirstByteTimeout": "The provider took too long. Try a smaller model, or raise the first byte timeout on the provider's page.",
    "IdleTimeout": "The provider stopped answering half-way. Try again, or raise the idle timeout on the provider's page.",
    "TotalTimeout": "The attempt took too long. Raise the total timeout on the provider's page.",
    "UpstreamTimedOut": "The provider gave up waiting for its own model. Try again, or choose another model.",
    "UpstreamUnauthorized": "The provider does not accept the credential. Enter it anew on the provider's page: the whole key, nothing around it, and of the right account.",
    "UpstreamForbidden": "The provider refuses what was asked, or the credential may not use it. Look at what the key is allowed there.",
    "UpstreamOutOfCredit": "The account has no credit left. Add some at the provider, or use another account's key.",
    "UpstreamModelUnknown": "The provider has no such model, or not for this account. Choose another one in step 3.",
    "UpstreamRateLimited": "The provider asks to slow down. Wait a minute and try again.",
    "UpstreamOverloaded": "The provider has no capacity now. Try again, or choose another model.",
    "UpstreamBroken": "The provider failed inside. Try again, or choose another model.",
    "UpstreamRejected": "The provider finds fault with the request. “Explain route” shows the exact request that it got.",
    "UpstreamInvalid": "What answers there does not speak the provider's dialect. Are the kind and the base URL right?",
    "UpstreamStreamCut": "The answer broke off. Try again, or choose another model.",
    "PromptTooLong": "The prompt is longer than the model takes. Choose a model with a larger context window in step 3.",
    "SecretUnreadable": "The stored credential cannot be opened with the present GATEWAY_SEALING_KEYS. Enter it anew on the provider's page.",
    "CredentialNotSent": "This provider is called with the client's own credential, and the client sent none.",
}


def remedy_for(error: str) -> str:
    """What to do; a general sentence where nothing better is known."""
    return REMEDIES.get(error, OTHERWISE)
