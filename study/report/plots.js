"use strict";
// Figures drawn again by uPlot, so that they say values under the pointer and under the arrow keys. Without script, and on paper, the
// figure is the SVG in its place.
const data = JSON.parse(document.getElementById("data").textContent);

const written = value => value === null ? "nothing" : value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5)
  ? String(+value.toPrecision(4)) : value.toExponential(2);

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The points of a panel that can be pointed at, series by series.
function points(panel, hidden) {
  const shown = panel.series.filter(s => !hidden.has(s.name) && s.kind !== "band" && s.kind !== "error" && s.kind !== "rule");
  return shown.map(s => s.x.map((x, i) => ({ x, y: s.y[i], name: s.name })).filter(p => p.y !== null)).filter(list => list.length);
}

function axis(of, colour) {
  const named = of.ticks && new Map(of.ticks);
  return {
    font: "11px system-ui, sans-serif",
    stroke: colour, grid: { stroke: "#8884", width: 1, show: !named }, ticks: { stroke: "#8888", width: 1, size: named ? 0 : 5 },
    // Names in lines, so that neighbours keep apart where panels are narrow.
    ...(named ? { splits: () => [...named.keys()], values: () => [...named.values()].map(name => name.replace(/ |(?<=-)/g, "\n")) }
      : { values: (u, at) => at.map(v => v === null ? null : written(v)) }),
  };
}

const scale = of => ({ time: false, distr: of.log ? 3 : 1, dir: of.first > of.last ? -1 : 1,
  range: [Math.min(of.first, of.last), Math.max(of.first, of.last)] });

// uPlot wants one x for all series: joined, with gaps where a series has no value. A band is two series.
function joined(panel) {
  const drawn = panel.series.filter(s => s.x.length), xs = [panel.x.first, panel.x.last].sort((a, b) => a - b);
  const tables = drawn.map(s => s.high ? [s.x, s.y, s.high] : [s.x, s.y]);
  for (const s of panel.series.filter(s => s.kind === "rule")) { drawn.push(s); tables.push([xs, [s.y[0], s.y[0]]]); }
  const columns = [{}], bands = [];
  for (const s of drawn) {
    const dots = s.kind === "points", line = s.kind === "line" || s.kind === "rule";
    const column = { label: s.name, spanGaps: true, stroke: s.colour, width: line ? 1.5 : 0, dash: s.dash, fill: undefined,
      points: { show: dots || Boolean(s.dots), size: 5, fill: s.colour, stroke: s.colour }, paths: line ? undefined : () => null };
    columns.push(column);
    if (s.high) columns.push({ ...column });
    if (s.kind === "band") {
      for (const c of columns.slice(-2)) Object.assign(c, { paths: undefined, width: 0, points: { show: false } });
      bands.push({ series: [columns.length - 1, columns.length - 2], fill: s.colour + "26" });
    } else if (s.kind !== "line" && s.kind !== "rule" && s.kind !== "points") for (const c of columns.slice(s.high ? -2 : -1)) c.points = { show: false };
  }
  return { table: tables.length ? uPlot.join(tables) : [xs], columns, bands };
}

// Bars and the bars of errors stand at numbers of their own width, which uPlot's do not.
function blocks(panel, hidden) {
  return u => {
    const { ctx } = u;
    ctx.save();
    for (const s of panel.series) {
      if (hidden.has(s.name)) continue;
      if (s.kind === "bar") {
        const [left, right] = [-1, 1].map(side => u.valToPos(s.x[0] + side * s.width / 2, "x", true));
        const [top, bottom] = [s.y[0], 0].map(v => u.valToPos(v, "y", true));
        ctx.fillStyle = s.colour;
        ctx.fillRect(left, top, right - left, bottom - top);
      } else if (s.kind === "error") {
        const x = u.valToPos(s.x[0], "x", true);
        ctx.strokeStyle = s.colour; ctx.lineWidth = 1.5;
        ctx.beginPath(); ctx.moveTo(x, u.valToPos(s.y[0], "y", true)); ctx.lineTo(x, u.valToPos(s.high[0], "y", true)); ctx.stroke();
      }
    }
    ctx.restore();
  };
}

// One panel. `hidden` holds the names of series that are left out.
function plot(panel, place, hidden, label) {
  const said = make("output", { "aria-live": "polite" }), mark = make("div", { class: "mark", hidden: "" });
  const area = make("div", { tabindex: "0", role: "application", "aria-label": `${label}. Left and right arrow: next point; up and down: next series` });
  // Names of axes in HTML, where they are broken into lines instead of cut off.
  place.append(...(panel.title ? [make("p", { class: "part" }, panel.title)] : []), ...(panel.y.label ? [make("p", { class: "axis" }, `↑ ${panel.y.label}`)] : []), area,
    ...(panel.x.label ? [make("p", { class: "axis over" }, `${panel.x.label} →`)] : []), said);
  const { table, columns, bands } = joined(panel);
  const size = () => ({ width: Math.max(200, place.clientWidth), height: Math.round(Math.min(320, Math.max(210, place.clientWidth * 0.62))) });
  const u = new uPlot({
    ...size(), series: columns, bands, legend: { show: false }, scales: { x: scale(panel.x), y: scale(panel.y) },
    axes: [axis(panel.x, "#222"), { ...axis(panel.y, "#222"), size: 54 }],
    cursor: { points: { show: false }, drag: { x: false, y: false }, x: false, y: false },
    hooks: { drawAxes: [blocks(panel, hidden)] },
  }, table, area);
  u.over.append(mark);
  const shown = () => points(panel, hidden);
  function say(point) {
    mark.hidden = !point;
    said.textContent = "";
    if (!point) return;
    mark.style.left = `${u.valToPos(point.x, "x")}px`; mark.style.top = `${u.valToPos(point.y, "y")}px`;
    const ticks = new Map(panel.x.ticks ?? []), at = ticks.has(point.x) ? ticks.get(point.x) : `${panel.x.label || "x"} ${written(point.x)}`;
    said.textContent = [...new Set([point.name, at, `${panel.y.label || "y"} ${written(point.y)}`])].filter(Boolean).join(" · ");
  }
  area.addEventListener("pointermove", event => {
    const box = u.over.getBoundingClientRect(), [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = 40 ** 2;
    for (const p of shown().flat()) {
      const far = (u.valToPos(p.x, "x") - x) ** 2 + (u.valToPos(p.y, "y") - y) ** 2;
      if (far < least) [best, least] = [p, far];
    }
    say(best);
  });
  let row = 0, column = -1;
  area.addEventListener("keydown", event => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key], lists = shown();
    if (event.key === "Escape") say(null);
    if (!step || !lists.length) return;
    event.preventDefault();
    row = (row + step[0] + lists.length) % lists.length;
    column = Math.min(Math.max(column + step[1], 0), lists[row].length - 1);
    say(lists[row][column]);
  });
  new ResizeObserver(() => { if (u.width !== size().width) { u.setSize(size()); say(null); } }).observe(place);
  return { update() { columns.forEach((c, i) => i && u.setSeries(i, { show: !hidden.has(c.label) })); say(null); } };
}

// The panels of a figure with one key, whose buttons choose what is drawn, and the values as a table.
function plots(panels, place, label) {
  const hidden = new Set(), entries = new Map();
  for (const s of panels.flatMap(p => p.series)) if (s.legend && s.name) entries.set(s.name, entries.get(s.name) ?? s);
  const drawn = panels.map((panel, i) => {
    const box = make("div", { class: "plot" });
    place.append(box);
    return plot(panel, box, hidden, panel.title || `${label}, part ${i + 1}`);
  });
  const key = make("div", { class: "key", role: "group", "aria-label": "Drawn series" });
  for (const [name, s] of entries) {
    const button = make("button", { type: "button", "aria-pressed": "true" }, make("i"), name);
    button.firstChild.className = s.kind === "line" || s.kind === "rule" ? "" : "dots";
    button.firstChild.style.color = s.colour;
    button.firstChild.style.borderTopStyle = s.dash?.length ? (s.dash[0] < 4 ? "dotted" : "dashed") : "solid";
    button.addEventListener("click", () => {
      const off = !hidden.delete(name) && Boolean(hidden.add(name));
      button.setAttribute("aria-pressed", String(!off));
      drawn.forEach(p => p.update());
    });
    key.append(button);
  }
  if (entries.size > 1) place.after(key);
  return drawn;
}

function values(panels) {
  const body = make("tbody");
  for (const panel of panels) for (const s of panel.series) s.x.forEach((x, i) => body.append(make("tr", {},
    ...[panel.title, s.name, written(x), written(s.y[i]) + (s.high ? ` to ${written(s.high[i])}` : "")].map(text => make("td", {}, text)))));
  const head = make("thead", {}, make("tr", {}, ...["part", "series", panels[0].x.label || "x", panels[0].y.label || "y"].map(t => make("th", { scope: "col" }, t))));
  return make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Values" }, make("table", {}, head, body));
}

// When it comes into sight: a page can have dozens.
const seen = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    const panels = data.figures[target.dataset.figure], place = make("div", { class: "plots" });
    const caption = target.querySelector("figcaption");
    caption.before(place);
    target.classList.add("alive");
    plots(panels, place, caption.textContent.split(".")[0]);
    const details = make("details", {}, make("summary", {}, "Values as a table"));
    details.addEventListener("toggle", () => { if (details.children.length === 1) details.append(values(panels)); });
    caption.after(details);
  }
}, { rootMargin: "300px" });
for (const figure of document.querySelectorAll("figure[data-figure]"))
  if (data.figures[figure.dataset.figure]?.length) seen.observe(figure);
for (const part of document.querySelectorAll(".needs-script")) part.hidden = false;
