"""How a message names a setting: by its variable where this project reads it, else by the field of a resource."""

import re
from functools import cache

from smartdiet_assets.resources.access import RemoteAccess
from smartdiet_assets.resources.environment import find_variables
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource

_VARIABLE = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
#: How the variables of encryption are spelled together.
_TOGETHER = re.compile(r"the ([A-Z]+)_SSL variables")
_OWNERS = {"POSTGRES": "PostgresResource", "MATOMO": "MatomoResource"}


def name_fields(sentence: str) -> str:
    """Name the fields of resources in a sentence in the place of this project's variables; other words stay."""
    fields = _list_fields()
    sentence = _TOGETHER.sub(lambda found: f"the ssl fields of {_OWNERS.get(found[1], found[1])}", sentence)
    return _VARIABLE.sub(lambda found: fields.get(found[0], found[0]), sentence)


@cache
def _list_fields() -> dict[str, str]:
    """List the field of each variable, of a server behind an SSH server too."""
    fields: dict[str, str] = {}
    for owner in (MongoResource, PostgresResource, MatomoResource):
        for field, variable in find_variables(owner).items():
            # What several resources have, such as a timeout, is whichever's the message is about.
            named = f"{owner.__name__}.{field}" if variable.startswith(("MONGODB", "POSTGRES", "MATOMO")) else field
            fields[variable] = fields[f"REMOTE_{variable}"] = named
    return fields | {variable: f"RemoteAccess.{field}" for field, variable in find_variables(RemoteAccess).items()}
