"""Feature flags: which row decides, and for how many."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from routing import snapshot
from routing.flags import DECLARED, STRICT_CONVERSION, FlagRow, FlagSet, share_of
from routing.models import FeatureFlag
from routing.models.feature_flag import flag_choices


def is_on(*rows: FlagRow, team="alder", key="laptop", first=False, request_id="req_1") -> bool:
    flags = FlagSet({STRICT_CONVERSION: rows}, {STRICT_CONVERSION: first})
    return flags.is_on(STRICT_CONVERSION, team=team, key=key, request_id=request_id)


@pytest.mark.parametrize("first", [True, False])
def test_without_a_row_the_first_value_holds(first):
    assert is_on(first=first) is first
    assert (
        FlagSet({}, {}).is_on(STRICT_CONVERSION, team="", key="", request_id="")
        is DECLARED[STRICT_CONVERSION].is_on_at_first
    )


def test_the_narrowest_row_decides():
    everybody = FlagRow(enabled=True)
    team = FlagRow(enabled=False, team="alder")
    key = FlagRow(enabled=True, team="alder", key="laptop")

    assert is_on(everybody, team, key)
    assert not is_on(everybody, team)
    assert not is_on(everybody, team, key, key="server")
    assert is_on(everybody, team, key, team="birch")


def test_a_row_of_another_team_says_nothing():
    assert is_on(FlagRow(enabled=False, team="birch"), first=True)


def test_a_percentage_is_a_share_of_requests_that_stays_with_each():
    row = FlagRow(enabled=True, percentage=30)
    ids = [f"req_{number}" for number in range(2000)]
    seen = [request_id for request_id in ids if is_on(row, request_id=request_id)]

    assert 500 < len(seen) < 700
    assert all(is_on(row, request_id=request_id) for request_id in seen)
    assert not is_on(FlagRow(enabled=False, percentage=30), request_id=seen[0])
    assert 0 <= share_of(STRICT_CONVERSION, "req_1") < 100


def test_an_undeclared_name_raises():
    with pytest.raises(KeyError):
        FlagSet({"odd": (FlagRow(enabled=True),)}, {}).is_on("odd", team="", key="", request_id="")


def test_every_flag_has_a_sentence_and_a_variable():
    for name, flag in DECLARED.items():
        assert flag.name == name
        assert flag.sentence.endswith(".")
        assert flag.variable == f"{name.upper()}_ENABLED"
    assert [name for name, _label in flag_choices()] == list(DECLARED)


@pytest.mark.django_db
def test_rows_reach_the_snapshot():
    FeatureFlag.objects.create(name=STRICT_CONVERSION, enabled=True, team="alder")
    flags = snapshot.build().flags

    assert flags.is_on(STRICT_CONVERSION, team="alder", key="laptop", request_id="req_1")
    assert not flags.is_on(STRICT_CONVERSION, team="birch", key="laptop", request_id="req_1")


@pytest.mark.django_db
@pytest.mark.parametrize("fields", [{"name": "odd"}, {"key": "laptop"}, {"percentage": 101}])
def test_rows_that_mean_nothing_are_refused(fields):
    with pytest.raises(ValidationError):
        FeatureFlag(**{"name": STRICT_CONVERSION, **fields}).full_clean()


@pytest.mark.django_db
def test_a_row_of_an_unknown_flag_is_a_warning_and_breaks_nothing():
    FeatureFlag.objects.create(name="of_old")

    assert "Feature flag 'of_old' is not known" in snapshot.build().warnings[0]


@pytest.mark.django_db
def test_the_page_says_what_a_flag_does(admin_client):
    FeatureFlag.objects.create(name=STRICT_CONVERSION, team="alder", key="laptop")
    FeatureFlag.objects.create(name="of_old", enabled=False)
    page = admin_client.get("/admin/routing/featureflag/").content.decode()

    assert "alder/laptop" in page
    assert DECLARED[STRICT_CONVERSION].sentence in page
    assert "No longer known" in page
    assert str(FeatureFlag.objects.get(team="alder")) == "strict_conversion for alder/laptop"
    assert str(FeatureFlag.objects.get(team="")) == "of_old"


ROWS = st.builds(
    FlagRow,
    enabled=st.booleans(),
    team=st.sampled_from(["", "alder", "birch"]),
    key=st.sampled_from(["", "laptop"]),
    percentage=st.integers(0, 100),
)


@given(st.lists(ROWS, max_size=4), st.booleans())
def test_what_is_on_for_nobody_is_not_looked_at(rows, first):
    flags = FlagSet({STRICT_CONVERSION: tuple(rows)}, {STRICT_CONVERSION: first})
    if STRICT_CONVERSION not in flags.ever_on:
        assert not is_on(*rows, first=first)
    elif not rows:
        assert first
