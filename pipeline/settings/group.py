"""The base of all groups of settings, with the check of texts, and kinds of text that several groups use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationInfo, field_validator

from pipeline.texts import holds_login, require_text

#: Begins an address that names a folder.
FOLDER: Final = "chdb:"
#: Shortest token (characters): shorter ones can be guessed.
_MIN_TOKEN: Final = 16


def checked(model: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """Check the texts in a value of a field, and return the value. A value that is a group checks its own fields.

    Raises:
        ValueError: a text is not UTF-8, or has a NUL character.
    """
    name = info.field_name or ""
    for item in value if isinstance(value, list | tuple) else (value,):
        text = item.get_secret_value() if isinstance(item, SecretStr) else item
        if isinstance(text, str):
            names_a_folder = model.model_fields[name].annotation is Path or (name == "url" and text.startswith(FOLDER))
            require_text(text, names_a_file=names_a_folder)
    return value


def _web_address(value: str) -> str:
    """Check an address of a page; an empty text is allowed.

    Raises:
        ValueError: it does not start with http:// or https://, or has a user or password, which logs and pages would show.
    """
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("it must start with http:// or https://")
    if holds_login(value):
        raise ValueError("it must have no user and no password: messages and logs show addresses")
    return value


#: An address of a page without user and password, or nothing.
WebAddress = Annotated[str, AfterValidator(_web_address)]


def require_token(token: str) -> None:
    """Check a token; an empty one is allowed.

    Raises:
        ValueError: the token has fewer than ``_MIN_TOKEN`` characters, or characters that an HTTP header cannot have.
    """
    if token and (len(token) < _MIN_TOKEN or not all("!" <= sign <= "~" for sign in token)):
        raise ValueError(f"each token must have at least {_MIN_TOKEN} characters, visible ones of ASCII")


class Group(BaseModel):
    """A group of settings: its variables begin with its name. An unknown field is an error."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: Any, info: ValidationInfo) -> Any:
        return checked(cls, value, info)
