"""What a shell completes: commands, scenarios, policies, engines, and the keys of `--set`."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from glbdes.cli.output import say

SHELLS: Final = ("bash", "zsh", "fish")
NAMED: Final = ("regions", "gateways", "slo")  # tables whose entries have names of the user's
BASH_KEYS: Final = """\
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace

    return 0"""  # no blank behind a key
BASH_WORDS: Final = "COMP_WORDBREAKS=${COMP_WORDBREAKS//=}  # key=value is one word"
Items = list[CompletionItem[str]] | list[str]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete glbdes: commands, scenarios, policies, and the keys of --set.

    \b
    bash: eval "$(glbdes completion bash)"   in ~/.bashrc
    zsh:  eval "$(glbdes completion zsh)"    in ~/.zshrc, behind compinit
    fish: glbdes completion fish > ~/.config/fish/completions/glbdes.fish
    """
    of = get_completion_class(shell)
    assert of is not None
    made = of(click.Group("glbdes"), {}, "glbdes", "_GLBDES_COMPLETE")
    script = (of.source_template % made.source_vars()).strip()
    say(script.replace("    return 0", BASH_KEYS, 1) + f"\n{BASH_WORDS}" if shell == "bash" else script)


def attach(group: click.Group) -> None:
    """Let every parameter of the commands in `group` that takes such a name complete it."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            attach(command)
        for parameter in command.params:
            found = COMPLETERS.get(parameter.name or "")
            if found is not None and isinstance(parameter.type, click.types.StringParamType):
                parameter._custom_shell_complete = found


def _scenarios(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    from glbdes import resources

    shipped = [CompletionItem(name) for name in resources.shipped("scenarios") if name.startswith(begun)]
    return [CompletionItem(begun, type="file"), *shipped]  # bash forgets what came before a file


def _policies(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Built-in ones; of a list with commas, the last is completed."""
    from glbdes import policy

    done, comma, last = begun.rpartition(",")
    return [CompletionItem(f"{done}{comma}{name}") for name in policy.BUILT_IN if name.startswith(last)]


def _engines(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    from glbdes.scenario import schema

    return [CompletionItem(name) for name in schema.schema()["properties"]["engine"]["enum"] if name.startswith(begun)]


def _settings(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """`key.path=` of a scenario; behind the equals sign its values, where there are few."""
    from glbdes.scenario import schema

    document = schema.schema()
    key, equals, value = begun.partition("=")
    if not equals:
        return [
            CompletionItem(f"{path}=", help=entry.get("description"))
            for path, entry in _keys(document, document["$defs"])
            if path.startswith(key)
        ]
    parts = [("*" if i == 1 else part) for i, part in enumerate(key.split("."))]
    path = ".".join(parts) if parts[0] in NAMED else key
    entry = dict(_keys(document, document["$defs"])).get(path, {})
    options = ["true", "false"] if entry.get("type") == "boolean" else [str(one) for one in entry.get("enum", ())]
    return [CompletionItem(f"{key}={option}") for option in options if option.startswith(value)]


def _keys(table: dict[str, Any], known: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(key.path, its schema) of all values in `table`; `*` stands for each entry of the user's own names."""
    for key, entry in table.get("properties", {}).items():
        below = entry
        place = f"{path}{key}"
        if not path and key in NAMED:
            (below,) = entry["patternProperties"].values()
            place += ".*"
        if "$ref" in below:
            yield from _keys(known[below["$ref"].rpartition("/")[2]], known, f"{place}.")
        else:
            yield place, entry


COMPLETERS: Final[dict[str, Callable[[click.Context, click.Parameter, str], Items]]] = {
    "scenario": _scenarios,
    "policy": _policies,
    "policies": _policies,
    "engine": _engines,
    "overrides": _settings,
}
