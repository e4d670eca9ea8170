"""E-mail addresses, phone numbers, network addresses, dates of birth."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, date, datetime

import phonenumbers

from sentinel.privacy.rule import Rule, Span, announced, proved_by, standing_alone

_FILE_ENDING = re.compile(
    r"(?i)png|jpg|jpeg|gif|svg|webp|ico|css|js|jsx|ts|tsx|json|yaml|yml|toml|xml|html|md|txt|py|go|rs|java|rb|sh|log|csv|parquet"
)
"""`icon@2x.png` is a file."""
_TRUNK_REGIONS = ("DE", "GB", "FR", "IT", "NL", "AT", "CH", "BE", "SE", "PL", "AU", "JP", "IN", "ZA")
"""Where a national number begins with 0: `020 7946 0958` is valid in one of these, or it is any other number."""
_SEPARATORS = re.compile(r"[^\d+]")
_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}")
_POSTAL_CODE = re.compile(r"\d{5,6}-\d{4,5}")
_MONTHS = (
    *("jan", "ene", "gen", "feb", "fev", "fév", "mar", "mär", "mrt", "apr", "abr", "avr", "may", "mai", "mei", "mag", "jun", "jui", "giu"),
    *("jul", "lug", "aug", "ago", "aoû", "aou", "sep", "set", "oct", "okt", "ott", "out", "nov", "dec", "dez", "déc", "dic"),
)


def _email(data: bytes, start: int, end: int) -> Span | None:
    # Quotation marks of other scripts are no part of it: strip what is neither letter nor digit at both ends.
    text = data[start:end].decode(errors="replace")
    while text and not text[0].isalnum() and text[0] not in "_+":
        text = text[1:]
    start = end - len(text.encode())
    while text and not text[-1].isalnum():
        text = text[:-1]
    end = start + len(text.encode())
    local, _, domain = text.partition("@" if "@" in text else "%40")
    ending = domain.rpartition(".")[2]
    if not local or len(ending) < 2 or _FILE_ENDING.fullmatch(ending):
        return None
    if local in ("git", "hg") and data[end : end + 1] == b":":
        return None  # git@host:path names a repository
    return start, end


def _international(text: str) -> bool:
    if text.startswith("00") and sum(character.isdigit() for character in text) < 11:
        return False  # leading zeros of any number
    number = "+" + _SEPARATORS.sub("", text.replace("(0)", "")).lstrip("+").removeprefix("00")
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE)


def _national(text: str) -> bool:
    digits = sum(character.isdigit() for character in text)
    if digits < 9 or _DATE.match(text) or _POSTAL_CODE.fullmatch(text) or ("." in text and "-" in text):
        return False
    for region in _TRUNK_REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(text, region)):
                return True
        except phonenumbers.NumberParseException:
            return False
    return False


def _announced_phone(text: str) -> bool:
    digits = sum(character.isdigit() for character in text)
    return 7 <= digits <= 15 and not _DATE.match(text)


def _ipv4(data: bytes, start: int, end: int) -> Span | None:
    if re.search(
        rb"(?i)(?:\bv|version|release|build|kernel|driver|sections?|chapter|clause|`|[<>~!=]=)[ :=]{0,3}$", data[max(0, start - 16) : start]
    ):
        return None  # four numbers of a version
    try:
        address = ipaddress.IPv4Address(data[start:end].decode())
    except ValueError:
        return None
    return (
        None
        if address.is_loopback or address.is_unspecified or address.is_multicast or data[start:end].startswith(b"255.")
        else (start, end)
    )


def _ipv6(data: bytes, start: int, end: int) -> Span | None:
    if data[end : end + 1] in (b":", b".") and data[end + 1 : end + 2].isalnum():
        return None
    text = data[start:end].decode()
    if text.endswith(":") and not text.endswith("::"):
        text, end = text[:-1], end - 1
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    groups = [group for group in text.split(":") if group]
    # `a::b` is more often a name of a program than an address.
    telling = len(groups) == 8 or any(len(group) >= 3 and any(c.isdigit() for c in group) for group in groups)
    return (start, end) if telling and not address.is_loopback else None


def _mac(data: bytes, start: int, end: int) -> Span | None:
    # Neighbours of the same make belong to a fingerprint, which is longer.
    longer = re.search(rb"[0-9A-Fa-f][:-]$", data[max(0, start - 2) : start]) or re.match(rb"[:-][0-9A-Fa-f]", data[end : end + 2])
    same = len({data[start + 2 + 3 * place] for place in range(5)}) == 1
    return (start, end) if same and not longer and data[start:end].lower() not in (b"00:00:00:00:00:00", b"ff:ff:ff:ff:ff:ff") else None


def is_birth_date(text: str) -> bool:
    """Whether the text is a real day from 1900 to today, with the year in four digits, or two at the end."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    today = datetime.now(UTC).date()
    if len(numbers) == 3:
        first, second, third = numbers
        orders = [(first, second, third)] if first > 31 else [(third, second, first), (third, first, second)]
    elif len(numbers) == 2 and any(word[:3] in _MONTHS for word in re.findall(r"[^\W\d]{3,}", text.lower())):
        orders = [(numbers[1], 1, numbers[0])]
    else:
        return False
    return any(_is_past_day(year + 1900 * (year < 100), month, day, today) for year, month, day in orders)


def _is_past_day(year: int, month: int, day: int, today: date) -> bool:
    try:
        return year >= 1900 and date(year, month, day) <= today
    except ValueError:
        return False


_PHONE_WORDS = (
    r"\b(?:tele?(?:phone|fon|fono|foon|fax)?|t[ée]l(?:[ée]phone)?|tel[ée]fono|phone|mobile?|m[óo]vil|cell(?:phone|ulare)?|celular|"
    r"handy(?:nummer)?|fax|whatsapp|sms|(?:call|text|ring|reach) (?:me|us|him|her)|rufnummer|portable)"
)
_PHONE_MARKS = (
    *("tel", "tél", "phone", "mobil", "móvil", "movil", "cell", "celular", "handy", "fax", "whatsapp", "sms"),
    *(" me", " us", " him", " her", "ruf", "portable"),
)
_DAY = r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{2,4}"
_MONTH = r"[A-Za-z\x{80}-\x{10FFFF}]{3,10}\.?"
_WRITTEN_DAY = (
    rf"[0-9]{{1,2}}(?:st|nd|rd|th|er|\.|º)?(?: of| de)? ?{_MONTH},?(?: de)? ?[0-9]{{4}}"
    rf"|{_MONTH} [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}}"
)
_BIRTH_WORDS = (
    r"\b(?:born|birth ?da(?:y|te)|date[ _]of[ _]birth|birth_date|d\.?o\.?b\b|geburts(?:datum|tag)|geboren|geb\.|n[ée]e? le|naissance|"
    r"nacimiento|nacid[oa]|nascita|nat[oa]|nascimento|nascid[oa]|geboortedatum)"
)

CONTACTS = (
    Rule(
        "email",
        "at",
        r"([^\s@<>\"(),:;\[\]\\/|=&?{}]+(?:@|%40)(?:[^\s@<>\"'(),:;\[\]\\/|.=&?{}%]+\.)+[A-Za-z\x{80}-\x{10FFFF}]{2,24})",
        _email,
    ),
    Rule("date_of_birth", "birth", announced(_BIRTH_WORDS, f"{_DAY}|{_WRITTEN_DAY}", 20), proved_by(is_birth_date)),
    Rule("mac_address", "address", r"\b([0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5})\b", _mac),
    Rule("ip_address", "address", r"(?:^|[^0-9A-Za-z.\-])([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?:$|[^0-9A-Za-z.\-]|\.(?:$|[^0-9]))", _ipv4),
    Rule("ip_address", "address", r"(?:^|[^0-9A-Za-z:.])((?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?:$|[^0-9A-Za-z])", _ipv6),
    Rule("phone", "number", announced(_PHONE_WORDS, r"\+?[0-9(][0-9 ().\/\-]{5,17}[0-9]", 16), proved_by(_announced_phone), _PHONE_MARKS),
    Rule("phone", "number", r"(?:^|[^0-9A-Za-z+.])((?:\+|00)[1-9][0-9]{0,3}(?:[ .()/\-]{0,3}[0-9]){6,13})\b", proved_by(_international)),
    Rule(
        "phone",
        "number",
        r"(?:^|[^0-9A-Za-z.\-])(\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .\-][0-9]{4}|[2-9][0-9]{2}([.\- ])[2-9][0-9]{2}[.\-][0-9]{4})\b",
    ),
    Rule("phone", "number", r"(?:^|[^0-9A-Za-z.\-])(\([1-9][0-9]\) ?9?[0-9]{4}-[0-9]{4})\b"),
    Rule(
        "phone",
        "number",
        r"(?:^|[^0-9A-Za-z.,:\-])(\(?0[1-9][0-9]{0,4}\)?(?:[ ./\-]{1,3}[0-9]{2,9}){1,5})\b",
        standing_alone(proved_by(_national)),
    ),
)
