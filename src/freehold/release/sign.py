"""Signatures of a release: Ed25519 over its manifest, and, where it is asked for, the model-signing project's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freehold.domain.errors import ConfigError, StoreError
from freehold.release.inventory import (
    MANIFEST,
    MODEL_SIGNATURE,
    SIGNATURE,
    ReleaseManifest,
    ReleaseSignature,
    canonical_json,
)
from freehold.store.keys import SigningKey


def key_at(path: Path) -> SigningKey:
    """The signing key in a file, which must be there.

    Raises:
        StoreError: it is not there, cannot be read, or holds no key.
    """
    if not path.is_file():
        raise StoreError(
            f"There is no signing key {path}.",
            "Give a file with 32 bytes in hex, or leave --sign out for this store's.",
        )
    return SigningKey.open(path)


def signed(manifest: ReleaseManifest, key: SigningKey) -> dict[str, bytes]:
    """manifest.json, and manifest.sig over its bytes."""
    body = canonical_json(manifest)
    signature = ReleaseSignature(public_key=key.public_key(), signature=key.sign(body))
    return {MANIFEST: body, SIGNATURE: canonical_json(signature)}


def sign_model(folder: Path, private_key: Path) -> None:
    """Write model.sig into a release's folder: a Sigstore bundle over all files that are there, by the model-signing
    project's library, offline.

    Args:
        folder: of the release, without manifest.json and manifest.sig.
        private_key: PEM file of an EC key (P-256, P-384 or P-521).

    Raises:
        ConfigError: `freehold[signing]` is not installed, or the key is of another kind.
        StoreError: the key cannot be read, or the signature not be written.
    """
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise ConfigError(
            "--model-signing needs a library that is not installed.", "pip install 'freehold[signing]'."
        ) from error
    hashed: Any = hashing.Config()
    hashed.set_ignored_paths(paths=(MANIFEST, SIGNATURE, MODEL_SIGNATURE), ignore_git_paths=False)
    config: Any = signing.Config()
    try:
        config.set_hashing_config(hashed).use_elliptic_key_signer(private_key=private_key)
        config.sign(folder, folder / MODEL_SIGNATURE)
    except OSError as error:
        raise StoreError(
            f"The release cannot be signed with {private_key}: {error.strerror}.", "Check the file."
        ) from error
    except (TypeError, ValueError):
        # Not chained: the original error's text could hold part of the key.
        raise ConfigError(
            f"{private_key} holds no key that model-signing can sign with.",
            "Give an EC key without a password: `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`.",
        ) from None
