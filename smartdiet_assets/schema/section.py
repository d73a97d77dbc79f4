"""A YAML mapping read key by key; a value of a wrong kind is noted with its line and reads as absent.

Here: duplicate and unknown keys, merge keys (`<<`), and one reader for each kind of value.
Not here: which keys a table has (`schema.declaration`) or what they mean together.
Null counts as absent, as it did in the replaced tool, except where a reader asks for the node.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date, datetime

import yaml

from smartdiet_assets.schema.findings import Findings, Place, suggest
from smartdiet_assets.schema.model import Scalar
from smartdiet_assets.schema.reading import describe, is_null, line_of, quote, read_value

_MERGE = "tag:yaml.org,2002:merge"


class Section:
    """A YAML mapping, read key by key; values of a wrong kind become problems and read as absent."""

    def __init__(self, node: yaml.MappingNode, place: Place, findings: Findings) -> None:
        self.place = place
        self.findings = findings
        self._nodes: dict[str, yaml.Node] = {}
        self._lines: dict[str, int] = {}
        self._deferred: list[tuple[int, str]] = []
        self._collected: set[int] = set()
        self._collect(node)

    @classmethod
    def of(cls, nodes: dict[str, yaml.Node], place: Place, findings: Findings) -> "Section":
        """Build a section the file only implies."""
        section = cls(yaml.MappingNode("", []), place, findings)
        section._nodes = nodes
        return section

    def _collect(self, node: yaml.MappingNode) -> None:
        # Once each: an alias may lead back to its own mapping, or to one mapping by many ways.
        self._collected.add(id(node))
        own: dict[str, int] = {}
        bases: list[yaml.MappingNode] = []
        for key_node, value in node.value:
            line = line_of(key_node)
            if key_node.tag == _MERGE:
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                bases.extend(part for part in parts if isinstance(part, yaml.MappingNode))
                if not all(isinstance(part, yaml.MappingNode) for part in parts):
                    self._deferred.append((line, f"'<<' must name a mapping, not {describe(value)}"))
                continue
            try:
                key = read_value(key_node)
            except ValueError as error:
                key, reason = None, str(error)
            else:
                reason = describe(key_node)
            if not isinstance(key, str):
                self._deferred.append((line, f"a key must be a text, not {reason}; quote it"))
            elif key in own:
                self._deferred.append((line, f"the key {quote(key)} appears twice (first on line {own[key]})"))
            else:
                own[key] = line
                if key not in self._nodes:
                    self._nodes[key] = value
                    self._lines[key] = line
        for base in bases:
            if id(base) not in self._collected:
                self._collect(base)

    def about(self, column: str) -> None:
        """Say which column the section declares: its problems name it from here on."""
        self.place = replace(self.place, column=column)

    def expect(self, known: Collection[str] | None) -> "Section":
        """Note the keys that are not known (None: any key goes) and those that appear twice."""
        for line, message in self._deferred:
            self.findings.problem(self.place.at(line), message)
        for key in self._nodes if known is not None else ():
            if known is not None and key not in known:
                hint = suggest(key, known, f"expected {', '.join(known)}")
                self.findings.problem(self.at(key), f"unknown key {quote(key)}{hint}")
        return self

    def __contains__(self, key: str) -> bool:
        return key in self._nodes and not is_null(self._nodes[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def at(self, key: str) -> Place:
        """Give the place of a key, or of the section where the key is absent."""
        return self.place.at(self._lines.get(key, self.place.line))

    @property
    def places(self) -> dict[str, Place]:
        """The place of every key."""
        return {key: self.at(key) for key in self._nodes}

    def node(self, key: str) -> yaml.Node:
        """Give the raw value of a key, null too. Raises KeyError when the key is absent."""
        return self._nodes[key]

    def wrong(self, key: str, expected: str, received: str) -> None:
        """Note that a key's value is not of the expected kind."""
        self.findings.problem(self.at(key), f"{quote(key)} must be {expected}, not {received}")

    def scalar(self, key: str, expected: str = "one value") -> object:
        """Read a scalar of any kind; None where it is absent, null or no scalar."""
        if key not in self:
            return None
        try:
            return read_value(self._nodes[key])
        except ValueError as error:
            self.wrong(key, expected, str(error))
            return None

    def text(self, key: str) -> str | None:
        """Read a text."""
        value = self.scalar(key, "a text")
        if value is None or isinstance(value, str):
            return value
        self.wrong(key, "a text", f"{describe(self._nodes[key])}; quote it")
        return None

    def flag(self, key: str, default: bool = False) -> bool:
        """Read true or false."""
        value = self.scalar(key, "true or false")
        if isinstance(value, bool):
            return value
        if value is not None:
            self.wrong(key, "true or false", describe(self._nodes[key]))
        return default

    def number(self, key: str, expected: str) -> int | float | None:
        """Read a number."""
        value = self.scalar(key, expected)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if value is not None:
            self.wrong(key, expected, describe(self._nodes[key]))
        return None

    def choice(self, key: str, options: tuple[str, ...]) -> str | None:
        """Read one of several words."""
        value = self.scalar(key, " or ".join(options))
        if value is None or (isinstance(value, str) and value in options):
            return value
        self.wrong(key, " or ".join(options), describe(self._nodes[key]))
        return None

    def day(self, key: str) -> date | None:
        """Read a date, as YAML's own or as the text `YYYY-MM-DD`."""
        value = self.scalar(key, "a date (YYYY-MM-DD)")
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if isinstance(value, str) and len(value) == len("YYYY-MM-DD"):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        if value is not None:
            self.wrong(key, "a date (YYYY-MM-DD)", describe(self._nodes[key]))
        return None

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a text or a list of texts."""
        node = self._nodes.get(key)
        if isinstance(node, yaml.SequenceNode):
            return self._texts_of(node, key)
        value = self.text(key)
        return () if value is None else (value,)

    def _texts_of(self, node: yaml.SequenceNode, key: str) -> tuple[str, ...]:
        found: list[str] = []
        for item in node.value:
            try:
                value, received = read_value(item), describe(item)
            except ValueError as error:
                value, received = None, str(error)
            if isinstance(value, str):
                found.append(value)
            else:
                self.findings.problem(self.place.at(line_of(item)), f"{quote(key)} must hold texts, not {received}")
        return tuple(found)

    def lists_of_texts(self, key: str, example: str) -> list[tuple[Place, tuple[str, ...]]]:
        """Read a list of lists of texts, each with its place."""
        found = []
        for item in self._items(key, f"a list of column lists, as {example}"):
            if isinstance(item, yaml.SequenceNode):
                found.append((self.place.at(line_of(item)), self._texts_of(item, key)))
            else:
                message = f"{quote(key)} must be a list of column lists, as {example}"
                self.findings.problem(self.place.at(line_of(item)), f"{message}, not a list with {describe(item)}")
        return found

    def _items(self, key: str, expected: str) -> list[yaml.Node]:
        if key not in self:
            return []
        node = self._nodes[key]
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.wrong(key, expected, describe(node))
        return []

    def section(self, key: str, known: Collection[str] | None = None, table: str = "") -> "Section | None":
        """Read a mapping; `table` says that it declares one."""
        if key not in self:
            return None
        place = replace(self.at(key), table=table) if table else self.at(key)
        node = self._nodes[key]
        if isinstance(node, yaml.MappingNode):
            return Section(node, place, self.findings).expect(known)
        self.findings.problem(place, f"{quote(key)} must be a mapping, not {describe(node)}")
        return None

    def sections(self, key: str, expected: str) -> list["Section"]:
        """Read a list of mappings. Call `expect` on each, once it is known what it declares."""
        found = []
        for item in self._items(key, expected):
            place = self.place.at(line_of(item))
            if isinstance(item, yaml.MappingNode):
                found.append(Section(item, place, self.findings))
            else:
                self.findings.problem(place, f"{quote(key)} must be {expected}, not a list with {describe(item)}")
        return found


def read_constant(section: Section, key: str) -> Scalar:
    """Read a scalar for a column; a YAML date becomes its ISO text, which every date type reads."""
    value = section.scalar(key)
    return value.isoformat() if isinstance(value, date) else value  # type: ignore[return-value]
