"""Options of the command line: a typed signature or dataclass is the parser."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from knee_i2m2.errors import ConfigError

__all__ = ["parse"]


def parse(name: str, target: Callable, arguments: Sequence[str], config: type | None = None) -> tuple[list, dict, bool]:
    """Returns positional values, options by name, and whether `--json` was asked for.

    Args:
        name: Command, for the usage line.
        target: Its positional-only parameters become positional arguments, its other ones options.
        arguments: What was typed behind the command.
        config: Dataclass whose fields become options and YAML keys in place of the target's; `options` is then one.

    Raises:
        ConfigError: A sentence, with a suggestion for what is unknown.
    """
    parser = _Parser(prog=name, description=_summary(config or target), exit_on_error=False, allow_abbrev=False)
    positionals = _positionals(target)
    for argument, hint in positionals.items():
        many = typing.get_origin(hint) is list
        kind = typing.get_args(hint)[0] if many else hint
        parser.add_argument(argument, type=kind, **({"nargs": "+"} if many else {}))
    source, skip = config or target, set(positionals)
    if config:
        parser.add_argument("--config", action=ActionConfigFile, help="YAML file with these options")
        parser.add_class_arguments(config, as_group=False)
    else:
        parser.add_function_arguments(source, skip=skip, as_group=False, as_positional=False)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parsed = vars(parser.instantiate(parser.parse_args(_typed(list(arguments), source))))
    values = [parsed.pop(argument) for argument in positionals]
    parsed.pop("config", None)
    return values, parsed, parsed.pop("json")


class _Parser(ArgumentParser):
    """A parser whose errors are sentences and whose options are written with dashes."""

    def error(self, message: str, ex: Exception | None = None) -> typing.NoReturn:
        raise ConfigError(f"{_plain(message)}{self._suggestion(message)} (see {self.prog} --help)")

    def format_help(self) -> str:
        return re.sub(r"--[\w.]+", lambda option: option[0].replace("_", "-"), super().format_help())

    def _suggestion(self, message: str) -> str:
        known = [name for action in self._actions for name in action.option_strings if name[-1] != "+"]
        unknown = [a or f"--{b}" for a, b in re.findall(r"(--[\w.]+)|Option '([\w-]+)'", message)]
        guesses = [
            guess for name in unknown if name not in known for guess in difflib.get_close_matches(name, known, n=1)
        ]
        return f"; did you mean {guesses[0].replace('_', '-')}?" if guesses else ""


def _plain(message: str) -> str:
    """Returns a parser's message on one line, with options as they are typed."""
    text = re.sub(r"\s+", " ", message.strip()).rstrip(".")
    text = re.sub(r'Parser key "([\w.]+)"', r"--\1", text).replace("<class '", "").replace("'>", "")
    text = re.sub(r"(?<=Expected )a typing\.Literal\[(.*?)\]", r"one of \1", text)
    text = re.sub(r"Does not validate .*? Subtypes: \[(.*?)\] .* (?=Given value: )", r"Expected one of \1. ", text)
    return re.sub(r"--[\w.]+", lambda option: option[0].replace("_", "-"), text)


def _summary(target: Any) -> str:
    return (inspect.getdoc(target) or "").split("\n\n")[0]


def _positionals(target: Callable) -> dict[str, Any]:
    """Returns positional-only parameters with their types."""
    hints = typing.get_type_hints(target)
    parameters = inspect.signature(target).parameters.values()
    return {p.name: hints[p.name] for p in parameters if p.kind is p.POSITIONAL_ONLY}


def _names(source: Any, wanted: Callable[[Any], bool]) -> set[str]:
    """Returns the options of a signature or dataclass whose type is wanted, nested ones with their dots."""
    hints = typing.get_type_hints(source)
    nested = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    inner = {f"--{name}.{option[2:]}" for name, hint in nested.items() for option in _names(hint, wanted)}
    return {f"--{name}" for name, hint in hints.items() if wanted(hint)} | inner


def _is_list(hint: Any) -> bool:
    """Returns whether a type, or a choice in it, is a list or tuple."""
    return typing.get_origin(hint) in (list, tuple) or any(map(_is_list, typing.get_args(hint)))


def _typed(arguments: list[str], source: Any) -> list[str]:
    """Returns the arguments as the parser reads them.

    Names get underscores, `--seeds 0 1 2` becomes `--seeds=[0, 1, 2]`, and a bare `--resume` `--resume=true`.
    """
    lists, flags = _names(source, _is_list), _names(source, lambda hint: hint is bool)
    typed: list[str] = []
    while arguments:
        name, equals, value = arguments.pop(0).partition("=")
        name = f"--{name[2:].replace('-', '_')}" if name.startswith("--") else name
        if name in lists and not equals:
            values = []
            while arguments and not re.match(r"--|-[a-zA-Z]", arguments[0]):
                values.append(arguments.pop(0))
            if values:  # else the parser asks for them
                equals, value = "=", values[0] if values[0].startswith("[") else f"[{', '.join(values)}]"
        elif name in flags and not equals and (not arguments or arguments[0].lower() not in ("true", "false")):
            equals, value = "=", "true"
        typed.append(name + equals + value)
    return typed
