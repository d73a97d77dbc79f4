"""Taking rows in is one thing and concluding another: one stream may feed the loads of several tables."""

from contextlib import ExitStack
from typing import Any

import psycopg

from smartdiet_assets.load.intake import Intake
from smartdiet_assets.load.opening import open_load
from smartdiet_assets.load.run import conclude
from smartdiet_assets.load.write import Conclusion
from smartdiet_assets_tests.support.loads import EARLY, club, described, load, oid, read, rejects_of, rows_of

Connection = psycopg.Connection[Any]


def test_one_stream_feeds_two_tables_concluded_parents_first(postgres: Connection, postgres_database: str) -> None:
    schema = club()
    for table in ("members", "tags"):
        load(postgres, schema, table)
    end = Conclusion(watermark=EARLY, full=False)
    with psycopg.connect(postgres_database, autocommit=True) as other, ExitStack() as parent, ExitStack() as child:
        members = parent.enter_context(open_load(postgres, schema, schema.tables["members"], "run"))
        tags = child.enter_context(open_load(other, schema, schema.tables["tags"], "run"))
        of_members, of_tags = Intake(members), Intake(tags)
        for number in range(3):
            id_ = oid(number)
            of_members.take(read((id_, None, None, None, None, EARLY, EARLY)))
            of_tags.take(described((id_, [(id_, "new", None, EARLY, EARLY)])))
        taken = of_tags.close(3)

        conclude(members, of_members.close(3), end)
        parent.close()
        result = conclude(tags, taken, end)

    assert (result.inserted, rejects_of(postgres, "tags")) == (3, [])
    assert rows_of(postgres, "tags", "member_id") == [(oid(number),) for number in range(3)]
