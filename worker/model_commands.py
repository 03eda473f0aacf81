"""`chartq models`: is a model served, by whom, does it take images, at what price."""

import click


@click.command()
@click.argument("model", required=False)
@click.option("--all", "everything", is_flag=True, help="List models that take no images too.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout and nothing else.")
def models(model: str | None, everything: bool, as_json: bool) -> int:
    """Is MODEL served, by whom, does it take images, at what price? Without MODEL: all vision models.

    \b
    Example: chartq models Qwen/Qwen3-VL-30B-A3B-Instruct
    """
    raise click.ClickException("not written yet")
