// Files at a click: SVG, PNG and CSV.

const save = (blob, name) => {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

const csvField = (value) => {
  if (value === null || value === undefined) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csvOf = (names, rows) =>
  [names, ...rows.map((row) => names.map((name) => row[name]))]
    .map((fields) => fields.map(csvField).join(",")).join("\r\n") + "\r\n";
const saveCsv = (names, rows, name) => save(new Blob([csvOf(names, rows)], { type: "text/csv" }), `${name}.csv`);

// On paper the page's colours are those of the light page.
const onPaper = (svg) => svg.replace(/var\((--[a-z-]+)\)/g, (_, name) => DATA.paper[name] ?? "#000000");

const drawnSvg = (node) => {
  const copy = node.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return onPaper(new XMLSerializer().serializeToString(copy));
};

const saveSvg = (svg, name) => save(new Blob([svg], { type: "image/svg+xml" }), `${name}.svg`);

const savePng = async (svg, name) => {
  const image = new Image();
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  image.src = url;
  await image.decode();
  const canvas = el("canvas", { width: 2 * image.width, height: 2 * image.height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  canvas.toBlob((blob) => save(blob, `${name}.png`));
};

const tools = (...parts) => el("div", { class: "tools" }, ...parts);
const button = (text, label, onclick) => el("button", { type: "button", "aria-label": label, onclick }, text);
