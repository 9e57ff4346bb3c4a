"""People at work in a browser, at a desk in the light and with a phone in the dark, and what clients notice of it."""

import csv
import re
import threading

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.chromium import both, in_a_browser
from tests.browser.installation import sign_in
from tests.browser.walking import (
    ASK,
    ask,
    asked_until,
    check_look,
    choose,
    make_key,
    open_until,
    save,
    shown_secret,
)

pytestmark = in_a_browser

INK = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(part => part > 0)"""


@both
def test_signing_in_and_out(window, installation, size, scheme):
    seen = window("", size=size, scheme=scheme)
    page = seen.open("/usage/")
    assert "/usage/sign-in/" in page.url
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()

    sign_in(seen, "admin", installation.password("admin"))
    page.get_by_role("link", name="Admin", exact=True).click()
    expect(page).to_have_url(seen.url + "/admin/")
    expect(page.locator(".llmgw-dashboard")).to_be_visible()

    seen.open("/usage/")
    page.get_by_role("button", name="Sign out").click()
    seen.open("/usage/requests/")
    assert "/usage/sign-in/" in page.url


@both
def test_first_steps_lead_to_a_first_request(window, word, installation, size, scheme):
    installation.upstream.models.add(f"held-{word}")
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/first-steps/?step=provider&kind=openai_compatible")
    page.get_by_label("Short name").fill(f"first-{word}")
    page.get_by_label("Base URL").fill(installation.upstream.url)
    page.get_by_label("API key", exact=True).fill("sk-first-0000000000")
    page.get_by_role("button", name="Add it and test the connection").click()

    for box in page.locator('input[name="model"]').all():
        box.set_checked(box.get_attribute("value") == f"held-{word}")
    page.get_by_role("button", name="Use these models").click()
    expect(page.locator("#models")).to_contain_text("Clients can ask for these names")

    seen.open(f"/admin/first-steps/?provider=first-{word}&step=key")
    page.get_by_label("Name of the key").fill(f"first-{word}")
    page.get_by_role("button", name="Make the key").click()
    secret = shown_secret(page)
    expect(page.locator(".llmgw-lines")).to_contain_text(secret)
    expect(page.locator(".llmgw-news")).to_contain_text("Waiting for the first request")

    asked_until(seen.url, secret, f"held-{word}", lambda answer: answer.status_code == 200)
    expect(page.locator(".llmgw-news")).to_contain_text("It works")
    expect(page.locator(".llmgw-news")).to_contain_text("1,200 in, 34 out")


@both
def test_the_playground_streams_an_answer_and_tells_what_it_cost(window, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/usage/playground/")
    page.locator("#id_alias").select_option("demo")
    page.locator("#play-turns textarea").first.fill("What is new?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#play-said")).to_contain_text("You said: What is new?")
    expect(page.get_by_role("heading", name="Figures")).to_be_visible()
    expect(page.locator("#play-outcome")).to_contain_text("demo: demo-1")


@both
def test_a_key_made_in_the_admin_is_shown_once_and_works(window, word, installation, size, scheme):
    seen = window(size=size, scheme=scheme)
    secret = make_key(seen.page, seen.url, f"walk-{word}")
    answer = asked_until(seen.url, secret, "demo", lambda answer: answer.status_code == 200)
    assert answer.headers["x-llmgateway-provider"] == "demo"

    seen.page.get_by_role("link", name="I have copied it").click()
    expect(seen.page.locator("#result_list")).to_contain_text(f"walk-{word}")
    assert secret not in seen.page.content()


@both
def test_a_lead_makes_a_key_and_revokes_it(window, word, size, scheme):
    seen = window("lead", size=size, scheme=scheme)
    page = seen.open("/usage/teams/alder/")
    page.get_by_text("Make a key", exact=True).click()
    page.get_by_label("Name", exact=True).fill(f"lead-{word}")
    page.get_by_role("button", name="Make the key").click()
    secret = shown_secret(page)
    asked_until(seen.url, secret, "demo", lambda answer: answer.status_code == 200)

    page.get_by_role("link", name="I have copied it").click()
    page.locator("tr", has_text=f"lead-{word}").get_by_role("link", name="Revoke").click()
    page.get_by_role("main").get_by_role("button").click()
    asked_until(seen.url, secret, "demo", lambda answer: answer.status_code == 401)


@both
def test_a_route_edited_in_the_admin_is_live_at_once(window, key, size, scheme):
    seen = window(size=size, scheme=scheme)
    before = ask(seen.url, key, "edited").headers["x-llmgateway-model"]
    wanted = {"demo-1": "demo-2", "demo-2": "demo-1"}[before]

    page = seen.open("/admin/routing/modelalias/?q=edited")
    page.locator("#result_list a", has_text="edited").first.click()
    page.get_by_role("heading", name=f"demo: {before}").click()
    choose(page, "routes-0-targets-0-deployment", wanted)
    save(page)
    expect(page.locator("#result_list")).to_be_visible()
    asked_until(
        seen.url, key, "edited", lambda answer: answer.headers["x-llmgateway-model"] == wanted
    )


@both
def test_a_budget_is_spent_refuses_and_is_raised(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.page
    secret = make_key(page, seen.url, f"budget-{word}")
    seen.open("/admin/accounting/budget/add/")
    choose(page, "key", f"budget-{word}")
    page.locator('[name="amount_usd"]').fill("0.15")
    save(page)
    asked_until(seen.url, secret, "dear", lambda answer: answer.status_code == 200)
    # 1000 USD per million tokens: some 45 are spent, and 100 more may be asked for
    refused = asked_until(seen.url, secret, "dear", lambda answer: answer.status_code != 200)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "billing_error"
    assert "budget" in refused.json()["error"]["message"]

    seen.open(f"/admin/accounting/budget/?q=budget-{word}")
    page.locator("#result_list tbody a:visible").first.click()
    expect(page.locator("#budget_form")).to_contain_text(re.compile(r"0\.0[2-9]"))
    page.locator('[name="amount_usd"]').fill("50")
    save(page)
    asked_until(seen.url, secret, "dear", lambda answer: answer.status_code == 200)


@both
@pytest.mark.parametrize("path", ["/usage/", "/usage/performance/", "/usage/caching/"])
def test_a_report_draws_lists_and_downloads(window, path, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open(path)
    drawings = page.locator("canvas[data-chart]")
    assert drawings.count() > 0
    for drawing in drawings.all():
        drawing.scroll_into_view_if_needed()
        expect(drawing).to_be_visible()
        assert drawing.evaluate(INK)
    assert page.locator("table.report tbody tr").count() > 1

    with page.expect_download() as download:
        page.locator(".report-head").get_by_role("link", name="CSV").click()
    with download.value.path().open(newline="") as file:
        assert len(list(csv.reader(file))) > 2


@both
def test_a_request_is_found_and_its_page_tells_all(window, key, size, scheme):
    seen = window(size=size, scheme=scheme)
    request_id = ask(seen.url, key, "demo").headers["request-id"]
    written = f'a[href*="{request_id}"]'
    page = open_until(seen, "/usage/requests/", written)
    expect(page.locator("nav.pages [aria-current]")).to_be_in_viewport()
    page.locator(written).click()
    expect(page.get_by_role("heading", name="Attempt 1: demo, demo-1")).to_be_visible()
    page.get_by_role("link", name="Show what was sent and answered").click()
    page.locator("details.message summary").first.click()
    expect(page.locator("details.message pre").first).to_contain_text("Hello")


@both
def test_the_live_view_shows_a_request_while_it_runs(window, installation, key, size, scheme):
    seen = window(size=size, scheme=scheme)
    installation.upstream.go_on.clear()
    page = seen.open("/usage/live/")
    expect(page.locator("#live-state")).to_have_text("Live")

    body = {**ASK, "model": "held", "stream": True}
    ids = []

    def stream():
        headers = {"x-api-key": key}
        url = f"{seen.url}/v1/messages"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as answer:
            ids.append(answer.headers["request-id"])
            answer.read()

    client = threading.Thread(target=stream)
    client.start()
    try:
        running = page.locator('#live-rows tr:has([data-status="answering"])')
        expect(running).to_have_count(1)
        row = page.locator("#live-rows tr", has=page.locator(f'a[title="{ids[0]}"]'))
        expect(row).to_contain_text("held-1")
    finally:
        installation.upstream.go_on.set()
        client.join()
    expect(row).to_contain_text("succeeded")
    expect(row.locator('[data-label="Prompt"]')).to_have_text("1,200")
    expect(row.locator('[data-label="Completion"]')).to_have_text("34")
    # 1200 at 3 USD and 34 at 15 USD per million
    expect(row.locator('[data-label="Cost (USD)"]')).to_have_text("0.00411")


@both
def test_the_api_is_tried_on_its_page(window, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/api/docs/")
    page.locator("#operations-tag-teams").click()
    teams = page.locator(".opblock-get", has=page.locator('[data-path="/api/teams/"]'))
    teams.locator(".opblock-summary-control").click()
    teams.get_by_role("button", name="Try it out").click()
    check_look(seen)
    teams.get_by_role("button", name="Execute").click()
    expect(teams.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    check_look(seen)

    made = page.locator(".opblock-post", has=page.locator('[data-path="/api/teams/"]'))
    made.locator(".opblock-summary-control").click()
    made.get_by_role("button", name="Try it out").click()
    expect(made.get_by_label("Request body")).to_be_editable()
    check_look(seen)


def test_an_outsider_is_shown_no_page_of_the_team(window):
    seen = window("outsider")
    seen.refusals.add(404)
    page = seen.open("/usage/teams/alder/")
    assert "laptop" not in page.content()
