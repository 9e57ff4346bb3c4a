"""What crossed the gateway in one attempt, masked, for as long as the retention says."""

import zlib
from dataclasses import dataclass

from django.db import models

BODIES = {
    "client_request": "Client's request",
    "upstream_request": "Request to the provider",
    "upstream_answer": "Provider's answer",
    "client_answer": "Answer to the client",
}
"""The four bodies of an attempt, in the order in which they come about, with what pages call them."""


def _body(label: str) -> "models.BinaryField[bytes | None, bytes | memoryview | None]":
    return models.BinaryField(
        label, null=True, help_text="Masked, cut to the limit, compressed (zlib)."
    )


def _bytes(label: str) -> "models.PositiveBigIntegerField[int | None, int | None]":
    return models.PositiveBigIntegerField(
        f"{label} (bytes)", null=True, help_text="Size as it crossed. Empty: not kept."
    )


@dataclass(frozen=True, slots=True)
class LoggedBody:
    """One body as it may be shown. ``size`` is that of the whole body in bytes, ``text`` its masked beginning."""

    name: str
    text: bytes
    size: int
    bytes_max: int

    @property
    def is_cut(self) -> bool:
        """Whether the text is only the beginning."""
        return self.size > self.bytes_max


class RequestLog(models.Model):
    """One attempt's headers and bodies, without secrets. Deleted by the retention only (manage.py purge_request_logs)."""

    id = models.CharField(
        "usage record", max_length=40, primary_key=True, help_text="The attempt's usage record."
    )
    request_id = models.CharField(max_length=36, db_index=True, help_text="As sent to the client.")
    at = models.DateTimeField(help_text="When the attempt was begun (UTC).")
    team = models.CharField(max_length=64)
    key_name = models.CharField("key", max_length=64)
    headers = models.JSONField(
        default=dict, help_text="Lists of names and masked values, by what they were sent with."
    )
    client_request = _body("client's request")
    client_request_bytes = _bytes("client's request")
    upstream_request = _body("request to the provider")
    upstream_request_bytes = _bytes("request to the provider")
    upstream_answer = _body("provider's answer")
    upstream_answer_bytes = _bytes("provider's answer")
    client_answer = _body("answer to the client")
    client_answer_bytes = _bytes("answer to the client")
    bytes_max = models.PositiveBigIntegerField(
        "limit (bytes)", help_text="How much of each body is kept (GATEWAY_LOG_BODY_BYTES_MAX)."
    )
    is_cut = models.BooleanField(
        "cut", default=False, help_text="A body was longer than the limit."
    )

    class Meta:
        ordering = ["-id"]
        verbose_name = "request log"
        indexes = [models.Index(fields=["at"], name="request_log_by_time")]

    def __str__(self) -> str:
        return self.id

    @property
    def bodies(self) -> list[LoggedBody]:
        """The bodies that were kept, in order."""
        kept = []
        for name in BODIES:
            packed = getattr(self, name)
            if packed is not None:
                size = getattr(self, f"{name}_bytes") or 0
                kept.append(LoggedBody(name, zlib.decompress(packed), size, self.bytes_max))
        return kept
