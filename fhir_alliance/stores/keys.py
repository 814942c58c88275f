"""Our key pairs for `private_key_jwt`: a file of JSON Web Keys that only we can read, and its public half.

Rotation is in-band, as SMART App Launch 2.2 (Client Authentication: Asymmetric) asks: the new key is published beside
the old one, then it signs, then the old one goes.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.files import first_file, new_file
from fhir_alliance.stores.secret_files import read_private

RSA_BITS: Final = 3072  # 128 bits of strength, good beyond 2030: NIST SP 800-57 part 1 rev. 5, tables 2 and 4
LEAST_RSA_BITS: Final = 2048  # RFC 7518, 3.3
_PUBLIC: Final = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}


class Algorithm(StrEnum):
    """The two that every SMART server has to know."""

    ES384 = "ES384"
    RS384 = "RS384"


class KeySet:
    """The keys in a file. One signs; all are published."""

    def __init__(self, keys: list[dict[str, Any]], signing: str) -> None:
        self._keys = keys
        self.signing = signing

    @property
    def ids(self) -> list[str]:
        """The `kid` of every key, oldest first."""
        return [key["kid"] for key in self._keys]

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as a JWT, signed by the key whose turn it is."""
        key = next(key for key in self._keys if key["kid"] == self.signing)
        return jwt.encode(dict(claims), jwt.PyJWK(key).key, key["alg"], headers={"kid": key["kid"]})

    def public(self) -> dict[str, Any]:
        """Return the JSON Web Key Set that a server may see."""
        return {"keys": [_public(key) for key in self._keys]}

    def with_new_key(self, algorithm: Algorithm) -> KeySet:
        """Return the set with one more key, which does not sign yet."""
        made = _made(algorithm)
        return KeySet([*self._keys, made], self.signing or made["kid"])

    def signing_with_newest(self) -> KeySet:
        """Return the set with its newest key signing; the others stay published."""
        return KeySet(self._keys, self.ids[-1])

    def retired(self) -> KeySet:
        """Return the set without the keys that are older than the one that signs."""
        return KeySet(self._keys[self.ids.index(self.signing) :], self.signing)

    def write(self, path: Path, *, is_new: bool = False) -> None:
        """Write the file whole or not at all, for our eyes only. is_new: none may be there.

        Raises StopRun FA111 (a link), FA123 (there already), FA124 (the place cannot be written).
        """
        content = json.dumps({"keys": self._keys, "signing": self.signing}, indent=2).encode()
        if is_new:
            first_file(path, content)
            return
        with new_file(path) as out:
            out.write(content)


def new_keys(algorithm: Algorithm) -> KeySet:
    """Return a set of one new key."""
    return KeySet([], "").with_new_key(algorithm)


def read_keys(path: Path, key_id: str = "") -> KeySet:
    """Return the keys in a file: ours, any private JSON Web Key or Key Set, or one key as PEM.

    key_id: the `kid` that the server knows; required for PEM, and otherwise it chooses the key that signs.
    Raises StopRun FA112, FA113 (the file), FA425 (no key that can be used).
    """
    text = read_private(path)
    content = _pem(text, key_id) if text.startswith("-----BEGIN") else _json(text)
    keys = content["keys"] if isinstance(content.get("keys"), list) else [content]
    checked = [_checked(key) for key in keys]
    if not checked:
        raise _unusable("it holds no key")
    signing = key_id or str(content.get("signing") or "") or checked[-1]["kid"]
    if signing not in [key["kid"] for key in checked]:
        raise _unusable("the key that should sign is not in it")
    return KeySet(checked, signing)


def _json(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _unusable("it is neither a JSON Web Key Set nor PEM")
    return content


def _pem(text: str, key_id: str) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        raise _unusable("the PEM cannot be read, or has a passphrase") from None
    if isinstance(key, rsa.RSAPrivateKey):
        return {**_jwk(key), "alg": "RS384", "kid": key_id}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {**_jwk(key), "alg": "ES384", "kid": key_id}
    raise _unusable("it is neither an RSA nor an EC key")


def _checked(key: Any) -> dict[str, Any]:
    """Return a private key that a SMART server will take; raises StopRun FA425 with what is wrong."""
    if not isinstance(key, dict) or key.get("kty") not in _PUBLIC or not isinstance(key.get("d"), str):
        raise _unusable("a key in it is no private RSA or EC key")
    if not isinstance(key.get("kid"), str) or not key["kid"]:
        raise _unusable("a key has no kid; for PEM, set [auth] key_id")
    wanted = Algorithm.RS384 if key["kty"] == "RSA" else Algorithm.ES384
    if key.get("alg", wanted) != wanted:
        raise _unusable(f"a key is not for {wanted}")
    if key["kty"] == "EC" and key.get("crv") != "P-384":
        raise _unusable("an EC key is not on P-384, as ES384 needs")
    try:
        private = jwt.PyJWK({**key, "alg": wanted.value}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise _unusable("a key is broken") from None
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < LEAST_RSA_BITS:
        raise _unusable(f"an RSA key is shorter than {LEAST_RSA_BITS} bits")
    return {**key, "alg": wanted.value}


def _made(algorithm: Algorithm) -> dict[str, Any]:
    if algorithm is Algorithm.ES384:
        key = _jwk(ec.generate_private_key(ec.SECP384R1()))
    else:
        key = _jwk(rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS))
    return {**key, "alg": algorithm.value, "use": "sig", "kid": _thumbprint(key)}


def _jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    made: dict[str, Any]
    if isinstance(key, rsa.RSAPrivateKey):
        made = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    else:
        made = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    return {name: value for name, value in made.items() if name != "key_ops"}


def _public(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public members only: what is not named here never leaves the file."""
    held = {name: key[name] for name in _PUBLIC[key["kty"]]}
    return {**held, "kid": key["kid"], "alg": key["alg"], "use": "sig", "key_ops": ["verify"]}


def _thumbprint(key: Mapping[str, Any]) -> str:
    """Return the RFC 7638 thumbprint: the same key gets the same `kid` wherever it is made."""
    canonical = json.dumps({name: key[name] for name in sorted(_PUBLIC[key["kty"]])}, separators=(",", ":"))
    return urlsafe_b64encode(sha256(canonical.encode()).digest()).rstrip(b"=").decode()


def _unusable(why: str) -> StopRun:
    return StopRun("FA425", f"the key file cannot be used: {why}.", "Make one with: fhir-alliance keys new")
