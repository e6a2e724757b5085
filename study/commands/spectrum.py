"""The forecast: what JEPA and MAE will learn of DATA, in which order, and what a probe will read, before anything is trained."""

from pathlib import Path

from study.arguments import Folder, Parser
from study.commands.common import given
from study.forecast.command import spectrum
from study.sources import named
from study.terminal import escaped, say

EXAMPLES = (
    "study spectrum builtin --size 8 --count 3000 --directions 20 --updates 0",
    "study spectrum FOLDER --pairing crop --out forecast",
)


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study spectrum", description=__doc__, examples=EXAMPLES)
    parser.add_argument("data", type=str, help="folder of pictures or *.parquet, .npy, .npz, builtin, cifar10, cifar100, stl10")
    parser.add_function_arguments(spectrum, skip={"data", "change", "lift"})
    parser.add_argument(
        "--lift", type=str | None, default=None, help="also behind a frozen network: random, timm:NAME, or a checkpoint"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--out", type=Folder(), default=None, metavar="PATH", help="folder of results, where a page is written")
    options = vars(parser.parse_args(arguments))
    as_json, out = options.pop("json"), options.pop("out")
    named(options["data"], options["root"])  # before torch is imported for nothing
    if options["lift"] is not None and Path(options["lift"]).exists():
        from study.probing import read
        from study.running.device import device_of

        options["lift"] = read(Path(options["lift"]), None, {}, False, [])[0].encoder.to(device_of(options["device"]))
    found = spectrum(**options, change=out is not None)
    if out is not None:
        from study.forecast import page

        say(f"page: {page.save(found, out, given())}")
    if as_json:
        from study.files import strict_json

        print(strict_json(found.as_json()))
    else:
        print("\n".join(map(escaped, found.sentences)))
    return 0
