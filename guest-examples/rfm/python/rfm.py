"""Recency, frequency and monetary value of each customer, told when the customer has stopped buying.

A purchase sets a timer: when no other follows in time, the customer has lapsed. Whether one has is decided by the times of
purchases alone, so the results are the same however far ahead of the watermark a purchase is processed.
"""

from dataclasses import dataclass

from shop import Cents, Purchase

from tidewheel import (
    I64,
    POSTCARD,
    U32,
    U64,
    Config,
    Context,
    EventTime,
    Operator,
    Output,
    Record,
    Timer,
    Value,
    date,
    days,
    keyed,
)


@dataclass
class Settings:
    """The operator's `config`."""

    lapse_days: U32
    """After how many days without a purchase a customer has lapsed."""


@dataclass
class Summary:
    """What is known of a customer."""

    last_order: I64 = 0
    orders: U32 = 0
    cds: U32 = 0
    spent: Cents = Cents()
    told: bool = False
    """Whether it has been told that the customer lapsed after the last order."""


@dataclass
class Report:
    """A customer who has lapsed."""

    customer: str
    last_order: str
    orders: U32
    cds: U32
    spent: Cents


@dataclass
class Returned:
    """A customer who had lapsed, and buys again."""

    customer: str
    returned: str
    away_days: U64


@keyed
class Rfm(Operator[Purchase, Report]):
    """Tells of customers who have lapsed, and on the side output `returned` of those who come back."""

    config = Config(Settings)
    summary = Value(Summary, format=POSTCARD)
    lapse = Timer()
    returned = Output(Returned)

    def process(self, record: Record[Purchase], ctx: Context[Report]) -> None:
        purchase, time = record.value, record.event_time
        summary = self.summary.get_or(Summary())
        if summary.orders > 0 and time > self.lapses_at(summary):
            # The timer has not fired yet when this purchase is ahead of the watermark.
            self.tell(summary, ctx)
            away_days = (time - summary.last_order) // days(1)
            ctx.emit_to(self.returned, Returned(ctx.key, date(time), away_days))
            summary.told = False
        summary.last_order = max(summary.last_order, time)
        summary.orders += 1
        summary.cds += purchase.number_of_cds
        summary.spent += purchase.dollar_value
        self.lapse.replace(self.lapses_at(summary))
        self.summary.set(summary)

    def on_timer(self, timer: Timer, at: EventTime, ctx: Context[Report]) -> None:
        summary = self.summary.get()
        if summary is not None:
            self.tell(summary, ctx)
            self.summary.set(summary)

    def lapses_at(self, summary: Summary) -> EventTime:
        """When a customer who has not bought since has lapsed."""
        return summary.last_order + days(self.config.lapse_days)

    def tell(self, summary: Summary, ctx: Context[Report]) -> None:
        """Tells that the customer has lapsed, unless it was told before."""
        if not summary.told:
            summary.told = True
            report = Report(ctx.key, date(summary.last_order), summary.orders, summary.cds, summary.spent)
            ctx.emit(report, time=self.lapses_at(summary))
