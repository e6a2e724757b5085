// Tables are sorted by their heads, and claims filtered by words and verdicts.
function sortable(table) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending", body = table.tBodies[0];
      const text = row => row.cells[column].textContent.trim(), value = row => parseFloat(text(row));
      const numbers = [...body.rows].some(row => !Number.isNaN(value(row)));
      const order = (a, b) => numbers ? (value(a) || 0) - (value(b) || 0) : text(a).localeCompare(text(b));
      table.querySelectorAll("thead th").forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
    });
  });
}
document.querySelectorAll("table.sortable:not([data-all])").forEach(sortable);

const filters = document.querySelector(".filters");
filters?.addEventListener("submit", event => event.preventDefault());
filters?.addEventListener("input", () => {
  const words = filters.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = new Set([...filters.querySelectorAll("[name=verdict]:checked")].map(box => box.value));
  const all = filters.querySelectorAll("[name=verdict]").length, open = words.length > 0 || verdicts.size < all;
  let count = 0;
  for (const experiment of document.querySelectorAll("details.experiment")) {
    const name = experiment.querySelector("summary").textContent;
    for (const group of experiment.querySelectorAll("details.group")) {
      for (const row of group.querySelectorAll("tbody tr")) {
        const text = `${name} ${group.querySelector("summary").textContent} ${row.textContent}`.toLowerCase();
        row.hidden = !(verdicts.has(row.dataset.verdict) && words.every(word => text.includes(word)));
        count += !row.hidden;
      }
      group.hidden = !group.querySelector("tbody tr:not([hidden])");
      group.open = open && !group.hidden;
    }
    experiment.hidden = open && !experiment.querySelector("details.group:not([hidden])");
    experiment.open = open && !experiment.hidden;
  }
  filters.querySelector("output").textContent = open ? `${count} claims` : "";
});

// A link into what is folded opens it.
function unfold() {
  for (let at = document.getElementById(decodeURIComponent(location.hash.slice(1))); at; at = at.parentElement)
    if (at.tagName === "DETAILS") at.open = true;
}
addEventListener("hashchange", unfold);
unfold();
