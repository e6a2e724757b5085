"""The site of the documents: built without a warning, shown at any width, and no request leaves the machine."""

import functools
import http.server
import os
import subprocess
import sys
import threading

import documents
import pytest

from study import cli
from study.experiments import EXPERIMENTS


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Its folder."""
    out = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out],
        cwd=documents.ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stderr
    return out


@pytest.fixture(scope="module")
def address(site):
    """Where a server on this machine shows it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Says nothing of requests."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_document_and_notebook_is_a_page_of_it(site):
    pages = {"index.html", "CONTRIBUTING.html", "CHANGELOG.html"}
    pages |= {f"{path.stem}.html" for path in documents.ROOT.glob("docs/*.md")}
    pages |= {f"examples/{path.stem}.html" for path in documents.ROOT.glob("examples/*.ipynb")}
    assert all((site / page).is_file() for page in pages)


def test_it_has_the_help_of_every_command_and_experiment(site):
    text = (site / "commands.html").read_text()
    names = [*(f"study {name}" for name in cli.COMMANDS), *(f"study run {name}" for name in EXPERIMENTS)]
    assert all(f"usage: {name}" in text for name in names)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("models", ["models.Learner", "models.MLP", "models.networks.ViT"]),
        ("datamodules", ["datamodules.SourcePairs", "datamodules.sources.Folder", "datamodules.noise.Distractor"]),
        ("study", ["study.forecast.command.spectrum", "study.running.result.Result"]),
        ("theory", ["study.theory.exact.critical_time"]),
        ("observers", ["study.observers.Alignment"]),
    ],
)
def test_it_has_the_public_classes_with_their_docstrings(page, names, site):
    text = (site / "api" / f"{page}.html").read_text()
    assert all(f'id="{name}"' in text for name in names)


def test_formulas_are_drawn_without_a_script(site):
    text = (site / "theory.html").read_text()
    assert text.count("<math") > 300 and "arithmatex" not in text and "$" not in text.split("<article")[1].split("</article")[0]


@pytest.mark.parametrize("width", [390, 1400])
def test_every_page_fits_and_asks_for_nothing_from_elsewhere(width, site, address, chromium):
    context = chromium.new_context(viewport={"width": width, "height": 900})
    opened, wrong = context.new_page(), []
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: request.url.startswith((address, "data:", "blob:")) or wrong.append(request.url))
    for path in sorted(site.rglob("*.html")):
        opened.goto(f"{address}/{path.relative_to(site).as_posix()}")
        if opened.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append(f"{path.name} is wider than {width}")
    context.close()
    assert not wrong
