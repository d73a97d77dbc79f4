"""The JSON schema that editors read: `python -m smartdiet_assets.schema.json_schema` writes it anew."""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from smartdiet_assets.schema import declaration
from smartdiet_assets.schema.section import Keys

#: It ships with the package; the first line of a schema file names it.
PATH = Path(__file__).with_name("schemas.schema.json")
#: What is said of a key here, and not by its type.
_SAID = {"title", "description", "roles", "expects"}


def compose_json_schema() -> str:
    """Compose the schema of a file: with the keys of its root, or a bare map of tables."""
    sections = [made for made in vars(declaration).values() if isinstance(made, type) and issubclass(made, Keys)]
    definitions = {section.__name__: _compose_section(section) for section in sections}
    table: dict[str, Any] = _refer(declaration.TableDeclaration)
    for made in declaration.DECLARATIONS.values():
        table = {"if": {"required": [made.source_kind.key]}, "then": _refer(made), "else": table}
    tables = {"type": ["object", "null"], "additionalProperties": table}
    definitions["RootDeclaration"]["properties"]["tables"] |= tables
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Tables that smartdiet mirrors",
        "if": {"required": ["tables"]},
        "then": {"$ref": "#/definitions/RootDeclaration"},
        "else": tables,
        "definitions": definitions,
    }
    return json.dumps(schema, indent=1) + "\n"


def _refer(section: type[Keys]) -> dict[str, str]:
    return {"$ref": f"#/definitions/{section.__name__}"}


class _WithoutDefaults(GenerateJsonSchema):
    """What holds without a key is said here, and only where it is a word or a number as in the file."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def _compose_section(section: type[Keys]) -> dict[str, Any]:
    made = section.model_json_schema(ref_template="#/definitions/{model}", schema_generator=_WithoutDefaults)
    keys = {key: section.model_fields[key] for key in section.known_keys()}
    properties: dict[str, object] = {}
    for key, field in keys.items():
        value = {name: part for name, part in made["properties"][key].items() if name not in _SAID}
        if not field.is_required() and value:
            value = {"anyOf": [*value.get("anyOf", [value]), {"type": "null"}]}
        if isinstance(field.default, str | bool | float) and field.default != "":
            value = {"default": field.default, **value}
        properties[key] = {"description": field.description, **value}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [key for key, field in keys.items() if field.is_required()],
        "properties": properties,
    }


if __name__ == "__main__":
    PATH.write_text(compose_json_schema())
