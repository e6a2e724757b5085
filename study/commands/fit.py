"""Train one stack of networks from a configuration, by LightningCLI.

A configuration has three parts, each of them named by classes: trainer (where, and the observers that measure), model (encoder,
predictor, objective, learning rate) and data (source, noise, pairing, updates). Start from one of examples/, each of which says what
its lines mean; docs/commands.md tells more. Any value can be changed on the command line: --data.init_args.updates 500.
"""

import argparse
from pathlib import Path
from typing import NoReturn

from study import screen
from study.arguments import Folder, fail
from study.commands.common import given
from study.files import component
from study.terminal import escaped

EXAMPLES = (
    "study fit --config examples/gaussian.yaml",
    "study fit --config examples/images.yaml --name wide --model.encoder.init_args.features 128",
)


class Options(argparse.ArgumentParser):
    """What is not of the configuration."""

    def __init__(self) -> None:
        super().__init__(prog="study fit", description=__doc__, add_help=False, allow_abbrev=False)
        self.add_argument("--out", type=Folder(), default=Path("runs"), help="folder of results")
        self.add_argument("--name", default="run", help="the run's folder is <out>/fit/<name>-<hash>")

    def error(self, message: str) -> NoReturn:
        fail(self, message)


def main(arguments: list[str]) -> int:
    parser = Options()
    if not {"-h", "--help"}.isdisjoint(arguments):
        print(help_of(parser), end="")
        return 0
    options, rest = parser.parse_known_args(arguments)
    name = component(options.name, Path("--name"))
    from lightning.pytorch.utilities import rank_zero_only

    from study.running.training import StudyCLI, Training

    cli = StudyCLI(rest)
    result = Training("fit", name, cli.resolved()).execute(options.out, given())
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        print(f"{result.origin}\nrun: {escaped(result.path)}")
    return 0


def help_of(parser: Options) -> str:
    """The help, with what is LightningCLI's."""
    parser.add_argument("--config", metavar="FILE", help="a configuration, such as a run's config.yaml")
    parser.add_argument("--print_config", action="store_true", help="print it with all defaults, and train nothing")
    parser.add_argument("--help.model.encoder", metavar="CLASS", help="options of a class; so for --help.data and others")
    return screen.screen(parser, EXAMPLES)
