"""Names of columns are short, lower case, unquoted in SQL, and each given once."""

import pytest

from smartdiet_assets.infer.naming import (
    Names,
    build_reference_name,
    build_singular,
    build_snake_case,
    find_path_fault,
    is_secret,
    is_value,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("userQuizzQuestion", "user_quizz_question"), ("cguAccepted", "cgu_accepted"), ("vitamin_A", "vitamin_a"),
        ("magnésium", "magnesium"), ("address.streetName", "address_street_name"), ("__t", "t"),
        ("user._id", "user_id"),
        ("HTTPStatus", "http_status"), ("with space", "with_space"), ("日本", ""), ("scale_1_10", "scale_1_10"),
    ],
)  # fmt: skip
def test_snake_case(name: str, expected: str) -> None:
    assert build_snake_case(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("users", "user"), ("companies", "company"), ("boxes", "box"), ("address", "address"), ("quizzs", "quizz"),
     ("viewed_by", "viewed_by"), ("addresses", "address"), ("is", "is")],
)  # fmt: skip
def test_singular(name: str, expected: str) -> None:
    assert build_singular(name) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("user", "user_id"),
        ("user_id", "user_id"),
        ("userId", "user_id"),
        ("user._id", "user_id"),
        ("targets", "target_id"),
    ],
)
def test_a_reference_ends_in_id(path: str, expected: str) -> None:
    assert build_reference_name(path) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("order", "order_value"), ("user", "user_value"), ("id", "source_id"), ("created_at", "source_created_at"),
        ("deleted_at", "source_deleted_at"), ("xmin", "source_xmin"), ("12", "n_12"), ("日本", "field"),
        ("x" * 70, "x" * 63),
    ],
)  # fmt: skip
def test_reserved_words_and_the_mirrors_own_names_are_avoided(name: str, expected: str) -> None:
    assert Names().claim(name) == expected


def test_a_name_is_given_once() -> None:
    names = Names(["taken"])
    assert [names.claim(name) for name in ("userId", "user_id", "taken", "x" * 70, "x" * 71)] == [
        "user_id", "user_id_2", "taken_2", "x" * 63, "x" * 61 + "_2",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["password", "user.apiKey", "iban", "resetToken", "clientSecret", "rib"])
def test_secrets_are_known_by_their_name(path: str) -> None:
    assert is_secret(path)


@pytest.mark.parametrize("path", ["description", "tribe", "hashtags_count", "passed_events", "secretary"])
def test_not_every_name_with_such_letters_is_a_secret(path: str) -> None:
    assert not is_secret(path)


@pytest.mark.parametrize(
    "name",
    ["65e8c4f0a1b2c3d4e5f60718", "42", "2024-03-06", "ada@example.org", "+33 6 12 34 56 78", "http://a", "\udc80"],
)
def test_a_name_that_is_a_value_is_not_shown(name: str) -> None:
    assert is_value(name)


@pytest.mark.parametrize("name", ["name", "vitamin_A", "scale_1_10", "b12", "né", "2fa_enabled"])
def test_a_name_is_a_name(name: str) -> None:
    assert not is_value(name)


@pytest.mark.parametrize(("name", "fault"), [("", "without a name"), ("$set", "begins with $"), ("a.b", "has a dot")])
def test_fields_that_no_path_leads_to(name: str, fault: str) -> None:
    assert fault in find_path_fault(name)
    assert not find_path_fault("a b$")
