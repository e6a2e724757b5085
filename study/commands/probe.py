"""Probe the frozen features of a run: what a linear classifier reads from every tap, with baselines beside it.

Taps of the online and the target encoder; a random encoder and raw samples beside them; the final features and the samples on few
labels too. What is printed is saved beside the checkpoint, and no earlier table is overwritten.
"""

from pathlib import Path

from study.arguments import Parser
from study.commands.common import add_device

EXAMPLES = ("study probe runs/fit/run-0123456789ab", "study probe runs/fit/run-0123456789ab cifar10 --root data --clean")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study probe", description=__doc__, examples=EXAMPLES)
    parser.add_argument("run", type=Path, help="the folder of a training, or a checkpoint")
    parser.add_argument(
        "data",
        type=str,
        nargs="?",
        default=None,
        help="other samples: a folder, .npy, .npz, builtin, cifar10, cifar100 or stl10",
    )
    parser.add_argument("--clean", action="store_true", help="without the noise of the training")
    parser.add_argument("--root", type=Path | None, default=None, help="folder of cifar10, cifar100 or stl10")
    parser.add_argument("--download", type=bool, default=False, help="let torchvision download it")
    add_device(parser)
    parser.add_argument("--out", type=Path | None, default=None, help="where to save; default: beside the checkpoint")
    parser.add_argument(
        "--trust", type=str, nargs="+", default=[], help="classes outside this project that the checkpoint may make"
    )
    options = vars(parser.parse_args(arguments))
    from study.probing import probe

    probe(**options)
    return 0
