"""FHIRPath as a tree: an expression is read whole, within bounds, or not at all.

Grammar: FHIRPath 2.0.0 (hl7.org/fhirpath/N1). Dates, times and quantities are left out: no score is made of them.
What stands in a Questionnaire comes from outside: its length, nesting and functions are limited before anything runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.fhirpath_tree import (
    Call,
    Faulty,
    Indexed,
    Literal,
    Member,
    Negative,
    Node,
    Operation,
    Special,
    Typed,
    Variable,
    children,
)

MAX_TEXT: Final = 16_384  # characters; the longest expression that ships has below 2,000
MAX_NODES: Final = 4_000
MAX_DEPTH: Final = 100  # of the tree; Python itself allows about ten times as much

# How many arguments each function takes. What is not here is refused: the clock (now, today), the network (resolve,
# memberOf), regular expressions (matches, replaceMatches: Python's engine backtracks), output (trace).
FUNCTIONS: Final = {
    "empty": (0, 0), "exists": (0, 1), "all": (1, 1), "allTrue": (0, 0), "anyTrue": (0, 0), "allFalse": (0, 0),
    "anyFalse": (0, 0), "count": (0, 0), "distinct": (0, 0), "isDistinct": (0, 0), "not": (0, 0), "hasValue": (0, 0),
    "where": (1, 1), "select": (1, 1), "repeat": (1, 1),
    "single": (0, 0), "first": (0, 0), "last": (0, 0), "tail": (0, 0), "skip": (1, 1), "take": (1, 1),
    "intersect": (1, 1), "exclude": (1, 1), "union": (1, 1), "combine": (1, 1), "iif": (2, 3),
    "toInteger": (0, 0), "toDecimal": (0, 0), "toString": (0, 0), "toBoolean": (0, 0),
    "startsWith": (1, 1), "endsWith": (1, 1), "contains": (1, 1), "indexOf": (1, 1), "substring": (1, 2),
    "upper": (0, 0), "lower": (0, 0), "length": (0, 0),
    "abs": (0, 0), "ceiling": (0, 0), "floor": (0, 0), "truncate": (0, 0), "round": (0, 1), "sqrt": (0, 0),
    "power": (1, 1), "sum": (0, 0), "avg": (0, 0), "min": (0, 0), "max": (0, 0), "aggregate": (1, 2),
    "children": (0, 0), "descendants": (0, 0), "extension": (1, 1), "weight": (0, 0), "ordinal": (0, 0),
}  # fmt: skip

_POWER: Final = {
    "implies": 1, "or": 2, "xor": 2, "and": 3, "in": 4, "contains": 4, "=": 5, "~": 5, "!=": 5, "!~": 5,
    "<": 6, ">": 6, "<=": 6, ">=": 6, "|": 7, "is": 8, "as": 8, "+": 9, "-": 9, "&": 9,
    "*": 10, "/": 10, "div": 10, "mod": 10,
}  # fmt: skip
_CHAINED: Final = frozenset({"|", "+", "&", "and", "or"})  # a | b | c is one node: a hundred linkIds are no depth
_UNARY = 11

_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*|/\*[\s\S]*?\*/)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<text>'(?:[^'\\]|\\.)*')
    |(?P<quoted>`(?:[^`\\]|\\.)*`)
    |(?P<special>\$(?:this|index|total)\b)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign><=|>=|!=|!~|[()\[\]{}.,+\-*/&|=~<>%])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


def parse(text: str) -> Node:
    """Return the tree of an expression; raises StopRun FA107 where it is too large, or not the FHIRPath read here."""
    if len(text) > MAX_TEXT:
        raise StopRun("FA107", f"the expression is longer than {MAX_TEXT} characters.", "Split it into variables.")
    return _Parser(list(_tokens(text))).whole()


def parsed(text: str, name: str = "") -> Node:
    """Return the tree of an expression, or of one that cannot be read the reason. name: what it is called by."""
    try:
        return parse(text)
    except StopRun as fault:
        return Faulty(text, f"{name}{': ' if name else ''}{fault.message}", fault.hint)


def unquoted(text: str) -> str:
    """Return what a quoted text or name says, its escapes resolved."""
    return _ESCAPE.sub(
        lambda found: chr(int(found[1][1:], 16)) if len(found[1]) == 5 else _ESCAPED.get(found[1], found[1]), text[1:-1]
    )


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise _fault(f"character {place + 1} cannot be read", "Dates, times and quantities are not evaluated.")
        if found.lastgroup != "blank":
            yield _Token(found.lastgroup or "", found[0], place)
        place = found.end()
    yield _Token("end", "the end", place)


def _fault(what: str, hint: str = "Correct the expression.") -> StopRun:
    return StopRun("FA107", f"{what}.", hint)


class _Parser:
    """Reads tokens by the precedence of their operators."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nesting = 0

    def whole(self) -> Node:
        """Return the tree; everything has to belong to it."""
        root = self._expression(0)
        if self._next.kind != "end":
            raise self._unexpected()
        _measure(root)
        return root

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _is(self, text: str) -> bool:
        return self._next.kind in ("sign", "name") and self._next.text == text

    def _expect(self, text: str) -> None:
        if not self._is(text):
            raise self._unexpected(f" instead of {text}")
        self._at += 1

    def _unexpected(self, instead: str = "") -> StopRun:
        return _fault(f"unexpected {self._next.text[:20]} at character {self._next.place + 1}{instead}")

    def _expression(self, power: int) -> Node:
        self._nesting += 1
        if self._nesting > MAX_DEPTH // 2:
            raise _fault("nested too deep", "Split it into variables.")
        left = self._unary()
        while self._next.kind in ("sign", "name") and _POWER.get(self._next.text, 0) > power:
            sign = self._take().text
            if sign in ("is", "as"):
                left = Typed(sign, left, self._type())
                continue
            right = self._expression(_POWER[sign])
            left = _operation(sign, left, right)
        self._nesting -= 1
        return left

    def _unary(self) -> Node:
        if self._is("-") or self._is("+"):
            sign = self._take().text
            operand = self._expression(_UNARY - 1)
            return Negative(operand) if sign == "-" else operand
        node = self._term()
        while True:
            if self._is("."):
                self._at += 1
                node = self._invocation(node)
            elif self._is("["):
                self._at += 1
                node = Indexed(node, self._expression(0))
                self._expect("]")
            else:
                return node

    def _term(self) -> Node:
        token = self._next
        if token.kind == "number":
            self._at += 1
            return Literal((Decimal(token.text) if "." in token.text else int(token.text),))
        if token.kind == "text":
            self._at += 1
            return Literal((unquoted(token.text),))
        if token.kind == "special":
            self._at += 1
            return Special(token.text)
        if token.kind == "name" and token.text in ("true", "false"):
            self._at += 1
            return Literal((token.text == "true",))
        if self._is("("):
            self._at += 1
            inner = self._expression(0)
            self._expect(")")
            return inner
        if self._is("{"):
            self._at += 1
            self._expect("}")
            return Literal(())
        if self._is("%"):
            self._at += 1
            return Variable(self._name(or_text=True))
        return self._invocation(None)

    def _invocation(self, focus: Node | None) -> Node:
        if self._next.kind == "special" and focus is not None:
            raise self._unexpected()
        name = self._name()
        if not self._is("("):
            return Member(focus, name)
        self._at += 1
        if name in ("is", "as", "ofType"):
            type_name = self._type()
            self._expect(")")
            return Typed(name, focus or Special("$this"), type_name)
        arguments: list[Node] = []
        while not self._is(")"):
            if arguments:
                self._expect(",")
            arguments.append(self._expression(0))
        self._expect(")")
        return _call(focus, name, tuple(arguments))

    def _name(self, *, or_text: bool = False) -> str:
        token = self._next
        if token.kind not in ("name", "quoted", "text" if or_text else "name"):
            raise self._unexpected()
        self._at += 1
        return token.text if token.kind == "name" else unquoted(token.text)

    def _type(self) -> str:
        name = self._name()
        while self._is("."):
            self._at += 1
            name = self._name()
        return name


def _operation(sign: str, left: Node, right: Node) -> Node:
    """Return a node for two operands: chains are one node, and a union of constants is a constant."""
    if sign == "|" and isinstance(left, Literal) and isinstance(right, Literal):
        return Literal((*left.values, *(value for value in right.values if value not in left.values)))
    if sign in _CHAINED and isinstance(left, Operation) and left.sign == sign:
        return Operation(sign, (*left.operands, right))
    return Operation(sign, (left, right))


def _call(focus: Node | None, name: str, arguments: tuple[Node, ...]) -> Node:
    least, most = FUNCTIONS.get(name, (-1, -1))
    if most < 0:
        raise _fault(f"{name[:40]}() is not evaluated", "Use sums, counts, means and conditions of weight().")
    if not least <= len(arguments) <= most:
        raise _fault(f"{name}() has {len(arguments)} arguments")
    if name == "where" and isinstance(focus, Member) and focus.name == "extension":
        match arguments[0]:  # the longer spelling of extension(url)
            case Operation("=", (Member(None, "url"), (Literal((str(),)) | Variable(_)) as url)):
                return Call(focus.focus, "extension", (url,))
    return Call(focus, name, arguments)


def _measure(root: Node) -> None:
    waiting = [(root, 1)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise _fault("too large or nested too deep", "Split it into variables.")
        waiting += [(child, depth + 1) for child in children(node)]
