"""What a deployment costs, as far as it can be told beforehand: hours of instances, by prices that the user gave.

Binsight knows no prices: they differ by region and contract, and change. Without any, the hours alone are told.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from binsight.engines.sagemaker.deployment import Deployment

HOURS_A_MONTH = 730
NOT_COUNTED = (
    "not counted: requests, captures and models in S3, logs and figures in CloudWatch, functions, data that leaves the"
    " region"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Hours of a kind of instance in a month, from and to, and what they cost; None where the price was not given."""

    what: str
    instance_type: str
    hours_from: float
    hours_to: float
    price_per_hour: float | None
    note: str = ""

    def cost(self) -> tuple[float, float] | None:
        """From and to."""
        if self.price_per_hour is None:
            return None
        return self.hours_from * self.price_per_hour, self.hours_to * self.price_per_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The items of a month."""

    items: tuple[Item, ...]
    currency: str
    prices: str

    def total(self) -> tuple[float, float] | None:
        """From and to; None where a price is missing."""
        costs = [item.cost() for item in self.items]
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs):
            return None
        return sum(cost[0] for cost in known), sum(cost[1] for cost in known)

    def as_json(self) -> dict[str, Any]:
        """For the last line of `--dry-run --json`."""
        items = [asdict(item) | {"cost": item.cost()} for item in self.items]
        figures = {"items": items, "total": self.total(), "currency": self.currency}
        return figures | {"prices": self.prices, "not_counted": NOT_COUNTED}

    def lines(self) -> Iterator[str]:
        """For a person."""
        for item in self.items:
            hours = f"{item.hours_from:,.0f} to {item.hours_to:,.0f} hours of {item.instance_type} a month"
            cost = item.cost()
            told = (
                "its price is not in [prices]"
                if cost is None
                else f"{cost[0]:,.2f} to {cost[1]:,.2f} {self.currency}"
            )
            yield f"{item.what}: {hours}, {told}" + (f" ({item.note})" if item.note else "")
        total = self.total()
        if total is not None:
            yield f"together: {total[0]:,.2f} to {total[1]:,.2f} {self.currency} a month"
        yield f"prices: {self.prices}"
        yield NOT_COUNTED


def estimate(d: Deployment) -> Estimate:
    """What the instances of a deployment come to in a month."""
    given = d.prices
    told = f"as of {given.as_of}, from {given.source}" if given else "none given; Binsight knows none: add [prices]"
    return Estimate(items=tuple(_items(d)), currency=given.currency if given else "", prices=told)


def _items(d: Deployment) -> Iterator[Item]:
    prices = d.prices.per_hour if d.prices else {}
    low = d.scaling.min if d.scaling else 1
    high = d.scaling.max if d.scaling else 1
    if d.endpoint.kind == "serverless":
        second = d.prices.serverless_per_second if d.prices else None
        yield Item(
            what="endpoint",
            instance_type=f"serverless, {d.endpoint.memory_mb} MB",
            hours_from=0,
            hours_to=HOURS_A_MONTH * d.endpoint.max_concurrency,
            price_per_hour=None if second is None else 3600 * second,
            note="by the time that requests take; the most is all of the time",
        )
    else:
        instance = d.endpoint.instance_type
        yield Item(
            what="endpoint",
            instance_type=instance,
            hours_from=HOURS_A_MONTH * low,
            hours_to=HOURS_A_MONTH * high,
            price_per_hour=prices.get(instance),
            note="an update runs as many instances again while it lasts",
        )
    if d.shadow:
        instance = d.shadow.instance_type or d.endpoint.instance_type
        yield Item(
            what="shadow",
            instance_type=instance,
            hours_from=HOURS_A_MONTH,
            hours_to=HOURS_A_MONTH * max(1, low),
            price_per_hour=prices.get(instance),
        )
    if d.training:
        runs = d.training.runs_a_month
        instance = d.training.instance_type
        yield Item(
            what="training",
            instance_type=instance,
            hours_from=0,
            hours_to=runs * d.training.max_hours,
            price_per_hour=prices.get(instance),
            note="spot instances cost less" if d.training.spot else "",
        )
