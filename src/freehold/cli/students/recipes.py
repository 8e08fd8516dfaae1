"""`freehold recipes`: how generative students are made, and why so."""

from __future__ import annotations

from pathlib import Path

import click

from freehold.cli.common import console, echo_json, json_option, table


@click.group("recipes", invoke_without_command=True)
@json_option
@click.pass_context
def recipes_command(context: click.Context, as_json: bool) -> None:
    """List the built-in recipes, show one with its reasons, or check a file.

    `[students] recipe` names the one in use.
    """
    if context.invoked_subcommand is not None:
        return
    from freehold.train.recipes import builtin_names, load_recipe

    recipes = [load_recipe(name) for name in builtin_names()]
    if as_json:
        return echo_json([{"name": recipe.name, "method": recipe.method, "about": recipe.about} for recipe in recipes])
    listed = table("", "recipe", "method", "for what")
    for recipe in recipes:
        listed.add_row(recipe.name, recipe.method, recipe.about)
    console().print(listed)


@recipes_command.command("show")
@click.argument("recipe")
@json_option
def show_command(recipe: str, as_json: bool) -> None:
    """Print every field of RECIPE (a built-in name or a TOML file) with its value and the reason of it."""
    from freehold.train.recipes import find_recipe, read_recipe
    from freehold.train.recipes.reasons import explain

    path = find_recipe(recipe)
    found = read_recipe(path)
    fields = explain(found, path)
    if as_json:
        return echo_json({"name": found.name, "file": str(path), "fields": fields})
    from rich.markup import escape

    shown = table(escape(f"{found.name}: {found.about}"), "field", "value", "reason")
    for field in fields:
        if field.field in ("name", "about"):
            continue
        value = escape("none" if field.value is None else _written(field.value))
        reason = f"{field.reason}\n→ {field.note}" if field.note else field.reason
        shown.add_row(field.field, value if field.default else f"[bold]{value}[/bold]", escape(reason))
    console().print(shown)
    click.echo("What differs from its default stands in bold, and the recipe's reason for it after an arrow.")


@recipes_command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check_command(file: Path, as_json: bool) -> None:
    """Check FILE as training would: every field by itself, and whether they fit together."""
    from freehold.train.recipes import find_recipe, read_recipe

    recipe = read_recipe(find_recipe(str(file)))
    if as_json:
        return echo_json({"file": str(file), "recipe": recipe})
    click.echo(f"{file} can be used: {recipe.name}. {recipe.about}")


def _written(value: object) -> str:
    """A value as TOML would have it, as far as a table shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))  # type: ignore[reportUnknownArgumentType]
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'
