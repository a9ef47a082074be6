"""A repository with made-up retail data, and features computed from it by plain counting."""

import csv
import gzip
import hashlib
import io
import lzma
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from slipway.features.tables import TIME
from tests.conftest import ROOT

START = datetime(2010, 1, 4, tzinfo=UTC)
MOMENT = START + timedelta(days=200)
SERVICE, KEY = "repurchase", "customer_id"
HEADER = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price")
HEADER = (*HEADER, "Customer ID", "Country")
Line = tuple[str, str, str, int, datetime, float, int | None, str]

CATALOGUE = """\
title: A made-up {name}
home: https://example.org/
licence: none
citation: none
files:
  {file}:
    bytes: {size}
    sha256: {sha}
    sources:
      - {{kind: mirror, locator: nowhere}}
"""
RETAIL, TELCO = "online_retail.csv.xz", "telco_customer_churn.csv.gz"
FLIGHTS = "flights-3m.parquet"
# Two typical customers; the second has not been billed yet.
TELCO_LINES = """\
customerID,gender,SeniorCitizen,Partner,Dependents,tenure,PhoneService,MultipleLines,\
InternetService,OnlineSecurity,OnlineBackup,DeviceProtection,TechSupport,StreamingTV,\
StreamingMovies,Contract,PaperlessBilling,PaymentMethod,MonthlyCharges,TotalCharges,Churn
0002-AAAAA,Female,1,Yes,No,34,Yes,No,DSL,Yes,No,Yes,No,No,No,One year,No,\
Mailed check,56.95,1889.5,No
0001-AAAAA,Male,0,No,Yes,0,No,No phone service,No,No internet service,No internet service,\
No internet service,No internet service,No internet service,No internet service,Two year,Yes,\
Bank transfer (automatic),20.1, ,No
"""


def flights_file() -> bytes:
    """Return five flights on two routes, the last of a day that is left out, as Parquet."""
    flown = [
        ("2001-06-28T23:59", 16, "ATL", "BOS"),
        ("2001-06-29T10:00", 0, "ATL", "BOS"),
        ("2001-06-30T10:00", 15, "ATL", "ORD"),
        ("2001-06-30T11:00", 90, "ATL", "ORD"),
        ("2001-07-01T00:10", 90, "ATL", "BOS"),
    ]
    frame = pd.DataFrame(flown, columns=["date", "delay", "origin", "destination"])
    frame["date"] = frame["date"].astype("datetime64[us]")
    out = io.BytesIO()
    frame.assign(distance=700).to_parquet(out)
    return out.getvalue()


class FeatureRepository:
    """A repository in `root` with its own home, cache and data; `enter` activates it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: list[Line] = []
        (root / "pipelines" / "datasets").mkdir(parents=True)
        (root / "pyproject.toml").write_text("")
        shutil.copytree(
            ROOT / "feature_repo",
            root / "feature_repo",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        self.give("telco_customer_churn", TELCO, gzip.compress(TELCO_LINES.encode(), mtime=0))
        self.give("us_flights_3m", FLIGHTS, flights_file())

    @property
    def environment(self) -> dict[str, str]:
        """The variables that activate the repository."""
        return {
            "SLIPWAY_HOME": str(self.root / "home"),
            "SLIPWAY_CACHE": str(self.root / "cache"),
            "SLIPWAY_DATASETS": str(self.root / "given"),
        }

    def enter(self, patch) -> None:
        """Make the repository the current one, until `patch` is undone."""
        patch.chdir(self.root)
        for name, value in self.environment.items():
            patch.setenv(name, value)
        patch.delenv("SLIPWAY_REDIS_URL", raising=False)

    def write(self, lines: list[Line]) -> None:
        """Write the lines as the retail data set."""
        self.lines = lines
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(HEADER)
        for line in lines:
            *rest, time, price, customer, country = line
            written = f"{time.month}/{time.day}/{time.year} {time.hour}:{time.minute:02}"
            who = "" if customer is None else f"{customer}.0"
            writer.writerow([*rest, written, price, who, country])
        self.give("online_retail_ii", RETAIL, lzma.compress(out.getvalue().encode(), preset=0))

    def give(self, dataset: str, file: str, content: bytes) -> None:
        """Write the file of a data set, and its catalogue entry."""
        place = self.root / "given" / dataset / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        sha = hashlib.sha256(content).hexdigest()
        entry = CATALOGUE.format(name=dataset, file=file, size=len(content), sha=sha)
        (self.root / "pipelines" / "datasets" / f"{dataset}.yaml").write_text(entry)


def made_up(*, customers: int = 40, seed: int = 3) -> list[Line]:
    """Return unordered lines of invoices, credit notes and fees, some twice or without customer."""
    draw = random.Random(seed)
    lines: list[Line] = []
    number = 500_000
    for customer in range(1, customers + 1):
        country = draw.choice(["United Kingdom", "United Kingdom", "France"])
        time = START + timedelta(days=draw.randint(0, 60), minutes=draw.randint(0, 1439))
        for _ in range(draw.randint(1, 9)):
            number += 1
            kind = draw.random()
            for _ in range(draw.randint(1, 5)):
                code = f"{draw.randint(10_000, 10_030)}{draw.choice(['', 'A'])}"
                price, pieces = draw.choice([0.85, 1.25, 12.5]), draw.randint(1, 24)
                if kind < 0.2:
                    lines.append(
                        (f"C{number}", code, "back", -pieces, time, price, customer, country)
                    )
                else:
                    lines.append(
                        (str(number), code, "sold", pieces, time, price, customer, country)
                    )
            if draw.random() < 0.3:
                lines.append((str(number), "POST", "POSTAGE", 1, time, 18.0, customer, country))
            if draw.random() < 0.2:
                lines.append((str(number), "10001", "gift", 1, time, 0.0, customer, country))
            # Often on the same day, sometimes exactly at midnight.
            step = draw.choice([timedelta(hours=2), timedelta(days=draw.randint(1, 120))])
            time += step
            if draw.random() < 0.15:
                time = time.replace(hour=0, minute=0)
        lines.append((str(number), "10002", "nobody's", 3, time, 2.5, None, country))
    lines += draw.sample(lines, len(lines) // 20)
    draw.shuffle(lines)
    return lines


def stored(lines: list[Line], customer: int, moment: datetime) -> dict[str, object] | None:
    """Return the values of the views for a customer at a time, counted one event at a time.

    A day counts once it is over, so values are as of the last midnight after an active day.
    """
    own = sorted({line for line in lines if line[6] == customer}, key=lambda line: line[4])
    products = [line for line in own if line[1][:5].isdigit()]
    sales = [each for each in products if each[0][0] != "C" and each[3] > 0 and each[5] > 0]
    notes = [each for each in products if each[0][0] == "C" and each[3] < 0]
    midnights = {each[4].replace(hour=0, minute=0) + timedelta(days=1) for each in (*sales, *notes)}
    first = min((each[4] for each in sales), default=None)
    known = [each for each in midnights if first and first < each <= moment]
    if not known or first is None:
        return None
    stamp = max(known)
    bought = [each for each in sales if each[4] < stamp]
    # Credit notes before the first sale refer to sales before the beginning of the data.
    opening = first.replace(hour=0, minute=0)
    returned = [each for each in notes if opening <= each[4] < stamp]
    recent = [each for each in bought if each[4] >= stamp - timedelta(days=90)]
    day_of = {each[0]: each[4].date() for each in bought}
    return {
        "event_timestamp": stamp,
        "first_purchase": first,
        "last_purchase": max(each[4] for each in bought),
        "orders": len(day_of),
        "orders_90d": len({each[0] for each in recent}),
        "spent": sum(each[3] * each[5] for each in bought),
        "spent_90d": sum(each[3] * each[5] for each in recent),
        "abroad": bought[-1][7] != "United Kingdom",
        "returns": len({each[0] for each in returned}),
        "returned": -sum(each[3] * each[5] for each in returned),
        "items": sum(each[3] for each in bought),
        "lines": len(bought),
        "products": len({each[1] for each in bought}),
    }


def served(lines: list[Line], customer: int, moment: datetime) -> dict[str, object] | None:
    """Return the features of the service `repurchase`, counted the same way."""
    held = stored(lines, customer, moment)
    if held is None:
        return None
    orders, spent = held["orders"], held["spent"]
    gap = held["last_purchase"] - held["first_purchase"]
    kept = ("orders", "orders_90d", "spent", "spent_90d", "abroad", "returns", "products")
    return {
        **{name: held[name] for name in kept},
        "days_since_purchase": (moment - held["last_purchase"]) / timedelta(days=1),
        "days_known": (moment - held["first_purchase"]) / timedelta(days=1),
        "days_between_orders": gap / timedelta(days=1) / (orders - 1) if orders > 1 else None,
        "average_order": spent / orders,
        "items_per_order": held["items"] / orders,
        "lines_per_order": held["lines"] / orders,
        "return_share": min(1.0, held["returned"] / spent),
        "day_of_year": moment.timetuple().tm_yday,
    }


def customers(lines: list[Line]) -> list[int]:
    """Return all customers in the lines."""
    return sorted({line[6] for line in lines if line[6] is not None})


def entity_rows(keys: list[int], moments: list[datetime]) -> pd.DataFrame:
    """Return the data frame of entities that `training_set` takes."""
    return pd.DataFrame({KEY: keys, TIME: pd.to_datetime(moments, utc=True)})


def rows(frame: pd.DataFrame, names: list[str]) -> list[dict[str, object]]:
    """Return the frame's rows as dicts, with None for missing values."""
    return [
        {name: None if pd.isna(row[name]) else row[name] for name in names}
        for row in frame.to_dict("records")
    ]
