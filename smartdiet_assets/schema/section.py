"""A mapping of the file as a pydantic model: every wrong value is noted with its line, and reads as absent.

Null counts as absent too, as it did in the replaced tool. Which keys there are is said in `schema.declaration`.
"""

from collections.abc import Collection, Mapping
from datetime import date
from functools import cache
from typing import Any, ClassVar, Self, TypeGuard

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ModelWrapValidatorHandler, SkipValidation, model_validator
from pydantic import ValidationError as PydanticError
from pydantic_core import ErrorDetails, PydanticCustomError

from smartdiet_assets.schema.findings import Findings, Place, suggest
from smartdiet_assets.schema.model import Scalar
from smartdiet_assets.schema.reading import describe, is_null, line_of, quote, read_value, say_received
from smartdiet_assets.schema.sources import MONGODB, SourceKind

#: The roles of sections: `defaults`, a collection, and a table, of any kind of source or of one by its name.
DEFAULTS, COLLECTION, TABLE = "defaults", "collection", "table"
#: That of a column of a table whose source has rows, not documents.
ROWS = "rows"

_MERGE = "tag:yaml.org,2002:merge"
#: What pydantic's own errors expected; a key's `expects` says it better.
_EXPECTED = {"string_type": "a text", "bool_type": "true or false"}
#: A problem that is noted already: what has it reads as absent.
_NOTED = "noted"
_DEEPEST_LIST = 2


def is_scalar(value: object) -> bool:
    """Tell whether a value is one by itself, and readable: a text, a number, true, false, null or a date."""
    return not isinstance(value, dict | list | yaml.Node)


def is_constant(value: object) -> TypeGuard[Scalar]:
    """Tell whether a value is a scalar that is no date: a text, a number, true, false or null."""
    return is_scalar(value) and not isinstance(value, date)


class Items(list[Any]):
    """The values of a list of the file, and the nodes they are read from."""

    def __init__(self, node: yaml.SequenceNode, place: Place, section: "Section", depth: int) -> None:
        self.place = place
        self.nodes: list[yaml.Node] = node.value
        super().__init__(section.convert(item, place.at(line_of(item)), depth) for item in self.nodes)

    def at(self, index: Any) -> Place:
        """Give the place of an item."""
        return self.place.at(line_of(self.nodes[index]))


class Section(dict[str, Any]):
    """The values of a mapping of the file, once it is read, and the node and the place of each key."""

    def __init__(self, node: yaml.MappingNode, place: Place, findings: Findings) -> None:
        super().__init__()
        self.place = place
        self.findings = findings
        self.nodes: dict[str, yaml.Node] = {}
        self.is_empty = not node.value
        self._is_read = False
        self._lines: dict[str, int] = {}
        self._faults: list[tuple[int, str]] = []
        self._collected: set[int] = set()
        self._collect(node)

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
                    self._faults.append((line, f"'<<' must name a mapping, not {describe(value)}"))
                continue
            try:
                key = read_value(key_node)
            except ValueError:
                key = None
            if not isinstance(key, str):
                self._faults.append((line, f"a key must be a text, not {say_received(key_node)}; quote it"))
            elif key in own:
                self._faults.append((line, f"the key {quote(key)} appears twice (first on line {own[key]})"))
            else:
                own[key] = line
                if key not in self.nodes:
                    self.nodes[key] = value
                    self._lines[key] = line
        for base in bases:
            if id(base) not in self._collected:
                self._collect(base)

    def read(self, known: Collection[str] | None = None, *, nulls: bool = True) -> Self:
        """Read the values of the known keys (any where it is None), and note other keys and those that appear twice."""
        if not self._is_read:
            self._is_read = True
            for line, message in self._faults:
                self.findings.problem(self.place.at(line), message)
            for key, node in self.nodes.items():
                if known is not None and key not in known:
                    hint = suggest(key, known, f"expected {', '.join(known)}")
                    self.findings.problem(self.at(key), f"unknown key {quote(key)}{hint}")
                elif nulls or not is_null(node):
                    self[key] = self.convert(node, self.at(key))
        return self

    def convert(self, node: yaml.Node, place: Place, depth: int = 0) -> object:
        """Give a scalar's value, or a mapping or list to read; the node itself where no key can take it."""
        if isinstance(node, yaml.MappingNode):
            return Section(node, place, self.findings)
        # No key takes deeper lists, and an alias may lead back to its own list.
        if isinstance(node, yaml.SequenceNode) and depth < _DEEPEST_LIST:
            return Items(node, place, self, depth + 1)
        try:
            return read_value(node)
        except ValueError:
            return node

    def gives(self, key: str) -> bool:
        """Tell whether the file gives a key a value other than null, be it wrong."""
        return key in self.nodes and not is_null(self.nodes[key])

    def at(self, key: str) -> Place:
        """Give the place of a key, or of the section where the key is absent."""
        return self.place.at(self._lines.get(key, self.place.line))


def key(default: Any, description: str, *roles: str | SourceKind, expects: str = "") -> Any:
    """Declare a key with a line for editors.

    `roles` are the sections that have it, any table by default; `expects` says what it is where its type does not.
    """
    names: list[JsonValue] = [role if isinstance(role, str) else role.name for role in roles or (TABLE,)]
    return Field(default, description=description, json_schema_extra={"roles": names, "expects": expects})


def expected(what: str, received: str = "") -> PydanticCustomError:
    """Say what a key must be, and what it is where the words for the file's node are not enough."""
    return PydanticCustomError("expected", "{expected}", {"expected": what, "received": received})


class Keys(BaseModel):
    """The keys a section may have, as fields made by `key`; other fields hold what is known beside them.

    `role` chooses among the keys, and `what` names a section that lacks what it is about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    role: ClassVar[str] = MONGODB.name
    what: ClassVar[str] = ""

    place: Place = Place(0)
    places: SkipValidation[Mapping[Any, Place]] = {}

    @classmethod
    @cache
    def known_keys(cls) -> tuple[str, ...]:
        """Give the keys, in the order of their declaration."""
        own = {cls.role} if cls.role in (DEFAULTS, COLLECTION) else {cls.role, TABLE}
        return tuple(name for name in cls.model_fields if own.intersection(cls.declared(name, "roles")))

    @classmethod
    def declared(cls, key: str, argument: str) -> Any:
        """Give what a key was declared with; empty for a field that is none."""
        extra = cls.model_fields[key].json_schema_extra
        return extra[argument] if isinstance(extra, dict) else ""

    def at(self, key: str, inner: str | None = None) -> Place:
        """Give the place of a key, or of one in its mapping; of the section where it is absent."""
        return self.places.get(key if inner is None else (key, inner), self.place)

    @classmethod
    def _prepare(cls, section: Section) -> None:
        """Change a section before it is read."""

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, given: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(given, Section):
            return handler(given)
        cls._prepare(given)
        given.read(cls.known_keys(), nulls=False)
        places: dict[Any, Place] = {name: given.at(name) for name in given.nodes}
        for name, value in given.items():
            if isinstance(value, Section):
                places |= {(name, inner): value.at(inner) for inner in value.nodes}
        try:
            return handler({**given, "place": given.place, "places": places})
        except PydanticError as error:
            cls._note(given, error.errors(include_url=False, include_input=False))
        # Pydantic finds all that is wrong at once: what is left is right.
        return handler({**given, "place": given.place, "places": places})

    @classmethod
    def _note(cls, section: Section, errors: list[ErrorDetails]) -> None:
        """Note what pydantic found, and take it out of the section."""
        # What lacks what it is about is not looked at further.
        vital = [error for error in errors if cls.model_fields[str(error["loc"][0])].is_required()]
        wrong = [cls._note_error(section, error) for error in vital or errors]
        if vital:
            raise PydanticCustomError(_NOTED, "noted")
        for holder, part in reversed(wrong):
            if isinstance(holder, Items):
                del holder[part]
            else:
                holder.pop(part, None)

    @classmethod
    def _note_error(cls, section: Section, error: ErrorDetails) -> tuple[Section | Items, Any]:
        """Note one error in the words of the file. Give the mapping or list it is in, and where."""
        holder: Any = section
        part, *inner = error["loc"]
        name, place = str(part), section.at(str(part))
        for step in inner:
            child = holder[part]
            if isinstance(child, Section) and isinstance(step, str) and step != "[key]":
                holder, part, name, place = child, step, step, child.at(step)
            elif isinstance(child, Items) and isinstance(step, int):
                holder, part = child, step
        kind, context = error["type"], error.get("ctx", {})
        if kind == "missing":
            section.findings.problem(section.place, f"the {cls.what} has no {quote(name)}")
        elif kind == "value_error":
            section.findings.problem(place, str(context["error"]))
        elif kind != _NOTED:
            message = cls._compose(holder, part, kind, context, cls.declared(str(error["loc"][0]), "expects"))
            place = holder.at(part) if isinstance(holder, Items) else place
            section.findings.problem(place, f"{quote(name)} {message}")
        return holder, part

    @staticmethod
    def _compose(holder: Section | Items, part: Any, kind: str, context: Mapping[str, Any], expects: str) -> str:
        node = holder.nodes[part]
        # Of a mapping or a list, its kind is asked for, and not its value.
        say = say_received if kind in ("expected", "literal_error", *_EXPECTED) else describe
        received = context.get("received") or say(node)
        if isinstance(holder, Items):
            in_list = f"must be {expects}, not a list with {describe(node)}"
            return f"must hold texts, not {received}" if kind == "string_type" else in_list
        if kind == "literal_error":
            expects = context["expected"].replace("'", "").replace(", ", " or ")
        else:
            expects = context.get("expected") or _EXPECTED.get(kind) or expects or "a mapping"
        again = "; quote it" if kind == "string_type" and is_scalar(holder[part]) else ""
        return f"must be {expects}, not {received}{again}"
