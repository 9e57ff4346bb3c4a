"""Wrong passwords lock a name where they come from, for a while; nobody else is touched."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.utils import timezone

from accounting.audit import sign_ins
from accounting.models import AuditEntry
from llmgateway.page_headers import CSP

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse 1"
PAGE = "/usage/sign-in/"
ELSEWHERE = "203.0.113.9"


@pytest.fixture(autouse=True)
def people(django_user_model, settings):
    settings.TRUSTED_PROXIES = []
    for name in ("root", "other"):
        django_user_model.objects.create_superuser(name, password=PASSWORD)


def sign_in(client, *, name="root", password=PASSWORD, address="198.51.100.7", **meta):
    return client.post(PAGE, {"username": name, "password": password}, REMOTE_ADDR=address, **meta)


def lock(client):
    for _ in range(5):
        answer = sign_in(client, password="wrong")
    return answer


def test_five_wrong_passwords_lock_the_name_where_they_come_from(client):
    for _ in range(4):
        assert sign_in(client, password="wrong").status_code == 200
    for password in ("wrong", PASSWORD):
        answer = sign_in(client, password=password)
        assert answer.status_code == 429
        assert answer["Retry-After"] == "900"
        assert "15 minutes" in answer.content.decode()
        assert CSP in answer
    assert "_auth_user_id" not in client.session


def test_other_names_and_other_addresses_are_let_in(client):
    lock(client)
    assert sign_in(client, name="other").status_code == 302
    client.logout()
    assert sign_in(client, address=ELSEWHERE).status_code == 302


def test_the_admin_has_no_page_of_its_own_for_passwords(client):
    answer = client.post("/admin/login/", {"username": "root", "password": PASSWORD})
    assert answer.url == f"{PAGE}?next=%2Fadmin%2F"
    assert "_auth_user_id" not in client.session


def test_the_right_password_forgets_the_wrong_ones(client):
    for _ in range(3):
        for _ in range(4):
            sign_in(client, password="wrong")
        assert sign_in(client).status_code == 302
        client.logout()


def test_the_lock_ends_and_tries_while_it_holds_do_not_make_it_longer(client):
    lock(client)
    before = AccessAttempt.objects.get().attempt_time
    assert sign_in(client).status_code == 429
    assert AccessAttempt.objects.get().attempt_time == before
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(seconds=901))
    assert sign_in(client).status_code == 302


def test_an_address_that_only_a_client_claims_does_not_count(client, settings):
    for number in range(5):
        answer = sign_in(client, password="wrong", HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")
    assert answer.status_code == 429
    from llmgateway.environment import ip_network

    settings.TRUSTED_PROXIES = [ip_network("198.51.100.7")]
    assert sign_in(client, HTTP_X_FORWARDED_FOR=ELSEWHERE).status_code == 302


def test_no_password_is_kept_and_refusals_are_audited(client, monkeypatch):
    # Only so many a minute are noted by a process, which other tests of this one may have used up.
    monkeypatch.setattr(sign_ins, "_refusals", sign_ins.Refusals(30))
    lock(client)
    row = AccessAttempt.objects.get()
    assert "wrong" not in str(vars(row))
    assert AuditEntry.objects.filter(action="refused").count() >= 5


def test_no_origin_is_let_read_the_refusal(client):
    lock(client)
    answer = sign_in(client, HTTP_X_REQUESTED_WITH="XMLHttpRequest")
    assert "Access-Control-Allow-Origin" not in answer
