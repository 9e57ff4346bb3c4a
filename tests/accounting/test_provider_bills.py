"""Providers' bills: each format by its own columns, exact amounts, and faults with the number of their line."""

import io
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from accounting import provider_bills
from accounting.errors import BillUnreadable
from accounting.provider_bills import KNOWN, Amounts, as_sums_csv, mapped_format, read_bill, renamed

DAY = date(2026, 11, 20)
OPENROUTER = """\
generation_id,created_at,cost_total,cost_web_search,cost_cache,cost_file_processing,byok_usage_inference,tokens_prompt,\
tokens_completion,tokens_reasoning,tokens_cached,model_permaslug,provider_name,variant,cancelled,streamed,user,\
finish_reason_raw,finish_reason_normalized,generation_time_ms,time_to_first_token_ms,api_key_disabled,api_key_name,app_name
gen-1,2026-11-20 03:46:57.713,0.0123,0,-0.001,0,0,10389,137,20,9000,anthropic/claude-4.5-sonnet-20250929,Anthropic,standard,false,true,,stop,stop,900,300,false,gateway,
gen-2,2026-11-20 23:59:59.999,1e-06,0,0,0,0,10,1,0,0,anthropic/claude-4.5-sonnet-20250929,Anthropic,standard,false,true,,stop,stop,900,300,false,gateway,
gen-3,2026-11-21 00:00:00,0.5,0,0,0,0,7,1,0,0,openai/gpt-5-2025-08-07,OpenAI,standard,true,true,,,,900,300,false,gateway,
"""
ANTHROPIC_USAGE = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,\
web_search_count,inference_geo,speed
2026-11-20,claude-sonnet-4-5-20250929,gateway,Default,standard,≤ 200k,100,20,3,4000,500,0,not_available,
2026-11-20,claude-sonnet-4-5-20250929,other,Default,standard,≤ 200k,1,0,0,0,1,0,not_available,
"""
ANTHROPIC_COST = """\
usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed
2026-11-20,Claude Sonnet 4.5,Default,gateway,message,≤ 200k,input_no_cache,1.50,1.50,token,global,
2026-11-20,Claude Sonnet 4.5,Default,gateway,message,≤ 200k,output,0.25,0.25,token,global,
"""
OPENAI_COST = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,user_id,\
api_key_id,project_id,organization_id,project_name,organization_name,user_email,api_source
1,2,2026-11-19T00:00:00+00:00,2026-11-20T00:00:00+00:00,,,,,,,,,,,,,
1,2,2026-11-20T00:00:00,2026-11-21T00:00:00,0.003835980000000000000000000000,usd,,,"gpt-5-2025-08-07, input",,,,,,,,
1,2,2026-11-20T00:00:00,2026-11-21T00:00:00,0.001,usd,,,"gpt-5-2025-08-07, output",,,,,,,,
"""
OPENAI_USAGE = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,input_tokens,output_tokens,input_cached_tokens
1,2,2026-11-20T00:00:00+00:00,2026-11-20T00:01:00+00:00,p,2,gpt-5-2025-08-07,false,100,20,50
1,2,2026-11-20T00:01:00+00:00,2026-11-20T00:02:00+00:00,p,3,gpt-5-2025-08-07,false,1,2,0
"""
DAILY = """\
date,model,model_permaslug,endpoint_id,provider_name,usage,byok_usage_inference,requests,prompt_tokens,completion_tokens,reasoning_tokens
2026-11-20,openai/gpt-5,openai/gpt-5-2025-08-07,e1,OpenAI,0.015,0,5,50,125,25
2026-11-20,openai/gpt-5,openai/gpt-5-2025-08-07,e2,Azure,0.005,0,1,5,1,0
"""


def read(text: str, **options: object) -> provider_bills.Bill:
    return read_bill(io.BytesIO(text.encode()), **options)


def faults_of(text: str, **options: object) -> list[str]:
    with pytest.raises(BillUnreadable) as caught:
        read(text, **options)
    return caught.value.faults


def test_openrouters_activity_has_a_line_for_each_generation():
    bill = read(OPENROUTER)

    assert bill.format.name == "openrouter"
    assert bill.lines == 3
    assert bill.has_moments
    assert bill.sums == {
        (DAY, "anthropic/claude-4.5-sonnet-20250929"): Amounts(Decimal("0.012301"), 2, 10399, 138),
        (date(2026, 11, 21), "openai/gpt-5-2025-08-07"): Amounts(Decimal("0.5"), 1, 7, 1),
    }


@pytest.mark.parametrize(
    ("text", "name", "model", "amounts"),
    [
        (DAILY, "openrouter_daily", "openai/gpt-5-2025-08-07", Amounts(Decimal("0.020"), 6, 55, 126)),
        (ANTHROPIC_USAGE, "anthropic_usage", "claude-sonnet-4-5-20250929", Amounts(None, None, 4124, 501)),
        (ANTHROPIC_COST, "anthropic_cost", "Claude Sonnet 4.5", Amounts(Decimal("1.75"))),
        (OPENAI_COST, "openai_cost", "gpt-5-2025-08-07", Amounts(Decimal("0.00483598"))),
        (OPENAI_USAGE, "openai_usage", "gpt-5-2025-08-07", Amounts(None, 5, 101, 22)),
    ],
    ids=["openrouter daily", "anthropic usage", "anthropic cost", "openai cost", "openai usage"],
)  # fmt: skip
def test_formats_are_told_by_their_columns(text, name, model, amounts):
    bill = read(text)

    assert bill.format is KNOWN[name]
    assert bill.sums == {(DAY, model): amounts}


def test_any_table_can_be_read_by_naming_its_columns():
    text = "Tag;Modell;Betrag;Anfragen;Ein;Ein (Cache)\n2026-11-20;gpt-5;$1,234.50;1,000;5;7\n"
    known = mapped_format(
        {"day": "Tag", "model": " Modell", "cost": "Betrag", "requests": "Anfragen", "prompt": "Ein + Ein (Cache)"}
    )  # fmt: skip

    assert read(text, known=known).sums == {
        (DAY, "gpt-5"): Amounts(Decimal("1234.50"), 1000, 12, None)
    }


@pytest.mark.parametrize(
    "columns",
    [{}, {"day": "d"}, {"model": "m", "cost": "c"}, {"day": "d", "model": "m"}],
    ids=["none", "only day", "no day", "no amount"],
)
def test_the_day_the_model_and_an_amount_have_to_be_named(columns):
    with pytest.raises(BillUnreadable, match="Name at least"):
        mapped_format(columns)


def test_moments_are_days_in_utc_whatever_zone_they_are_told_in():
    text = "day,model,cost_usd,requests,prompt_tokens,completion_tokens\n2026-11-20 00:30:00,m,1,,,\n2026-11-20T23:30:00-05:00,m,2,,,\n"

    bill = read(text, zone=ZoneInfo("Europe/Berlin"))

    assert {on: amounts.cost_usd for (on, _model), amounts in bill.sums.items()} == {
        date(2026, 11, 19): 1,
        date(2026, 11, 21): 2,
    }


def test_a_byte_order_mark_and_empty_lines_do_no_harm():
    assert read("\ufeff" + DAILY + "\n\n,,,\n").lines == 2


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("20.11.2026,m,1,,,", "'20.11.2026' is no day"),
        ("yesterday at noon,m,1,,,", "is no day"),
        ("2026-11-20,m,1.2.3,,,", "'1.2.3' is no amount"),
        ("2026-11-20,m,NaN,,,", "no amount that can be paid"),
        ("2026-11-20,m,1e30,,,", "no amount that can be paid"),
        ("2026-11-20,m,,1.5,,", "'1.5' is no whole number"),
        ("2026-11-20,m,,,1e99,", "'1e99' is no whole number"),
        ("2026-11-20,m,,,,NaN", "'NaN' is no whole number"),
        ("2026-11-20,m", "it has 2 cells"),
        ("0001-01-01T00:00:00+14:00,m,1,,,", "is no day"),
    ],
    ids=["day", "words", "amount", "nan", "much", "count", "many", "nan tokens", "short", "early"],
)
def test_faults_are_told_with_their_line(line, fault):
    text = f"day,model,cost_usd,requests,prompt_tokens,completion_tokens\n2026-11-20,m,1,,,\n\n{line}\n"

    (told,) = faults_of(text)

    assert told.startswith("Line 4: ")
    assert fault in told


def test_a_file_of_another_sort_names_the_columns_that_it_has():
    (told,) = faults_of("a,b\n1,2\n")
    assert told.startswith("Line 1: these columns are no format that is known: a, b.")
    (told,) = faults_of("day,model\n", known=KNOWN["sums"])
    assert "no column cost_usd" in told


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "no format"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"day,model,cost_usd,requests,prompt_tokens,completion_tokens\n", "no line"),
        (b"day,model,cost_usd,requests,prompt_tokens,completion_tokens\n" + b'"' + b"x" * 2_000_000, "not CSV"),
    ],
    ids=["empty", "utf-16", "no lines", "no csv"],
)  # fmt: skip
def test_what_is_no_table_is_refused(content, fault):
    with pytest.raises(BillUnreadable, match=fault):
        read_bill(io.BytesIO(content))


def test_amounts_in_other_currencies_are_refused():
    assert faults_of(OPENAI_COST.replace(",usd,", ",eur,", 1)) == [
        "Line 3: its amount is not in USD"
    ]


def test_reading_stops_after_many_faults():
    lines = "".join("x,m,1,,,\n" for _ in range(100))
    text = "day,model,cost_usd,requests,prompt_tokens,completion_tokens\n" + lines

    assert len(faults_of(text)) == provider_bills.FAULTS_MAX + 1


def test_a_bill_of_too_many_days_and_models_is_refused(monkeypatch):
    monkeypatch.setattr(provider_bills, "SUMS_MAX", 1)

    assert "shorter time" in faults_of(OPENROUTER)[0]


def test_counts_may_be_larger_than_any_amount_of_money():
    text = (
        "day,model,cost_usd,requests,prompt_tokens,completion_tokens\n2026-11-20,m,1,,642906918,9\n"
    )

    assert read(text).sums[DAY, "m"].prompt_tokens == 642_906_918


def test_sums_can_be_written_and_read_again():
    for text in (OPENROUTER, ANTHROPIC_USAGE, ANTHROPIC_COST, DAILY):
        bill = read(text)
        assert read(as_sums_csv(bill.sums)).sums == bill.sums


def test_models_can_be_renamed_and_come_together():
    bill = read(OPENROUTER.replace("2026-11-21", "2026-11-20"))

    named = renamed(
        bill, {"openai/gpt-5-2025-08-07": "x", "anthropic/claude-4.5-sonnet-20250929": "x"}
    )

    assert named.sums == {(DAY, "x"): Amounts(Decimal("0.512301"), 3, 10406, 139)}
