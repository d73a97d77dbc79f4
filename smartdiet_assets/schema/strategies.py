"""The names `import_strategy` may have: the four strategies, and a class of the user's own."""

import importlib
import re

STRATEGIES = ("direct", "array", "delete_and_insert", "smart_diff")
#: Strategies that merge the items of arrays.
ITEM_STRATEGIES = ("array", "delete_and_insert", "smart_diff")

_CLASS = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


def is_class_name(name: str) -> bool:
    """Tell whether a strategy is named as `package.module:Class`."""
    return _CLASS.fullmatch(name) is not None


def import_class(name: str) -> type[object]:
    """Import the class a strategy `package.module:Class` names.

    Raises:
        ValueError: there is no such module or class, or the module fails on import; the message says which.
    """
    match = _CLASS.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not of the form package.module:Class")
    module_name, class_name = match.groups()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # noqa: BLE001 - a module may raise anything when it is imported
        raise ValueError(f"the module {module_name!r} cannot be imported ({type(error).__name__}: {error})") from None
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ValueError(f"the module {module_name!r} has no class {class_name!r}")
    return found
