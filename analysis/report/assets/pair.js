// Two models or runs side by side: how they differ in configuration, and their curves.

const RUNS = rowsOf(DATA.runs).map((row, place) => ({ ...row, place }));
const modelName = (label) => DATA.models.find((model) => model.label === label)?.name ?? label;

// A side is a model ("m:" and its label) or a run ("r:" and its point), of a dataset and scenario.
const sideOf = (word) => {
  const run = word.startsWith("r:") && RUNS.find((one) => one.point_id === word.slice(2));
  if (run) return { title: `${modelName(run.model)}, seed ${run.seed}`, runs: [run], run };
  const label = word.slice(2);
  const runs = RUNS.filter((one) => one.model === label && inCell(one));
  return { title: modelName(label), runs, label };
};

const settingsOf = (side) => {
  const found = {};
  for (const [column, title] of Object.entries(DATA.settings)) {
    const values = [...new Set(side.runs.map((run) => run[column]))];
    const known = values.filter((value) => value !== null);
    const numbers = known.length > 1 && known.every((value) => typeof value === "number");
    if (values.length === 1) found[title] = values[0] === null ? "–" : String(values[0]);
    else if (numbers) found[title] = `${Number(Math.min(...known).toPrecision(4))} to ${Number(Math.max(...known).toPrecision(4))}`;
    else found[title] = `${values.length} values`;
  }
  return found;
};

const curveOf = (side, letter, kind) => {
  const { across, name } = kind;
  if (side.run) {
    const ys = DATA.curves[across][side.run.place] ?? [];
    const xs = DATA.curves.xs[across] ?? ys.map((_, i) => i + 1);
    return ys.map((y, i) => ({ name: letter, [across]: xs[i], mean: y / 1000, low: null, high: null, seeds: 1 }));
  }
  const chart = DATA.charts.find((one) => one.name === name);
  const rows = chart ? rowsOf(chart.rows) : [];
  return rows.filter((row) => row.model === side.label && inCell(row)).map((row) => ({ ...row, name: letter }));
};

const difference = (a, b) => {
  const [left, right] = [settingsOf(a), settingsOf(b)];
  const all = Object.keys(left);
  const rows = all.filter((title) => left[title] !== right[title]);
  const body = el("tbody", {}, ...rows.map((title) => el("tr", {},
    el("th", { scope: "row" }, title), el("td", { class: "text" }, left[title]), el("td", { class: "text" }, right[title]))));
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Differs in"),
    el("th", { scope: "col" }, `A: ${a.title}`), el("th", { scope: "col" }, `B: ${b.title}`)));
  const same = all.filter((title) => left[title] === right[title] && left[title] !== "–").map((title) => `${title} ${left[title]}`);
  return [
    el("div", { class: "scroll" }, el("table", {}, head, body)),
    el("p", { class: "hint" }, `The same in both: ${same.join(", ") || "nothing"}.`),
  ];
};

const pair = () => {
  const section = document.getElementById("pair");
  const models = () => DATA.models.filter((m) => RUNS.some((run) => run.model === m.label && inCell(run)));
  const word = (side, other) => {
    const asked = state[side];
    const known = asked.startsWith("r:")
      ? RUNS.some((run) => run.point_id === asked.slice(2) && inCell(run))
      : models().some((model) => `m:${model.label}` === asked);
    if (known) return asked;
    const best = DATA.best[`${state.dataset}/${state.scenario}`] ?? [];
    const label = best.find((one) => `m:${one}` !== other) ?? models()[0]?.label;
    return label === undefined ? "" : `m:${label}`;
  };
  const picker = (side) => {
    const model = select(`${side.toUpperCase()}: model`, [], "", () => change({ [side]: `m:${model.value}` }));
    const run = select(`${side.toUpperCase()}: run`, [], "",
      () => change({ [side]: run.value ? `r:${run.value}` : `m:${model.value}` }));
    const follow = (asked) => {
      const { label, run: chosen } = sideOf(asked);
      model.replaceChildren(...models().map((one) => el("option", { value: one.label }, one.name)));
      model.value = chosen ? chosen.model : label;
      const own = RUNS.filter((one) => one.model === model.value && inCell(one)).sort((x, y) => x.seed - y.seed);
      run.replaceChildren(el("option", { value: "" }, own.length === 1 ? "the one run" : `all ${own.length} runs`), ...own.map((one) =>
        el("option", { value: one.point_id }, `seed ${one.seed}: ${shownNumber(one.test_accuracy, "%")}`)));
      run.value = chosen ? chosen.point_id : "";
    };
    const box = el("div", { class: "side" }, el("strong", {}, `${side.toUpperCase()} `), model, run);
    return { box, follow };
  };
  const [a, b] = [picker("a"), picker("b")];
  const table = el("div");
  const hosts = DATA.pair.map((kind) => {
    const host = el("div", { class: "live" });
    const chart = { ...kind, unit: "%", value: "mean" };
    const rows = () => [...curveOf(sides[0], "A", kind), ...curveOf(sides[1], "B", kind)];
    const where = () => `${sides[0].title} and ${sides[1].title}`;
    return { node: el("div", {}, el("h3", {}, kind.title), host), host, chart, rows, where };
  });
  let sides = [];
  const follow = () => {
    const words = [word("a", ""), ""];
    words[1] = word("b", words[0]);
    if (!words[0]) return table.replaceChildren(el("p", { class: "empty" }, `No finished run on ${cellName()}.`));
    sides = words.map(sideOf);
    a.follow(words[0]);
    b.follow(words[1]);
    return table.replaceChildren(...difference(...sides));
  };
  onChange(follow);
  follow();
  section.querySelector("p").after(
    el("div", { class: "sides" }, a.box, b.box),
    el("div", { class: "result" }, table, el("div", { class: "curves" }, ...hosts.map((one) => one.node))));
  for (const one of hosts) place(one.chart, one.host, () => (sides.length ? one.rows() : []), one.where);
};
