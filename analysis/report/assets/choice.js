// The bar that chooses for the whole page, the legend of models, the contents.

const select = (label, pairs, value, onchoice) => {
  const box = el("select", { "aria-label": label, onchange: () => onchoice(box.value) });
  for (const [key, name] of pairs) box.append(el("option", { value: key }, name));
  box.value = String(value);
  return box;
};

const toggle = (label, alone) => {
  const labels = DATA.models.map((model) => model.label);
  if (alone) return change({ hidden: new Set(labels.filter((other) => other !== label)) });
  const hidden = new Set(state.hidden);
  if (!hidden.delete(label)) hidden.add(label);
  return change({ hidden });
};

const legend = () => {
  const box = el("div", { class: "legend", role: "group", "aria-label": "Models, shown or hidden" });
  const all = () => change({ hidden: new Set(state.hidden.size ? [] : DATA.models.map((m) => m.label)) });
  const bulk = el("button", { type: "button", class: "bulk", onclick: all });
  box.append(bulk);
  const buttons = DATA.models.map((model) => {
    const dot = el("i", { class: "dot" });
    dot.style.background = model.colour;
    const button = el("button", {
      type: "button",
      title: "Click: show or hide. Shift and click: show this one alone.",
      onclick: (event) => toggle(model.label, event.shiftKey),
    }, dot, model.name);
    box.append(button);
    return [model.label, button];
  });
  const draw = () => {
    bulk.textContent = state.hidden.size ? "Show all" : "Hide all";
    for (const [label, button] of buttons) button.setAttribute("aria-pressed", String(!state.hidden.has(label)));
  };
  onChange(draw);
  draw();
  return box;
};

const choiceBar = () => {
  const dataset = select("Dataset", DATA.datasets, state.dataset, (value) => change({ dataset: value }));
  const scenario = select("Scenario", DATA.scenarios, state.scenario,
    (value) => change({ scenario: Number(value) }));
  const follow = () => {
    dataset.value = state.dataset;
    scenario.value = String(state.scenario);
    for (const option of scenario.options) {
      const has = DATA.cells.some(([one, two]) => one === state.dataset && two === Number(option.value));
      option.textContent = scenarioName(Number(option.value)) + (has ? "" : " (no runs)");
    }
    const text = DATA.headlines[`${state.dataset}/${state.scenario}`];
    document.querySelector(".headline").textContent = text ?? `No finished run on ${cellName()}.`;
  };
  onChange(follow);
  follow();
  const bar = el("div", { class: "choice", role: "region", "aria-label": "What the page shows" },
    el("label", {}, "Dataset ", dataset), el("label", {}, "Scenario ", scenario), legend());
  document.querySelector("header").after(bar);
};

const contents = () => {
  const links = [...document.querySelectorAll("nav a")];
  for (const link of links) {
    link.addEventListener("click", (event) => {
      const target = document.getElementById(link.hash.slice(1));
      if (!target) return;
      event.preventDefault();  // the address keeps what the page shows
      target.scrollIntoView();
      target.setAttribute("tabindex", "-1");
      target.focus({ preventScroll: true });
    });
  }
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const link = links.find((one) => one.hash === `#${entry.target.id}`);
      if (link && entry.isIntersecting) {
        links.forEach((one) => one.removeAttribute("aria-current"));
        link.setAttribute("aria-current", "location");
      }
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const link of links) {
    const target = document.getElementById(link.hash.slice(1));
    if (target) watch.observe(target);
  }
};
