"""Who stands in which role to a client, and who is kept out: the site's list, and the client's care team.

Being kept out outranks every role. A person in no role is nobody to the client, and the default table denies nobody's
request it does not name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec
from msgspec import structs

from fhir_alliance.core.consent_request import Recipient, Role
from fhir_alliance.core.purposes import covers


class Reason(StrEnum):
    """Why somebody or something is kept out. Never more than that is noted."""

    DUAL_RELATIONSHIP = "dual-relationship"
    CONFLICT_OF_INTEREST = "conflict-of-interest"
    CLIENT_WISH = "client-wish"
    SELF_PAID = "self-paid"
    LEGAL_HOLD = "legal-hold"
    OTHER = "other"


class Standing(msgspec.Struct, frozen=True):
    """A person's or organization's role to some clients; to all of the site where none is named."""

    who: str
    role: Role
    clients: frozenset[str] = frozenset()


class Identity(msgspec.Struct, frozen=True):
    """All names that the record has for one person or organization, and whom they act for."""

    references: frozenset[str]
    organizations: frozenset[str] = frozenset()


class Exclusion(msgspec.Struct, frozen=True):
    """Somebody who is kept from a client's data, whatever else they are."""

    who: str
    client: str
    reason: Reason


class Restriction(msgspec.Struct, frozen=True):
    """A purpose for which a client's data are not shared; with one recipient, or with all where none is named."""

    client: str
    purposes: tuple[str, ...]
    reason: Reason
    who: str = ""


class Boundaries(msgspec.Struct, frozen=True):
    """The site's list."""

    standings: tuple[Standing, ...] = ()
    identities: tuple[Identity, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    restrictions: tuple[Restriction, ...] = ()

    def of_person(self, clients: Collection[str]) -> Boundaries:
        """Return the list where what keeps somebody from one of these clients keeps them from all: they are one person.

        Roles are not shared out: a merge gives nobody more than they had.
        """
        if len(clients) < 2:
            return self
        exclusions = [structs.replace(e, client=c) for e in self.exclusions if e.client in clients for c in clients]
        bars = [structs.replace(r, client=c) for r in self.restrictions if r.client in clients for c in clients]
        return structs.replace(
            self, exclusions=(*self.exclusions, *exclusions), restrictions=(*self.restrictions, *bars)
        )

    def names_of(self, who: str, also: Iterable[str] = ()) -> Identity:
        """Return everything that is known of one person or organization. also: further names that the record has."""
        names, organizations = {who, *also}, set[str]()
        for identity in self.identities:
            if not names.isdisjoint(identity.references):
                names |= identity.references
                organizations |= identity.organizations
        return Identity(frozenset(names), frozenset(organizations))

    def recipient(
        self, identity: Identity, client: str, team: Mapping[str, frozenset[Role]], *, is_known: bool
    ) -> Recipient:
        """Return somebody as a recipient of a client's data.

        team: the roles of the client's care team, by reference.  is_known: whether the identity is whole.
        """
        names = identity.references | identity.organizations
        roles = {role for name in identity.references for role in team.get(name, ())}
        roles |= {s.role for s in self.standings if s.who in names and (not s.clients or client in s.clients)}
        if client in identity.references:
            roles.add(Role.CLIENT)
        return Recipient(identity.references, identity.organizations, frozenset(roles), is_known)

    def bars(self, recipient: Recipient, client: str, purpose: str) -> tuple[str, ...]:
        """Return, as sentences, what on the list forbids it."""
        return tuple(dict.fromkeys(self._bars(recipient.references | recipient.organizations, client, purpose)))

    def keeps_somebody_out(self, client: str) -> bool:
        """Return whether anybody is kept from a client's data."""
        return any(exclusion.client == client for exclusion in self.exclusions)

    def is_excluded(self, who: str, client: str) -> bool:
        """Return whether a person is kept from a client's data."""
        names = self.names_of(who)
        return any(e.client == client and e.who in names.references | names.organizations for e in self.exclusions)

    def _bars(self, names: frozenset[str], client: str, purpose: str) -> Iterator[str]:
        for exclusion in self.exclusions:
            if exclusion.client == client and exclusion.who in names:
                yield f"The recipient is kept from this client's data ({_words(exclusion.reason)})."
        for bar in self.restrictions:
            is_meant = bar.client == client and (not bar.who or bar.who in names)
            if is_meant and any(covers(wide, purpose) for wide in bar.purposes):
                yield f"The site's list restricts this purpose for the client ({_words(bar.reason)})."


def _words(reason: Reason) -> str:
    return reason.value.replace("-", " ")
