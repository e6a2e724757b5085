"""Experiments: claim, runs, expected time."""

from study.arguments import Parser

EXAMPLES = ("study list", "study list > experiments.txt")


def main(arguments: list[str]) -> int:
    Parser(prog="study list", description=__doc__, examples=EXAMPLES).parse_args(arguments)
    from study.experiments import EXPERIMENTS

    for name, experiment in EXPERIMENTS.items():
        print(f"{name}: {experiment.expected}")
        print("\n".join(f"    {line}" for line in experiment.statement().splitlines()))
    return 0
