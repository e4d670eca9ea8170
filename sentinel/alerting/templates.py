"""Message templates: a small, safe part of Jinja2, and Alertmanager's simple `{{ .a.b }}` form.

A template is text from the configuration, written perhaps by a tenant, and runs inside a worker. It may show, compare, loop and filter; it
may not call, assign, define or import. What is left can neither run for long nor grow: source, loops, depth and output are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import ChainableUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SOURCE = 16_384
MAX_TITLE = 300
MAX_TEXT = 8_192
MAX_VALUE = 2_000
"""Longest value (characters) that a template sees."""
MAX_LOOPS = 2
"""Loops inside each other; each runs over at most the alerts of a notification or the labels of one."""

_FILTERS = ["abs", "capitalize", "default", "d", "escape", "e", "first", "float", "int", "last"]
_FILTERS += ["length", "count", "lower", "round", "sort", "title", "trim", "truncate", "upper", "urlencode"]
_NODES = ["Template", "Output", "TemplateData", "Name", "Const", "Getattr", "Getitem", "Slice", "If", "CondExpr", "For"]
_NODES += ["Filter", "Test", "Compare", "Operand", "And", "Or", "Not", "Add", "Sub", "Concat", "Keyword"]
_SIMPLE_FORM = re.compile(r"\{\{(-?)\s*\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(-?)\}\}")
_GO_NAMES = {
    "Status": "status",
    "Receiver": "receiver",
    "Alerts": "alerts",
    "GroupLabels": "groupLabels",
    "CommonLabels": "commonLabels",
    "CommonAnnotations": "commonAnnotations",
    "ExternalURL": "externalURL",
    "Labels": "commonLabels",
    "Annotations": "commonAnnotations",
}

DEFAULT_TITLE = (
    "[{{ status | upper }}{% if status == 'firing' %}:{{ firing }}{% endif %}] {{ severity | upper }} "
    "{{ commonAnnotations.summary | default(anomaly.title, true) | default(definition.name, true) }}"
    "{% if anomaly.application_id %} ({{ anomaly.application_id }}){% endif %}"
)
DEFAULT_TEXT = """\
{% if definition.description %}{{ definition.description }}
{% endif %}Tenant {{ tenant_id }}, definition {{ definition.name }}, {{ count }} occurrence{{ '' if count == 1 else 's' }} \
since {{ starts_at }}.
{% for alert in alerts %}
{{ alert.status }} {{ alert.labels.severity }}: {{ alert.annotations.summary | default(alert.labels.alertname, true) }}
{% if alert.annotations.description %}  {{ alert.annotations.description }}
{% endif %}  application {{ alert.labels.application_id | default('-', true) }}, detector {{ alert.labels.detector_id }}\
{% if alert.labels.model %}, model {{ alert.labels.model }}{% endif %}, since {{ alert.startsAt }}
{% endfor %}{% if externalURL %}
{{ externalURL }}/alerts/{{ alert_id }}{% endif %}"""


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=ChainableUndefined, autoescape=False, cache_size=0)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    return environment


_ENVIRONMENT = _environment()


class Template:
    """One compiled template with the longest text (characters) that it may produce.

    Raises:
        ValueError: naming what is not allowed or not understood.
    """

    def __init__(self, source: str, limit: int) -> None:
        tree = parse(source)
        try:
            self._template = _ENVIRONMENT.from_string(tree)
        except (TemplateError, RecursionError, SyntaxError) as error:
            raise _not_a_template(source, error) from None
        self._limit = limit

    def render(self, context: Mapping[str, Any]) -> str:
        """The text, cut at the limit. Raises ValueError when the template fails on these values."""
        parts: list[str] = []
        size = 0
        try:
            # As `Template.generate`, which copies the environment's globals first: there are none.
            for part in self._template.root_render_func(self._template.new_context(dict(context), shared=True)):
                parts.append(part)
                size += len(part)
                if size > self._limit:
                    break
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise ValueError(f"template: {error}") from None
        text = "".join(parts).strip()
        return text if len(text) <= self._limit else text[: self._limit - 1] + "…"


def parse(source: str) -> nodes.Template:
    """The syntax tree, of which nothing can run long, grow or reach out. Raises ValueError as `Template`."""
    if len(source) > MAX_SOURCE:
        raise ValueError(f"template: expected at most {MAX_SOURCE} characters, found {len(source)}")
    try:
        tree = _ENVIRONMENT.parse(_SIMPLE_FORM.sub(_translate, source))
        _check(tree, loops=0)
    except (TemplateError, RecursionError, SyntaxError) as error:
        raise _not_a_template(source, error) from None
    return tree


def as_written(name: str, source: str) -> str:
    """A name of the tree as the template's author wrote it: `.Labels` is `commonLabels` in the tree."""
    head, *rest = name.split(".")
    written = next((go for go, ours in _GO_NAMES.items() if ours == head and f".{go}" in source and head not in source), head)
    return ".".join([written, *rest])


def _not_a_template(source: str, error: BaseException) -> ValueError:
    return ValueError(f"template: expected Jinja2 or {{{{ .a.b }}}}, found {source[:80]!r} ({error})")


def _translate(found: re.Match[str]) -> str:
    head, *rest = found[2].split(".")
    return f"{{{{{found[1]} {'.'.join([_GO_NAMES.get(head, head), *rest])} {found[3]}}}}}"


def _check(node: nodes.Node, loops: int) -> None:
    if type(node).__name__ not in _NODES:
        raise TemplateError(f"line {node.lineno}: {type(node).__name__.lower()} is not allowed in a message template")
    if isinstance(node, nodes.For):
        loops += 1
        if loops > MAX_LOOPS or node.recursive or not isinstance(node.iter, nodes.Name | nodes.Getattr):
            raise TemplateError(f"line {node.lineno}: expected at most {MAX_LOOPS} nested loops, each over alerts or labels")
    for child in node.iter_child_nodes():
        _check(child, loops)


class MessageTemplate:
    """Title and text of a definition's notifications. A template that fails on some values gives way to the default one."""

    def __init__(self, title: str = DEFAULT_TITLE, text: str = DEFAULT_TEXT) -> None:
        self._title = Template(title, MAX_TITLE)
        self._text = Template(text, MAX_TEXT)

    @classmethod
    def of_actions(cls, actions: list[dict[str, Any]]) -> MessageTemplate:
        """From the `title` and `text` of the first notification action that has them; else the default ones."""
        titles = [str(action["title"]) for action in actions if action.get("title")]
        texts = [str(action["text"]) for action in actions if action.get("text")]
        if not titles and not texts:
            return DEFAULT_TEMPLATE
        return cls((titles or [DEFAULT_TITLE])[0], (texts or [DEFAULT_TEXT])[0])

    def render(self, context: Mapping[str, Any]) -> tuple[str, str]:
        """Title (one line) and text. Never raises: a message in plain words beats none."""
        values = cut(context)
        title = _render(self._title, values, _DEFAULT_TITLE_TEMPLATE)
        return " ".join(title.split()), _render(self._text, values, _DEFAULT_TEXT_TEMPLATE)


def _render(template: Template, context: Mapping[str, Any], fallback: Template) -> str:
    try:
        return template.render(context)
    except ValueError as error:
        return f"{fallback.render(context)}\n({error})"


def cut(value: Any) -> Any:
    """The value with its texts cut to what a template may see."""
    if isinstance(value, str):
        return value if len(value) <= MAX_VALUE else value[:MAX_VALUE]
    if isinstance(value, int | float):
        return value
    if isinstance(value, dict | Mapping):
        # Nearly all are short texts.
        return {name: item if type(item) is str and len(item) <= MAX_VALUE else cut(item) for name, item in value.items()}
    if isinstance(value, list):
        return [cut(item) for item in value]
    return value


_DEFAULT_TITLE_TEMPLATE = Template(DEFAULT_TITLE, MAX_TITLE)
_DEFAULT_TEXT_TEMPLATE = Template(DEFAULT_TEXT, MAX_TEXT)
DEFAULT_TEMPLATE = MessageTemplate()
