"""Checks of options that the recipes share: each raises a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from knee_i2m2.errors import ConfigError, check_seed, suggestion
from knee_i2m2.methods import METHODS
from knee_i2m2.training.rivals import trained_together
from knee_i2m2.types import Rival

__all__ = ["also_methods", "check_names", "check_numbers", "check_rates", "check_seeds"]

Config = TypeVar("Config")


def check_names(given: list[str], known: Mapping[str, Any], option: str) -> None:
    """Raises ConfigError for a name that is not known, with what may have been meant."""
    for name in given:
        if name not in known:
            raise ConfigError(f"--{option} {name} is unknown; {suggestion(name, known)}")


def also_methods(config: Config, rivals: Mapping[str, Rival]) -> Config:
    """Returns the options with the rivals of `--method` among `--rivals`.

    Raises:
        ConfigError: A method is unknown, or the task's experts cannot learn in its way.
    """
    own = {rival.method: name for name, rival in rivals.items() if name == rival.method}
    for name in config.method:
        if name in METHODS and name not in own:
            raise ConfigError(f"--method {name} does not go with this task's experts; choose from {', '.join(own)}")
    check_names(config.method, own, "method")
    return replace(config, rivals=list(dict.fromkeys([*config.rivals, *config.method])), method=[])


def check_seeds(rivals: list[str], seeds: list[int]) -> None:
    """Raises ConfigError where there is no rival or no seed, or a seed is not usable."""
    if not rivals or not seeds:
        raise ConfigError("--rivals and --seeds: name at least one of each")
    for seed in seeds:
        check_seed(seed)


def check_numbers(config: Any, positive: tuple[str, ...], not_negative: tuple[str, ...]) -> None:
    """Raises ConfigError for an option with which there is nothing to train."""
    for name in (*positive, *not_negative):
        value = getattr(config, name)
        _check_number(f"--{name.replace('_', '-')} {value}", value, name in positive)


def check_rates(rates: Mapping[str, float], rivals: Mapping[str, Rival], option: str, positive: bool) -> None:
    """Raises ConfigError for a rate of a rival that is not known or not trained, or with which nothing is trained."""
    check_names([*map(str, rates)], rivals, option)
    for name, rate in rates.items():
        if not trained_together(rivals[name]):
            raise ConfigError(f"--{option} {name}: {name} is not trained itself; name the rivals of its experts")
        _check_number(f"--{option} {name}: {rate}", rate, positive)


def _check_number(option: str, value: Any, positive: bool) -> None:
    if not isinstance(value, int | float):
        raise ConfigError(f"{option} is no number; give one")
    if positive and not value > 0:
        raise ConfigError(f"{option} trains nothing; give more than 0")
    if not value >= 0:
        raise ConfigError(f"{option} is negative; give 0 or more")
