// The interactive charts: drawn when they come near the window, again when the choice changes.

const OPTIONS = {
  ast: true,  // expressions are interpreted: the page allows no code from text
  actions: false,
  renderer: "svg",
  tooltip: { disableDefaultStyle: true },
};

const shownNumber = (value, unit) => {
  if (unit === "%") return `${(100 * value).toFixed(1)} %`;
  return `${Number(value.toPrecision(3))}${unit ? ` ${unit}` : ""}`;
};

// In words what the chart shows, for those who do not see it.
const describe = (chart, rows, where) => {
  if (!rows.length) return `${chart.title}, ${where}: nothing to show.`;
  const models = grouped(rows, (row) => row.name);
  const say = (row) => shownNumber(row[chart.value], chart.unit);
  const words = [...models].map(([name, own]) => {
    if (own.length === 1) return `${name} ${say(own[0])}`;
    if (chart.across) {
      const [first, last] = [own[0], own[own.length - 1]];
      return `${name} ${say(first)} at ${first[chart.across]}, ${say(last)} at ${last[chart.across]}`;
    }
    const sorted = [...own].sort((a, b) => a[chart.value] - b[chart.value]);
    return `${name} ${own.length} runs from ${say(sorted[0])} to ${say(sorted[own.length - 1])}`;
  });
  return `${chart.title}, ${where}: ${words.join("; ")}.`;
};

// A place for a chart: `draw` fetches the rows of the moment and draws them.
const place = (chart, host, rowsNow, whereNow) => {
  let near = false, stale = true, drawn = null;
  const draw = async () => {
    if (!near || !stale) return;
    stale = false;
    const rows = rowsNow();
    if (drawn) drawn.finalize();
    drawn = null;
    host.replaceChildren();
    if (!rows.length) {
      host.append(el("p", { class: "empty" }, `Nothing to show of ${whereNow()}.`));
      return;
    }
    const spec = structuredClone(chart.spec);
    spec.datasets = { ...spec.datasets, ...chart.more, rows, trained: chart.across === "scale" ? DATA.trained[state.scenario] ?? [] : [] };
    if (spec.height.step) spec.height = spec.height.step * new Set(rows.map((row) => row.name)).size;
    spec.description = chart.told ?? describe(chart, rows, whereNow());
    drawn = await vegaEmbed(host, spec, OPTIONS);
    const svg = host.querySelector("svg");
    if (svg) {
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", spec.description);
    }
    drawn.view.addEventListener("click", (_, item) => item?.datum?.point_id && change({ a: `r:${item.datum.point_id}` }));
  };
  new IntersectionObserver((entries) => {
    near = entries.some((entry) => entry.isIntersecting);
    draw();
  }, { rootMargin: "400px" }).observe(host);
  const refresh = () => {
    stale = true;
    return draw();
  };
  onChange(refresh);
  return { refresh, svg: async () => onPaper(await drawn.view.toSVG()) };
};

const csvNames = (rows) => Object.keys(rows[0] ?? {}).filter((name) => !["spread", "best", "start", "end"].includes(name));

const liven = (figure, chart) => {
  chart.title = figure.querySelector("h3").textContent;
  const all = rowsOf(chart.rows);
  const rows = () => all.filter((row) => inCell(row) && isShown(row));
  const host = el("div", { class: "live" });
  const printed = figure.querySelector(".printed");
  const { svg } = place(chart, host, rows, cellName);
  const file = () => `${chart.name}-${state.dataset}-${state.scenario}`;
  printed.before(
    host,
    el("p", { class: "hint" }, `${chart.hint} Shift and wheel zooms, dragging moves, a double click goes back.`),
    tools(
      button("SVG", `${chart.title} as SVG`, async () => saveSvg(await svg(), file())),
      button("PNG", `${chart.title} as PNG`, async () => savePng(await svg(), file())),
      button("CSV", `${chart.title}: the numbers shown, as CSV`, () => saveCsv(csvNames(rows()), rows(), file())),
    ),
  );
  const fold = el("details", {}, el("summary", {}, "All datasets and scenarios, as printed"));
  printed.replaceWith(fold);
  fold.append(printed);
};

const figures = () => {
  for (const figure of document.querySelectorAll("figure[id]")) {
    const name = figure.id.replace("figure-", "");
    const chart = DATA.charts.find((one) => one.name === name);
    const drawn = figure.querySelector(".printed svg");
    if (chart) liven(figure, chart);
    if (!drawn) continue;
    const title = figure.querySelector("h3").textContent;
    figure.querySelector(".printed").append(tools(
      button("SVG", `${title}, as printed, as SVG`, () => saveSvg(drawnSvg(drawn), name)),
      button("PNG", `${title}, as printed, as PNG`, () => savePng(drawnSvg(drawn), name)),
    ));
  }
};
