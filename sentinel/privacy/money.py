"""Payment cards, bank accounts, crypto addresses."""

from __future__ import annotations

import re

from stdnum import bitcoin, iban, luhn
from stdnum.us import rtn

from sentinel.privacy.rule import Rule, Span, announced, proved_by

_ISSUERS = (
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"3(?:0[0-5]|095|6|8|9)"), (14, 16)),
    (re.compile(r"6(?:011|4[4-9]|5)"), (16, 19)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(r"62|81"), (16, 17, 18, 19)),
    (re.compile(r"5018|5020|5038|5893|6304|6759|676[1-3]"), (12, 13, 16, 18, 19)),
)
"""First digits and lengths by issuer (ISO/IEC 7812 as the schemes publish them)."""


def is_card_number(digits: str) -> bool:
    """Whether the digits are a card number of a known issuer, with its check digit (Luhn)."""
    known = any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _ISSUERS)
    return known and len(set(digits)) > 1 and bool(luhn.is_valid(digits))


def _card(data: bytes, start: int, end: int) -> Span | None:
    """The card in a run of digit groups: before it may stand another number, behind it an expiry date."""
    text = data[start:end].decode()
    firsts = [0, *(match.end() for match in re.finditer(r"[ -]", text))]
    lasts = [*(match.start() for match in re.finditer(r"[ -]", text)), len(text)]
    for first in firsts:
        for last in reversed(lasts):
            if last - first >= 12 and is_card_number(re.sub(r"[ -]", "", text[first:last])):
                return start + first, start + last
    return None


def _iban(data: bytes, start: int, end: int) -> Span | None:
    """The account number without words of four letters that follow it."""
    text = data[start:end].decode()
    while len(text) >= 15:
        if iban.is_valid(text, check_country=False):
            return start, start + len(text)
        text = text.rpartition(" ")[0]
    return None


def _ethereum(text: str) -> bool:
    return len(set(text[2:].lower())) > 4


_ACCOUNT = r"\b(?:account|acct\.?|konto|kontonummer|cuenta|compte|conto)(?: ?(?:no|number|nr|num|n°|#|nummer)\b\.?)"

MONEY = (
    Rule("iban", "code", r"\b((?i:[A-Z]{2}[0-9]{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?))\b", _iban),
    Rule(
        "crypto_address", "token", r"\b((?:[13][a-km-zA-HJ-NP-Z1-9]{25,34})|(?:bc1[02-9ac-hj-np-z]{11,71}))\b", proved_by(bitcoin.is_valid)
    ),
    Rule("crypto_address", "token", r"\b(0x[0-9a-fA-F]{40})\b", proved_by(_ethereum)),
    Rule("credit_card", "number", r"(?:^|[^0-9A-Za-z.+])([0-9](?:[ \-]?[0-9]){11,22})\b", _card),
    Rule("bank_account", "number", announced(r"\b(?:routing|aba|rtn)\b", "[0-9]{9}"), proved_by(rtn.is_valid), ("routing", "aba", "rtn")),
    Rule(
        "bank_account", "number", announced(_ACCOUNT, r"[0-9][0-9 \-]{4,20}[0-9]", 12), None, ("acc", "konto", "cuenta", "compte", "conto")
    ),
)
