"""An upstream whose streams wait in the middle until a test lets them go on, as those of a slow model do.

It runs in threads: the browser's own event loop has the test's.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "held-1"
HELD_S_MAX = 60
USAGE = {"prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234}

WHOLE = {
    "id": "gen-held",
    "object": "chat.completion",
    "created": 0,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Done."},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}


def _chunk(**fields: Any) -> bytes:
    whole = {"id": "gen-held", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    return b"data: " + json.dumps({**whole, "choices": [], **fields}).encode() + b"\n\n"


def _said(words: str, finish_reason: str | None = None) -> bytes:
    delta = {"role": "assistant", "content": words}
    return _chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish_reason}])


class HeldUpstream(ThreadingHTTPServer):
    """Use as ``with HeldUpstream() as upstream``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.go_on = threading.Event()
        self.models = {MODEL}
        """What its list tells; a test may add some."""
        threading.Thread(target=self.serve_forever, name="held upstream", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __exit__(self, *error: object) -> None:
        self.go_on.set()
        self.shutdown()
        super().__exit__(*error)


class _Handler(BaseHTTPRequestHandler):
    server: HeldUpstream

    def do_GET(self) -> None:
        self._answer(
            {
                "object": "list",
                "data": [{"id": name, "object": "model"} for name in sorted(self.server.models)],
            }
        )

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not asked.get("stream"):
            self._answer(WHOLE)
            return
        self._begin("text/event-stream")
        self.wfile.write(_said("One moment, "))
        self.server.go_on.wait(HELD_S_MAX)
        self.wfile.write(_said("done.", "stop") + _chunk(usage=USAGE) + b"data: [DONE]\n\n")

    def _answer(self, whole: dict[str, Any]) -> None:
        body = json.dumps(whole).encode()
        self._begin("application/json", len(body))
        self.wfile.write(body)

    def _begin(self, kind: str, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        if length is not None:
            self.send_header("content-length", str(length))
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""
