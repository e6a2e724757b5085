"""Every claim with prediction, measurement, interval, verdict, computed from the tables.

Exit code 1 if one is refuted, or if claims.json says otherwise than the tables.
"""

from study.arguments import Parser
from study.commands.common import add_out, print_claims
from study.terminal import say

EXAMPLES = ("study claims", "study claims --out runs/reference --json")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study claims", description=__doc__, examples=EXAMPLES)
    add_out(parser)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args(arguments)
    from study.experiments.verdict import REFUTED
    from study.launch import store
    from study.report import summary

    made = summary.claims(store.records(options.out))
    if options.json:
        print(store.claims_json(made))
    else:
        print_claims(made)
    differences = store.changed(made, options.out)
    for line in differences:
        say(line)
    return int(bool(differences) or any(c.verdict == REFUTED for c in made))
