"""Where the settings say that the tables lie, with the credentials that the environment holds."""

from __future__ import annotations

from freehold.config.environment import key_from
from freehold.config.store_settings import StoreSettings
from freehold.domain.places import IN_DATA_FOLDER, TablePlace


def table_place(settings: StoreSettings) -> TablePlace:
    """What `[store]` says.

    Raises:
        ConfigError: an environment variable is named that holds nothing.
    """
    if not settings.traces:
        return IN_DATA_FOLDER
    options = {"aws_conditional_put": "etag"}
    if settings.endpoint:
        options["AWS_ENDPOINT_URL"] = settings.endpoint
    if settings.region:
        options["AWS_REGION"] = settings.region
    if settings.allow_http:
        options["AWS_ALLOW_HTTP"] = "true"
    for option, variable, setting in (
        ("AWS_ACCESS_KEY_ID", settings.access_key_env, "store.access_key_env"),
        ("AWS_SECRET_ACCESS_KEY", settings.secret_key_env, "store.secret_key_env"),
        ("AWS_SESSION_TOKEN", settings.session_token_env, "store.session_token_env"),
    ):
        if variable:
            options[option] = key_from(variable, setting)
    return TablePlace(settings.traces.rstrip("/"), options)
