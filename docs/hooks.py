"""What the site has beside the pages of docs/: README as its first page, the notebooks, kept results, the help of the commands and the
reference of the classes, all made from the program and its files while the site is built, so that none of it goes stale."""

import contextlib
import html
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"index.md": "README.md", **{name: name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "runs/reference/README.md")}}
COPIED = ("CITATION.cff", "examples/*.yaml", "runs/reference/**/*.png")
CLASSES = {
    "models": ("models", "models.networks"),
    "datamodules": ("datamodules", "datamodules.sources", "datamodules.noise", "datamodules.pairings"),
    "study": (
        "study.forecast.command.spectrum",
        "study.forecast.forecast",
        "study.running.training.Training",
        "study.running.result",
        "study.probing.probe",
        "study.experiments.base",
        "study.experiments.verdict",
    ),
    "theory": tuple(f"study.theory.{name}" for name in ("flow", "exact", "asymptotic", "generative", "predictions", "teacher")),
    "observers": ("study.observers",),
}
FORMULA = re.compile(r'(?s)<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds pages and files from outside docs/."""
    made = {uri: (ROOT / path).read_text() for uri, path in PAGES.items()}
    made |= {f"examples/{path.stem}.md": notebook(path) for path in sorted(ROOT.glob("examples/*.ipynb"))}
    made |= {f"api/{name}.md": reference(name, objects) for name, objects in CLASSES.items()}
    for uri, text in made.items():
        files.append(File.generated(config, uri, content=text))
    for path in sorted(path for pattern in COPIED for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are among the pages of the site; formulas that stand by themselves as paragraphs."""
    if page.file.src_uri == "commands.md":
        markdown += "".join(f"\n\n## {title}\n\n```text\n{text}```" for title, text in helps())
    markdown = re.sub(r"\]\((?:docs/|\.\./)", "](", markdown)
    markdown = re.sub(r"\]\((examples/[\w-]+)\.ipynb", r"](\1.md", markdown)
    return re.sub(r"(?s)\$\$(.+?)\$\$", r"\n\n$$\1$$\n\n", markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML, which browsers draw without a script."""
    return FORMULA.sub(formula, html)


def formula(found: re.Match[str]) -> str:
    """A formula of LaTeX as MathML, its number beside it."""
    display = "block" if found[1] == "div" else "inline"
    tex, *number = re.split(r"\\tag\{(.*?)\}", html.unescape(found[2]))
    made = latex2mathml.converter.convert(tex + "".join(number[1:]), display=display)
    if display == "inline":
        return made
    return f'<div class="formula">{made}{"".join(f"<span>({n})</span>" for n in number[:1])}</div>'


def reference(name: str, objects: tuple[str, ...]) -> str:
    """The page of some classes and functions."""
    return f"# {name}\n\n" + "\n\n".join(f"::: {found}" for found in objects)


def helps() -> Iterator[tuple[str, str]]:
    """What each command prints with --help, and each experiment."""
    from study import cli
    from study.experiments import EXPERIMENTS

    os.environ["COLUMNS"] = "100"
    yield "study", printed()
    for name in cli.COMMANDS:
        yield f"study {name}", printed(name)
        if name == "run":
            for experiment in EXPERIMENTS:
                yield f"study run {experiment}", printed(name, experiment)


def printed(*arguments: str) -> str:
    from study import cli

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        cli.main([*arguments, "--help"])
    return out.getvalue()


def notebook(path: Path) -> str:
    """A notebook as a page: its text, its code, and what that printed and drew."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += [shown(output) for output in cell.get("outputs", [])]
    return "\n\n".join(parts)


def shown(output: dict) -> str:
    """What a cell left: a figure, a table, or text."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        return f'<img alt="Figure of the cell above" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    if "text/html" in data:
        return f'<div class="output">{"".join(data["text/html"])}</div>'
    return f"```text\n{''.join(data['text/plain'])}\n```"
