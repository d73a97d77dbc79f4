"""YAML syntax with positions: a file becomes nodes, a scalar node becomes a value, and what a message calls them."""

import unicodedata
from datetime import date
from pathlib import Path

import yaml

from smartdiet_assets.schema.findings import Findings, Place

_LONGEST_QUOTE = 40
TEXT = "tag:yaml.org,2002:str"
_MANY_BRACKETS = 20_000


def read_document(path: str | Path, findings: Findings) -> yaml.Node | None:
    """Read and parse a YAML file; None (and a problem, or an empty file) when there is nothing to read.

    libyaml's parser is some ten times as fast; where it finds a fault, the pure Python parser has the better message.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        findings.problem(Place(line), "is not UTF-8 text")
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        findings.problem(Place(1), f"the file cannot be read: {reason}")
        return None
    if (node := _compose_fast(text)) is not None:
        return node
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        findings.problem(Place(line), f"is not valid YAML: {error.reason}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        findings.problem(Place(mark.line + 1 if mark else 1), f"is not valid YAML: {reason}")
    except RecursionError:
        findings.problem(Place(1), "is not valid YAML: nested too deeply")
    except ValueError as error:
        findings.problem(Place(1), f"is not valid YAML: {error}")
    return None


def _compose_fast(text: str) -> yaml.Node | None:
    """Compose with libyaml; None where it is missing, or there is anything to say about the text."""
    loader = getattr(yaml, "CSafeLoader", None)
    # Its scanner recurses in C, where no limit protects the stack.
    if loader is None or text.count("[") + text.count("{") > _MANY_BRACKETS:
        return None
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=loader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    return node


def line_of(node: yaml.Node) -> int:
    """Give the 1-based line a node starts at."""
    return int(node.start_mark.line) + 1


def read_value(node: yaml.Node) -> object:
    """Convert a scalar node to its Python value: text, number, true/false, null, date or datetime.

    Raises:
        ValueError: the node is no scalar, or its text does not fit its YAML type; the message names the node.
    """
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(describe(node))
    try:
        # Most are texts, and a constructor for each is a fifth of reading a file.
        value = node.value if node.tag == TEXT else yaml.constructor.SafeConstructor().construct_object(node)
    # What PyYAML raises for `!!int x`, `2024-13-45` or an unknown tag is whatever its conversion stumbles on.
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, yaml.YAMLError):
        raise ValueError(f"{quote(node.value)}, which YAML cannot read as {node.tag.rpartition(':')[2]}") from None
    if value is not None and not isinstance(value, str | int | float | bool | date):
        raise ValueError(describe(node))
    if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        raise ValueError("a text with a character PostgreSQL cannot store")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fault_of_characters(name: str) -> str:
    """Say that a name would break the line it stands in; empty when it would not."""
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name):
        return "the name has a control character or a line break"
    return ""


def quote(text: str) -> str:
    """Quote a text of the schema file for a message, shortened and on one line."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…")


def describe(node: yaml.Node) -> str:
    """Say what a node is, for a message."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return "nothing"
    names = {
        "str": "the text ",
        "int": "the number ",
        "float": "the number ",
        "timestamp": "the date ",
        "bool": "",
    }
    return f"{names.get(kind, f'a value tagged {node.tag} ')}{quote(node.value)}"


def say_received(node: yaml.Node) -> str:
    """Say what a node is, or why its text has no value, for a message."""
    try:
        read_value(node)
    except ValueError as error:
        return str(error)
    return describe(node)


def is_null(node: yaml.Node) -> bool:
    """Tell whether a node is YAML's null."""
    return isinstance(node, yaml.ScalarNode) and bool(node.tag == "tag:yaml.org,2002:null")
