"""Which detector a name means: one of a configuration file, or a strategy with its defaults."""

from __future__ import annotations

from pathlib import Path

from sentinel.backtest.series import row_strategies
from sentinel.config.errors import nearest
from sentinel.config.load import load_config
from sentinel.config.runtime import DetectorConfig, RuntimeConfig


class ChoiceError(ValueError):
    """No detector has this name; the text names the nearest."""


def chosen_detector(name: str, config_file: Path | None) -> DetectorConfig:
    """The detector called `name` in the file, else the strategy of this name with defaults.

    Raises ChoiceError, and ConfigError when the file is not valid.
    """
    detectors: tuple[DetectorConfig, ...] = ()
    if config_file is not None:
        snapshot = load_config(config_file).config.to_snapshot()
        detectors = RuntimeConfig.from_snapshot(0, snapshot).detectors
    strategies = row_strategies()
    for detector in detectors:
        if detector.id == name:
            if detector.strategy not in strategies:
                raise ChoiceError(f"detector {name!r} has strategy {detector.strategy}, which does not judge rows; {_list(strategies)} do")
            return detector
    if name not in strategies:
        known = [*strategies, *(detector.id for detector in detectors)]
        near = nearest(name, known)
        raise ChoiceError(f"no detector is called {name!r}{f'; did you mean {near}?' if near else ''} There are: {', '.join(known)}")
    return DetectorConfig(id=name, type="statistical", strategy=name, level="pane", metric=None, params={})


def _list(names: list[str]) -> str:
    return ", ".join(names)
