"""The shop's books: a small SQLite database of invented customers, products and orders, the same on every machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from freehold.demo.lexicon import QUERIES, QueryLexicon
from freehold.demo.phrases import common, load
from freehold.demo.values import YEAR, made_up_make, made_up_name

CUSTOMERS, PRODUCTS, ORDERS = 400, 160, 3000
FIRST_ORDER = 20_001
SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, tier TEXT, joined TEXT);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price REAL, stock INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, placed TEXT, status TEXT,
  channel TEXT, total REAL);
CREATE TABLE items (order_id INTEGER REFERENCES orders, product_id INTEGER REFERENCES products, quantity INTEGER);
"""
_SEED = "brindlebox/books"
"""Of the books, not of the traffic: whatever is asked, the books are the same."""


class Books(NamedTuple):
    """The rows of the four tables, in the order of `SCHEMA`'s columns."""

    customers: list[tuple[int, str, str, str, str]]
    products: list[tuple[int, str, str, float, int]]
    orders: list[tuple[int, int, str, str, str, float]]
    items: list[tuple[int, int, int]]


@cache
def books() -> Books:
    """All rows. Names of customers and products are unique, and so are prices: nothing ties in an order by them."""
    rng = Random(_SEED)
    filters = load(QUERIES, QueryLexicon).filters
    tiers, statuses, channels = (list(filters[name].values) for name in ("tier", "status", "channel"))
    names = _distinct(CUSTOMERS, lambda: made_up_name(rng))
    cities = common().slots["place"]
    customers = [
        (number, name, rng.choice(cities), rng.choices(tiers, (1, 2, 4))[0], _day(rng, YEAR - 1, 600))
        for number, name in enumerate(names, 1)
    ]
    prices = rng.sample(range(300, 30_000), PRODUCTS)
    categories = list(filters["category"].values)
    products = [
        (number, name, rng.choice(categories), prices[number - 1] / 100, rng.randrange(250))
        for number, name in enumerate(_distinct(PRODUCTS, lambda: made_up_make(rng)), 1)
    ]
    orders: list[tuple[int, int, str, str, str, float]] = []
    items: list[tuple[int, int, int]] = []
    for number in range(FIRST_ORDER, FIRST_ORDER + ORDERS):
        lines = [
            (number, product, rng.randint(1, 4)) for product in rng.sample(range(1, PRODUCTS + 1), rng.randint(1, 3))
        ]
        total = round(sum(products[product - 1][3] * quantity for _, product, quantity in lines), 2)
        buyer, status = rng.randint(1, CUSTOMERS), rng.choices(statuses, (2, 1, 6, 2))[0]
        orders.append((number, buyer, _day(rng, YEAR, 300), status, rng.choice(channels), total))
        items += lines
    return Books(customers, products, orders, items)


def write_books(path: Path) -> Path:
    """Write the books as a SQLite file; returns its absolute path."""
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
        for table, rows in books()._asdict().items():
            places = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
    connection.close()
    return path.resolve()


def _distinct(count: int, make: Callable[[], str]) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[make()] = None
    return list(found)


def _day(rng: Random, year: int, days: int) -> str:
    return (date(year, 1, 1) + timedelta(rng.randrange(days))).isoformat()
