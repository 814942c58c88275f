"""Cut-offs: where the line between the clinical and the functional side lies, and on which side scores stand."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fhir_alliance.core.change_methods import Gap, Group, Method, NotComputable, clinical_index, critical, true_sd
from fhir_alliance.core.model import Direction, Norm, Number


class CutoffKind(StrEnum):
    """a, b, c: from populations, after Jacobson & Truax 1991. Number: a line that somebody states, as caseness."""

    A = "a"
    B = "b"
    C = "c"
    NUMBER = "number"


class Cutoff(msgspec.Struct, frozen=True):
    """The line between the clinical and the functional side, in points, and where it is from."""

    kind: CutoffKind
    value: Number
    higher_is: Direction
    source: str

    def told(self) -> str:
        """Return the cut-off in words, with where it is from."""
        name = "" if self.kind is CutoffKind.NUMBER else f" {self.kind.value}"
        return f"Cut-off{name} is {plain(self.value)} ({self.source})"


class Sides(NamedTuple):
    """On which side of a cut-off a client began and ended; the other side is the opposite of it."""

    began_clinical: bool
    ended_functional: bool


_POPULATIONS: Mapping[CutoffKind, str] = {
    CutoffKind.A: "the clinical population",
    CutoffKind.B: "the functional population",
    CutoffKind.C: "both populations",
}


def plain(value: Number) -> str:
    """Return a number for people: at most two decimals, without trailing zeros."""
    text = f"{Decimal(value):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def sign(higher_is: Direction) -> int:
    """Return 1 where more points are better, -1 where they are worse."""
    return 1 if higher_is is Direction.BETTER else -1


def cutoff_between(
    kind: CutoffKind, clinical: Norm | None, functional: Norm | None, higher_is: Direction
) -> Cutoff | NotComputable:
    """Return cut-off a, b or c, or what it lacks.

    a: two standard deviations from the clinical mean, toward health.  b: two of the functional population's own
    from its mean, toward illness.  c: between the means, nearer to the population that varies less.
    Source: Jacobson & Truax 1991, J Consult Clin Psychol 59(1):12-19.
    """
    if any(norm is not None and norm.sd <= 0 for norm in (clinical, functional)):
        return NotComputable(f"Cut-off {kind.value} needs a standard deviation above 0.")
    toward_better = 2 * sign(higher_is)
    if kind is CutoffKind.A and clinical is not None:
        value = Decimal(clinical.mean) + toward_better * Decimal(clinical.sd)
        return Cutoff(kind, value, higher_is, _told(clinical=clinical))
    if kind is CutoffKind.B and functional is not None:
        value = Decimal(functional.mean) - toward_better * Decimal(functional.sd)
        return Cutoff(kind, value, higher_is, _told(functional=functional))
    if kind is CutoffKind.C and clinical is not None and functional is not None:
        weighted = Decimal(clinical.sd) * functional.mean + Decimal(functional.sd) * clinical.mean
        value = weighted / (Decimal(clinical.sd) + functional.sd)
        return Cutoff(kind, value, higher_is, _told(clinical=clinical, functional=functional))
    return NotComputable(f"Cut-off {kind.value} needs mean and standard deviation of {_POPULATIONS[kind]}.")


def true_norm(norm: Norm, group: Group) -> Norm | NotComputable:
    """Return a population in true scores, as the cut-offs of Hageman & Arrindell 1999 are computed from."""
    try:
        return msgspec.structs.replace(norm, sd=true_sd(norm.sd, group), source=f"{norm.source}, in true scores")
    except Gap as gap:
        return NotComputable(f"The cut-off in true scores cannot be computed: {gap}.")


def sides(before: Decimal, after: Decimal, cutoff: Cutoff, method: Method, group: Group) -> Sides | NotComputable:
    """Return on which side of a cut-off a client began and ended.

    A score on cut-off a, b or c does not begin clinical and does not end functional: nobody crosses a line by standing
    on it. A number is read as caseness is: at the line is clinical. By Hageman & Arrindell a client ends functional
    only where the true score does so with a risk of at most 5 %; in doubt, the clinical side is named.
    """
    better, line = sign(cutoff.higher_is), Decimal(cutoff.value)
    began = better * before < better * line or (cutoff.kind is CutoffKind.NUMBER and before == line)
    if method is not Method.HAGEMAN_ARRINDELL:
        return Sides(began, better * after > better * line)
    beyond = clinical_index(after, line, group)
    return beyond if isinstance(beyond, NotComputable) else Sides(began, better * beyond >= critical(method))


def _told(**norms: Norm) -> str:
    """Return which populations a cut-off was computed from, in words."""
    words = [f"{name} M {plain(n.mean)}, SD {plain(n.sd)} ({n.source})" for name, n in norms.items()]
    return "; ".join(("Jacobson & Truax 1991", *words))
