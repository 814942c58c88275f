"""What an expression is once it is read: a tree of the nodes that FHIRPath is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias


class Literal(NamedTuple):
    """A constant; `{}` holds nothing."""

    values: tuple[Any, ...]


class Variable(NamedTuple):
    """`%name`."""

    name: str


class Special(NamedTuple):
    """`$this`, `$index` or `$total`."""

    name: str


class Member(NamedTuple):
    """`focus.name`, or `name` alone."""

    focus: Node | None
    name: str


class Call(NamedTuple):
    """`focus.name(arguments)`, or `name(arguments)` alone."""

    focus: Node | None
    name: str
    arguments: tuple[Node, ...]


class Indexed(NamedTuple):
    """`focus[index]`."""

    focus: Node
    place: Node


class Operation(NamedTuple):
    """`a op b`, and for some operators `a op b op c`."""

    sign: str
    operands: tuple[Node, ...]


class Negative(NamedTuple):
    """`-operand`."""

    operand: Node


class Typed(NamedTuple):
    """`operand is Type` or `operand as Type`."""

    sign: str
    operand: Node
    type: str


class Faulty(NamedTuple):
    """An expression that cannot be read, kept with the reason until somebody asks for its value."""

    text: str
    what: str
    hint: str


Node: TypeAlias = Literal | Variable | Special | Member | Call | Indexed | Operation | Negative | Typed | Faulty


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes that stand directly in a node."""
    match node:
        case Member(focus, _):
            return () if focus is None else (focus,)
        case Call(focus, _, arguments):
            return arguments if focus is None else (focus, *arguments)
        case Indexed(focus, place):
            return focus, place
        case Operation(_, operands):
            return operands
        case Negative(operand) | Typed(_, operand, _):
            return (operand,)
        case _:
            return ()


def all_nodes(root: Node) -> Iterator[Node]:
    """Yield a node and everything in it."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += children(node)
