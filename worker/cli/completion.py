"""`chartq completion`: the script that lets a shell complete commands, options, their values and batch ids."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the script that completes commands, options, their values and batch ids.

    Put the line for your shell where it finds it at its start.

    \b
    Example: chartq completion bash
      ~/.bashrc                   eval "$(chartq completion bash)"
      ~/.zshrc                    eval "$(chartq completion zsh)"
      ~/.config/fish/config.fish  chartq completion fish | source
    """
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"click knows no {shell} any more")
    click.echo(made(context.find_root().command, {}, "chartq", "_CHARTQ_COMPLETE").source())
    return 0
