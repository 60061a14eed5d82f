"""A customer's zone that nobody has said."""

import pytest

from services.scheduler.domain.zones import zone_of


@pytest.mark.parametrize(
    ("phone", "zone"),
    [
        ("+34600111222", "Europe/Madrid"),
        ("+12125550100", "America/New_York"),
        ("+14155550100", "America/Los_Angeles"),
        ("+573001234567", "America/Bogota"),
        ("+5592987654321", "America/Manaus"),
    ],
)
def test_the_area_of_a_phone_number_tells_the_zone(phone: str, zone: str):
    assert zone == zone_of([phone], "DE")


@pytest.mark.parametrize(
    ("country", "zone"), [("FR", "Europe/Paris"), ("CO", "America/Bogota"), ("US", None), ("BR", None), ("XX", None)]
)
def test_a_country_tells_the_zone_where_all_of_it_keeps_one_time(country: str, zone: str | None):
    assert zone == zone_of([], country)


def test_a_number_that_may_be_anywhere_leaves_it_to_the_country():
    assert "Europe/Paris" == zone_of(["+80012345678"], "FR")
    assert zone_of(["+80012345678"], None) is None
