"""How the help shows parameters: an option with the word that stands for its value, a flag and an argument without a type."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

__all__ = ["without_types"]


def without_types(app: typer.Typer) -> None:
    """Have the help of a command line, of its groups and of all their commands show no Python types."""
    app.info.cls = _Group
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            without_types(group.typer_instance)


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _bare(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> Any:
        return _bare(super().get_params(ctx))


def _bare(parameters: Any) -> Any:
    for one in parameters:
        if isinstance(one, TyperArgument):
            one.display_type_rich = _nothing  # type: ignore[method-assign]
        elif getattr(one, "is_flag", False):
            one.metavar = ""
    return parameters


def _nothing(ctx: Any) -> str:  # noqa: ARG001 - asked with the context
    return ""
