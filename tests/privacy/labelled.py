"""A labelled set of texts with personal data and near-misses, the same for the same seed: `python -m tests.privacy.labelled > labelled.jsonl`."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from stdnum.ar import cuit
from stdnum.ca import sin
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.cz import rc
from stdnum.es import nie, nif
from stdnum.fi import hetu
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.ro import cnp
from stdnum.tr import tckimlik
from stdnum.us import rtn, ssn

from tests.privacy import values as v
from tests.privacy.values import Maker, digits, faker, letters

_PLAIN = (
    "Please update the record: {} is the new one.",
    "Kundin hat geschrieben, bitte {} eintragen und bestätigen.",
    "The caller gave {}, then hung up",
    "voici ce que j'ai noté : {} (à vérifier)",
    'Tool call returned {{"value": "{}", "ok": true}}',
    "{}",
    "Notes\n- agreed on Tuesday\n- {}\n- follow up at 14:30",
)


def _near(words: str) -> tuple[str, ...]:
    return (f"My {words} is {{}}, please check.", f"{words}: {{}}", f"For the form: {words} {{}}\nThank you!")


def _chinese(number: str) -> bool:
    try:
        return bool(ric.is_valid(number))
    except KeyError:  # prefectures without counties
        return False


KINDS: dict[str, tuple[Sequence[str], Sequence[Maker], Sequence[Maker]]] = {
    "email": (_PLAIN, [faker("email", locale) for locale in ("en_US", "de_DE", "fr_FR", "pt_BR")], [v.email]),
    "phone": (
        _PLAIN,
        [faker("phone_number", "de_DE"), faker("phone_number", "es_ES"), faker("phone_number", "en_GB", lambda n: " " in n or "+" in n)],
        [v.phone],
    ),
    "credit_card": (
        _PLAIN,
        [faker("credit_card_number", "en_US", card_type=kind) for kind in ("visa", "mastercard", "amex", "discover")],
        [v.card],
    ),
    "iban": (_PLAIN, [faker("iban", locale) for locale in ("de_DE", "fr_FR", "nl_NL", "it_IT", "pl_PL")], [v.iban]),
    "us_ssn": (_PLAIN, [faker("ssn", "en_US", ssn.is_valid)], [v.US_SSN]),
    "us_itin": (_PLAIN, [], [v.US_ITIN]),
    "uk_nino": (_PLAIN, [], [v.nino]),
    "uk_nhs": (_near("NHS number"), [], [v.UK_NHS]),
    "fr_nir": (_PLAIN, [faker("ssn", "fr_FR")], []),
    "it_codice_fiscale": (_PLAIN, [faker("ssn", "it_IT")], []),
    "es_dni": (_PLAIN, [faker("nif", "es_ES", lambda n: n[0].isdigit() and nif.is_valid(n))], []),
    "es_nie": (_PLAIN, [faker("nie", "es_ES", nie.is_valid)], []),
    "de_tax_id": (_near("Steuer-ID"), [], [v.DE_TAX_ID]),
    "br_cpf": (_PLAIN, [faker("cpf", "pt_BR")], []),
    "nl_bsn": (_near("BSN"), [faker("ssn", "nl_NL", bsn.is_valid)], []),
    "pl_pesel": (_near("PESEL"), [faker("pesel", "pl_PL", pesel.is_valid)], []),
    "se_personnummer": (_PLAIN, [faker("ssn", "sv_SE")], []),
    "fi_hetu": (_PLAIN, [faker("ssn", "fi_FI", hetu.is_valid)], []),
    "in_aadhaar": (_PLAIN, [], [v.IN_AADHAAR]),
    "ch_ahv": (_PLAIN, [faker("ssn", "de_CH")], [v.CH_AHV]),
    "be_nn": (_PLAIN, [], [v.BE_NN]),
    "no_fodselsnummer": (_near("fødselsnummer"), [faker("ssn", "no_NO", fodselsnummer.is_valid)], []),
    "dk_cpr": (_near("CPR"), [], [v.DK_CPR]),
    "ca_sin": (_near("SIN"), [faker("ssn", "en_CA", sin.is_valid)], []),
    "au_tfn": (_near("TFN"), [], [v.AU_TFN]),
    "mx_curp": (_PLAIN, [faker("curp", "es_MX", curp.is_valid)], []),
    "cn_ric": (_PLAIN, [faker("ssn", "zh_CN", _chinese)], []),
    "kr_rrn": (_PLAIN, [faker("ssn", "ko_KR", rrn.is_valid)], []),
    "tr_tckimlik": (_near("TCKN"), [faker("ssn", "tr_TR", tckimlik.is_valid)], []),
    "za_id": (_near("RSA ID"), [], [v.ZA_ID]),
    "pt_nif": (_near("NIF"), [], [v.PT_NIF]),
    "ro_cnp": (_near("CNP"), [faker("ssn", "ro_RO", cnp.is_valid)], []),
    "cz_rodne_cislo": (_PLAIN, [faker("birth_number", "cs_CZ", rc.is_valid)], []),
    "ar_cuit": (_PLAIN, [faker("cuit", "es_AR", lambda n: n[:2] in ("20", "23", "24", "27") and cuit.is_valid(n))], []),
    "cl_rut": (_PLAIN, [faker("person_rut", "es_CL", rut.is_valid)], []),
    "bank_account": (_near("routing number"), [faker("aba", "en_US", rtn.is_valid)], []),
    "ip_address": (_PLAIN, [faker("ipv4", "en_US", lambda a: not a.startswith(("127.", "22", "23"))), faker("ipv6", "en_US")], []),
    "mac_address": (_PLAIN, [faker("mac_address", "en_US")], []),
    "date_of_birth": (
        ("She was born on {} in Lyon.", "DOB: {}", "Geburtsdatum: {}", "date of birth {}", "né le {} à Lille"),
        [faker("date_of_birth", "en_US")],
        [v.birth_date],
    ),
    "passport": (_near("passport number"), [faker("passport_number", "en_US"), faker("passport_number", "it_IT")], []),
    "crypto_address": (_PLAIN, [], [v.bitcoin, lambda chance: "0x" + letters(chance, 40, "0123456789abcdef")]),
    "api_key": (_PLAIN, [], [v.api_key]),
    "jwt": (_PLAIN, [], [v.jwt]),
    "private_key": (("Here is the file:\n{}\nKeep it.", "{}"), [], [v.private_key]),
    "bearer_token": (("curl -H 'Authorization: Bearer {}' https://api.example.org/v1",), [], [lambda chance: letters(chance, 40)]),
    "password": (
        (
            "password={} host=db",
            'config: {{"password": "{}"}}',
            "my password is {}",
            "postgresql://app:{}@db.internal:5432/app",
            "Passwort: {}",
        ),
        [faker("password", "en_US", lambda p: p.isalnum() or "_" in p, length=12, special_chars=False)],
        [lambda chance: v.password(chance).rstrip("!")],
    ),
    "secret": (("client_secret = '{}'", 'export SERVICE_TOKEN="{}"', "auth_key: {}"), [], [lambda chance: letters(chance, 32)]),
}
"""Kind → (texts, makers by faker, makers of our own)."""


def _broken(make: Maker, change: Any) -> Maker:
    return lambda chance: change(make(chance))


def _next_last_digit(value: str) -> str:
    """The same number with a check digit that is off by one."""
    place = max(place for place, character in enumerate(value) if character.isdigit())
    return f"{value[:place]}{(int(value[place]) + 1) % 10}{value[place + 1 :]}"


NEAR_MISSES: tuple[Maker, ...] = (
    _broken(v.card, _next_last_digit),
    _broken(v.iban, _next_last_digit),
    _broken(faker("ssn", "fr_FR"), _next_last_digit),
    _broken(faker("cpf", "pt_BR"), _next_last_digit),
    _broken(v.CH_AHV, _next_last_digit),
    _broken(v.BE_NN, _next_last_digit),
    _broken(v.IN_AADHAAR, _next_last_digit),
    _broken(v.bitcoin, lambda text: text[:-1] + ("2" if text[-1] != "2" else "3")),
    _broken(faker("nif", "es_ES", lambda n: n[0].isdigit()), lambda text: text[:-1] + ("B" if text[-1] != "B" else "C")),
    lambda chance: f"666-{digits(chance, 2)}-{digits(chance, 4)}",
    lambda chance: f"order {digits(chance, 9)}",
    lambda chance: f"ticket #{digits(chance, 11)}",
    lambda chance: f"build 4.18.{chance.randrange(9)}.{chance.randrange(99)}",
    lambda chance: f"released 20{chance.randrange(10, 26)}-0{chance.randrange(1, 9)}-1{chance.randrange(9)} 08:1{chance.randrange(9)}:22",
    lambda chance: f"commit {letters(chance, 40, '0123456789abcdef')}",
    lambda chance: f"uuid 550e8400-e29b-41d4-a716-{digits(chance, 12)}",
    lambda chance: f"install left-pad@1.{chance.randrange(9)}.{chance.randrange(9)}",
    lambda chance: "see icon@2x.png and the @dataclass decorator",
    lambda chance: "clone git@git.example.org:team/project.git",
    lambda chance: "use sk-xxxxxxxxxxxxxxxxxxxxxxxx as the key, then Bearer <token>",
    lambda chance: chance.choice(
        ("password: required", "password=${DB_PASSWORD}", "the password is incorrect", "api_key = os.environ['API_KEY']")
    ),
    lambda chance: f"pi is 3.14159265{digits(chance, 4)}, the sum {chance.randrange(10**6, 10**7)}.50 EUR",
    lambda chance: f"the meeting of 1{chance.randrange(9)}.03.2024 lasts from 9:00 to 10:30",
    lambda chance: f"at 12:{chance.randrange(10, 59)}:07 std::vector::size returned {chance.randrange(1000)}",
    lambda chance: f"epoch {1_700_000_000_000 + chance.randrange(10**11)} ms",
    lambda chance: f"snowflake 17{digits(chance, 17)}",
    lambda chance: f"coordinates 52.{digits(chance, 6)}, 13.{digits(chance, 6)}",
    lambda chance: f"max_tokens: {chance.randrange(10_000, 99_999)}, ISBN 978-3-16-1484{chance.randrange(9)}0-0",
)


def cases(seed: int = 1, per_maker: int = 6, near_misses_each: int = 5) -> Iterator[dict[str, Any]]:
    """Cases `{id, text, expected: [{kind, start, end}], by}`; `by` says who made the value: faker, own, or none."""
    chance = random.Random(seed)
    for kind, (texts, by_faker, by_own) in KINDS.items():
        for makers, by in ((by_faker, "faker"), (by_own, "own")):
            for count in range(max(per_maker * len(makers), 10) if makers else 0):
                value, text = makers[count % len(makers)](chance), chance.choice(texts)
                before, _, after = text.partition("{}")
                before, after = before.replace("{{", "{").replace("}}", "}"), after.replace("{{", "{").replace("}}", "}")
                expected = [{"kind": kind, "start": len(before), "end": len(before) + len(value)}]
                yield {"id": f"{kind}-{by}-{count}", "text": before + value + after, "expected": expected, "by": by}
    for number, make in enumerate(NEAR_MISSES):
        for count in range(near_misses_each):
            text = chance.choice(_PLAIN[:5]).format(make(chance))
            yield {"id": f"near-miss-{number}-{count}", "text": text, "expected": [], "by": "none"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    for case in cases(parser.parse_args().seed):
        sys.stdout.write(json.dumps(case, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
