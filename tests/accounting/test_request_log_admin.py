"""The pages of the request log: looked at only, found by request, readable, and without markup from bodies."""

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from accounting.admin.big_tables import COUNTED_MAX, BoundedPaginator
from accounting.crossed import shown
from accounting.models import MaskPattern, RequestLog
from accounting.models.request_log import LoggedBody
from accounting.request_logs import Capture
from tests.factories.accounting import make_request_log, make_usage

pytestmark = pytest.mark.django_db
LIST = "admin:accounting_requestlog_changelist"
PAGE = "admin:accounting_requestlog_change"


def captured(body: bytes) -> Capture:
    capture = Capture(1000)
    capture.add(body)
    return capture


@pytest.mark.parametrize("model", ["requestlog", "maskpattern"])
def test_every_list_opens_empty_and_says_what_to_do(admin_client, model):
    page = admin_client.get(reverse(f"admin:accounting_{model}_changelist"))

    assert page.status_code == 200
    assert "llmgw-empty" in page.content.decode()


def test_a_page_shows_what_crossed_in_order(admin_client):
    row = make_request_log(
        headers={
            "client_request": (("user-agent", "sdk"), ("x-api-key", "gw-secret")),
            "upstream_answer": ((":status", "200"),),
        },
        bodies={
            "client_request": captured(b'{"model":"m","text":"<script>alert(1)</script>"}'),
            "client_answer": captured(b"y" * 1500),
        },
    )
    answer = admin_client.get(reverse(PAGE, args=[row.pk]))
    page = answer.content.decode()

    assert "no-store" in answer["Cache-Control"]
    assert "gw-secret" not in page
    assert "&quot;model&quot;: &quot;m&quot;," in page  # spread over lines
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert (
        page.index("Client&#x27;s request")
        < page.index("Provider&#x27;s answer")
        < page.index("Answer to the client")
    )
    assert "Its body was not kept" in page
    assert "The first 1000\xa0bytes of 1.5\xa0KB." in page


def test_a_record_and_its_log_lead_to_each_other(admin_client):
    record, without = make_usage(), make_usage()
    make_request_log(id=record.pk)
    log_address = reverse(PAGE, args=[record.pk])
    record_address = reverse("admin:accounting_usagerecord_change", args=[record.pk])

    assert log_address in admin_client.get(record_address).content.decode()
    assert record_address in admin_client.get(log_address).content.decode()
    other = reverse("admin:accounting_usagerecord_change", args=[without.pk])
    assert "Not kept" in admin_client.get(other).content.decode()


def test_logs_are_looked_at_only(admin_client):
    row = make_request_log()
    address = reverse(PAGE, args=[row.pk])

    assert admin_client.post(address, {"team": "birch"}).status_code == 403
    assert admin_client.get(reverse("admin:accounting_requestlog_add")).status_code == 403
    delete = reverse("admin:accounting_requestlog_delete", args=[row.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    assert RequestLog.objects.count() == 1


def test_a_log_that_is_not_there_is_told_kindly(admin_client):
    assert admin_client.get(reverse(PAGE, args=["none"]), follow=True).status_code == 200


def test_staff_without_the_permission_sees_no_log(client):
    user = User.objects.create_user("birch", password="x", is_staff=True)
    client.force_login(user)
    row = make_request_log()
    assert client.get(reverse(PAGE, args=[row.pk])).status_code == 403

    user.user_permissions.add(Permission.objects.get(codename="view_requestlog"))
    assert client.get(reverse(PAGE, args=[row.pk])).status_code == 200


def test_logs_are_found_by_request_and_never_by_a_body(admin_client):
    wanted = make_request_log(bodies={"client_request": captured(b"needle")})
    other = make_request_log()
    by_id = admin_client.get(reverse(LIST), {"q": wanted.request_id}).content.decode()
    by_body = admin_client.get(reverse(LIST), {"q": "needle"}).content.decode()

    assert wanted.request_id in by_id
    assert other.request_id not in by_id
    assert wanted.request_id not in by_body


def test_a_list_reads_no_bodies_and_counts_only_so_far(admin_client, django_assert_max_num_queries):
    for _ in range(60):
        make_request_log(bodies={"client_request": captured(b"x")})
    with django_assert_max_num_queries(10) as asked:
        admin_client.get(reverse(LIST))

    about_logs = [query["sql"] for query in asked if '"accounting_requestlog"' in query["sql"]]
    assert about_logs
    assert not any('"client_request",' in sql or '"headers"' in sql for sql in about_logs)
    assert all(f"LIMIT {COUNTED_MAX + 1}" in sql for sql in about_logs if "COUNT(" in sql)


def test_a_count_ends_where_nobody_turns_pages(monkeypatch):
    monkeypatch.setattr("accounting.admin.big_tables.COUNTED_MAX", 3)
    for _ in range(5):
        make_request_log()

    assert BoundedPaginator(RequestLog.objects.order_by("-id"), 2).count == 3


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        (b'{"a":[1]}', 9, '{\n  "a": [\n    1\n  ]\n}'),
        (b'{"a":', 5, '{"a":'),
        (b'{"a":1}', 5000, '{"a":1}'),
        (b"data: {}\n\n", 10, "data: {}\n\n"),
        (b"\xff\xfe", 2, "��"),
    ],
)
def test_a_body_is_shown_as_text(text, size, expected):
    assert shown(LoggedBody("client_answer", text, size, 1000)) == expected


def test_a_pattern_is_tried_before_it_is_saved(admin_client):
    form = {"name": "all", "pattern": ".*", "replacement": "[x]", "position": "0", "enabled": "on"}
    address = reverse("admin:accounting_maskpattern_add")
    assert "matches the empty text" in admin_client.post(address, form).content.decode()

    assert admin_client.post(address, {**form, "pattern": "P-[0-9]+"}).status_code == 302
    assert MaskPattern.objects.get().pattern == "P-[0-9]+"
    page = admin_client.get(reverse("admin:accounting_maskpattern_changelist")).content.decode()
    assert "P-[0-9]+" in page


def test_a_list_says_how_much_was_kept(admin_client):
    make_request_log(bodies={"upstream_request": captured(b"x")})
    make_request_log(bodies={"upstream_request": captured(b"x" * 1500)})
    make_request_log()
    page = admin_client.get(reverse(LIST)).content.decode()

    assert all(f">{word}<" in page.replace("\n", "").replace(" ", "") for word in ("whole", "cut"))
    assert "headers" in page
