"""What the operators of this example share: a purchase, and money in whole cents, of which sums stay exact."""

import re
from dataclasses import dataclass

from tidewheel import I64, U32


@dataclass(frozen=True, order=True)
class Cents:
    """An amount of money. In JSON it is a string with two decimals, `"11.77"`; in state a number."""

    amount: I64 = 0

    @classmethod
    def from_json(cls, text: object) -> "Cents":
        if not isinstance(text, str) or re.fullmatch(r"-?[0-9]+(\.[0-9]{2})?", text) is None:
            raise ValueError(f'"{text}" is no amount of money: expected one such as 11.77')
        dollars, _, cents = text.partition(".")
        return cls(int(dollars + (cents or "00")))

    def to_json(self) -> str:
        sign, amount = ("-", -self.amount) if self.amount < 0 else ("", self.amount)
        return f"{sign}{amount // 100}.{amount % 100:02}"

    def __add__(self, other: "Cents") -> "Cents":
        return Cents(self.amount + other.amount)


@dataclass(frozen=True)
class Purchase:
    """A purchase, as a row of `purchases.csv` comes in. When it was made is the record's event time."""

    customer_id: str
    number_of_cds: U32
    dollar_value: Cents
