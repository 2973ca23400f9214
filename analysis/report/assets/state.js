"use strict";
// What the page shows: a dataset, a scenario, the models that are hidden. Kept in the address.

const unpack = async (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
};
const DATA = await unpack("data");
const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};

// A frame comes as columns; its rows are objects.
const rowsOf = (columns) => {
  const names = Object.keys(columns);
  const count = names.length ? columns[names[0]].length : 0;
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(names.map((name) => [name, columns[name][i]])));
};

const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

const grouped = (rows, key) => {
  const groups = new Map();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return groups;
};

const nameOf = (pairs, key) => (pairs.find(([one]) => one === key) ?? ["", String(key)])[1];
const datasetName = (key) => nameOf(DATA.datasets, key);
const scenarioName = (key) => nameOf(DATA.scenarios, key);
const cellName = () => `${datasetName(state.dataset)}, ${scenarioName(state.scenario)}`;

const state = { dataset: DATA.start.dataset, scenario: DATA.start.scenario, hidden: new Set(), a: "", b: "" };
const listeners = [];
const onChange = (listener) => listeners.push(listener);

const readAddress = () => {
  const asked = new URLSearchParams(location.hash.slice(1));
  const known = (pairs, key, otherwise) => (pairs.some(([one]) => one === key) ? key : otherwise);
  state.dataset = known(DATA.datasets, asked.get("dataset"), DATA.start.dataset);
  state.scenario = known(DATA.scenarios, Number(asked.get("scenario")), DATA.start.scenario);
  const labels = new Set(DATA.models.map((model) => model.label));
  state.hidden = new Set(asked.getAll("hide").filter((label) => labels.has(label)));
  state.a = asked.get("a") ?? "";
  state.b = asked.get("b") ?? "";
};

const writeAddress = () => {
  const words = new URLSearchParams({ dataset: state.dataset, scenario: state.scenario });
  for (const label of state.hidden) words.append("hide", label);
  if (state.a) words.set("a", state.a);
  if (state.b) words.set("b", state.b);
  history.replaceState(null, "", `#${words}`);
};

const change = (changes) => {
  Object.assign(state, changes);
  writeAddress();
  for (const listener of listeners) listener();
};

const isShown = (row) => !state.hidden.has(row.model);
const inCell = (row) => row.dataset === state.dataset && row.scenario === state.scenario;

window.addEventListener("hashchange", () => {
  if (!location.hash.includes("=")) return;
  readAddress();
  for (const listener of listeners) listener();
});
