"""Accounts and requests two clicks deep: prices imported, requests replayed and explained, what the trail keeps of it."""

import json
import re

from playwright.sync_api import expect

from tests.browser.chromium import at_a_desk, in_a_browser, on_a_phone
from tests.browser.walking import ASK, ask, check_look, open_until, save, upload

pytestmark = in_a_browser


@on_a_phone
def test_prices_are_imported_from_a_file_that_was_wrong_at_first(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/accounting/price/import/")
    page.get_by_label("From", exact=True).select_option("csv")
    upload(page, "prices.csv", f"provider,model,prompt_usd_per_mtok\ndemo,new-{word},dear\n")
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing can be imported from there")
    check_look(seen)

    upload(
        page,
        "prices.csv",
        f"provider,model,prompt_usd_per_mtok,completion_usd_per_mtok\ndemo,new-{word},3,15\n",
    )
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("heading", name="New (1)")).to_be_visible()
    check_look(seen)
    page.get_by_role("button", name="Book all that is shown").click()
    seen.open(f"/admin/accounting/price/?q=new-{word}")
    expect(page.locator("#result_list")).to_contain_text(f"new-{word}")


@at_a_desk
def test_a_budget_entered_wrongly_says_so_at_the_field(window, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/accounting/budget/add/")
    page.locator('[name="amount_usd"]').fill("-1")
    page.locator("form#budget_form").evaluate("form => { form.noValidate = true; }")
    save(page)
    row = page.locator(".form-row, .field-line", has=page.locator('[name="amount_usd"]')).last
    expect(row).to_contain_text(re.compile("0", re.IGNORECASE))
    check_look(seen)


@on_a_phone
def test_a_request_is_replayed_elsewhere_and_compared(window, key, size, scheme):
    seen = window(size=size, scheme=scheme)
    request_id = ask(seen.url, key, "demo").headers["request-id"]
    page = open_until(seen, "/usage/requests/", f'a[href*="{request_id}"]')
    page.locator(f'a[href*="{request_id}"]').click()
    page.locator('a[href$="/replay/"]').click()
    page.get_by_role("button", name="Estimate").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    check_look(seen)

    page.locator('input[name="targets"][value="alias:other"]').check()
    page.get_by_role("button", name="Estimate").click()
    confirm = page.locator('input[name="confirm"]')
    expect(confirm).to_be_visible()
    check_look(seen)
    confirm.check()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("heading", name="Once more")).to_be_visible()
    expect(page.locator("main")).to_contain_text("demo-2")
    check_look(seen)


@at_a_desk
def test_a_request_is_explained_and_sent(window, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/explain/")
    page.get_by_label("Body (JSON)").fill("{")
    page.get_by_role("button", name="Explain", exact=True).click()
    expect(page.get_by_role("alert").first).to_be_visible()
    check_look(seen)

    page.get_by_label("Who asks").select_option(index=2)  # a key of team alder's
    page.get_by_label("Body (JSON)").fill(json.dumps({**ASK, "model": "demo"}))
    page.get_by_role("button", name="Explain", exact=True).click()
    expect(page.get_by_role("heading", name="Send it")).to_be_visible()
    check_look(seen)
    page.get_by_label("Yes, send it").check()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("heading", name="The answer")).to_contain_text("status 200")
    check_look(seen)


@on_a_phone
def test_the_audit_trail_tells_who_changed_what(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/routing/modelalias/?q=other")
    page.locator("#result_list a:visible", has_text="other").first.click()
    page.locator('[name="description"]').fill(f"Told at a {word}.")
    save(page)
    expect(page.locator("#result_list")).to_be_visible()
    page.locator("#result_list a:visible", has_text="other").first.click()
    seen.open(page.url.removeprefix(seen.url).replace("/change/", "/history/"))
    expect(page.locator("main, body")).to_contain_text(f"Told at a {word}.")
    check_look(seen)
    open_until(seen, "/usage/audit/?actor=admin", "text=other")
    check_look(seen)
