"""What a model's settings say of its provider, as requests need it."""

from __future__ import annotations

from urllib.parse import quote

from wayside.settings.model import ModelSettings
from wayside.vocab.headers import user_key_header
from wayside.vocab.outcome import Credential, Target, UserKey


def target_of(
    name: str, model: ModelSettings, base_path: str, credential: Credential | None
) -> Target:
    """Where requests for ``model`` go. ``base_path`` is that of its endpoints."""
    known = model.known
    users: UserKey | None = None
    if model.accept_user_keys and model.provider is not None:
        header, prefix = known.header, known.prefix
        if model.credential is not None:
            header, prefix = model.credential.header, model.credential.prefix
        users = UserKey(user_key_header(model.provider), header, prefix)
    query = f"api-version={quote(model.api_version)}" if model.api_version else ""
    return Target(
        name=name,
        upstream_name=model.upstream_name or name,
        base_path=base_path,
        credential=credential,
        keeps_authorization=model.keep_authorization,
        protocol=model.protocol,
        query=query,
        strict=known.strict,
        user_key=users,
        usage=model.usage,
    )
