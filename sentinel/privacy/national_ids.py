"""National identity, tax and social security numbers, each with the check of its country (python-stdnum).

A number with a shape of its own is taken when its check holds. One that is only a run of digits is taken when a word announces it as well:
one in ten or eleven random numbers passes a single check digit, and order numbers are digits too.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from stdnum.ar import cuit
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.tr import tckimlik
from stdnum.us import itin, ssn
from stdnum.za import idnr as za_idnr

from sentinel.privacy.rule import Hint, Rule, announced, proved_by, standing_alone

_BEFORE = r"(?:^|[^0-9A-Za-z.,+\-])"
"""What stands before a number of a shape of its own: it must not be the tail of a longer one."""
_NO_NINO = frozenset(("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"))


def _nino(text: str) -> bool:
    return text[:2].upper() not in _NO_NINO


def _ric(text: str) -> bool:
    try:
        return bool(ric.is_valid(text))
    except KeyError:
        # A prefecture without counties, which the library stumbles over.
        return bool(text[-1].upper() == ric.calc_check_digit(text))


def _passport(text: str) -> bool:
    return sum(character.isdigit() for character in text) >= 5


def _shaped(kind: str, pattern: str, valid: Callable[[str], object], hint: Hint = "number") -> Rule:
    return Rule(kind, hint, rf"{_BEFORE}({pattern})\b", standing_alone(proved_by(valid)))


def _named(kind: str, words: tuple[str, ...], pattern: str, valid: Callable[[str], object]) -> Rule:
    """A run of digits behind one of the words, each a whole word without regard to case."""
    alternatives = "|".join(re.escape(word) for word in words)
    return Rule(kind, "number", announced(rf"\b(?:{alternatives})", pattern, 24), proved_by(valid), words)


def _compact(valid: Callable[[str], object]) -> Callable[[str], object]:
    return lambda text: valid(re.sub(r"[ .\-/]", "", text))


NATIONAL_IDS = (
    _shaped("us_ssn", r"[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}", ssn.is_valid),
    _shaped("us_itin", r"9[0-9]{2}-[5-9][0-9]-[0-9]{4}", itin.is_valid),
    _named("us_ssn", ("ssn", "social security"), r"[0-8][0-9]{2}[ ]?[0-9]{2}[ ]?[0-9]{4}", _compact(ssn.is_valid)),
    _shaped("uk_nino", r"(?i:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D])", _nino, "code"),
    _named("uk_nhs", ("nhs",), r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}", nhs.is_valid),
    _shaped("es_dni", r"[0-9]{8}[ \-]?[A-HJ-NP-TV-Z]", dni.is_valid),
    _shaped("es_nie", r"[XYZxyz][ \-]?[0-9]{7}[ \-]?[A-HJ-NP-TV-Za-hj-np-tv-z]", nie.is_valid),
    _shaped("fr_nir", r"[12] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", nir.is_valid),
    _shaped(
        "it_codice_fiscale",
        r"(?i:[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z])",
        codicefiscale.is_valid,
        "code",
    ),
    _shaped("de_tax_id", r"[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}", idnr.is_valid),
    _named("de_tax_id", ("steuer", "idnr", "identifikationsnummer", "tax id"), "[1-9][0-9]{10}", idnr.is_valid),
    _shaped("nl_bsn", r"[0-9]{4}\.[0-9]{2}\.[0-9]{3}", bsn.is_valid),
    _named("nl_bsn", ("bsn", "burgerservicenummer", "sofi"), "[0-9]{9}", bsn.is_valid),
    _shaped("br_cpf", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", cpf.is_valid),
    _named("br_cpf", ("cpf",), "[0-9]{11}", cpf.is_valid),
    _named("pl_pesel", ("pesel",), "[0-9]{11}", pesel.is_valid),
    # What a word announces goes before numbers that only look the same; the Finnish one before the Swedish one, whose check is weaker.
    _named("dk_cpr", ("cpr",), r"[0-9]{6}-?[0-9]{4}", cpr.is_valid),
    _shaped("fi_hetu", r"[0-9]{6}[-+A-F][0-9]{3}[0-9A-Y]", hetu.is_valid),
    _shaped("se_personnummer", r"(?:19|20)?[0-9]{6}[-+][0-9]{4}", personnummer.is_valid),
    _shaped("no_fodselsnummer", "[0-9]{6} [0-9]{5}", fodselsnummer.is_valid),
    _named("no_fodselsnummer", ("fødselsnummer", "fodselsnummer", "personnummer"), "[0-9]{11}", fodselsnummer.is_valid),
    _shaped("ch_ahv", r"756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}", ahv.is_valid),
    _shaped("be_nn", r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}", nn.is_valid),
    _named("be_nn", ("rijksregisternummer", "registre national", "national register"), "[0-9]{11}", nn.is_valid),
    _named("ca_sin", ("sin", "social insurance"), r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{3}", sin.is_valid),
    _named("au_tfn", ("tfn", "tax file"), r"[0-9]{3}[ ]?[0-9]{3}[ ]?[0-9]{3}", tfn.is_valid),
    _shaped("in_aadhaar", r"[2-9][0-9]{3} [0-9]{4} [0-9]{4}", aadhaar.is_valid),
    _named("in_aadhaar", ("aadhaar", "aadhar"), "[2-9][0-9]{11}", aadhaar.is_valid),
    _shaped("mx_curp", r"[A-Z]{4}[0-9]{6}[HM][A-Z]{5}[0-9A-Z][0-9]", curp.is_valid, "code"),
    _shaped("cn_ric", r"[1-9][0-9]{16}[0-9Xx]", _ric),
    _shaped("kr_rrn", r"[0-9]{6}-[0-9]{7}", rrn.is_valid),
    _named("tr_tckimlik", ("tc", "t.c.", "kimlik", "tckn"), "[1-9][0-9]{10}", tckimlik.is_valid),
    _named("za_id", ("id no", "id number", "rsa id"), "[0-9]{13}", za_idnr.is_valid),
    _named("pt_nif", ("nif", "contribuinte"), r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", nif.is_valid),
    _named("ro_cnp", ("cnp", "numeric personal"), "[1-9][0-9]{12}", cnp.is_valid),
    _shaped("cz_rodne_cislo", r"[0-9]{6}/[0-9]{3,4}", rc.is_valid),
    _shaped("ar_cuit", r"(?:20|23|24|27)-[0-9]{8}-[0-9]", cuit.is_valid),
    _shaped("cl_rut", r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]", rut.is_valid),
    Rule(
        "passport",
        "number",
        announced(r"passport|reisepass(?:nummer)?|passeport|pasaporte|passaporto|paspoort", "[A-Z]{0,2}[0-9]{6,9}|[A-Z0-9]{9}", 20),
        proved_by(_passport),
        ("passport", "reisepass", "passeport", "pasaporte", "passaporto", "paspoort"),
    ),
)
"""Numbers without a check digit in their country: us_ssn and uk_nino have ranges that were never given out, dk_cpr a date."""
