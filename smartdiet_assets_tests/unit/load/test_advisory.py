"""The numbers of advisory locks."""

from smartdiet_assets.load.advisory import build_lock_number


def test_a_lock_number_is_a_signed_32_bit_integer_that_never_changes() -> None:
    assert build_lock_number("users") == 344172009
    assert all(-(2**31) <= build_lock_number(f"table_{n}") < 2**31 for n in range(1000))


def test_different_tables_have_different_locks() -> None:
    assert len({build_lock_number(f"table_{n}") for n in range(1000)}) == 1000
