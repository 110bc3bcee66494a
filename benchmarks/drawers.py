"""The command line of what has models of a finished build draw, and the way into that build."""

import os

from flows.environment import prepare_environment
from flows.stage import CommandLine
from flows.workspace import built_workspace


def command_line(name: str, images: int) -> CommandLine:
    """The options.

    Args:
        name: of the module in ``benchmarks``.
        images: that each model draws, unless the command line says otherwise.
    """
    parser = CommandLine(prog=f"python -m benchmarks.{name}")
    parser.add_argument("variants", nargs="*", default=["flagship"], help="models that draw; default: flagship")
    parser.add_argument("--profile", help="whose build in builds/ to take; default: the project's own")
    parser.add_argument("--images", type=int, default=images, help=f"drawn by each model; default: {images}")
    return parser


def enter(profile: str | None) -> None:
    """Work in the build of a profile, or in the project's own.

    Raises:
        MissingResourceError: there is no such build.
    """
    if profile:
        os.chdir(built_workspace(profile))
    prepare_environment()
