"""Options of the command line: a typed signature or dataclass is the parser.

A file given by `--config` holds the options of one verb, or a section for each of several::

    prepare: {split: volume}
    train: {batch_size: 16, seeds: [1, 2]}

What is typed wins over the file, wherever `--config` stands.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter, Namespace

from knee_i2m2.errors import ConfigError

__all__ = ["parse"]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE)


def parse(
    name: str, target: Callable, arguments: Sequence[str], sections: Collection[str] = ()
) -> tuple[list, dict[str, Any], bool]:
    """Returns positional arguments, arguments by name, and whether `--json` was asked for.

    Args:
        name: Command, for the usage line.
        target: Its positional-only parameters become positional arguments, its other ones options. Where it has a
            parameter `config`, a dataclass, the fields of this are the options, on the command line and in a file.
        arguments: What was typed behind the command.
        sections: Verbs whose options a file may hold in sections.

    Raises:
        ConfigError: A sentence, with a suggestion for what is unknown.
    """
    config = typing.get_type_hints(target).get("config")
    source, positionals = config or target, _positionals(target)
    about = {"description": _summary(source), "formatter_class": _Formatter}
    parser = _Parser(prog=name, **about, exit_on_error=False, allow_abbrev=False)
    for argument, hint in positionals.items():
        many = typing.get_origin(hint) is list
        kind = typing.get_args(hint)[0] if many else hint
        parser.add_argument(argument, type=kind, **({"nargs": "+"} if many else {}))
    if config:
        parser.add_argument(
            "--config", action=ActionConfigFile, help="YAML file with these options, or verbs' sections"
        )
        parser.add_class_arguments(config, as_group=False)
    else:
        parser.add_function_arguments(target, skip=set(positionals), as_group=False, as_positional=False)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.sections, parser.typed = sections, _config_first(_typed(list(arguments), source, bool(positionals)))
    given = parser.parse_args(parser.typed)
    for option in _broken_groups(source, given):
        parser.error(f"--{option}: Expected its own options by name. Got value: {given[option]}")
    parsed = vars(parser.instantiate(given))
    values = [parsed.pop(argument) for argument in positionals]
    parsed.pop("config", None)
    as_json = parsed.pop("json")
    return values, {"config": config(**parsed)} if config else parsed, as_json


class _Parser(ArgumentParser):
    """A parser whose errors are sentences and whose options are written with dashes.

    Attributes:
        typed: The arguments.
        sections: Verbs whose options a file may hold in sections.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.typed: list[str] = []
        self.sections: Collection[str] = ()

    def error(self, message: str, ex: Exception | None = None) -> typing.NoReturn:
        hint = self._suggestion(message) or self._where_to_put(message) or self._what_is_missing(message)
        raise ConfigError(f"{_plain(message)}{hint}{self._file_at_fault(message)} (see {self.prog} --help)")

    def parse_string(self, content: str, *arguments: Any, **options: Any) -> Namespace:
        """Returns the options in a file's content."""
        file = next((path for path in self._files if Path(path).name == options.get("path")), "the file")
        content = _section(content, self.prog, self.sections, file)
        return super().parse_string(content, *arguments, **options)

    def format_help(self) -> str:
        text = re.sub(r", --[\w.]+\+ \[ITEM,\.\.\.\]| \{true,false\}", "", super().format_help())
        return re.sub(r"--[\w.]+", lambda option: option[0].replace("_", "-"), text.replace("[ITEM,...]", "ITEM ..."))

    @property
    def _files(self) -> list[str]:
        return [value for option, value in pairwise(self.typed) if option == "--config" and Path(value).is_file()]

    def _file_at_fault(self, message: str) -> str:
        """Returns the file that cannot be read, or that names an option of the message which was not typed."""
        typed = {argument.partition("=")[0][2:] for argument in self.typed}
        named = {name.replace("-", "_") for name in re.findall(r"(?:--|[\"'])([\w.-]+)", message)} - typed
        for path in self._files:
            try:
                keys = {*_keys(yaml.safe_load(Path(path).read_text(encoding="utf-8")), self.sections)}
            except (yaml.YAMLError, UnicodeDecodeError, ValueError):
                return f", in {path}"
            if named & keys:
                return f", in {path}"
        return ""

    def _what_is_missing(self, message: str) -> str:
        """Returns what the options are that are required."""
        if "required" not in message:
            return ""
        asked = {a.dest: " ".join(a.help.split()).rstrip(".") for a in self._actions if a.option_strings}
        missing = {name: about for name, about in asked.items() if re.search(rf"[ ,]{re.escape(name)}\b", message)}
        return "".join(f"; --{name.replace('_', '-')}: {about}" for name, about in missing.items())

    def _suggestion(self, message: str) -> str:
        known = [name for action in self._actions for name in action.option_strings if name[-1] != "+"]
        unknown = [a or f"--{b}" for a, b in re.findall(r"(--[\w.]+)|Option '([\w-]+)'", message)]
        guesses = [
            guess for name in unknown if name not in known for guess in difflib.get_close_matches(name, known, n=1)
        ]
        return f"; did you mean {guesses[0].replace('_', '-')}?" if guesses else ""

    def _where_to_put(self, message: str) -> str:
        """Returns what to do where a list option has taken the positional arguments."""
        places = [a.dest.upper() for a in self._actions if not a.option_strings and a.dest in message]
        lists = [a.partition("=") for a in self.typed if re.match(r"--[\w.]+=\[", a)]
        if "required" not in message or not places or not lists:
            return ""
        option, _, values = lists[-1]
        return f"; {option.replace('_', '-')} has taken {values}: put {' '.join(places)} before the options"


class _Formatter(DefaultHelpFormatter):
    """Help without the types of Python."""

    def _expand_help(self, action: Any) -> str:
        text = re.sub(r"\((required, )?type: .*?(, default: (.*))?\)$", _default, super()._expand_help(action))
        return text.replace("(default: null)", "").rstrip()


def _default(match: re.Match[str]) -> str:
    values = re.sub(r"[\[\]',]", "", match[3] or "")
    return "(required)" if match[1] else f"(default: {values})" if values else ""


def _keys(content: Any, sections: Collection[str]) -> Iterator[str]:
    """Yields the options in a file, at all depths; raises ValueError where there is something else."""
    if not isinstance(content, dict):
        raise ValueError
    for key, value in content.items():
        yield str(key).replace("-", "_")
        if isinstance(value, dict) or key in sections:
            yield from _keys(value, ())


def _section(content: str, command: str, verbs: Collection[str], file: str) -> str:
    """Returns the section of a file for a command such as `knee-i2m2 train knee`, as YAML; all where none has one."""
    try:
        root = yaml.compose(content)
    except yaml.YAMLError:
        return content  # the parser reports the line
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    nodes = {str(key.value): value for key, value in pairs}
    sections = [name for name in nodes if name in verbs and not isinstance(nodes[name], yaml.ScalarNode)]
    if not sections:
        return content
    verb = command.split()[1]
    for name in nodes:
        if name not in sections:
            beside = f"{name} stands beside the sections {', '.join(sections)}"
            raise ConfigError(f"--config: {beside}; put it into one, in {file}")
    if verb not in sections:
        others = f"the file has sections for {', '.join(sections)}, but none for {verb}"
        raise ConfigError(f"--config: {others}; add {verb}: to {file}")
    return yaml.serialize(nodes[verb])


def _plain(message: str) -> str:
    """Returns a parser's message on one line, with options as they are typed."""
    text = re.sub(r"\s+", " ", message.strip()).rstrip(".").replace(' in "<unicode string>",', " in")
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


def _is_numbers(hint: Any) -> bool:
    """Returns whether a type is a list or tuple of nothing but numbers, or a choice of one."""
    if typing.get_origin(hint) in (list, tuple):
        return all(kind in (int, float, ...) for kind in typing.get_args(hint))
    return any(map(_is_numbers, typing.get_args(hint)))


def _broken_groups(source: Any, given: Namespace) -> list[str]:
    """Returns the options that are dataclasses, and for which something else was given."""
    hints = typing.get_type_hints(source)
    return [n for n, hint in hints.items() if dataclasses.is_dataclass(hint) and not isinstance(given[n], Namespace)]


def _config_first(arguments: list[str]) -> list[str]:
    """Returns the arguments with every `--config FILE` in front: what is parsed later wins."""
    front, rest, left = [], [], iter(arguments)
    for argument in left:
        if argument == "--":
            return [*front, *rest, argument, *left]
        option, equals, value = argument.partition("=")
        if option != "--config":
            rest.append(argument)
        elif equals or (value := next(left, None)) is not None:
            front += [option, _shipped(value)]
        else:
            front.append(option)  # the parser asks for the file
    return front + rest


def _shipped(file: str) -> str:
    """Returns where a file of options lies: as given, or else of that name beside the recipes of the package."""
    own = Path(find_spec("knee_i2m2.recipes").submodule_search_locations[0]) / file
    return str(own) if Path(file).name == file and not Path(file).exists() and own.is_file() else file


def _values(arguments: list[str], numbers: bool) -> list[str]:
    """Takes away the values of a list: at least one, up to the next option or, of `numbers`, to what is none."""
    values = []
    while arguments and not re.match(r"--|-[a-zA-Z]", arguments[0]):
        if values and numbers and not _NUMBER.match(arguments[0]):
            break
        values.append(arguments.pop(0))
    return values


def _typed(arguments: list[str], source: Any, positionals: bool) -> list[str]:
    """Returns the arguments as the parser reads them.

    Names get underscores, `--seeds 0 1 2` becomes `--seeds=[0, 1, 2]`, and a bare `--resume` `--resume=true`. Where
    there are `positionals`, a list of numbers ends before them; whether a word still belongs to a list is ambiguous.
    """
    lists, flags = _names(source, _is_list), _names(source, lambda hint: hint is bool)
    numbers = _names(source, _is_numbers) if positionals else set()
    typed: list[str] = []
    while arguments:
        name, equals, value = arguments.pop(0).partition("=")
        name = f"--{name[2:].replace('-', '_')}" if name.startswith("--") else name
        if name in lists and not equals:
            values = _values(arguments, name in numbers)
            if values:  # else the parser asks for them
                equals, value = "=", values[0] if values[0].startswith("[") else f"[{', '.join(values)}]"
        elif name in flags and not equals and (not arguments or arguments[0].lower() not in ("true", "false")):
            equals, value = "=", "true"
        typed.append(name + equals + value)
    return typed
