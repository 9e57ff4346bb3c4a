"""What opening a page takes: queries, the database's steps, and time, told against that of a yardstick.

The goal is 300 ms on a quiet machine of two cores. A clock tells of whatever else a machine is busy with, and so does
the processor's time where cores share caches, by half or more. So a page's processor's time is compared with that of
a piece of work that is much like a page, done in the same moment: what slows one slows the other.
"""

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.models import User
from django.core.handlers.base import BaseHandler
from django.db import connection
from django.http.response import HttpResponseBase
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

QUERIES_MAX = 30
GOAL_MS = 300
YARDSTICK_MS = 15
"""What the yardstick takes on a quiet machine of two cores (Python 3.11, November 2026)."""
SLACK = 1.35
"""How far the yardstick may be off beside other work: what shares a core's caches slows a large page more than it."""
LOOKED_AT_MS = 120
"""What took no longer is quick enough on any machine that tests run on."""
TRIES = 6
STEPS = 1000


class Meter:
    """Opens pages as somebody, and says which ask or take too much.

    Requests go to Django's handler: a test client keeps a copy of what each template was given, which takes a third of
    a large page's time.
    """

    def __init__(self, user: User) -> None:
        client = Client()
        client.force_login(user)
        self._cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        self._handler = BaseHandler()
        self._handler.load_middleware()
        self.faults: list[str] = []

    def get(self, address: str) -> HttpResponseBase:
        """Open a page."""
        request = RequestFactory().get(address)
        request.COOKIES[settings.SESSION_COOKIE_NAME] = self._cookie
        answer = self._handler.get_response(request)
        if answer.streaming:
            answer.getvalue()
        return answer

    def open(self, address: str, *, steps_max: int, goal_ms: float = GOAL_MS) -> None:
        """Open a page, and keep what is wrong with it.

        What asked too much is opened once more: the first may have made what the others find made.
        """
        told, took_ms = self._told(address, steps_max)
        if told:
            told, took_ms = self._told(address, steps_max)
        if not told and took_ms > LOOKED_AT_MS:
            told = self._slow(address, goal_ms)
        if told:
            self.faults.append(f"{address}: {told}")

    def _told(self, address: str, steps_max: int) -> tuple[str, float]:
        """What is wrong, and what it took."""
        connection.queries_log.clear()  # which holds so many, and then counts no further
        began = time.thread_time()
        with CaptureQueriesContext(connection) as queries, counted() as steps:
            answer = self.get(address)
        took_ms = (time.thread_time() - began) * 1000
        if answer.status_code != 200:
            return f"answered {answer.status_code}", took_ms
        if len(queries) > QUERIES_MAX:
            return f"{len(queries)} queries", took_ms
        if steps[0] > steps_max:
            return f"{steps[0]:,} steps of SQLite", took_ms
        return "", took_ms

    def _slow(self, address: str, goal_ms: float) -> str:
        """What is told of a page that is slow in each of some tries."""
        least_ms = float("inf")
        for _ in range(TRIES):
            least_ms = min(least_ms, self.quiet_ms(address))
            if least_ms <= goal_ms * SLACK:
                return ""
        return f"{least_ms:.0f} ms of a quiet machine"

    def quiet_ms(self, address: str) -> float:
        """What a page takes, as milliseconds of a quiet machine."""
        with undisturbed():
            yardstick_ms()
            before_ms = yardstick_ms()
            began = time.thread_time()
            self.get(address)
            took_ms = (time.thread_time() - began) * 1000
            return took_ms * YARDSTICK_MS * 2 / (before_ms + yardstick_ms())


@contextmanager
def undisturbed() -> Iterator[None]:
    """Neither the coverage's tracer nor the collector of garbage works meanwhile: both take what no page takes."""
    tracer = sys.gettrace()
    gc.collect()
    gc.disable()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
        gc.enable()


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many steps SQLite takes meanwhile, to a thousand; none of another database."""
    steps = [0]
    if connection.vendor != "sqlite":
        yield steps
        return

    def count() -> int:
        steps[0] += STEPS
        return 0

    connection.ensure_connection()
    connection.connection.set_progress_handler(count, STEPS)
    try:
        yield steps
    finally:
        connection.connection.set_progress_handler(None, 0)


def yardstick_ms() -> float:
    """The processor's time of what a page is made of: a template with rows of cells, and some queries."""
    began = time.thread_time()
    _TEMPLATE.render(Context({"rows": _ROWS}))
    for _ in range(10):
        list(User.objects.order_by("pk")[:50])
    return (time.thread_time() - began) * 1000


_TEMPLATE = Template(
    "{% for row in rows %}<tr>{% for value in row %}"
    '<td{% if forloop.first %} class="first"{% endif %}>{{ value|default_if_none:"–" }}{{ forloop.counter }}</td>'
    "{% endfor %}</tr>{% empty %}nothing{% endfor %}"
)
_ROWS = [["a<b", 1, None, 2.5, "x"] * 4] * 80
