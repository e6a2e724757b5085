"""Where progress and tables are printed: rich's Console, to which texts are texts."""

from typing import Any

import rich.console

from study.terminal import escaped


class Console(rich.console.Console):
    """Prints strings as they are, each in one line of its own: names and paths can hold what rich takes for markup or an emoji."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(width=width, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        texts = [escaped(item) if isinstance(item, str) else item for item in objects]
        if all(isinstance(item, str) for item in texts):
            options["soft_wrap"] = True
        super().print(*texts, **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command, which rich would end itself."""
        raise
