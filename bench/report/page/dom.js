// Elements, numbers as text, and the tip. Text becomes a text node or an attribute: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes that are null or false are left out; functions are listeners, `style` is an object. */
const el = (tag, attributes, ...children) => furnish(document.createElement(tag), attributes, children);

/** The same for a drawing. */
const draw = (tag, attributes, ...children) => furnish(document.createElementNS(SVG, tag), attributes, children);

function furnish(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "style")
      for (const [property, text] of Object.entries(value)) node.style.setProperty(property, text);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const byId = (id) => document.getElementById(id);
const isNumber = (value) => typeof value === "number";
const DASH = "–";

/** A score: three decimals. */
const score = (value) => (isNumber(value) ? value.toFixed(3) : DASH);

/** A difference of scores, with its sign. */
const signed = (value) => (isNumber(value) ? (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3) : DASH);

const pValue = (value) => (!isNumber(value) ? DASH : value < 0.001 ? "<.001" : value.toFixed(3).replace(/^0/, ""));

/** Three significant figures, with thousands separated: 0.012, 6.38, 143,405. */
function figure(value) {
  if (!isNumber(value)) return DASH;
  if (Math.abs(value) >= 100 || value === 0) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

/** Seconds and the like: 0.06, 6.4, 320. */
function amount(value) {
  if (!isNumber(value) || value === 0 || value >= 100) return figure(value);
  return value.toFixed(value < 1 ? 2 : 1);
}

/** A large count, abbreviated: 665.9k, 20.1M. */
function short(value) {
  if (!isNumber(value)) return DASH;
  const [unit, size] = [
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ].find(([, size]) => Math.abs(value) >= size) ?? ["", 1];
  return (unit ? (value / size).toFixed(1) : figure(value)) + unit;
}

const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Lines of text beside an element while the pointer or the focus is on it. */
function withTip(node, lines) {
  const show = () => {
    const box = node.getBoundingClientRect();
    showTip(lines, box.left + box.width / 2, box.top, box.bottom);
  };
  for (const name of ["pointerenter", "focus", "retip"]) node.addEventListener(name, show);
  for (const name of ["pointerleave", "blur"]) node.addEventListener(name, hideTip);
  return node;
}

/** Move the tip after scrolling: it follows the focused element, and is hidden without one. */
function moveTip() {
  hideTip();
  document.activeElement?.dispatchEvent(new Event("retip"));
}

/** Show the tip over the point (x, top) of the window, or under (x, bottom) where there is no room. */
function showTip([first, ...rest], x, top, bottom) {
  const tip = byId("tip");
  tip.replaceChildren(el("b", {}, first), ...rest.map((line) => el("span", {}, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.max(8, Math.min(x - width / 2, document.documentElement.clientWidth - width - 8));
  tip.style.setProperty("left", `${left}px`);
  tip.style.setProperty("top", `${top - height - 8 > 0 ? top - height - 8 : bottom + 8}px`);
}

const hideTip = () => {
  byId("tip").hidden = true;
};

/** A labelled select; `options` are [value, text]. */
function choice(label, options, chosen, onChange) {
  const items = options.map(([value, text]) =>
    el("option", { value, selected: String(value) === String(chosen) }, text),
  );
  const select = el("select", { change: (event) => onChange(event.target.value) }, items);
  return el("label", { class: "choice" }, el("span", {}, label), select);
}
