"""The reference of commands, a page of Markdown made from the parsers themselves."""

import argparse
from collections.abc import Iterator

PROGRAMS = ("stir", "tune-jobs", "stir-analysis")


def parser_of(program: str, command: str | None = None) -> argparse.ArgumentParser:
    """The parser of a program; ``stir-analysis`` fills in only the command that is asked for."""
    import analysis.cli
    import stir.cli
    import tune_jobs.cli

    if program == "stir-analysis":
        return analysis.cli._parser([command] if command in analysis.cli.COMMANDS else [])
    return {"stir": stir.cli, "tune-jobs": tune_jobs.cli}[program]._parser()


def commands_of(program: str) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a program's commands, each with all its options."""
    return {
        name: _subparsers(parser_of(program, name))[name]
        for name in _subparsers(parser_of(program))
    }


def reference() -> str:
    """A page with every command: what it does, its options, an example."""
    return "\n".join(["# Commands", "", *(line for name in PROGRAMS for line in _program(name))])


def _program(program: str) -> Iterator[str]:
    yield f"## {program}"
    yield ""
    yield _sentence(parser_of(program).description)
    yield ""
    for name, parser in commands_of(program).items():
        yield f"### {program} {name}"
        yield ""
        yield _sentence(parser.description)
        yield ""
        yield "| argument | what it is |"
        yield "|---|---|"
        for action in parser._actions:
            if action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
                yield f"| {_names(action)} | {_text(_help(parser, action))} |"
        yield ""
        if parser.epilog:
            yield "```text"
            yield parser.epilog
            yield "```"
            yield ""


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _names(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    value = "" if action.nargs == 0 else metavar
    if action.choices:
        value = f"{{{','.join(map(str, action.choices))}}}"
    names = [f"{name} {value}".strip() for name in action.option_strings] or [value]
    return ", ".join(f"`{name}`" for name in names).replace("|", "\\|")


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help of an argument with its placeholders filled in, as the terminal shows it."""
    return parser._get_formatter()._expand_help(action) if action.help else ""


def _sentence(text: str | None) -> str:
    return _text(" ".join((text or "").split()))


def _text(text: str) -> str:
    """Text whose characters mean nothing to Markdown."""
    for character in "\\|*<>":
        text = text.replace(character, f"\\{character}")
    return text
