"""A shell's name comes in; its completion script for Catscope's commands goes out."""

import argparse

import shtab

from app.commands.parser import build


def run(arguments: argparse.Namespace) -> int:
    """Print the script; for example `catscope completion bash > ~/.local/share/bash-completion/completions/catscope`."""
    print(shtab.complete(build("catscope"), shell=arguments.shell))
    return 0
