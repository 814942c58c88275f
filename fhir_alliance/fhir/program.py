"""The expressions of one Questionnaire, parsed once, and what they look at: its variables, its answers' points.

A calculated item that another one asks for is computed first; what a response carries as a total is never looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from fhir_alliance.core.model import Number
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import walk
from fhir_alliance.fhir.fhirpath import Evaluation
from fhir_alliance.fhir.fhirpath_syntax import parsed
from fhir_alliance.fhir.fhirpath_tree import Literal, Node, Variable, all_nodes
from fhir_alliance.fhir.fhirpath_values import Collection, Unevaluable, exact, number, scored
from fhir_alliance.fhir.identifiers import DATA_ABSENT, V3, WEIGHT_URLS
from fhir_alliance.fhir.questions import Form, Place, calculated, enabling, shown, variables
from fhir_alliance.fhir.weights import Choice

ABSENT_SYSTEMS: Final = frozenset({DATA_ABSENT, V3 + "NullFlavor"})
MAX_EXPRESSIONS: Final = 500

Bindings: TypeAlias = dict[str, Collection | tuple[Node, Collection]]


class _Variable(NamedTuple):
    tree: Node
    owner: str


class Program:
    """The parsed expressions of a Questionnaire.

    choices: what each item offers.  bare: items whose points only their answers state.
    calculated: the tree of each calculated item, by linkId.
    enabled: the tree that says whether an item is asked, by linkId.
    """

    def __init__(
        self,
        form: Form,
        places: Sequence[Place],
        choices: Mapping[str, Sequence[Choice]],
        questionnaire: Mapping[str, Any],
        bare: frozenset[str] = frozenset(),
    ) -> None:
        """Parse; raises StopRun FA107 for variables in a circle. What cannot be read fails when it is asked for."""
        self.choices = choices
        self.bare = bare
        self._mentions: dict[str, frozenset[str]] = {}
        self._questionnaire = questionnaire
        self._definitions = {item.get("linkId"): item for item in walk(questionnaire.get("item"))}
        self._within = {place.question.link_id: [q.link_id for q in place.within] for place in places}
        self._variables = {"": _parsed(variables(form.extension), "")}
        self.calculated: dict[str, Node] = {}
        self.enabled: dict[str, Node] = {}
        for place in places:
            question, link_id = place.question, place.question.link_id
            self._variables[link_id] = _parsed(variables(question.extension), link_id)
            for trees, text in ((self.calculated, calculated(question)), (self.enabled, enabling(question))):
                if text:
                    trees[link_id] = parsed(text)
            self._refuse_circles(link_id, f'item "{shown(link_id)}"')
        self._refuse_circles("", "the form")
        if len(self.calculated) + sum(map(len, self._variables.values())) > MAX_EXPRESSIONS:
            raise StopRun("FA107", f"it has more than {MAX_EXPRESSIONS} expressions.", "Split the form.")
        self.points = {
            link_id: {(c.system, c.code): c.points for c in offered}
            for link_id, offered in choices.items()
            if any(c.points is not None for c in offered)
        }
        self._offered: dict[int, str] = {
            id(option["valueCoding"]): str(link_id)
            for link_id, item in self._definitions.items()
            for option in item.get("answerOption", ())
            if "valueCoding" in option
        }

    def _refuse_circles(self, owner: str, where: str) -> None:
        """Raise StopRun FA107 where a variable rests on itself."""
        known = self.scope(owner)
        for name in self._variables[owner]:
            waiting, seen = [name], set[str]()
            while waiting:
                tree = known[waiting.pop()].tree
                named = {node.name for node in all_nodes(tree) if isinstance(node, Variable)} & set(known)
                if name in named:
                    raise StopRun("FA107", f"{where}: variable {name[:40]} rests on itself.", "Break the circle.")
                waiting += named - seen
                seen |= named

    def scope(self, link_id: str) -> dict[str, _Variable]:
        """Return the variables that an item's expressions may name; an inner one hides an outer one."""
        found: dict[str, _Variable] = {}
        for owner in ("", *self._within.get(link_id, ()), link_id):
            found |= self._variables.get(owner, {})
        return found

    def closure(self, link_id: str) -> Iterator[Node]:
        """Yield the nodes of a calculated item's expression and of all variables that it rests on."""
        known = self.scope(link_id)
        waiting, seen = [self.calculated[link_id]], set[str]()
        while waiting:
            for node in all_nodes(waiting.pop()):
                yield node
                if isinstance(node, Variable) and node.name in known and node.name not in seen:
                    seen.add(node.name)
                    waiting.append(known[node.name].tree)

    def mentions(self, link_id: str) -> frozenset[str]:
        """Return the texts that stand in a calculated item's expression and its variables: linkIds, codes, urls."""
        if link_id not in self._mentions:
            values = (v for node in self.closure(link_id) if isinstance(node, Literal) for v in node.values)
            self._mentions[link_id] = frozenset(value for value in values if isinstance(value, str))
        return self._mentions[link_id]

    def bindings(self, link_id: str, resource: Any, nodes: Mapping[str, Collection]) -> Bindings:
        """Return what an item's expressions may name.

        nodes: the response's items by linkId, for variables of groups.
        """
        bound: Bindings = {
            "resource": [resource],
            "rootResource": [resource],
            "context": [resource],
            "questionnaire": [self._questionnaire],
            "qitem": [self._definitions[link_id]] if link_id in self._definitions else [],
        }
        for name, variable in self.scope(link_id).items():
            bound[name] = (variable.tree, nodes.get(variable.owner, []) if variable.owner else [resource])
        return bound

    def evaluate(self, form: FilledForm, wanted: Iterable[str]) -> dict[str, Number | Unevaluable | None]:
        """Return the value of each wanted calculated item: a number, nothing, or why it cannot be evaluated."""
        found: dict[str, Number | Unevaluable | None] = {}
        for link_id in self.in_order(wanted):
            try:
                found[link_id] = scored(self.run(self.calculated[link_id], link_id, form))
            except Unevaluable as fault:
                found[link_id] = fault
                continue
            if found[link_id] is not None:
                form.fill(link_id, found[link_id], self._within[link_id])
        return {link_id: found[link_id] for link_id in wanted}

    def evaluate_raw(self, raw: Mapping[str, Any], link_id: str) -> Number | Unevaluable | None:
        """Return the value of one calculated item for a response as it comes."""
        return self.evaluate(FilledForm(raw, self), [link_id])[link_id]

    def run(self, tree: Node, link_id: str, form: FilledForm) -> Collection:
        """Return what an expression of an item gives for a response; raises Unevaluable."""
        bound = self.bindings(link_id, form.resource, form.nodes)
        return Evaluation(bound, form.weigh).evaluate(tree, [form.resource])

    def in_order(self, wanted: Iterable[str]) -> list[str]:
        """Return calculated items, each after those that its expression names; a circle is left as it stands."""
        ordered: list[str] = []
        asked: set[str] = set()
        waiting = [(link_id, False) for link_id in wanted][::-1]
        while waiting:
            link_id, is_ready = waiting.pop()
            if is_ready:
                ordered.append(link_id)
            elif link_id not in asked:
                asked.add(link_id)
                waiting.append((link_id, True))
                waiting += [(other, False) for other in sorted(self.mentions(link_id) & set(self.calculated))]
        return ordered

    def weight_of(self, element: Any, link_id: str) -> Number | None:
        """Return what a coding is worth as an answer of an item; raises Unevaluable where that cannot be told."""
        own = _stated(element)
        if own is not None:
            return own
        link_id = link_id or self._offered.get(id(element)) or ""
        offered = self.points.get(link_id)
        if (offered is None and link_id not in self.bare) or element.get("system") in ABSENT_SYSTEMS:
            return None
        system, code = element.get("system"), element.get("code")
        listed = (offered or {}).items()
        points = next((p for (s, c), p in listed if c == code and (s == system or not system)), None)
        if points is None:
            raise Unevaluable(f'item "{shown(link_id)}" has an answer without points.', "Give each answer a weight.")
        return points


class FilledForm:
    """A response made ready to be evaluated.

    Left out is what nobody answered, and every calculated item, whose stored value is not trusted.
    """

    def __init__(self, raw: Mapping[str, Any], program: Program, names: Mapping[str, str] | None = None) -> None:
        """names: other spellings of linkIds, to the form's own."""
        self._program = program
        self._names = names or {}
        self._answers: dict[int, tuple[str, Mapping[str, Any]]] = {}
        self.nodes: dict[str, Collection] = {}
        self.resource = {**raw, "item": self._items(raw.get("item"))}

    def weigh(self, element: Any) -> Number | None:
        """Return what an answer or its coding is worth, None for anything else."""
        if not isinstance(element, Mapping):
            return None
        coding = element.get("valueCoding", element)
        link_id, answer = self._answers.get(id(coding), ("", {}))
        own = _stated(answer)
        return own if own is not None else self._program.weight_of(coding, link_id)

    def fill(self, link_id: str, value: Any, within: Sequence[str]) -> None:
        """Put a computed value where its item stands, so that other expressions find it."""
        home: dict[str, Any] = self.resource
        for group in within:
            inner = next((item for item in home.setdefault("item", []) if item.get("linkId") == group), None)
            if inner is None:
                inner = {"linkId": group}
                home["item"].append(inner)
                self.nodes.setdefault(group, []).append(inner)
            home = inner
        home.setdefault("item", []).append({"linkId": link_id, "answer": [{"valueDecimal": value}]})

    def _items(self, items: Any) -> list[dict[str, Any]]:
        kept = []
        for item in items or ():
            link_id = self._names.get(item.get("linkId"), item.get("linkId"))
            if link_id in self._program.calculated:
                continue
            node = {"linkId": link_id}
            if item.get("item"):
                node["item"] = self._items(item["item"])
            answers = [self._answer(link_id, answer) for answer in item.get("answer") or ()]
            answers = [answer for answer in answers if answer]
            if answers:
                node["answer"] = answers
            if len(node) > 1:
                self.nodes.setdefault(link_id, []).append(node)
                kept.append(node)
        return kept

    def _answer(self, link_id: str, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return an answer that has a value. A bare number where codes are offered becomes the code of that weight."""
        inner = {"item": self._items(answer["item"])} if answer.get("item") else {}
        values = {key: value for key, value in answer.items() if key.startswith("value")}
        if not values:
            return inner
        key, value = next(iter(values.items()))
        if key in ("valueInteger", "valueDecimal"):
            same = [c for c in self._program.choices.get(link_id, ()) if c.points == exact(value) and c.system]
            if len(same) == 1:
                key, value = "valueCoding", {"system": same[0].system, "code": same[0].code}
        if key == "valueCoding" and isinstance(value, Mapping):
            value = dict(value)
            self._answers[id(value)] = (link_id, answer)
        return {**inner, **({"extension": answer["extension"]} if "extension" in answer else {}), key: value}


def _parsed(texts: Mapping[str, str], owner: str) -> dict[str, _Variable]:
    return {name: _Variable(parsed(text, f"variable {name[:40]}"), owner) for name, text in texts.items()}


def _stated(element: Mapping[str, Any]) -> Number | None:
    """Return the points that an element of a response states itself."""
    for extension in element.get("extension") or ():
        if extension.get("url") in WEIGHT_URLS:
            value = extension.get("valueDecimal", extension.get("valueInteger"))
            return number(exact(value))
    return None
