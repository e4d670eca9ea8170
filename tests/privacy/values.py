"""Values of each kind for the labelled set: half of them made by faker in several locales, the others here, with check digits of their own making."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
from collections.abc import Callable

from faker import Faker
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.ch import ssn as ahv
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.iso7064 import mod_97_10
from stdnum.pt import nif
from stdnum.us import itin, ssn
from stdnum.za import idnr as za_idnr

Maker = Callable[[random.Random], str]

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LETTERS = string.ascii_letters + string.digits


def faker(method: str, locale: str, keep: Callable[[str], object] = lambda value: True, **arguments: object) -> Maker:
    """A maker by faker: seeded from the case's own source of chance. `keep` drops what the country's own rules do not allow."""

    fake = Faker(locale)

    def make(chance: random.Random) -> str:
        while True:
            fake.seed_instance(chance.getrandbits(32))
            value = str(getattr(fake, method)(**arguments))
            if keep(value):
                return value

    return make


def digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choices(string.digits, k=count))


def letters(chance: random.Random, count: int, of: str = _LETTERS) -> str:
    """Random characters, with a digit among them, as keys have."""
    while True:
        text = "".join(chance.choices(of, k=count))
        if any(c.isdigit() for c in text) and len(set(text)) >= min(10, count):
            return text


def until(valid: Callable[[str], object], make: Maker) -> Maker:
    """Repeats a maker until its number has the right check digits."""

    def repeat(chance: random.Random) -> str:
        while not valid(value := make(chance)):
            pass
        return value

    return repeat


def iban(chance: random.Random) -> str:
    """German, in groups of four as people write it."""
    account = digits(chance, 18)
    number = f"DE{98 - int(account + '131400') % 97:02d}{account}"
    assert mod_97_10.is_valid(number[4:] + number[:4])
    return " ".join(number[place : place + 4] for place in range(0, 22, 4))


def card(chance: random.Random) -> str:
    """16 digits with Luhn's check digit, in groups."""
    number = chance.choice(("4", "51", "55", "6011")) + digits(chance, 15)
    number = number[:15]
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(number))
    number += str(-total % 10)
    return chance.choice((" ", "-", "")).join(number[place : place + 4] for place in range(0, 16, 4))


def bitcoin(chance: random.Random) -> str:
    payload = b"\x00" + bytes(chance.randrange(1, 256) for _ in range(20))
    payload += hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(payload, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = _BASE58[rest] + text
    return "1" + text


def jwt(chance: random.Random) -> str:
    parts = (json.dumps({"alg": "RS256", "kid": digits(chance, 6)}), json.dumps({"sub": digits(chance, 8), "exp": 1_800_000_000}))
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, letters(chance, 86)])


def private_key(chance: random.Random) -> str:
    lines = "\n".join(letters(chance, 64) for _ in range(chance.randrange(4, 9)))
    name = chance.choice(("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"))
    return f"-----BEGIN {name}-----\n{lines}\n-----END {name}-----"


def api_key(chance: random.Random) -> str:
    upper = string.ascii_uppercase + "234567"
    return chance.choice(
        (
            "AKIA" + letters(chance, 16, upper),
            "ghp_" + letters(chance, 36),
            "github_pat_" + letters(chance, 82),
            "glpat-" + letters(chance, 20),
            f"xoxb-{digits(chance, 12)}-{digits(chance, 12)}-{letters(chance, 24)}",
            "sk-proj-" + letters(chance, 48),
            "sk-ant-api03-" + letters(chance, 60),
            "AIza" + letters(chance, 35),
            "sk_live_" + letters(chance, 24),
            f"SG.{letters(chance, 22)}.{letters(chance, 43)}",
            "npm_" + letters(chance, 36),
            "hf_" + letters(chance, 34),
            "dapi" + letters(chance, 32, "0123456789abcdef"),
            "hvs." + letters(chance, 30),
        )
    )


def password(chance: random.Random) -> str:
    return chance.choice(("Sommer", "blue-Horse", "tr0ub4dor", "Xk!")) + letters(chance, 5) + chance.choice(("", "!", "#7"))


def email(chance: random.Random) -> str:
    name = chance.choice(("jürgen.weiß", "o'neill", "ana+news", "x_y-z", "иван", "first.last", "a1"))
    return (
        f"{name}{digits(chance, 2)}@{chance.choice(('mail.example.co.uk', 'bücher.example', 'sub-domain.example.org', 'example.museum'))}"
    )


def birth_date(chance: random.Random) -> str:
    year, month, day = chance.randrange(1930, 2010), chance.randrange(1, 13), chance.randrange(1, 29)
    names = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
    return chance.choice(
        (f"{day:02d}.{month:02d}.{year}", f"{month}/{day}/{year}", f"{day} {names[month - 1]} {year}", f"{names[month - 1]} {day}, {year}")
    )


def phone(chance: random.Random) -> str:
    return chance.choice(
        (
            f"+49 30 {digits(chance, 4)}{chance.randrange(100, 999)}",
            f"+1 (415) 555-0{chance.randrange(100, 200)}",
            f"+44 20 7946 0{digits(chance, 3)}",
            f"0{chance.randrange(1, 6)} 4{digits(chance, 1)} {digits(chance, 2)} {digits(chance, 2)} {digits(chance, 2)}",
            f"(212) 555-0{chance.randrange(100, 200)}",
            f"+81 3-5{digits(chance, 3)}-{digits(chance, 4)}",
            f"0049 171 {digits(chance, 7)}",
        )
    )


def nino(chance: random.Random) -> str:
    parts = [chance.choice(("AB", "JT", "NE", "PX", "SW", "YL")), *(digits(chance, 2) for _ in range(3)), chance.choice("ABCD")]
    return chance.choice(("", " ")).join(parts)


def grouped(make: Maker, *sizes: int, by: str = " ") -> Maker:
    """The digits of a value in groups."""

    def group(chance: random.Random) -> str:
        text, parts = make(chance), []
        for size in sizes:
            parts.append(text[:size])
            text = text[size:]
        return by.join(parts)

    return group


def _belgian(chance: random.Random) -> str:
    base = f"{chance.randrange(40, 99)}{chance.randrange(1, 13):02d}{chance.randrange(1, 29):02d}{chance.randrange(1, 998):03d}"
    number = f"{base}{97 - int(base) % 97:02d}"
    return f"{number[:2]}.{number[2:4]}.{number[4:6]}-{number[6:9]}.{number[9:]}"


def _dated(chance: random.Random, form: str) -> str:
    return form.format(year=chance.randrange(40, 99), month=chance.randrange(1, 13), day=chance.randrange(1, 29))


US_SSN = until(ssn.is_valid, lambda chance: f"{digits(chance, 3)}-{digits(chance, 2)}-{digits(chance, 4)}")
US_ITIN = until(itin.is_valid, lambda chance: f"9{digits(chance, 2)}-{chance.randrange(70, 89)}-{digits(chance, 4)}")
DE_TAX_ID = until(idnr.is_valid, lambda chance: digits(chance, 11))
UK_NHS = grouped(until(nhs.is_valid, lambda chance: digits(chance, 10)), 3, 3, 4)
IN_AADHAAR = grouped(until(aadhaar.is_valid, lambda chance: digits(chance, 12)), 4, 4, 4)
CH_AHV = grouped(until(ahv.is_valid, lambda chance: "756" + digits(chance, 10)), 3, 4, 4, 2, by=".")
BE_NN = until(nn.is_valid, _belgian)
DK_CPR = until(cpr.is_valid, lambda chance: f"{_dated(chance, '{day:02d}{month:02d}{year}')}-{digits(chance, 4)}")
AU_TFN = grouped(until(tfn.is_valid, lambda chance: digits(chance, 9)), 3, 3, 3)
ZA_ID = until(za_idnr.is_valid, lambda chance: f"{_dated(chance, '{year}{month:02d}{day:02d}')}{digits(chance, 4)}08{digits(chance, 1)}")
PT_NIF = until(nif.is_valid, lambda chance: chance.choice("125") + digits(chance, 8))
