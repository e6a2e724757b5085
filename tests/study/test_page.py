"""The page in a browser: read, walked by keyboard, pointed at, filtered, compared, printed, and without script."""

import shutil
import time

import noisy_images
import numpy as np
import pandas as pd
import pytest
import torch

from study import cli
from study.experiments import flips
from study.report import page
from study.running.run import begun, finish

WIDTHS = (390, 768, 1400)
PAGES = ("index.html", "experiments/pixels.html", "experiments/fit.html")
EXECUTIONS = 2


def fit(out, name, rank=3.0):
    """A run as `study fit` leaves it."""
    model = {"encoder": {"class_path": "models.MLP"}, "objective": {"class_path": "models.Pixels"}, "lr": 0.1}
    frame = pd.DataFrame(
        {"network": n, "step": s, "time": float(s), "metric": metric, "value": value * np.exp(-s / 50) + n}
        for metric, value in (("loss", 1.0), ("health/validation-256/rank", rank), ("linear/gain/0", 1.0))
        for s in range(0, 100, 10)
        for n in range(2)
    )
    with begun(out / "fit" / name, {"model": model, "data": {"class_path": "datamodules.GaussianPairs"}}):
        return finish(out / "fit" / name, frame, torch.device("cpu"), "study fit", 3.0, "trained")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, execution):
    """Two executions of pixels, two of flips, two own runs, and one that is not finished."""
    out = tmp_path_factory.mktemp("page") / "runs"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flips, "DEPTHS", (1, 2))
        noisy_images.execute(out)
        noisy_images.execute(out, gamma=0.95)
        for seed in range(2):
            execution(out, seed, early=10.0)
        fit(out, "first-0123456789ab")
        fit(out, "second-0123456789ab", rank=5.0)
        (out / "fit" / "third-0123456789ab").mkdir()
        (out / "fit" / "third-0123456789ab" / "config.yaml").write_text("model: {}\n")
        page.publish(out)
    return out


@pytest.fixture
def show(chromium, runs):
    """Opens a page. Whatever it logs, and whatever it asks of the network, is a failure of the test."""
    contexts, wrong = [], []

    def show(name, width=1400, **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda message: wrong.append(message.text))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
        opened.goto((runs / "report" / name).as_uri())
        return opened

    yield show
    for context in contexts:
        context.close()
    assert not wrong


def scrolled(opened):
    """The page, with every figure drawn."""
    for figure in opened.query_selector_all("figure[data-figure], section#runs"):
        figure.scroll_into_view_if_needed()
    opened.wait_for_function("!document.querySelector('figure[data-figure]') || document.querySelector('canvas')")
    return opened


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (768, "light"), (1400, "dark")])
def test_a_page_is_accessible_and_fits_at_every_width(name, width, scheme, show):
    from axe_playwright_python.sync_playwright import Axe

    opened = scrolled(show(name, width, color_scheme=scheme))
    opened.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    found = Axe().run(opened).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
    assert not serious
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_all_can_be_reached_and_used_by_keyboard(show):
    opened = scrolled(show("experiments/pixels.html"))
    opened.evaluate("scrollTo(0, 0)")
    wanted = opened.evaluate(
        "[...document.querySelectorAll('a, button, summary, select, input, [tabindex=\"0\"]')].filter(e => e.checkVisibility()).length"
    )
    seen, outlined = set(), 0
    for _ in range(wanted):
        opened.keyboard.press("Tab")
        at, outline = opened.evaluate(
            "[[...document.querySelectorAll('*')].indexOf(document.activeElement), getComputedStyle(document.activeElement).outlineStyle]"
        )
        seen.add(at)
        outlined += outline != "none"
    assert len(seen) == outlined == wanted, "each once, and each seen to be where one is"
    opened.locator(".skip").focus()
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "main"
    details = opened.locator("details.group").first
    details.locator("summary").focus()
    opened.keyboard.press("Enter")
    assert details.get_attribute("open") is not None
    head = details.locator("thead button").first
    head.focus()
    opened.keyboard.press("Enter")
    assert details.locator("thead th").first.get_attribute("aria-sort") == "ascending"
    plot = opened.locator(".plot [role=application]").first
    plot.focus()
    said = opened.locator(".plot output").first
    opened.keyboard.press("ArrowRight")
    first = said.text_content()
    opened.keyboard.press("ArrowRight")
    assert "updates 0" in first and "updates 240" in said.text_content() != first


def test_a_figure_says_the_value_under_the_pointer_and_leaves_out_what_is_not_chosen(show):
    opened = scrolled(show("index.html"))
    plot = opened.locator(".plot").first
    box = plot.locator(".u-over").bounding_box()
    plot.locator(".u-over").hover(position={"x": 0.24 * box["width"], "y": box["height"] - 8})
    said = plot.locator("output")
    assert "JEPA · distractor's share of features 0.0" in said.text_content()
    opened.get_by_role("button", name="JEPA", exact=True).click()
    plot.locator(".u-over").hover(position={"x": 0.25 * box["width"], "y": box["height"] - 8})
    assert not said.text_content()
    opened.locator("summary", has_text="Values as a table").click()
    opened.locator("figure table tbody tr").nth(10).wait_for()  # it is made when it is opened


def test_claims_are_filtered_by_words_and_verdicts(show):
    opened = show("index.html")
    filters, rows = opened.locator(".filters"), opened.locator("details.experiment tbody tr:visible")
    assert rows.count() == 0, "folded"
    filters.get_by_role("searchbox").fill("share trained")
    assert rows.count() == 2 * EXECUTIONS and filters.locator("output").text_content() == f"{rows.count()} claims"
    filters.get_by_label("measurement").uncheck()
    assert rows.count() == 2
    filters.get_by_role("searchbox").fill("no such words")
    assert rows.count() == 0 and filters.locator("output").text_content() == "0 claims"
    filters.get_by_role("searchbox").fill("")
    filters.get_by_label("measurement").check()
    assert rows.count() == 0 and opened.locator("details.experiment:visible").count() == 2


@pytest.mark.parametrize("name", ["experiments/pixels.html", "experiments/fit.html"])
def test_two_runs_are_compared_seed_by_seed(name, show):
    opened = scrolled(show(name))
    section = opened.locator("section#runs")
    section.get_by_label("Measured").select_option("health/validation-256/rank")
    plot, said = section.locator("[role=application]"), section.locator(".plot output")
    plot.focus()
    names = set()
    for _ in range(20):
        opened.keyboard.press("ArrowDown")
        opened.keyboard.press("ArrowRight")
        names.add(said.text_content().split(" · ")[0])
    seeds = 5 if "pixels" in name else 2
    assert {text[0] for text in names} == {"A", "B"} and len(names) == 2 * seeds
    for box in section.get_by_role("checkbox").all()[1:]:
        box.uncheck()
    plot.focus()
    opened.keyboard.press("ArrowDown")
    assert "seed 1" in said.text_content()
    section.locator("summary", has_text="Last values").click()
    row = section.locator("[data-last] tr", has_text="health/validation-256/rank").locator("td").all_text_contents()
    assert float(row[2]) == pytest.approx(float(row[1]) - float(row[0]), abs=0.02)
    assert "linear/gain" not in section.get_by_label("Measured").text_content(), "of single directions figures tell"


def test_two_executions_are_compared_claim_by_claim(show):
    opened = show("experiments/pixels.html")
    rows = opened.locator("[data-compared] tbody tr")
    assert rows.count() == 4
    shown = rows.first.locator("td").all_text_contents()
    assert {text.rsplit(", ")[-1] for text in shown[:2]} == {"holds", "measurement"}
    opened.locator("[data-executions]").get_by_label("Execution A").select_option("1")
    opened.locator("[data-executions]").get_by_label("Execution B").select_option("1")
    assert set(rows.locator("td:last-child").all_text_contents()) == {"0"}


def test_without_script_all_that_matters_is_there(show):
    opened = show("index.html", java_script_enabled=False)
    text = opened.locator("main").inner_text()
    assert "All 4 claims made of it hold." in text and "few labels were not measured" in text
    assert opened.locator("figure svg:visible").count() == 2
    opened.locator("details.experiment summary").first.click()
    opened.locator("details.group summary").first.click()
    assert opened.locator("details.group tbody tr:visible").count()
    assert not opened.locator(".needs-script:visible").count()


def test_on_paper_figures_are_drawn_by_lines(show):
    opened = scrolled(show("index.html"))
    assert opened.locator("canvas:visible").count() == 2 and opened.locator("figure svg:visible").count() == 1
    opened.emulate_media(media="print")
    assert not opened.locator("canvas:visible").count() and opened.locator("figure svg:visible").count() == 2


def test_a_page_is_small_and_holds_the_library_once(runs):
    for name in PAGES:
        text = (runs / "report" / name).read_text("utf-8")
        assert text.count("var uPlot=") == 1
        assert len(text.encode()) <= 1.5e6


def test_what_is_being_written_is_counted_and_not_shown(runs):
    text = page.place(runs).read_text("utf-8")
    assert "1 run is not finished" in text and "2 by <code>study fit</code>" in text
    assert "third" not in page.place(runs, "fit").read_text("utf-8")


def test_own_runs_alone_make_a_page_and_what_is_damaged_is_left_out(tmp_path, capsys):
    out = tmp_path / "runs"
    fit(out, "first-0123456789ab")
    path = fit(out, "second-0123456789ab").path / "metrics.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert cli.main(["report", "--out", str(out)]) == 0
    assert f"{path.parent}: left out of the page: {path}: damaged" in capsys.readouterr().err
    text = page.place(out, "fit").read_text("utf-8")
    assert "first-0123456789ab" in text and "second-0123456789ab" not in text
    assert "study run pixels" in (index := page.place(out).read_text("utf-8")), "what makes the answer"
    assert "0 of 0" not in index and "0 runs" not in index


def test_the_page_of_an_experiment_that_is_gone_goes(runs, tmp_path):
    out = shutil.copytree(runs, tmp_path / "runs")
    shutil.rmtree(out / "flips")
    page.publish(out)
    assert not page.place(out, "flips").exists() and page.place(out, "pixels").exists()
    assert "flips" not in page.place(out).read_text("utf-8").partition("<script")[0]


@pytest.mark.slow
def test_two_hundred_runs_are_there_within_a_second(chromium, tmp_path):
    """From the call to the first frame after the page has handled a key, on 2 CPU cores; 1.5 MB at most."""
    out = tmp_path / "runs"
    for i in range(200):
        fit(out, f"run{i}-0123456789ab")
    noisy_images.execute(out)
    page.publish(out)
    assert page.place(out).stat().st_size <= 1.5e6
    taken = []
    for name in ("index.html", "experiments/fit.html", "index.html"):
        opened = chromium.new_page()
        start = time.monotonic()
        opened.goto((out / "report" / name).as_uri(), wait_until="load")
        opened.keyboard.press("Tab")
        opened.evaluate("new Promise(requestAnimationFrame)")
        taken.append(time.monotonic() - start)
        opened.close()
    print([f"{seconds:.2f} s" for seconds in taken])
    assert max(taken) <= 1
