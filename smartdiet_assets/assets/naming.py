"""What everything of a mirror is called in Dagster, which keeps runs, their configuration and switches by name.

Here: the names that follow from a mirror's own, the asset keys of its tables, and the keys of tags. Not here: how an
asset looks besides (`assets.translator`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import dagster as dg

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.field_names import name_fields
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.sources import SourceKind

#: What the names of the pool begin with where the mirror has no name.
_PROJECT = "smartdiet"
#: What a run is (`mirror`), which source it reads (`mongodb`, `matomo` or `all`), and of which mirror, where that has a
#: name; an asset has the latter two as well. `config/dagster.yaml` limits runs by `SOURCE_TAG`. Not one for all: Dagit
#: gives each a line of its list of runs.
KIND_TAG = "smartdiet/kind"
SOURCE_TAG = "smartdiet/source"
MIRROR_TAG = "smartdiet/mirror"
#: The last step of a table that has several.
PUBLISH = "publish"
#: The declarations a run was started with (`Schema.digest`). Dagit shows no tag that begins so.
DECLARATIONS_TAG = ".dagster/smartdiet_declarations"


@dataclass(frozen=True, slots=True)
class MirrorNames:
    """What everything of one mirror is called; no two mirrors of a code location share a name of these.

    Attributes:
        name: what each begins with; "" for the mirror of this project, whose names are the plain ones.
        keys: the asset key of each table.
    """

    name: str
    keys: Mapping[str, dg.AssetKey]

    def derive(self, plain: str) -> str:
        """Derive the name of a job, a step, a sensor, a schedule or a resource from its plain one."""
        return f"{self.name}_{plain}" if self.name else plain

    @property
    def all_tables(self) -> str:
        """The key of the resource by which a run asks something of every table."""
        return self.derive("all_tables")

    @property
    def settings(self) -> str:
        """The key of the resource of what holds for every table."""
        return self.derive("settings")

    @property
    def postgres(self) -> str:
        """The key of the resource of the database that holds the mirror."""
        return self.derive("postgres")

    @property
    def pool(self) -> str:
        """The pool of the runs that write to PostgreSQL: `config/dagster.yaml` limits how many do so at once."""
        return f"{self.name or _PROJECT}_postgres"

    def name_source(self, source: SourceKind) -> str:
        """Name the resource that a kind of source is read with."""
        return self.derive(source.resource)

    def spell_server(self, server: str) -> str:
        """Spell a server in a message: a run may be of the tables of two mirrors."""
        return f"{server} of the mirror {self.name}" if self.name else server

    def spell(self, sentence: str) -> str:
        """Spell a message for whoever set the resources: by this project's variables, or by the fields of them."""
        return name_fields(sentence) if self.name else sentence

    def list_keys(self, tables: Collection[str]) -> list[dg.AssetKey]:
        """List the asset keys of tables."""
        return [self.keys[name] for name in tables]

    def find_table(self, key: dg.AssetKey) -> str:
        """Find the table of an asset key of this mirror."""
        return next(name for name, known in self.keys.items() if known == key)

    def sign(self) -> dict[str, str]:
        """Sign what is defined, by metadata which no other mirror of this name may be merged with."""
        return {_Signature.of(self): self.name or _PROJECT}


def read_step(step_key: str) -> tuple[str, bool]:
    """Read of a step's key which step of the graph it is, or is a part of, and whether that ends with it.

    A table whose first load Dagster runs in shards has several (`assets.sharded`).
    """
    step, _, part = step_key.partition(".")
    return step, part in ("", PUBLISH)


def build_plain_names(schema: Schema) -> MirrorNames:
    """Build the names of this project's own code location, where all are plain."""
    return MirrorNames("", {name: dg.AssetKey(name) for name in schema.tables})


class _Signature(str):
    """The key of the metadata that a mirror signs with, which may not meet that of another mirror of its name.

    `dg.Definitions.merge` would say that two resources have one key, and not what made it so. Before, it puts their
    metadata together, and that comparison of two keys is where two mirrors of one name meet first.
    """

    __slots__ = ("owner",)
    owner: MirrorNames

    @classmethod
    def of(cls, owner: MirrorNames) -> "_Signature":
        """Make the key of a mirror."""
        made = cls(f"{MIRROR_TAG}/{owner.name}".rstrip("/"))
        made.owner = owner
        return made

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        same = str.__eq__(self, other) if isinstance(other, str) else False
        if same and isinstance(other, _Signature) and other.owner is not self.owner:
            named = f"named {self.owner.name}" if self.owner.name else "without a name"
            raise ConfigurationError(
                f"two mirrors {named} are in one code location; give one of the calls of build_mirror another name="
            )
        return same
