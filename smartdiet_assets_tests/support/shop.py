"""A shop's MongoDB database, as a company that comes new would have it: made from a seed, and days of changes to it.

Here: customers with addresses, categories in categories, products with tags, orders with lines, reviews; named and
dated as mongoose does. Some orders are a guest's, some reviews of a product that comes later.
Not here: documents that cannot become rows, and deletions, which no window of dates shows.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from random import Random
from typing import Any

from bson import Decimal128, ObjectId
from pymongo import InsertOne, UpdateOne
from pymongo.database import Database

Document = dict[str, Any]

#: The shop's history. Fixed, because the same seed must give the same documents on any day.
BEGIN, END = datetime(2024, 1, 8), datetime(2025, 9, 30)
#: Collections, parents first.
COLLECTIONS = ("categories", "customers", "products", "orders", "reviews")
ORDERS_OF_CUSTOMER = 3

_BATCH = 1_000
_NUMBERS_OF_DAY = 1_000_000
_DAY = timedelta(days=1)
_CATEGORIES = {
    "kitchen": None, "pans": "kitchen", "knives": "kitchen", "garden": None, "seeds": "garden", "books": None,
    "novels": "books",
}  # fmt: skip
_FIRST = ("Ada", "Björn", "Chloé", "Dimitri", "Eun-ji", "Fatou", "Gwen", "Hélio", "Ines", "Jürgen", "Kei", "Łucja")
_LAST = ("Almond", "Birch", "O'Clover", "Dill", "Elder", "Fennel", "Ginger", "Hazel", "Iris", "Juniper")
_STREETS = ("Mill Lane", "Rue des Écoles", "Am Markt", "Calle Mayor", "Station Road")
_CITIES = (("75011", "Paris", "FR"), ("10115", "Berlin", "DE"), ("28013", "Madrid", "ES"), ("01-001", "Warszawa", "PL"))
_LABELS = ("home", "work", "parents", "holidays")
_THINGS = ("pan", "knife", "kettle", "rake", "seed tray", "cookbook", "ladle", "flower pot")
_TAGS = ("new", "sale", "steel", "organic", "gift", "bestseller", "last pieces")
_STATUS = ("placed", "paid", "shipped", "delivered", "returned")
_OPINIONS = ("Good.", "Arrived broken, replaced at once.", "Exactly as described 👍", "Too small\nfor us.", "")


def write_shop(database: Database[Document], seed: int = 1, customers: int = 100) -> dict[str, int]:
    """Write a shop into an empty database; the same arguments write the same documents.

    Args:
        customers: how many; a tenth of it products and at least 20, three orders and one review each.

    Returns:
        The number of documents by collection.
    """
    shop = _Shop(seed, customers)
    described = {
        "categories": shop.describe_categories(),
        "customers": shop.describe_customers(),
        "products": shop.describe_products(),
        "orders": shop.describe_orders(),
        "reviews": shop.describe_reviews(),
    }
    return {name: _insert(database, name, documents) for name, documents in described.items()}


def change_shop(database: Database[Document], seed: int = 1) -> dict[str, int]:
    """Apply the next day of changes to a shop: `END`, then the day after its newest date, so that each call is a day.

    New documents of every collection but categories, edits of plain fields, arrays that grow, shrink, are replaced,
    empty and gone, an order that moves to another customer, and a product that reviews pointed at in vain.

    Returns:
        The number of documents written by collection.
    """
    newest = [database[name].find_one(sort=[("updatedAt", -1)]) for name in COLLECTIONS]
    last: datetime = max(document["updatedAt"] for document in newest if document)
    day = _Day(database, seed, max(END, datetime(last.year, last.month, last.day) + _DAY))
    day.change()
    return day.write()


def _insert(database: Database[Document], name: str, documents: Iterable[Document]) -> int:
    iterator, count = iter(documents), 0
    while batch := list(islice(iterator, _BATCH)):
        database[name].insert_many(batch, ordered=False)
        count += len(batch)
    return count


def _make_id(seed: int, collection: str, number: int, created: datetime) -> ObjectId:
    """Make an ObjectId that carries the date and depends on nothing else than the arguments."""
    seconds = int((created - datetime(1970, 1, 1)).total_seconds())
    return ObjectId(seconds.to_bytes(4, "big") + sha256(f"{seed}:{collection}:{number}".encode()).digest()[:8])


class _Shop:
    """What the documents look like; a source of chance per document, so that one's change leaves the others alone."""

    def __init__(self, seed: int, customers: int) -> None:
        self.seed = seed
        self.customers = customers
        self.products = max(20, customers // 10)

    def describe_categories(self) -> Iterator[Document]:
        for name, parent in _CATEGORIES.items():
            yield {"_id": name, "title": name.capitalize(), "parent": parent, **_dates(BEGIN, BEGIN)}

    def describe_customers(self) -> Iterator[Document]:
        return (self.describe_customer(number, *self._place("customers", number)) for number in range(self.customers))

    def describe_products(self) -> Iterator[Document]:
        return (self.describe_product(number, *self._place("products", number)) for number in range(self.products))

    def describe_orders(self) -> Iterator[Document]:
        for number in range(self.customers * ORDERS_OF_CUSTOMER):
            rng, created = self._place("orders", number)
            customer = self.id_of("customers", number % self.customers)
            products = [self.id_of("products", n) for n in rng.sample(range(self.products), rng.randint(1, 5))]
            yield describe_order(number, rng, created, None if number % 20 == 7 else customer, products)

    def describe_reviews(self) -> Iterator[Document]:
        for number in range(self.customers):
            rng, created = self._place("reviews", number)
            # One in twenty is of a product that is not in the shop yet.
            product = self.products + number % 3 if number % 20 == 3 else rng.randrange(self.products)
            yield self.describe_review(
                number, rng, created, self.id_of("customers", number), self.id_of("products", product)
            )

    def id_of(self, collection: str, number: int) -> ObjectId:
        """Give the id of a document of the shop's history."""
        return _make_id(self.seed, collection, number, self._place(collection, number)[1])

    def describe_customer(self, number: int, rng: Random, created: datetime) -> Document:
        first, last = rng.choice(_FIRST), rng.choice(_LAST)
        document = {
            "_id": _make_id(self.seed, "customers", number, created),
            "name": {"first": first, "last": last},
            "email": f"customer{number}@shop.example",
            "newsletter": rng.random() < 0.4,
            "points": rng.randrange(2_000),
            "addresses": [describe_address(rng, label) for label in _LABELS[: rng.choice((0, 1, 1, 1, 2, 3))]],
            **_dates(created, created + timedelta(hours=rng.randrange(24))),
            "__v": rng.randrange(4),
        }
        if rng.random() < 0.6:
            document["phone"] = f"+33 1 99 00 {number % 100:02} {rng.randrange(100):02}"
        return document

    def describe_product(self, number: int, rng: Random, created: datetime) -> Document:
        return {
            "_id": _make_id(self.seed, "products", number, created),
            "sku": f"SKU-{number:06}",
            "title": f"{rng.choice(_THINGS).capitalize()} no. {number}",
            "description": " ".join(rng.choices(_THINGS, k=rng.randint(5, 80))),
            "price": _amount(rng),
            "stock": rng.randrange(500),
            "category": rng.choice(list(_CATEGORIES)),
            "tags": rng.sample(_TAGS, rng.randrange(4)),
            **_dates(created, created + timedelta(hours=rng.randrange(24))),
            "__v": 0,
        }

    def describe_review(
        self, number: int, rng: Random, created: datetime, customer: ObjectId, product: ObjectId
    ) -> Document:
        return {
            "_id": _make_id(self.seed, "reviews", number, created),
            "product": product,
            "customer": customer,
            "stars": rng.randint(1, 5),
            "text": rng.choice(_OPINIONS),
            **_dates(created, created),
            "__v": 0,
        }

    def _place(self, collection: str, number: int) -> tuple[Random, datetime]:
        """Give a document's source of chance, and when it was created: some day before the shop's last one."""
        rng = Random(f"{self.seed}:{collection}:{number}")
        return rng, BEGIN + timedelta(seconds=rng.randrange(int((END - BEGIN).total_seconds()) - 86_400))


def describe_address(rng: Random, label: str) -> Document:
    """Describe an address of a customer, which its label tells from the customer's others."""
    code, city, country = rng.choice(_CITIES)
    return {
        "label": label,
        "street": f"{rng.randint(1, 120)} {rng.choice(_STREETS)}",
        "zip": code,
        "city": city,
        "country": country,
    }


def describe_order(
    number: int, rng: Random, created: datetime, customer: ObjectId | None, products: list[ObjectId]
) -> Document:
    """Describe an order, whose id is its number; no product is in two of its lines."""
    lines: list[Document] = [
        {"product": product, "quantity": rng.randint(1, 4), "price": _amount(rng)} for product in products
    ]
    status = rng.choice(_STATUS)
    document = {
        "_id": 10_000 + number,
        "customer": customer,
        "status": status,
        "lines": lines,
        "total": Decimal128(sum((line["price"].to_decimal() * line["quantity"] for line in lines), Decimal("0.00"))),
        **_dates(created, created + timedelta(hours=rng.randrange(24))),
        "__v": 0,
    }
    if status not in ("placed", "paid"):
        shipped = created + timedelta(hours=rng.randrange(1, 72))
        document["shipping"] = {"carrier": rng.choice(("post", "bike")), "tracking": f"T{number:08}", "at": shipped}
    return document


def _describe_line(product: Document) -> Document:
    return {"product": product["_id"], "quantity": 1, "price": product["price"]}


def _dates(created: datetime, updated: datetime) -> Document:
    return {"createdAt": created, "updatedAt": updated}


def _amount(rng: Random) -> Decimal128:
    return Decimal128(Decimal(rng.randint(150, 99_999)) / 100)


class _Day:
    """The changes of one day, collected and then written; no document is changed twice in it."""

    def __init__(self, database: Database[Document], seed: int, day: datetime) -> None:
        self.database = database
        self.day = day
        self.rng = Random(f"{seed}:{day.isoformat()}")
        # Above every number of the history and of the days before, and an int32 for years.
        self.first = ((day - END).days + 1) * _NUMBERS_OF_DAY
        ids = {name: [document["_id"] for document in database[name].find({}, {"_id": 1})] for name in COLLECTIONS}
        self.shop = _Shop(seed, len(ids["customers"]))
        self._writes: dict[str, list[InsertOne[Document] | UpdateOne]] = {}
        self._ids = {name: sorted(found) for name, found in ids.items()}
        self._free = {name: self.rng.sample(found, len(found)) for name, found in self._ids.items()}

    def change(self) -> None:
        self._bring_products()
        product = self._insert()
        self._edit()
        self._change_array("customers", "addresses", lambda: describe_address(self.rng, f"since {self.day:%d %B %Y}"))
        self._change_array("products", "tags", lambda: f"{self.day:%d %B}")
        self._change_array("orders", "lines", lambda: _describe_line(product))

    def write(self) -> dict[str, int]:
        for name, writes in self._writes.items():
            self.database[name].bulk_write(writes, ordered=False)
        return {name: len(writes) for name, writes in self._writes.items()}

    def _share(self, name: str) -> int:
        """Count how many of a collection's documents a kind of change touches."""
        return max(1, len(self._ids[name]) // 100)

    def _take(self, name: str, count: int) -> list[Document]:
        ids = [self._free[name].pop() for _ in range(min(count, len(self._free[name])))]
        found = {document["_id"]: document for document in self.database[name].find({"_id": {"$in": ids}})}
        return [found[document_id] for document_id in ids]

    def _moment(self) -> datetime:
        return self.day + timedelta(seconds=self.rng.randrange(86_000))

    def _bring_products(self) -> None:
        """Bring the first product that reviews point at and that is not there."""
        missing = sorted(set(self.database["reviews"].distinct("product")) - set(self._ids["products"]))
        for product in missing[:1]:
            described = self.shop.describe_product(self.first - 1, self.rng, self._moment())
            self._add("products", {**described, "_id": product})

    def _insert(self) -> Document:
        """Insert documents of the day; gives a product of it, which no order that is there can have a line of."""
        ids, rng = self._ids, self.rng
        for number in range(self.first, self.first + self._share("customers")):
            customer = self.shop.describe_customer(number, rng, self._moment())
            product = self.shop.describe_product(number, rng, self._moment())
            self._add("customers", customer)
            self._add("products", product)
            review = (customer["_id"], rng.choice(ids["products"]))
            self._add("reviews", self.shop.describe_review(number, rng, self._moment(), *review))
            ordered = [product["_id"], *rng.sample(ids["products"], 2)]
            self._add("orders", describe_order(number, rng, self._moment(), customer["_id"], ordered))
        return product

    def _edit(self) -> None:
        rng = self.rng
        edits: dict[str, list[Document]] = {
            "customers": [{"name.last": "Married"}, {"points": rng.randrange(2_000)}, {"phone": None}],
            "products": [{"price": _amount(rng)}, {"stock": 0}, {"category": "books"}],
            "orders": [{"status": "returned"}, {"customer": rng.choice(self._ids["customers"])}],
            "reviews": [{"text": "Changed my mind."}, {"stars": 1}],
        }
        for name, values in edits.items():
            for number, document in enumerate(self._take(name, len(values) * self._share(name))):
                self._set(name, document, values[number % len(values)])

    def _change_array(self, name: str, array: str, describe: Callable[[], object]) -> None:
        for number, document in enumerate(self._take(name, 5 * self._share(name))):
            items = document.get(array) or []
            changed = ([*items, describe()], items[1:], [*items[:-1], describe()], [], None)[number % 5]
            self._set(name, document, {array: changed})

    def _add(self, name: str, document: Document) -> None:
        document["updatedAt"] = document["createdAt"]
        self._writes.setdefault(name, []).append(InsertOne(document))

    def _set(self, name: str, document: Document, values: Document) -> None:
        update = {"$set": {**values, "updatedAt": self._moment()}, "$inc": {"__v": 1}}
        self._writes.setdefault(name, []).append(UpdateOne({"_id": document["_id"]}, update))
