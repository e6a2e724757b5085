"""Write the page of all results: <out>/report/index.html, and <out>/claims.json."""

from study.arguments import Parser
from study.commands.common import add_out, show
from study.terminal import escaped

EXAMPLES = ("study report --open", "study report --out runs")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study report", description=__doc__, examples=EXAMPLES)
    add_out(parser)
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    options = parser.parse_args(arguments)
    from study.report import page

    page.publish(options.out)
    print(f"page: {escaped(page.place(options.out))}")
    if options.open:
        show(page.place(options.out).resolve().as_uri())
    return 0
