"""What crossed the gateway in an attempt, as pages show it: masked text, never anything a browser would act on."""

from typing import Any

import orjson

from accounting.models import RequestLog
from accounting.models.request_log import BODIES, LoggedBody


def crossed(row: RequestLog) -> list[dict[str, Any]]:
    """What a page shows of each message: its name, headers, text and size; in the order in which they came about."""
    bodies = {body.name: body for body in row.bodies}
    return [
        {
            "name": name,
            "label": label,
            "headers": row.headers.get(name, []),
            "body": bodies.get(name),
            "text": shown(bodies[name]) if name in bodies else "",
        }
        for name, label in BODIES.items()
        if name in bodies or name in row.headers
    ]


def shown(body: LoggedBody) -> str:
    """The body as text: JSON spread over lines, everything else as it came."""
    if not body.is_cut and body.text.lstrip().startswith((b"{", b"[")):
        try:
            return orjson.dumps(orjson.loads(body.text), option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONDecodeError:
            pass
    return body.text.decode("utf-8", "replace")
