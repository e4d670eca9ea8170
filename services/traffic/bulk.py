"""Traffic for load runs: valid events rendered from byte templates, several hundred thousand a second in one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from services.traffic.prompts import ANSWERS, FILLER, TEMPLATES
from services.traffic.timed import format_ms
from services.traffic.world import USER_ZIPF, application_name, model_catalogue, tenant_name, zipf_shares

AT_ONCE = 20_000
MODELS = 4
APPLICATIONS_PER_TENANT = 5
USERS = 200
Mix = Literal["responses", "requests", "calls"]

_HEAD = (
    b'{"event_id":"%08x-%04x-4%03x-8%03x-%012x","timestamp":"%s","source":{"service":"llm-observatory","host":"obs-worker-01","version":"1.2.3"},'
    b'"event_type":"%s",%s"correlation_id":"req-%012x","data":{'
)
_RESPONSE = (
    b'"status":"%s","completion_tokens":%d,"prompt_tokens":%d,"total_tokens":%d,"latency_ms":%.2f,"cost":%.9f,"finish_reason":"%s",'
    b'"model":"%s","response":"'
)
_REQUEST = b'"model":"%s","prompt_tokens":%d,"parameters":{"temperature":0.7,"max_tokens":2048,"top_p":1.0},"prompt":"'
_TAIL = (
    b'"},"metadata":{"user_id":"user-%03d","session_id":"session-%04d","environment":"prod",'
    b'"tags":{"region":"eu-central-1","load":"bulk"}}}'
)


class BulkKey(NamedTuple):
    """One tenant|application|model key of a load run."""

    tenant_id: str
    application_id: str
    model: str


def bulk_keys(count: int) -> list[BulkKey]:
    """`count` distinct keys: 4 models an application, 5 applications a tenant."""
    models = model_catalogue(MODELS)
    result = []
    for index in range(count):
        app = index // MODELS
        name, _ = application_name(app)
        result.append(BulkKey(tenant_name(app // APPLICATIONS_PER_TENANT), name, models[index % MODELS].name))
    return result


def bulk_events(
    count: int,
    *,
    seed: int = 1,
    keys: int = 1000,
    event_bytes: int = 900,
    start_ms: int,
    rate: float,
    mix: Mix = "calls",
    error_share: float = 0.01,
    outlier_every: int = 0,
    outlier_factor: float = 50.0,
    slow_start: tuple[int, float] = (0, 1.0),
    keys_seed: int | None = None,
    at_once: int = AT_ONCE,
) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield `count` tuples (event time in epoch ms, Kafka key `tenant|application`, JSON bytes of about `event_bytes`).

    Event times rise evenly by 1/`rate` s from `start_ms`; those of the first `slow_start[0]` events by 1/`slow_start[1]` s. Keys are drawn
    evenly, latency and tokens lognormally around medians of the key, which are those of `keys_seed`, or else of `seed`.
    `mix`: only responses, only requests, or both in turn. With `outlier_every` n every n-th event (0-based indices n-1, 2n-1, ...) has its
    latency multiplied by `outlier_factor`, if it is a response. `at_once` events, an even number, are drawn together: 20,000 take 16 ms, and a load
    that must come evenly wants fewer. Another number draws other events.
    """
    for name, value in (("keys", keys), ("rate", rate), ("count + 1", count + 1), ("slow_start[1]", slow_start[1]), ("at_once", at_once)):
        if value <= 0:
            raise ValueError(f"{name}: expected a number above 0, found {value}")
    if at_once % 2:
        raise ValueError(f"at_once: expected an even number, so that a call's request and response are drawn together, found {at_once}")
    table = bulk_keys(keys)
    key_bytes = [f"{k.tenant_id}|{k.application_id}".encode() for k in table]
    identity = [f'"application_id":"{k.application_id}","tenant_id":"{k.tenant_id}",'.encode() for k in table]
    model_bytes = [k.model.encode() for k in table]
    setup = np.random.default_rng([seed if keys_seed is None else keys_seed, 11])
    median_latency = setup.uniform(300.0, 2500.0, keys)
    median_tokens = setup.uniform(60.0, 400.0, keys)
    user_cum = np.cumsum(zipf_shares(USERS, USER_ZIPF))
    texts = _padded_texts(event_bytes)
    for base in range(0, count, at_once):
        n = min(at_once, count - base)
        rng = np.random.default_rng([seed, 12, base])
        key = rng.integers(0, keys, n)
        if mix == "calls":  # a response belongs to the application of its request; chunks start at even indices
            key[1::2] = key[0 : n - n % 2 : 2]
        latency = median_latency[key] * rng.lognormal(0.0, 0.3, n)
        if outlier_every > 0:
            hit = (base + np.arange(n) + 1) % outlier_every == 0
            latency = np.where(hit, latency * outlier_factor, latency)
        completion = np.ceil(median_tokens[key] * rng.lognormal(0.0, 0.4, n)).astype(np.int64)
        prompt = np.ceil(2.0 * median_tokens[key] * rng.lognormal(0.0, 0.4, n)).astype(np.int64)
        failed = (rng.random(n) < error_share).tolist()
        user = np.searchsorted(user_cum, rng.random(n)).tolist()
        rand = rng.integers(0, 1 << 32, (n, 2)).tolist()
        index = base + np.arange(n)
        slow = np.minimum(index, slow_start[0])
        times = (start_ms + slow * 1000.0 / slow_start[1] + (index - slow) * 1000.0 / rate).astype(np.int64).tolist()
        cost = ((prompt * 2.5 + completion * 10.0) / 1e6).tolist()
        stamp, stamp_ms = b"", -1
        rows = zip(key.tolist(), latency.tolist(), completion.tolist(), prompt.tolist(), failed, user, rand, times, cost, strict=True)
        for number, (k, lat, c_tok, p_tok, bad, u, (r1, r2), ts_ms, usd) in enumerate(rows, base):
            if ts_ms != stamp_ms:
                stamp, stamp_ms = format_ms(ts_ms).encode(), ts_ms
            is_request = mix == "requests" or (mix == "calls" and number % 2 == 0)
            # Request and response of a pair share the correlation id; the event id holds the index and so never repeats within a run.
            correlation = number // 2 if mix == "calls" else number
            head = _HEAD % (
                r1, r2 >> 16, r2 & 0xFFF, seed & 0xFFF, number, stamp,
                b"llm.request" if is_request else b"llm.response", identity[k], correlation,
            )  # fmt: skip
            if is_request:
                body = _REQUEST % (model_bytes[k], p_tok)
            elif bad:
                body = _RESPONSE % (b"error", 0, p_tok, p_tok, lat, 0.0, b"error", model_bytes[k])
            else:
                body = _RESPONSE % (b"success", c_tok, p_tok, p_tok + c_tok, lat, usd, b"stop", model_bytes[k])
            tail = _TAIL % (u, r1 % 10_000)
            size = event_bytes - len(head) - len(body) - len(tail)
            text = texts[r2 % len(texts)]
            yield ts_ms, key_bytes[k], head + body + (text[:size] if size > 0 else b"") + tail


def _padded_texts(size: int) -> list[bytes]:
    """ASCII texts longer than an event, to cut from: the cut is then one slice, and never inside a character."""
    lines = [t for by_language in TEMPLATES.values() for t in by_language["en"]] + list(ANSWERS)
    plain = [line.format(item="router", topic="chess", days=7, number=4711) for line in lines]
    return [(text + FILLER * (size // len(FILLER) + 1)).encode() for text in plain if text.isascii()]
