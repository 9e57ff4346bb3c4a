"""Keys and those who hold them, two clicks deep: rotated, revoked, made from a file, a team's own, a second factor."""

import csv
import re
import time
from io import StringIO

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import expect

from tests.browser.chromium import at_a_desk, in_a_browser, on_a_phone
from tests.browser.installation import sign_in
from tests.browser.walking import (
    asked_until,
    check_look,
    follow,
    make_key,
    save,
    shown_secret,
    upload,
)

pytestmark = in_a_browser

PASSWORD = "a password of one's own"
PERIOD_S = 30


def is_answered(answer):
    return answer.status_code == 200


def is_refused(answer):
    return answer.status_code == 401


def open_key(seen, name):
    seen.open(f"/admin/accounting/virtualkey/?q={name}")
    seen.page.locator("#result_list a:visible", has_text=name).first.click()
    return seen.page


@at_a_desk
def test_a_key_is_rotated_and_its_successor_revoked_in_the_admin(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    name = f"turn-{word}"
    old = make_key(seen.page, seen.url, name)
    check_look(seen)

    open_key(seen, name)
    follow(seen, "rotate-one")
    expect(seen.page.get_by_role("table")).to_contain_text("gets a successor")
    check_look(seen)
    seen.page.get_by_role("button", name="Rotate 1 key").click()
    new = shown_secret(seen.page)
    check_look(seen)
    asked_until(seen.url, new, "demo", is_answered)
    asked_until(seen.url, old, "demo", is_answered)  # for as long as the two overlap

    seen.page.get_by_role("link", name="I have copied it").click()
    rows = seen.page.locator("#result_list tbody", has_text=name)
    expect(rows).to_have_count(2)
    for row in rows.all():
        row.locator("input.action-select").check()
    seen.page.locator('select[name="action"]').select_option(label="Revoke for good …")
    seen.page.get_by_role("button", name="Run").click()
    check_look(seen)
    seen.page.get_by_role("button", name="Revoke 2 keys").click()
    asked_until(seen.url, new, "demo", is_refused)
    asked_until(seen.url, old, "demo", is_refused)


@on_a_phone
def test_a_file_of_keys_is_refused_mended_and_made(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/accounting/virtualkey/upload/")
    upload(page, "keys.csv", f"team,name,expires\nalder,file-{word},soon\nnobody,two,\n")
    page.get_by_role("button", name="Look at it").click()
    faults = page.get_by_role("alert").filter(has_text="No key is made of this file")
    expect(faults).to_contain_text("Line 2")
    expect(faults).to_contain_text("Line 3")
    check_look(seen)

    upload(page, "keys.csv", f"team,name,aliases\nalder,file-{word},demo\nbirch,file-{word},\n")
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("heading", name="2 keys would be made")).to_be_visible()
    check_look(seen)
    with page.expect_download() as download:
        page.get_by_role("button", name="Make 2 keys and download them").click()
    rows = list(csv.DictReader(StringIO(download.value.path().read_text())))
    assert [row["name"] for row in rows] == [f"file-{word}"] * 2
    for row in rows:
        asked_until(seen.url, row["key"], "demo", is_answered)


@on_a_phone
def test_a_lead_is_told_what_is_wrong_and_rotates_a_key(window, word, size, scheme):
    seen = window("lead", size=size, scheme=scheme)
    page = seen.open("/usage/teams/alder/")
    page.get_by_text("Make a key", exact=True).click()
    page.get_by_label("Name", exact=True).fill(f"own-{word}")
    page.get_by_label("Expires").fill("soon")
    seen.refusals.add(422)
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("alert")).to_contain_text("soon")
    seen.refusals.clear()
    expect(page.get_by_label("Name", exact=True)).to_have_value(f"own-{word}")
    check_look(seen)

    page.get_by_label("Expires").fill("90d")
    page.get_by_role("button", name="Make the key").click()
    old = shown_secret(page)
    check_look(seen)
    asked_until(seen.url, old, "demo", is_answered)
    page.get_by_role("link", name="I have copied it").click()
    page.locator("tr", has_text=f"own-{word}").get_by_role("link", name="Rotate").click()
    page.get_by_label("is still accepted").select_option(index=0)
    check_look(seen)
    page.get_by_role("button", name="Rotate").click()
    asked_until(seen.url, shown_secret(page), "demo", is_answered)
    asked_until(seen.url, old, "demo", is_refused)


@at_a_desk
def test_a_member_is_shown_no_more_than_their_own(window, size, scheme):
    seen = window("member", size=size, scheme=scheme)
    page = seen.open("/usage/teams/alder/")
    expect(page.get_by_role("heading", name="Set up a client")).to_be_visible()
    assert not page.get_by_role("heading", name="What members may do").count()
    page.get_by_text("Lines to copy", exact=True).click()
    expect(page.get_by_role("button", name="Copy Claude Code")).to_be_visible()
    check_look(seen)
    seen.refusals.add(404)
    seen.open("/usage/teams/birch/")
    check_look(seen)


def code_of(secret):
    """What an authenticator app shows, soon after it has changed: it is entered in time."""
    while time.time() % PERIOD_S > PERIOD_S / 2:
        time.sleep(0.2)
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // PERIOD_S)))


@on_a_phone
def test_a_person_is_added_and_sets_up_a_second_factor(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    name = f"careful-{word}"
    page = seen.open("/admin/auth/user/add/")
    page.locator('[name="username"]').fill(name)
    page.locator('[name="password1"]').fill(PASSWORD)
    page.locator('[name="password2"]').fill("another one")
    save(page)
    expect(page.locator("#user_form")).to_contain_text("didn’t match")
    check_look(seen)
    for field in ("password1", "password2"):
        page.locator(f'[name="{field}"]').fill(PASSWORD)
    save(page)
    expect(page.locator('[name="email"]')).to_be_attached()

    own = window("", size=size, scheme=scheme)
    own.refusals.add(403)  # of the reports, to somebody without a team
    sign_in(own, name, PASSWORD)
    page = own.page
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="Set it up").click()
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_role("alert")).to_be_visible()
    check_look(own)
    page.get_by_label("Code").fill(code_of(page.locator("code.spelt").inner_text()))
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    check_look(own)
    spare = page.locator("pre.spelt").inner_text().split()[0]

    page.get_by_role("button", name="Sign out").click()
    own.open("/usage/sign-in/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your code")).to_be_visible()
    check_look(own)
    page.get_by_label("Code").fill(spare)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/usage/$"))
