"""When partitions get a pulse, and with which event time."""

from __future__ import annotations

from sentinel.events.decode import decode_batch
from sentinel.events.model import PULSE
from services.pulse.clock import PulseClock, following

A, B = ("llm-telemetry", 0), ("llm-telemetry", 1)
T = 1_000_000.0
T_MS = round(T * 1000)


def test_nothing_is_written_before_the_first_event() -> None:
    clock = PulseClock()
    for second in range(20):
        assert not clock.observe({A: 0, B: 0}, -1, T + second)


def test_only_the_quiet_partition_gets_a_pulse() -> None:
    clock = PulseClock(quiet_s=3)
    for second in range(3):
        assert not clock.observe({A: 10 + second, B: 5}, T_MS + second * 1000, T + second)
    due = clock.observe({A: 13, B: 5}, T_MS + 3000, T + 3)
    assert due == [B]
    assert clock.event_ms(T + 3) == T_MS + 3000
    assert clock.event_ms(T + 3.2) == T_MS + 3200


def test_event_time_goes_on_at_the_speed_of_the_clock() -> None:
    clock = PulseClock(quiet_s=3)
    old_ms = T_MS - 3_600_000
    clock.observe({A: 10}, old_ms, T)
    assert [clock.event_ms(T + second) for second in (3, 4, 60)] == [old_ms + 3000, old_ms + 4000, old_ms + 60_000]


def test_a_pulse_is_never_ahead_of_the_clock() -> None:
    clock = PulseClock(quiet_s=3)
    clock.observe({A: 10}, T_MS + 9_000_000, T)
    assert clock.event_ms(T + 5) == T_MS + 5000


def test_a_pulse_is_awaited_at_whole_steps_of_event_time_where_panes_end() -> None:
    clock = PulseClock(quiet_s=3)
    clock.observe({A: 10}, T_MS - 340, T)
    next_ms = following(clock.event_ms(T), 1_000)
    assert next_ms == T_MS
    reached = T + clock.seconds_until(next_ms, T)
    assert next_ms <= clock.event_ms(reached) <= next_ms + 2
    assert following(next_ms, 1_000) == T_MS + 1_000, "not the one that is over"
    assert [following(T_MS + ms, 1_000, 500) - T_MS for ms in (499, 500, 1_499)] == [500, 1_500, 1_500]
    assert clock.seconds_until(T_MS - 5_000, T) == 0
    assert clock.seconds_until(T_MS, T - 3_600) == 1, "the clock was set back"


def test_its_own_pulse_is_no_sign_of_telemetry() -> None:
    clock = PulseClock(quiet_s=3)
    clock.observe({A: 10}, T_MS, T)
    assert clock.observe({A: 10}, T_MS, T + 3) == [A]
    clock.written(A, 10)
    assert clock.observe({A: 11}, T_MS + 3000, T + 4) == [A]
    assert not clock.observe({A: 12}, T_MS + 4000, T + 5), "an event beside the pulse is one"


def test_a_pulse_is_neither_event_nor_mistake() -> None:
    decoded = decode_batch([PULSE], [0])
    assert decoded == ([], [], [], {})
