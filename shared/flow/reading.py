"""Flows as YAML text. YAML 1.2 words: `on` is a word and not true, `08:30` is text and not a number."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from shared.flow.spec import Flow

LONGEST_TEXT = 262_144
SHIPPED = ("standard", "gentle", "strict")


class FlowTextError(ValueError):
    """The text is not the YAML of a flow; the message says where and why."""


class _Loader(yaml.SafeLoader):
    """SafeLoader without YAML 1.1's surprises, without aliases (they multiply), without repeated keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own class attribute)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise FlowTextError(f"line {self.line + 1}: references (*name) are not allowed")
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it out
        if getattr(event, "tag", None) is not None:
            raise FlowTextError(f"line {self.line + 1}: types (!!name) are not allowed; they are read from the value")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise FlowTextError(f"line {key.start_mark.line + 1}: a key must be a word")
            if key.value in seen:
                raise FlowTextError(f"line {key.start_mark.line + 1}: '{key.value:.40}' is given twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?[0-9]+\.[0-9]+", "-0123456789"),
    ("null", r"~|null|", ["~", "n", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read_yaml(text: str) -> dict[str, Any]:
    """The mapping that `Flow.parse` takes."""
    if len(text) > LONGEST_TEXT:
        raise FlowTextError(f"a flow has at most {LONGEST_TEXT} characters")
    try:
        data = yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise FlowTextError(f"line {line}: {error.problem}") from None
    except FlowTextError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: a number of thousands of digits
        raise FlowTextError("the text is not YAML") from None
    if not isinstance(data, dict):
        raise FlowTextError("a flow is a mapping that starts with name: and steps:")
    return data


def write_yaml(flow: Flow) -> str:
    """The page of a flow, in the words of the language; `read_yaml` reads it back without loss."""
    return yaml.safe_dump(flow.to_dict(), sort_keys=False, allow_unicode=True, width=120)


def standard() -> Flow:
    """The flow that an invoice follows when it names none."""
    return shipped()["standard"]


@cache
def shipped() -> dict[str, Flow]:
    """The flows that work without configuration, by name."""
    found = (read_yaml(files("shared.flow").joinpath(f"{name}.yaml").read_text("utf-8")) for name in SHIPPED)
    return {flow.name: flow for flow in map(Flow.parse, found)}
