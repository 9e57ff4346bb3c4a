"""Money in a column: whole picodollars, so that a sum over any rows is exact on every database.

SQLite has no decimal type: a DecimalField is summed there as a binary fraction. A whole number is not.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

PLACES = 12
PICO = Decimal(10) ** PLACES
STEP_USD = Decimal(1) / PICO
USD_MAX = Decimal(9_000_000)
"""The largest amount of one value, either way from zero; a little less than the column holds."""

COST_USD_MAX = Decimal(100_000)
"""No attempt costs as much: a figure beyond is none. Dozens of such a day still fit into one row of the daily sums."""

if TYPE_CHECKING:
    _UsdBase = models.BigIntegerField[Decimal | int | str | None, Decimal | None]
else:
    _UsdBase = models.BigIntegerField


def to_pico(amount_usd: Decimal) -> int:
    """The amount as whole picodollars (1e-12 USD), half to even."""
    return int(amount_usd.scaleb(PLACES).to_integral_value(ROUND_HALF_EVEN))


def from_pico(pico: int | Decimal) -> Decimal:
    """The amount in USD, exact."""
    return (Decimal(pico) / PICO).quantize(STEP_USD)


def is_storable(amount_usd: Decimal) -> bool:
    """Whether a column of money can hold the amount."""
    return amount_usd.is_finite() and abs(amount_usd) <= USD_MAX


def is_cost(amount_usd: Decimal) -> bool:
    """Whether the amount can be what one attempt has cost, or a cache has saved it."""
    return amount_usd.is_finite() and abs(amount_usd) <= COST_USD_MAX


def plain_usd(amount_usd: Decimal) -> str:
    """An amount with all its digits, and no zeros behind them."""
    text = f"{amount_usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class UsdField(_UsdBase):
    """An amount of USD as a Decimal with 12 places, stored as a whole number of picodollars.

    One value, and any sum on SQLite, must stay below 9.2 million USD.
    """

    description = "US dollars, exact to 12 places"

    def from_db_value(self, value: Any, _expression: Any, _connection: Any) -> Decimal | None:
        """The stored number, also that of a sum, in USD."""
        return None if value is None else from_pico(value)

    def to_python(self, value: Any) -> Any:
        """The amount as a Decimal."""
        if value is None or isinstance(value, Decimal):
            return value
        try:
            return Decimal(str(value))
        except ArithmeticError as error:
            raise ValidationError(f"{value!r} is not an amount of money.") from error

    def get_prep_value(self, value: Any) -> Any:
        """The amount as it is stored; expressions pass as they are."""
        if value is None or hasattr(value, "resolve_expression"):
            return value
        return to_pico(self.to_python(value))

    @property
    def validators(self) -> list[Any]:
        """Empty: the limits of the stored whole number are not those of the amount."""
        return []

    def formfield(self, **kwargs: Any) -> Any:
        """A decimal input."""
        return super(models.IntegerField, self).formfield(
            **{"form_class": forms.DecimalField, "max_digits": 19, "decimal_places": 12, **kwargs}
        )
