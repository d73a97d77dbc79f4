"""What looks personal, by a field's name and the form of its values, and how it might be protected: a proposal only."""

import re

from smartdiet_assets.infer.facts import TextFacts
from smartdiet_assets.infer.naming import build_snake_case
from smartdiet_assets.schema.pseudonyms import PSEUDONYM_LENGTH

#: What a name says, the first that matches; of the words of its last part, or of all that lead there.
_NAMES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(rf"(?:^|_)(?:{words})(?:_|$)"))
    for what, words in (
        ("a mail address", "e?_?mails?|courriel"),
        ("a phone number", "phones?|phone_?number|mobile|fax|tel|telephone"),
        ("a birthday", "birth_?(?:day|date)|birth|born|dob|date_of_birth|naissance"),
        ("a postal code", "zip|zip_?code|postal_?code|postcode"),
        ("an address", "address(?:es)?|street|city|town|latitude|longitude|location|ip"),
        ("a name", "(?:first|last|full|family|given|nick|sur|middle|user)_?names?|pseudo|prenom|nom|login"),
        ("free text", "notes?|comments?|remarks?|messages?|bio|content|description|text|synthesis"),
    )
)
#: Most texts of a form make it that of the field.
_MOST = 0.9
#: From so many characters on, a person wrote it.
_LONG = 400


def find_personal(path: str, text: TextFacts) -> str:
    """Say what a field looks like that is about a person; "" where it does not."""
    name = build_snake_case(path.rpartition(".")[2])
    named = next((what for what, form in _NAMES if form.search(name)), "")
    if text.count and text.mails >= _MOST * text.count:
        return "a mail address"
    if text.count and text.phones >= _MOST * text.count and named in ("", "a phone number"):
        return "a phone number"
    return named or ("free text" if text.longest >= _LONG else "")


def propose_protection(what: str, sql_type: str) -> str:
    """Propose how a column with it might be protected, as the file spells it; "" where nothing fits."""
    if what == "a birthday" and sql_type in ("DATE", "TIMESTAMP", "TIMESTAMPTZ"):
        return "protect: {keep: year}"
    if what == "a postal code" and sql_type.startswith(("VARCHAR", "TEXT")):
        return "protect: {keep: 2}"
    length = re.fullmatch(r"(?:VARCHAR|TEXT)(?:\((\d+)\))?", sql_type)
    if what == "a mail address" and length and int(length[1] or PSEUDONYM_LENGTH) >= PSEUDONYM_LENGTH:
        return "protect: pseudonym"
    return "protect: redact" if what else ""
