"""Routing two clicks deep: models synchronised, targets and lists dragged into order, rules in tabs, versions gone back to."""

import re

from playwright.sync_api import expect

from tests.browser.chromium import at_a_desk, both, in_a_browser, on_a_phone
from tests.browser.walking import (
    ask,
    asked_until,
    check_look,
    choose,
    drag,
    follow,
    open_until,
    save,
)

pytestmark = in_a_browser


def add_alias(seen, name, *models):
    """A name that clients can ask for, with one route to these models of the demo."""
    page = seen.open("/admin/routing/modelalias/add/")
    page.locator('[name="name"]').fill(name)
    for number, model in enumerate(models):
        if number:
            page.get_by_role("link", name="Add another Route target").first.click()
        choose(page, f"routes-0-targets-{number}-deployment", model)
    save(page)
    expect(page.locator("#result_list")).to_be_visible()


def open_row(seen, model, name):
    seen.open(f"/admin/routing/{model}/?q={name}")
    seen.page.locator("#result_list a:visible", has_text=name).first.click()
    return seen.page


def names_in(page):
    """The first words of a list's rows, in the order shown."""
    rows = page.locator("#result_list tbody tr.data-row")
    return [
        text.replace("drag_indicator", "").split("\n")[0].strip() for text in rows.all_inner_texts()
    ]


@on_a_phone
def test_a_provider_entered_wrongly_is_mended_where_it_is_said(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/routing/provider/add/")
    page.locator('[name="slug"]').fill(f"wrong {word}")
    page.locator('[name="kind"]').select_option("openai_compatible")
    page.locator('[name="base_url"]').fill("ftp://127.0.0.1")
    save(page)
    for name in ("slug", "base_url"):
        error = page.locator(f".field-{name}, .form-row", has=page.locator(f'[name="{name}"]'))
        expect(error.last.locator(".errorlist, [class*=text-red]").first).to_be_visible()
    check_look(seen)
    page.locator('[name="slug"]').fill(f"mended-{word}")
    page.locator('[name="base_url"]').fill("http://127.0.0.1:9/v1")
    save(page)
    expect(page.locator("#result_list")).to_contain_text(f"mended-{word}")


@at_a_desk
def test_the_models_of_a_provider_are_synchronised(window, word, installation, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/first-steps/?step=provider&kind=openai_compatible")
    page.get_by_label("Short name").fill(f"synchronised-{word}")
    page.get_by_label("Base URL").fill(installation.upstream.url)
    page.get_by_label("API key", exact=True).fill("sk-first-0000000000")
    page.get_by_role("button", name="Add it and test the connection").click()
    expect(page.locator("#models")).to_contain_text("Use these models")

    open_row(seen, "provider", f"synchronised-{word}")
    follow(seen, "synchronise")
    expect(page.get_by_role("heading", name=re.compile("^New"))).to_be_visible()
    expect(page.locator(".llmgw-updates").last).to_contain_text("held-1")
    check_look(seen)
    page.get_by_role("button", name="Apply all that is shown").click()
    expect(page.locator("body")).to_contain_text("no model that is not a deployment already")
    check_look(seen)


@both
def test_targets_are_dragged_into_order(window, word, key, size, scheme):
    seen = window(size=size, scheme=scheme)
    name = f"dragged-{word}"
    add_alias(seen, name, "demo-1", "demo-2")
    asked_until(
        seen.url, key, name, lambda answer: answer.headers["x-llmgateway-model"] == "demo-1"
    )

    page = open_row(seen, "modelalias", name)
    targets = page.locator("#routes-0-targets-data .form-group.original")
    expect(targets).to_have_count(2)
    drag(page, targets.nth(1), targets.nth(0))
    expect(targets.first).to_contain_text("demo-2")
    check_look(seen)
    save(page)
    expect(page.locator("#result_list")).to_be_visible()
    asked_until(
        seen.url, key, name, lambda answer: answer.headers["x-llmgateway-model"] == "demo-2"
    )


@on_a_phone
def test_rules_are_added_in_a_tab_of_their_provider(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = open_row(seen, "provider", "held")
    page.locator('a[href="#headerrules"]').click()
    page.get_by_role("link", name="Add another Header rule").click()
    rule = page.locator('[name$="-name"]:visible').last
    rule.fill("not a header")
    save(page)
    page.locator('a[href="#headerrules"]').click()
    expect(page.locator('[name$="-name"]:visible').last).to_have_value("not a header")
    check_look(seen)
    page.locator('[name$="-name"]:visible').last.fill(f"x-{word}")
    save(page)
    expect(page.locator("#result_list")).to_be_visible()


@both
def test_a_transformation_tells_what_is_wrong_as_it_is_typed_and_its_list_is_dragged(
    window, word, size, scheme
):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/routing/transformation/add/")
    page.locator('[name="kind"]').select_option("regex")
    page.locator('[name="pattern"]').fill("(never closed")
    expect(page.locator("[data-preview-fault]").first).to_be_visible()
    check_look(seen)
    page.locator('[name="pattern"]').fill(f"dragged-{word}")
    expect(page.locator("[data-preview-fault]")).to_have_count(0)
    save(page)

    rows = page.locator("#result_list tbody", has=page.locator("tr.data-row"))
    mine = page.locator("#result_list tbody", has_text=f"dragged-{word}")
    expect(mine).to_have_count(1)
    drag(page, mine, rows.first)
    expect(rows.first).to_contain_text(f"dragged-{word}")
    check_look(seen)
    page.get_by_role("button", name="Save").first.click()
    seen.open("/admin/routing/transformation/")
    expect(rows.first).to_contain_text(f"dragged-{word}")


@at_a_desk
def test_agent_types_are_dragged_into_order(window, word, size, scheme):
    seen = window(size=size, scheme=scheme)
    page = seen.open("/admin/routing/agenttype/add/")
    page.locator('[name="slug"]').fill(f"dragged-{word}")
    page.locator('[name="value"]').fill(f"dragged-{word}")
    choose(page, "tier", "fast")
    save(page)
    rows = page.locator("#result_list tbody", has=page.locator("tr.data-row"))
    mine = page.locator("#result_list tbody", has_text=f"dragged-{word}")
    expect(mine).to_have_count(1)
    drag(page, mine, rows.first)
    expect(rows.first).to_contain_text(f"dragged-{word}")
    check_look(seen)
    page.get_by_role("button", name="Save").first.click()
    seen.open("/admin/routing/agenttype/")
    expect(rows.first).to_contain_text(f"dragged-{word}")


@on_a_phone
def test_a_version_is_gone_back_to(window, word, key, size, scheme):
    seen = window(size=size, scheme=scheme)
    name = f"gone-{word}"
    add_alias(seen, name, "demo-1")
    asked_until(seen.url, key, name, lambda answer: answer.status_code == 200)

    page = open_until(seen, "/admin/routing/configurationversion/", f"text={name}")
    page.locator("#result_list tbody tr.data-row").nth(1).locator("a:visible").first.click()
    check_look(seen)
    follow(seen, "roll-back")
    expect(page.get_by_role("heading", name="What would change")).to_be_visible()
    check_look(seen)
    page.get_by_role("button", name=re.compile("^Roll back to")).click()
    asked_until(seen.url, key, name, lambda answer: answer.status_code == 404)
    assert ask(seen.url, key, "demo").status_code == 200
