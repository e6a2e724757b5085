"""What is kept of results is believed no further than the tables, and nothing that is put in its place does harm."""

import json
import os
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from study.experiments import flips
from study.launch import store
from study.report import kept, page, section, summary
from study.report.svg import sanitised
from study.running import own

FORGE = """
import json, sys
from study.report import kept
from study.launch import store
for record in store.records(sys.argv[1]):
    made = json.loads(kept.load(record) or sys.stdin.readline())
    for claim in made["claims"]:
        claim.update(measured=1.0, low=1.0, high=1.0, **{name: "FORGED" for name in ("statement", "predicted")})
    kept.keep(record, json.dumps(made))
"""
EVIL = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="1">{}</svg>'


@pytest.fixture
def one(runs, execution, monkeypatch):
    """An execution whose claims are kept."""
    monkeypatch.setattr(flips, "DEPTHS", (1, 2))
    record = execution(runs, 0, early=10.0)
    summary.claims(store.records(runs))
    return runs, runs / "cache" / "flips" / record.name


def test_what_another_user_kept_is_not_believed(one, tmp_path):
    """Whoever can write into the folder of results, and knows this program, has another key."""
    runs, path = one
    before, made = summary.claims(store.records(runs)), kept.load(store.records(runs)[0])
    path.unlink()
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "another")}
    subprocess.run([sys.executable, "-c", FORGE, runs], input=made, env=environment, text=True, check=True)
    assert "FORGED" in path.read_text()
    assert summary.claims(store.records(runs)) == before
    assert "FORGED" not in path.read_text()


@pytest.mark.parametrize("harm", ["folder", "pipe", "link", "huge", "deep", "no folder"])
def test_what_is_in_the_place_of_what_was_kept_does_no_harm(one, harm, prompt, tmp_path):
    runs, path = one
    before = summary.claims(store.records(runs))
    path.unlink()
    match harm:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            (tmp_path / "elsewhere").write_text("precious")
            path.symlink_to(tmp_path / "elsewhere")
        case "huge":
            with path.open("wb") as file:
                file.truncate(2**40)
        case "deep":
            path.write_text("[" * 10**6)
        case "no folder":
            path.parent.rmdir()
            path.parent.write_text("a file")
    assert summary.claims(store.records(runs)) == before
    page.render(store.records(runs), runs)
    assert harm != "link" or (tmp_path / "elsewhere").read_text() == "precious"


@pytest.fixture
def no_key(monkeypatch):
    """The user's folder cannot be made."""

    def forget():
        own.folder.cache_clear()
        own.key.cache_clear()

    def set_to(path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(path))
        forget()

    yield set_to
    monkeypatch.undo()
    forget()


def test_without_a_key_nothing_is_kept_and_that_is_said_once(one, no_key, tmp_path, study):
    runs, path = one
    path.unlink()
    (tmp_path / "file").touch()
    no_key(tmp_path / "file")
    code, lines = study("report", "--out", runs)
    assert code == 0 and len(lines) == 1 and "what is computed of results is not kept" in lines[0]
    assert not path.exists() and page.place(runs).exists()


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_key_that_is_none_is_named(content, no_key, tmp_path, capsys):
    no_key(tmp_path)
    assert own.key() and own.key() == (tmp_path / "jepa-study" / "key").read_bytes()
    assert (tmp_path / "jepa-study" / "key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "jepa-study" / "key").write_bytes(content)
    no_key(tmp_path)
    assert own.key() is None
    assert f"{tmp_path}/jepa-study/key: not a private file of 32 bytes; delete it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'><img src='x' onerror='alert(1)'/></body></foreignObject>",
        "<g onload='alert(1)' onclick='alert(1)'/>",
        "<a xlink:href='javascript:alert(1)'><text>here</text></a>",
        "<use xlink:href='http://evil.example/x.svg#a'/>",
        "<use href='http://evil.example/x.svg#a'/>",
        "<image xlink:href='http://evil.example/x.png'/>",
        "<image xlink:href='data:image/svg+xml;base64,AAAA'/>",
        "<animate attributeName='href' to='javascript:alert(1)'/>",
        "<set attributeName='onclick' to='alert(1)'/>",
        "<style>@import url(http://evil.example/x.css); * { display: none }</style>",
        "<path style='fill: url(http://evil.example/x)'/>",
        "<path style='position: fixed; background: url(http://evil.example/x)'/>",
        "<path clip-path='url(http://evil.example/x)'/>",
        "<x:script xmlns:x='http://www.w3.org/1999/xhtml'>alert(1)</x:script>",
        "<metadata><x>http://evil.example</x></metadata>",
    ],
)
def test_nothing_of_a_figure_acts_loads_or_styles_the_page(inside):
    text = sanitised(EVIL.format(inside))
    assert not any(
        word in text.lower() for word in ("script", "alert", "evil", "onload", "onclick", "display", "position", "svg+xml")
    )


@pytest.mark.parametrize("text", ["<b/>", "<svg>", '<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>', EVIL.format("&nbsp;")])
def test_what_is_no_figure_is_refused(text):
    with pytest.raises(ValueError, match="delete the folder cache"):
        sanitised(text)


def test_a_figure_keeps_all_that_is_drawn():
    import xml.etree.ElementTree as ElementTree

    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3], "o--", label="a & <b>")
    axes.fill_between([0, 1], [0, 1], [1, 2], alpha=0.3)
    axes.imshow([[1, 2], [3, 4]])
    axes.set(title="title", xlabel="$x^2$")
    axes.legend()
    made = section.svg(figure, "name")
    before, after = (
        [
            e
            for e in ElementTree.fromstring(text).iter()
            if e.tag.rpartition("}")[2] in ("path", "use", "image", "text", "tspan", "style")
        ]
        for text in (made, sanitised(made))
    )
    assert [(e.tag, e.text, sorted(e.attrib)) for e in before] == [
        (e.tag, e.text, sorted(e.attrib) + ["type"] * e.tag.endswith("}style")) for e in after
    ]
    for old, new in zip(before, after, strict=True):
        styles = [sorted(part.strip() for part in e.get("style", "").split(";") if part.strip()) for e in (old, new)]
        assert styles[0] == styles[1]


def test_markup_of_a_figure_does_not_reach_the_page(runs, execution, monkeypatch):
    monkeypatch.setattr(flips, "DEPTHS", (1, 2))
    monkeypatch.setattr(section, "svg", lambda *_: EVIL.format("<script>alert(1)</script><text>here</text>"))
    execution(runs, 0)
    for _ in range(2):  # made, and as it was kept
        page.render(store.records(runs), runs)
        text = page.place(runs, "flips").read_text()
        assert "alert(" not in text and ">here<" in text


def test_what_is_kept_is_one_signature_and_the_summary(one):
    _, path = one
    signature, made = path.read_text().split("\n", 1)
    assert len(bytes.fromhex(signature)) == 32 and json.loads(made)["claims"]
