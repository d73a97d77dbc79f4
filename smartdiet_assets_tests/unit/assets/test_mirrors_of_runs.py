"""Whose a run is, where several mirrors share an instance or a code location."""

import dagster as dg
import pytest

from smartdiet_assets.assets.location import REPOSITORY_TAG, Mirror
from smartdiet_assets.assets.naming import KIND_TAG, MIRROR_TAG, MirrorNames
from smartdiet_assets.assets.pruning import _is_of

NAMES = {
    "": MirrorNames("", {"users": dg.AssetKey("users")}),
    "shop": MirrorNames("shop", {"users": dg.AssetKey(["shop", "users"])}),
    "other": MirrorNames("other", {"users": dg.AssetKey(["other", "users"])}),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_a_job_is_of_the_mirror_that_its_tags_name(name: str) -> None:
    tags = {KIND_TAG: "mirror", **({MIRROR_TAG: name} if name else {})}
    run = dg.DagsterRun("a_job", tags=tags)
    assert [mirror for mirror, names in NAMES.items() if _is_of(Mirror(names, "here"), run)] == [name]
    elsewhere = dg.DagsterRun("a_job", tags={**tags, REPOSITORY_TAG: "__repository__@elsewhere"})
    assert not any(_is_of(Mirror(names, "here"), elsewhere) for names in NAMES.values())


def test_a_run_of_picked_assets_is_of_the_mirrors_whose_tables_they_are() -> None:
    picked = frozenset({dg.AssetKey(["shop", "users"]), dg.AssetKey("newsletter")})
    run = dg.DagsterRun("__ASSET_JOB", asset_selection=picked)
    assert [mirror for mirror, names in NAMES.items() if _is_of(Mirror(names, "here"), run)] == ["shop"]
    assert not _is_of(Mirror(NAMES["shop"], "here"), dg.DagsterRun("of_the_project"))


def test_a_key_is_no_table_of_another_mirror() -> None:
    shop = NAMES["shop"]
    assert shop.find_table(dg.AssetKey(["shop", "users"])) == "users"
    assert not Mirror(shop, None).has([dg.AssetKey("users"), dg.AssetKey("shop/users")])
