// Two runs over training, seed by seed, and two executions, claim by claim.
const COLOURS = ["#3f9b5b", "#6a51a3", "#8c6d1f", "#b0307a", "#4d4d4d", "#2aa198"];
const options = (select, names, chosen) => select.replaceChildren(...names.map(([value, text], i) =>
  make("option", { value, ...(i === chosen ? { selected: "" } : {}) }, text)));
const cells = (tag, texts) => texts.map((text, i) => make(i || tag === "th" ? tag : "th", tag === "th" ? { scope: "col" } : i ? {} : { scope: "row" }, text));

function filled(table, head, rows) {
  table.replaceChildren(make("thead", {}, make("tr", {}, ...cells("th", head))), make("tbody", {}, ...rows.map(row => make("tr", {}, ...cells("td", row)))));
}

function compareRuns(section) {
  const { metric, a, b } = section.querySelector("form").elements, seeds = section.querySelector("fieldset"), place = section.querySelector("[data-runs]");
  const over = run => Object.keys(run.metrics).filter(name => run.metrics[name].step.length > 1);
  const runs = data.runs, last = (run, name) => run.metrics[name]?.values.map(v => v.at(-1)) ?? [];
  const several = new Set(runs.map(run => run.execution)).size > 1;
  const names = runs.map((run, i) => [i, several ? `${run.role} (${run.execution})` : run.role]);
  const metrics = [...new Set(runs.flatMap(over))];
  if (!metrics.length) { section.hidden = true; document.querySelectorAll('a[href="#runs"]').forEach(link => link.parentElement.remove()); return; }
  const best = [/^probe\/online/, /^probe/, /^(?!loss$)/].map(wanted => metrics.findIndex(name => wanted.test(name))).find(at => at >= 0) ?? 0;
  options(metric, metrics.map(name => [name, name]), best);
  const able = runs.findIndex(run => over(run).includes(metric.value) && !run.role.startsWith("tune-"));
  const other = runs.findIndex((run, i) => i > able && over(run).includes(metric.value) && !run.role.startsWith("tune-"));
  options(a, names, able); options(b, names, other < 0 ? able : other);
  const trained = runs.filter(run => !run.role.startsWith("tune-"));  // whose networks are seeds, and not rates
  const count = Math.max(...(trained.length ? trained : runs).map(run => Math.max(0, ...Object.values(run.metrics).map(m => m.values.length))));
  for (let i = 0; i < count; i++) seeds.append(make("label", {}, make("input", { type: "checkbox", checked: "", value: i }), ` ${i + 1}`));

  function draw() {
    const chosen = [...seeds.querySelectorAll(":checked")].map(box => +box.value), series = [];
    [a, b].forEach((select, which) => {
      const run = runs[select.value], found = run.metrics[metric.value];
      for (const i of found ? chosen : []) if (found.values[i])
        series.push({ kind: "line", name: `${"AB"[which]}: ${run.role}, seed ${i + 1}`, legend: false, colour: COLOURS[i % COLOURS.length],
          dash: which ? [6, 4] : [], dots: found.step.length < 12, x: found.step, y: found.values[i] });
    });
    const xs = series.flatMap(s => s.x), ys = series.flatMap(s => s.y).filter(v => v !== null);
    place.replaceChildren();
    if (!ys.length) { place.append(make("p", {}, "Nothing of it was recorded over training in these runs.")); return; }
    const [low, high] = [Math.min(...ys), Math.max(...ys)], room = (high - low || Math.abs(high) || 1) * 0.05;
    plots([{ title: "", x: { label: "updates", first: Math.min(...xs), last: Math.max(...xs, Math.min(...xs) + 1) },
      y: { label: metric.value, first: low - room, last: high + room }, series }], place, `${metric.value} over updates`);
    const mean = values => values.length ? values.reduce((sum, v) => sum + v, 0) / values.length : null, [one, two] = [runs[a.value], runs[b.value]];
    filled(section.querySelector("[data-last]"), ["measured last (mean over chosen seeds)", `A: ${one.role}`, `B: ${two.role}`, "B - A"],
      [...new Set([...Object.keys(one.metrics), ...Object.keys(two.metrics)])].sort().map(name => {
        const [x, y] = [one, two].map(run => mean(last(run, name).filter((v, i) => v !== null && chosen.includes(i))));
        return [name, x === null ? "" : written(x), y === null ? "" : written(y), x === null || y === null ? "" : written(y - x)];
      }));
  }
  section.querySelector("form").addEventListener("input", draw);
  const all = section.querySelector("[data-all]");
  filled(all, ["run", "networks", "seconds", "finished", "last loss (first network)"],
    runs.map((run, i) => [names[i][1], String(run.networks), String(run.seconds), run.finished, last(run, "loss").length ? written(last(run, "loss")[0]) : ""]));
  sortable(all);
  new IntersectionObserver((entries, observer) => { if (entries.some(e => e.isIntersecting)) { observer.disconnect(); draw(); } }, { rootMargin: "300px" }).observe(section);
}

function compareExecutions(form) {
  const { a, b } = form.elements, found = data.executions, names = found.map((e, i) => [i, `${e.name}, ${e.finished}: ${e.options}`]);
  options(a, names, found.length - 2); options(b, names, found.length - 1);
  const text = claim => claim ? `${claim[0]} (${claim[1]} to ${claim[2]}), ${claim[3]}` : "not claimed";
  function draw() {
    const [one, two] = [found[a.value], found[b.value]], [x, y] = [one.claims, two.claims];
    filled(document.querySelector("[data-compared]"), ["claim", `A: ${one.name}`, `B: ${two.name}`, "B - A"],
      [...new Set([...Object.keys(x), ...Object.keys(y)])].map(id =>
        [id, text(x[id]), text(y[id]), x[id] && y[id] && isFinite(y[id][0] - x[id][0]) ? written(y[id][0] - x[id][0]) : ""]));
  }
  form.addEventListener("input", draw);
  draw();
}

document.querySelectorAll("section#runs").forEach(compareRuns);
document.querySelectorAll("form[data-executions]").forEach(compareExecutions);
