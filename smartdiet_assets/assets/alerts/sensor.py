"""The sensor that tells somebody, and Dagster's own e-mail on failure beside it.

Here: their definitions, and the order of a tick.
"""

import html
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import dagster as dg

from smartdiet_assets.assets.alerts.state import AlertState, StateStore
from smartdiet_assets.assets.location import Mirror, read_location
from smartdiet_assets.assets.naming import MirrorNames
from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.webhook import Form, Webhook, build_webhook
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.sources import MONGODB

ALERT_SENSOR = "alert_sensor"
EMAIL_SENSOR = "alert_email_sensor"
#: Of this project's own mirror.
ALERT_VARIABLE = "SMARTDIET_ALERT_URL"
_SECONDS_BETWEEN_TICKS = 60
#: How outages name it.
_TARGET = "PostgreSQL"


@dataclass(frozen=True, slots=True)
class Alerts:
    """Where a mirror's alerts go: a webhook of Slack, Teams or Mattermost, or any that takes JSON.

    Attributes:
        url: whoever has it can write to the channel; as `dg.EnvVar` it is read at each tick of the sensor.
        form: how messages are written; "" derives it from the URL.
    """

    url: str | dg.EnvVar = field(repr=False)
    form: Form | Literal[""] = ""

    @property
    def variable(self) -> str:
        """What to set so that somebody is told."""
        return self.url.env_var_name if isinstance(self.url, dg.EnvVar) else ALERT_VARIABLE

    def read(self) -> Webhook | None:
        """Read where messages go now; None for nowhere."""
        url = self.url.get_value() if isinstance(self.url, dg.EnvVar) else self.url
        return build_webhook(url or "", self.form)


def build_alert_sensor(
    schema: Schema, names: MirrorNames, known: Collection[str], alerts: Alerts
) -> dg.SensorDefinition:
    """Build the sensor of a mirror, stopped until somebody starts it.

    Args:
        known: the tables that are expected to run, as their source is there.
        alerts: where messages go; without a URL a tick looks at nothing.
    """
    servers = {
        table.name: (names.spell_server(_TARGET), names.spell_server(table.source_kind.server))
        for table in schema.tables.values()
    }
    checks = {dg.AssetCheckKey(key, kind): f"{kind} of {table}" for table, key in names.keys.items() for kind in KINDS}

    @dg.sensor(
        name=names.derive(ALERT_SENSOR),
        required_resource_keys={names.name_source(MONGODB), names.postgres},
        minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            f"Tell {alerts.variable} once what is wrong, and once that it is over: failed runs and checks, rejects "
            "beyond max_rejects, a mirror older than twice max_delay."
        ),
    )
    def alert_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        # A tick needs the drivers, loading the code location does not.
        from smartdiet_assets.assets.alerts.decisions import drop_oldest
        from smartdiet_assets.assets.alerts.delivery import deliver
        from smartdiet_assets.assets.alerts.observation import observe_age, observe_checks, observe_records
        from smartdiet_assets.assets.alerts.runs import RunReader

        webhook = alerts.read()
        if webhook is None:
            return dg.SkipReason(f"{alerts.variable} is not set: nothing is looked at, and nobody is told.")
        now, started = datetime.now(UTC), context.last_sensor_start_time or 0.0
        location = read_location(context.repository_def)
        store = StateStore(context.instance, names.derive(ALERT_SENSOR), location)
        before = state = store.load()
        if state.started != started:
            # Whoever starts it anew has mended what kept messages from being taken.
            state = state.model_copy(update={"tries": 0, "next_try": None})
        state = RunReader(context.instance, Mirror(names, location), servers).observe(state, started, now)
        state = observe_checks(state, context.instance, checks, now)
        postgres: PostgresResource = getattr(context.resources, names.postgres)
        state, metrics = observe_records(state, schema, names, known, postgres, now)
        if metrics:
            state = observe_age(
                state, schema, names, metrics, getattr(context.resources, names.name_source(MONGODB)), now
            )
        state = drop_oldest(state)
        if state != before:
            store.save(state)
        state, fault = deliver(state, webhook, names.name or location or "smartdiet", store.save, now)
        return dg.SkipReason(_describe(state, fault))

    return alert_sensor


def build_email_sensor(environment: Environment) -> dg.SensorDefinition:
    """Build Dagster's e-mail on failure, to those that the environment names."""
    return dg.make_email_on_run_failure_sensor(
        name=EMAIL_SENSOR,
        email_from=environment.alert_email_from,
        email_password=environment.alert_email_password,
        email_to=environment.alert_email_to,
        email_body_fn=compose_email,
        email_subject_fn=lambda context: f"smartdiet: a run of {context.dagster_run.job_name} failed",
        smtp_host=environment.alert_email_host,
        smtp_port=environment.alert_email_port,
        smtp_type=environment.alert_email_security,
        smtp_user=environment.alert_email_user or environment.alert_email_from,
    )


def compose_email(context: dg.RunFailureSensorContext) -> str:
    """Compose the e-mail of a failed run: how each step ended that failed. Dagster's own text may quote values."""
    from smartdiet_assets.assets.alerts.runs import read_failure

    failures = [read_failure(event.step_key or "", event)[0] for event in context.get_step_failure_events()]
    lines = failures or ["None of its steps said why: its process may have been killed."]
    run = context.dagster_run
    shown = [f"The run {run.run_id[:8]} of the job {run.job_name} failed.", *lines, "Dagit shows its log."]
    return "<br>\n".join(html.escape(line).replace("\n", "<br>\n") for line in shown)


def _describe(state: AlertState, fault: str) -> str:
    """Describe where a tick left things."""
    causes, waiting = len(state.causes), len(state.pending)
    parts = [f"{causes} {'thing is' if causes == 1 else 'things are'} wrong." if causes else "Nothing is wrong."]
    if waiting:
        again = f"again at {state.next_try:%H:%M:%S} UTC" if state.next_try else "at the next tick"
        parts.append(f"{waiting} {'message waits' if waiting == 1 else 'messages wait'} and will be tried {again}.")
    return " ".join([*parts, *([f"{fault}."] if fault else [])])
