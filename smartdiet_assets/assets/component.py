"""The mirror as a component of Dagster: what its `defs.yaml` says, and `build_mirror` with it.

Here: the attributes. Not here: what `dg scaffold defs` writes (`assets.scaffold`), what a mirror is (`assets.build`).

A variable in the attributes of a server stays one: Dagit shows its name, and it is read when a run starts. Anywhere
else a template is resolved when the file is loaded, as Dagster does.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

import dagster as dg
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from smartdiet_assets.assets.alerts.sensor import Alerts
from smartdiet_assets.assets.build import build_mirror
from smartdiet_assets.assets.pruning import Retention
from smartdiet_assets.assets.scaffold import MongoMirrorScaffolder
from smartdiet_assets.assets.tables import MirrorSettings
from smartdiet_assets.assets.translator import MirrorTranslator
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.access import RemoteAccess
from smartdiet_assets.resources.configured import ServerResource
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.webhook import Form
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Table

_VARIABLE = re.compile(r"""\{\{\s*env(?:\.(\w+)|\(\s*['"](\w+)['"]\s*\))\s*\}\}""")
_SHOWN = "{0} holds a secret, which Dagit would show: write it as one variable, {0}: '{{{{ env.NAME }}}}'"
ModelT = TypeVar("ModelT", bound=BaseModel)


def _describe_fields(model: type[BaseModel]) -> type[dg.Model]:
    """Describe what `defs.yaml` may say of a model's fields: values of their types, or templates; all may be left out.

    The way through an SSH server is described by that server's fields alone.
    """
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name == "place":
            continue
        kind = _describe_fields(RemoteAccess) if name == "access" else info.annotation
        fields[name] = (kind | str | None, FieldInfo(default=None, description=info.description))
    return create_model(f"{model.__name__}Attributes", __base__=dg.Model, **fields)


def _resolve(target: type[ModelT]) -> Callable[[dg.ResolutionContext, Any], ModelT]:
    """Build the resolver of a server or of settings: a template gives the object itself, a mapping its fields."""

    def resolve(context: dg.ResolutionContext, said: BaseModel | str) -> ModelT:
        if isinstance(said, str):
            return context.resolve_value(said, as_type=target)
        values: dict[str, object] = {}
        for name in said.model_fields_set:
            value, at = getattr(said, name), context.at_path(name)
            if isinstance(value, BaseModel):
                values[name] = _resolve(RemoteAccess)(at, value)
            elif value is not None:
                values[name] = _resolve_field(at, target.model_fields[name].annotation, value)
        return target(**values)

    return resolve


def _resolve_field(context: dg.ResolutionContext, kind: object, value: Any) -> Any:
    variable = _VARIABLE.fullmatch(value.strip()) if isinstance(value, str) else None
    if variable and kind in (str, int):
        named = variable[1] or variable[2]
        return dg.EnvVar.int(named) if kind is int else dg.EnvVar(named)
    return context.resolve_value(value)


def _check_secrets(server: ServerResource) -> None:
    """Refuse a secret that is no variable.

    Not where the attributes are resolved: Dagster quotes the lines of the file beside what is wrong there.
    """
    for name in server.list_shown_secrets():
        raise ConfigurationError(_SHOWN.format(name))


def _resolve_key(context: dg.ResolutionContext, said: str) -> Any:
    return _resolve_field(context, str, said)


def _annotate(target: type[BaseModel]) -> Any:
    return Annotated[Any, dg.Resolver(_resolve(target), model_field_type=_describe_fields(target))]


class RetentionAttributes(dg.Model):
    """How many days runs are kept whole, and failed ones; 0 keeps them for ever."""

    days: int | str
    failed_days: int | str


class AlertsAttributes(dg.Model):
    """A webhook's URL, and how messages are written; "" derives that from the URL."""

    url: str
    form: Form | Literal[""] = ""


def _resolve_plain(target: type[Any], kind: object = None) -> Callable[[dg.ResolutionContext, Any], Any]:
    """Build the resolver of what is no model: a template gives the object itself, a mapping its fields of a kind."""

    def resolve(context: dg.ResolutionContext, said: BaseModel | str) -> Any:
        if isinstance(said, str):
            return context.resolve_value(said, as_type=target)
        fields = said.model_fields_set
        return target(**{name: _resolve_field(context.at_path(name), kind, getattr(said, name)) for name in fields})

    return resolve


if TYPE_CHECKING:
    Postgres: TypeAlias = PostgresResource
    Mongo: TypeAlias = MongoResource
    Matomo: TypeAlias = MatomoResource
    Settings: TypeAlias = MirrorSettings
    Kept: TypeAlias = Retention
    Told: TypeAlias = Alerts
else:
    # Dagster refuses a model with limits of its numbers as the type of an attribute, whatever its resolver takes.
    Postgres, Mongo = _annotate(PostgresResource), _annotate(MongoResource)
    Matomo, Settings = _annotate(MatomoResource), _annotate(MirrorSettings)
    Kept = Annotated[Any, dg.Resolver(_resolve_plain(Retention), model_field_type=RetentionAttributes | str)]
    Told = Annotated[Any, dg.Resolver(_resolve_plain(Alerts, str), model_field_type=AlertsAttributes | str)]
Key: TypeAlias = Annotated[
    str | dg.EnvVar, dg.Resolver(_resolve_key, model_field_type=str, inject_before_resolve=False)
]
Translation: TypeAlias = Annotated[TranslationFn[Table], TranslationFnResolver[Table](lambda table: {"table": table})]


@dg.scaffold_with(MongoMirrorScaffolder)
@dataclass
class MongoMirrorComponent(dg.Component, dg.Resolvable):
    """Mirrors MongoDB's collections into typed, foreign-keyed PostgreSQL tables, an asset each.

    The attributes are the arguments of `build_mirror`, and of `load_schema` what is protected. `schema` is a file, or
    several, beside `defs.yaml`, as is `protected`; in `translation`, `table` is the table and `spec` how it looks
    without it. A subclass may override `get_asset_spec`.

    Example:
        ```yaml
        type: smartdiet_assets.MongoMirrorComponent
        attributes:
          schema: schemas.yaml
          name: shop
          mongo: {url: "{{ env.SHOP_MONGODB_URL }}", database: shop}
          postgres: {host: localhost, database: warehouse, user: loader, password: "{{ env.SHOP_POSTGRES_PASSWORD }}"}
          translation: {group_name: "shop_{{ table.group }}"}
        ```
    """

    name: str
    postgres: Postgres
    schema: str | Sequence[str] = "schemas.yaml"
    protected: str | None = None
    pseudonym_key: Key = field(default="", repr=False)
    mongo: Mongo | None = None
    matomo: Matomo | None = None
    key_prefix: str | Sequence[str] = ()
    target_schema: str | None = None
    translation: Translation | None = None
    partitions: dg.Injected[dg.TimeWindowPartitionsDefinition] | None = None
    checks: bool = True
    sensor: bool = True
    schedule: str | None = None
    automation_condition: dg.Injected[dg.AutomationCondition[Any]] | None = None
    settings: Settings | None = None
    retention: Kept | None = None
    alerts: Told | None = None

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Describe the attributes, for Dagster and for editors."""
        with warnings.catch_warnings():
            # The name is that of the argument; what it hides in pydantic's models is deprecated there.
            warnings.filterwarnings("ignore", message='Field name "schema"')
            return super().model()

    def get_asset_spec(self, table: Table) -> dg.AssetSpec:
        """Describe the asset of a table, before `translation`; its key is without the prefix."""
        return MirrorTranslator().get_asset_spec(table)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the mirror."""
        for server in (self.postgres, self.mongo, self.matomo):
            if server is not None:
                _check_secrets(server)
        if self.pseudonym_key and not isinstance(self.pseudonym_key, dg.EnvVar):
            raise ConfigurationError(_SHOWN.format("pseudonym_key"))
        files = [self.schema] if isinstance(self.schema, str) else self.schema
        return build_mirror(
            load_schema(
                *(context.path / file for file in files),
                protected=None if self.protected is None else context.path / self.protected,
                pseudonym_key=self.pseudonym_key,
            ),
            name=self.name,
            postgres=self.postgres,
            mongo=self.mongo,
            matomo=self.matomo,
            key_prefix=self.key_prefix,
            target_schema=self.target_schema,
            translator=_ComponentTranslator(self),
            partitions=self.partitions,
            checks=self.checks,
            sensor=self.sensor,
            schedule=self.schedule,
            automation_condition=self.automation_condition,
            settings=self.settings,
            retention=self.retention,
            alerts=self.alerts,
        )


@dataclass(frozen=True, slots=True)
class _ComponentTranslator(MirrorTranslator):
    component: MongoMirrorComponent

    def get_asset_spec(self, table: Table) -> dg.AssetSpec:
        spec = self.component.get_asset_spec(table)
        return spec if self.component.translation is None else self.component.translation(spec, table)
