"""As much of PromQL as is needed to hold dashboards to the catalogue: who is asked for, inside of what, by which labels."""

import re
from dataclasses import dataclass

AGGREGATIONS = frozenset({"sum", "max", "min", "avg", "count", "topk", "bottomk", "quantile", "group", "stddev"})
RATES = frozenset({"rate", "irate", "increase"})
_WORDS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool"})
_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")|(?P<matchers>\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})|(?P<range>\[[^\]]*\])'
    r"|(?P<name>[A-Za-z_:][\w:]*)|(?P<number>\d[\w.]*)|(?P<mark>[(),])|(?P<space>\s+)|(?P<other>.)"
)
_MATCHER = re.compile(r'(?P<label>\w+)\s*(?P<operator>=~|!~|!=|=)\s*"(?P<value>[^"]*)"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring)\s*\((?P<labels>[^)]*)\)")
_MADE_LABEL = re.compile(r'label_replace\(.*?,\s*"(?P<label>\w+)",\s*"[^"]*",\s*"\w+",', re.DOTALL)


@dataclass(frozen=True)
class Selector:
    """`inside` are the functions and aggregations around it, the outermost first."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    range: str
    inside: tuple[str, ...]

    @property
    def series(self):
        """The family that a histogram's parts belong to."""
        return re.sub(r"(?<=_seconds)_(bucket|count|sum)$", "", self.name)

    @property
    def aggregation(self):
        """The innermost around it, which is what its pods are put together by."""
        return next((name for name in reversed(self.inside) if name in AGGREGATIONS), None)


def selectors(expr):
    """Every selector of an expression, and whatever else stands where one could."""
    tokens = [found for found in _TOKEN.finditer(_without_groupings(expr)) if found.lastgroup != "space"]
    found, around, called = [], [], ""
    for index, token in enumerate(tokens):
        following = tokens[index + 1].group() if index + 1 < len(tokens) else ""
        if token.lastgroup == "name" and token.group() not in _WORDS:
            if following.startswith("("):
                called = token.group()
            else:
                found.append(_selector(token.group(), tokens[index + 1 : index + 3], around))
        elif token.group() == "(":
            around.append(called)
            called = ""
        elif token.group() == ")":
            around.pop()
    return found


def _selector(name, after, around):
    parts = {token.lastgroup: token.group() for token in after}
    has_matchers = bool(after) and after[0].lastgroup == "matchers"
    matchers = tuple(_MATCHER.findall(parts["matchers"])) if has_matchers else ()
    ranged = after[1:2] if has_matchers else after[:1]
    of = ranged[0].group()[1:-1] if ranged and ranged[0].lastgroup == "range" else ""
    return Selector(name, matchers, of, tuple(each for each in around if each))


def _without_groupings(expr):
    """`sum by (le) (x)` as `sum (x)`."""
    return _GROUPING.sub("", expr)


def grouped_by(expr):
    """Every label that an expression groups or joins by."""
    return {label for found in _GROUPING.finditer(expr) for label in re.findall(r"\w+", found["labels"])}


def made_labels(expr):
    """Labels that are not of the series but made in the expression."""
    return {found["label"] for found in _MADE_LABEL.finditer(expr)}
