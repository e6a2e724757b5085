"""The notebooks of examples/ do what they show: executed again, they print what is kept in them."""

import documents
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted(path.name for path in (documents.ROOT / "examples").glob("*.ipynb"))


def left(cell):
    """The text that a cell printed or showed, what it said on stderr last, as the kernel sends either first; and how many figures."""
    outputs = sorted(cell.get("outputs", []), key=lambda output: output.get("name") == "stderr")
    data = [output.get("data", {"text/plain": output.get("text", "")}) for output in outputs]
    return "\n".join(shown["text/plain"] for shown in data if "image/png" not in shown), sum(
        "image/png" in shown for shown in data
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_prints_and_draws_what_is_kept_in_it(name, tmp_path):
    kept = nbformat.read(documents.ROOT / "examples" / name, as_version=4)
    nbformat.validate(kept)
    again = NotebookClient(nbformat.from_dict(kept), timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    for before, after in zip(kept.cells, again.cells, strict=True):
        (shown, figures), (printed, drawn) = left(before), left(after)
        assert figures == drawn
        documents.check_shown(shown, printed)
    assert all(output.output_type != "error" for cell in kept.cells for output in cell.get("outputs", []))
