// Tables: sorted by a click, filtered by words, narrowed to the page's choice, saved as CSV.

const cellText = (row, column) => row.cells[column].textContent;
const compareTexts = (a, b) => {
  const [x, y] = [parseFloat(a), parseFloat(b)];
  if (!isNaN(x) && !isNaN(y) && x !== y) return x - y;
  return a.localeCompare(b);
};

const sortable = (table) => {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const press = el("button", { type: "button" }, head.textContent);
    head.replaceChildren(press);
    press.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compareTexts(cellText(a, column), cellText(b, column)));
      body.append(...(descending ? rows.reverse() : rows));
    });
  });
};

const tables = () => {
  for (const table of document.querySelectorAll("table.data")) {
    sortable(table);
    const rows = [...table.tBodies[0].rows];
    const parts = [];
    const chosen = el("input", { type: "checkbox" });
    const filter = el("input", {
      class: "filter", type: "search",
      placeholder: "Filter rows: words, all must match", "aria-label": "Filter rows: words, all must match",
    });
    const count = el("span", { class: "hint", role: "status" });
    const follows = rows.some((row) => row.dataset.cell);
    const narrow = () => {
      const words = filter.value.toLowerCase().split(/\s+/);
      const cell = `${state.dataset}/${state.scenario}`;
      table.classList.toggle("one", follows && chosen.checked);  // its cell is named above
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const models = (row.dataset.models ?? "").split(" ").filter(Boolean);
        const hidden = models.some((n) => state.hidden.has(DATA.models[n]?.label));
        const elsewhere = follows && chosen.checked && row.dataset.cell !== cell;
        row.hidden = elsewhere || hidden || !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      const all = counted(rows.length, "row");
      count.textContent = shown === rows.length ? all : `${shown} of ${all}`;
    };
    if (follows) {
      chosen.checked = DATA.cells.length > 1;
      chosen.addEventListener("change", narrow);
      parts.push(el("label", {}, chosen, " only the dataset and scenario chosen above"));
    }
    filter.addEventListener("input", narrow);
    if (rows.length >= 8) parts.push(filter);
    const file = DATA.tables[table.id];
    if (file) {
      parts.push(button("CSV", `The whole table, unrounded, as CSV: ${table.id}`,
        () => saveCsv(Object.keys(file), rowsOf(file), table.id)));
    }
    table.parentElement.before(tools(...parts, count));
    onChange(narrow);
    narrow();
  }
};
