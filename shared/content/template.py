"""A template is compiled once, in a sandbox that can only fill in values.

No globals, no calls, no variables of its own, no loop in a loop, no filter that can grow its input, no `*`: a stored
text can neither read what it was not given nor burn a worker. A name that does not exist is an error, never an empty
space in a message.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.content.facts import Rendered, one_line
from shared.content.pictures import asks_first, named_in

_FILTERS = (
    "abs",
    "capitalize",
    "default",
    "e",
    "escape",
    "first",
    "last",
    "length",
    "lower",
    "title",
    "trim",
    "upper",
)
_MAX_SOURCE = 200_000
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.Call: "calls are not available; use a filter, such as {{ name|upper }}",
    nodes.Assign: "{% set %} is not available; write the value where it is needed",
    nodes.AssignBlock: "{% set %} is not available; write the value where it is needed",
    nodes.With: "{% with %} is not available; write the value where it is needed",
    nodes.Concat: "~ is not available; write the parts side by side",
    nodes.Macro: "macros are not available",
    nodes.CallBlock: "macros are not available",
    nodes.Block: "blocks are not available",
    nodes.EvalContextModifier: "{% autoescape %} is not available; what is filled in is always escaped",
    nodes.Extends: "another template cannot be used from here",
    nodes.Include: "another template cannot be used from here",
    nodes.Import: "another template cannot be used from here",
    nodes.FromImport: "another template cannot be used from here",
}


class TemplateRefused(ValueError):
    """A template that does not compile or uses what it must not: `part`, `line` and the reason."""

    def __init__(self, part: str, line: int | None, reason: str) -> None:
        super().__init__(f"{part}{f' line {line}' if line else ''}: {reason}")
        self.part, self.line, self.reason = part, line, reason


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """What an operator writes; `html` is None where the channel shows none."""

    subject: str
    text: str
    html: str | None = None


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def refuse_what_burns(self, part: str, source: str) -> None:
        """Raises TemplateRefused at the first thing that no text needs."""
        tree = self.parse(source)
        for kind, reason in _REFUSED.items():
            for node in tree.find_all(kind):
                raise TemplateRefused(part, node.lineno, reason)
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise TemplateRefused(part, loop.lineno, "a loop cannot call itself")
            for inner in loop.find_all(nodes.For):
                raise TemplateRefused(part, inner.lineno, "a loop in a loop is not available")
        for sum_ in tree.find_all(nodes.Add):
            raise TemplateRefused(part, sum_.lineno, "+ is not available; write the parts side by side")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        raise SecurityError(f"operator {operator} is not available in a template")


def _sandbox(*, autoescape: bool) -> _Sandbox:
    made = _Sandbox(
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        cache_size=0,
    )
    made.filters = {name: made.filters[name] for name in _FILTERS}
    made.globals = {}
    return made


_PLAIN = _sandbox(autoescape=False)
_MARKUP = _sandbox(autoescape=True)


def names_in(source: str) -> list[tuple[str, int]]:
    """(name, line) of all that a text asks for; of a text that compiles."""
    tree = _PLAIN.parse(source)
    given = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}
    given |= {"loop" for _ in tree.find_all(nodes.For)}
    return [(node.name, node.lineno) for node in tree.find_all(nodes.Name) if node.name not in given]


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    subject: Callable[[Mapping[str, Any]], str]
    text: Callable[[Mapping[str, Any]], str]
    html: Callable[[Mapping[str, Any]], str] | None
    wording: str = ""
    pictures: tuple[str, ...] = ()  # that its html may show
    asks_first: bool = False  # and only where there is a logo

    def render(self, values: Mapping[str, Any]) -> Rendered:
        """Raises jinja2.TemplateError when a name is missing or the sandbox refuses an access."""
        html = None if self.html is None else _ascii_markup(self.html(values))
        return Rendered(one_line(self.subject(values)), self.text(values), html, wording=self.wording)


def compile_template(source: TemplateSource, wording: str = "") -> CompiledTemplate:
    """`wording`: what the messages made of it will say that they are made of."""
    return CompiledTemplate(
        _compiled(_PLAIN, "subject", source.subject),
        _compiled(_PLAIN, "text", _ended(source.text)),
        None if source.html is None else _compiled(_MARKUP, "html", _ended(source.html)),
        wording,
        named_in(source.html or ""),
        asks_first(source.html or ""),
    )


def compile_value(
    part: str, source: str, names: Set[str], escape: Callable[[Any], Any] = str
) -> Callable[[Mapping[str, Any]], str]:
    """One value of a request to an API: it may use these names, and what each expression gives passes `escape`."""
    made = _compiled(_escaping(escape), part, source)
    unknown = sorted(find_undeclared_variables(_PLAIN.parse(source)) - names)
    if unknown:
        raise TemplateRefused(part, None, f"{unknown[0]!r} is not available; there are {', '.join(sorted(names))}")
    return made


@cache
def _escaping(escape: Callable[[Any], Any]) -> _Sandbox:
    made = _sandbox(autoescape=False)
    made.finalize = escape
    return made


def _compiled(sandbox: _Sandbox, part: str, source: str) -> Callable[[Mapping[str, Any]], str]:
    if len(source) > _MAX_SOURCE:
        raise TemplateRefused(part, None, f"longer than {_MAX_SOURCE} characters")
    try:
        sandbox.refuse_what_burns(part, source)
        return sandbox.from_string(source).render
    except (RecursionError, MemoryError, SyntaxError, OverflowError):
        raise TemplateRefused(part, None, "too deeply nested") from None
    except ValueError as error:
        if isinstance(error, TemplateRefused):
            raise
        raise TemplateRefused(part, None, "a number in it is too long") from None
    except TemplateError as error:
        raise TemplateRefused(part, getattr(error, "lineno", None), str(error)) from error


def _ascii_markup(html: str) -> str:
    """The same page with character references: goes through every server unencoded, which halves a mail's cost."""
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _ended(source: str) -> str:
    return source.rstrip() + "\n"
