"""What is left when no target answered: every failed attempt, and the one that speaks for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from conversion.errors import GatewayError


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One attempt that did not answer."""

    provider: str
    upstream_model: str
    error: GatewayError


class FallbackExhausted(GatewayError):
    """No target answered. ``decisive`` is the last failure; the message lists the others behind it."""

    def __init__(self, failures: Sequence[FailedAttempt]) -> None:
        self.failures = tuple(failures)
        self.decisive = failures[-1].error
        message = self.decisive.message
        if len(failures) > 1:
            others = ", ".join(
                f"{failure.provider}: {type(failure.error).__name__}" for failure in failures
            )
            message = f"{message} (after {len(failures)} attempts: {others})"
        super().__init__(message, retry_after_s=self.decisive.retry_after_s)
