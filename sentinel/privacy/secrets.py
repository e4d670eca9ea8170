"""Keys, tokens and passwords."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter

from sentinel.privacy.rule import Rule, Span, proved_by

_PREFIXES = (
    r"(?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z2-7]{16}",
    r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}",
    r"gl(?:pat|ptt|dt|rt|cbt|soat)-[A-Za-z0-9_\-]{20,}",
    r"xox[abeprs]-[A-Za-z0-9\-]{10,}|xapp-[0-9]-[A-Za-z0-9\-]{10,}",
    r"sk-(?:proj-|svcacct-|admin-|ant-[a-z0-9]{3,8}-|or-v1-|lf-)?[A-Za-z0-9_\-]{20,}|pk-lf-[A-Za-z0-9\-]{20,}",
    r"AIza[A-Za-z0-9_\-]{35}|ya29\.[A-Za-z0-9_\-]{20,}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,}",
    r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{30,}",
    r"(?:SK|AC)[0-9a-f]{32}",
    r"npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{50,}|hf_[A-Za-z0-9]{30,}",
    r"do[opr]_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|dapi[0-9a-f]{32}",
    r"gsk_[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{37}|xai-[A-Za-z0-9]{60,}|lin_api_[A-Za-z0-9]{40}|ntn_[A-Za-z0-9]{40,}",
    r"hvs\.[A-Za-z0-9_\-]{24,}|glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|dp\.(?:pt|st)\.[A-Za-z0-9]{40,}|ATATT3x[A-Za-z0-9_\-=]{50,}",
    r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}",
    r"key-[0-9a-f]{32}",
)
"""Keys that say whose they are: AWS, GitHub, GitLab, Slack, model providers, Google, Stripe, SendGrid, Twilio, package indexes, clouds, Telegram."""

_PLACEHOLDER = re.compile(
    r"(?i)^(?:[<${%\[(*•#]|xxx|\.\.\.|your|my[_-]|the[_-]|changeme$|placeholder|redacted|os\.|process\.|env[.\[]|getenv|request\.|config\.|self\.|none$|null$)"
)
_PROSE = re.compile(
    r"(?i)\w*passw\w*|bytes|bool|object|required|optional|string|str|text|true|false|none|null|nil|undefined|incorrect|invalid|wrong|expired|forgotten|lost|"
    r"reset|resets|changed|change|hidden|hash|hashed|manager|managers|policy|policies|field|input|protected|prompt|must|should|"
    r"shall|may|cannot|will|would|could|can|needs|has|have|been|the|this|that|your|their|and|not|for|with|from|when|please|"
    r"click|enter|empty|blank|missing|mandatory|too|very|stored|encrypted|secure|safe|unknown|correct|same|different|being|"
    r"also|only|never|always|between|minimum|at|least|length|set|password|passwort|kennwort|passwd|falsch|richtig|ungültig|"
    r"vergessen|geändert|incorrecta|incorrecto|oublié"
)
"""What follows `password:` in sentences about passwords."""
_KEY_WORDS = r"secret|token|api[_\- ]?key|access[_-]?key|auth[_-]?key|account[_-]?key|private[_-]?key|signing[_-]?key|encryption[_-]?key|credentials?"
_ANNOUNCING = r"password|passwd|passphrase|passcode|passwort|kennwort|pwd|mot de passe|contrase[ñn]a|senha|wachtwoord|has[łl]o|parola|пароль|密码|パスワード"


def entropy_bits(text: str) -> float:
    """Shannon entropy a character, in bits."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def _is_key(text: str) -> bool:
    """Not the `sk-xxxxxxxx` of a manual."""
    return len(set(text)) >= 10 and "xxxx" not in text.lower() and any(c.isdigit() for c in text)


def _is_random(text: str) -> bool:
    has_both = any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
    return has_both and entropy_bits(text) >= 3.0 and not _PLACEHOLDER.match(text) and "xxxx" not in text.lower()


def _is_jwt(text: str) -> bool:
    header = text.partition(".")[0]
    try:
        return "alg" in json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError, TypeError):
        return False


def _is_basic_login(text: str) -> bool:
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return ":" in plain and plain.isprintable()


def _password(data: bytes, start: int, end: int) -> Span | None:
    text = data[start:end].decode(errors="replace")
    if _PLACEHOLDER.match(text) or "(" in text or "[" in text:
        return None
    kept = data[start:end].rstrip(b".!?:)")
    is_prose = _PROSE.fullmatch(kept.decode(errors="replace"))
    return (start, start + len(kept)) if len(kept) >= 4 and not is_prose else None


def _spoken_password(data: bytes, start: int, end: int) -> Span | None:
    """`the password is hunter2`: a word alone would be prose."""
    text = data[start:end].decode(errors="replace").rstrip(".!?:")
    telling = any(c.isdigit() for c in text) or any(not c.isalnum() and c not in "-'’" for c in text)
    quoted = data[start - 1 : start] in (b'"', b"'", b"`")
    return _password(data, start, end) if telling or quoted else None


def _url_password(data: bytes, start: int, end: int) -> Span | None:
    return None if _PLACEHOLDER.match(data[start:end].decode(errors="replace")) else (start, end)


_VALUE = r"[^\s\"'`,;<>&]{4,}"

SECRETS = (
    Rule(
        "private_key",
        "token",
        r"(-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----[^\[\]]+?(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\z))",
    ),
    Rule("jwt", "token", r"\b(eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{4,}\.[A-Za-z0-9_\-]*)", proved_by(_is_jwt)),
    Rule("api_key", "token", rf"\b({'|'.join(_PREFIXES)})", proved_by(_is_key)),
    Rule("api_key", "token", r"(https://hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,32})"),
    Rule("password", "at", r"[a-zA-Z][a-zA-Z0-9+.\-]{1,20}://[^\s/:@\[\]]*:([^\s/@\[\]]+)@[^\s/\[]", _url_password),
    Rule("password", "password", rf"(?i:{_ANNOUNCING})[\"'`]?\s{{0,3}}(?:=>|:=|[:=]|：)\s{{0,3}}[\"'`]?({_VALUE})", _password),
    Rule("password", "password", rf"(?i:{_ANNOUNCING}) (?i:is|was|ist|lautet|est|es|é|to) (?i:now )?[\"'`]?({_VALUE})", _spoken_password),
    Rule("bearer_token", "secret", r"\b(?i:bearer)\s{1,4}([A-Za-z0-9\-._~+/]{16,}=*)", proved_by(_is_random)),
    Rule("bearer_token", "secret", r"\b(?i:basic)\s{1,4}([A-Za-z0-9+/]{12,}={0,2})", proved_by(_is_basic_login)),
    Rule(
        "secret",
        "secret",
        rf"(?i:{_KEY_WORDS})[\"'`]?\s{{0,3}}(?:=>|:=|[:=])\s{{0,3}}[\"'`]?([A-Za-z0-9_\-./+=~]{{12,}})",
        proved_by(_is_random),
    ),
)
