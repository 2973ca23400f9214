// Searches: samples across their axes, and what mattered.

const searches = () => {
  for (const box of document.querySelectorAll(".search")) {
    const own = DATA.searches.filter((one) => one.study === box.dataset.study);
    const charts = el("div", { class: "figures" });
    for (const search of own) {
      const rows = rowsOf(search.rows);
      const host = el("div", { class: "live" });
      const ticks = rowsOf(search.ticks);
      const chart = { ...search, more: { ticks } };
      const file = `${search.study}-${search.name}`;
      const { svg } = place(chart, host, () => rows, () => search.study);
      charts.append(el("figure", {}, el("h4", {}, search.title), host, el("p", { class: "hint" }, search.hint), tools(
        button("SVG", `${search.title} as SVG`, async () => saveSvg(await svg(), file)),
        button("PNG", `${search.title} as PNG`, async () => savePng(await svg(), file)),
        button("CSV", `${search.title}: the numbers shown, as CSV`,
          () => saveCsv(Object.keys(rows[0]), rows, file)),
      )));
    }
    box.append(charts);
  }
};
