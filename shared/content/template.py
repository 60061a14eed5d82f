"""A template is compiled once, in a sandbox that can only fill in values.

No globals, no filter that can grow its input, no `*` or `**`: a stored text can neither read what it was not
given nor burn a worker. A name that does not exist is an error, never an empty space in a message.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shared.content.facts import Rendered, one_line

_FILTERS = (
    "abs",
    "capitalize",
    "default",
    "e",
    "escape",
    "first",
    "join",
    "last",
    "length",
    "lower",
    "title",
    "trim",
    "upper",
)
_MAX_SOURCE = 200_000


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


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    subject: Callable[[Mapping[str, Any]], str]
    text: Callable[[Mapping[str, Any]], str]
    html: Callable[[Mapping[str, Any]], str] | None

    def render(self, values: Mapping[str, Any]) -> Rendered:
        """Raises jinja2.TemplateError when a name is missing or the sandbox refuses an access."""
        html = None if self.html is None else _ascii_markup(self.html(values))
        return Rendered(one_line(self.subject(values)), self.text(values), html)


def compile_template(source: TemplateSource) -> CompiledTemplate:
    return CompiledTemplate(
        _compiled(_PLAIN, "subject", source.subject),
        _compiled(_PLAIN, "text", _ended(source.text)),
        None if source.html is None else _compiled(_MARKUP, "html", _ended(source.html)),
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
        return sandbox.from_string(source).render
    except TemplateError as error:
        raise TemplateRefused(part, getattr(error, "lineno", None), str(error)) from error


def _ascii_markup(html: str) -> str:
    """The same page with character references: goes through every server unencoded, which halves a mail's cost."""
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _ended(source: str) -> str:
    return source.rstrip() + "\n"
