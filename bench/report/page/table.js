// A table that is sorted by its headers.

/** The column that each table is sorted by, kept while the page is open. */
const sorted = {};

/**
 * A table in a container of its own that scrolls.
 *
 * A column is {key, head, value(row), cell(row)}: a sort key (a number, a text, or null, which always comes last)
 * and a node or text to show; optional are `hint`, `numeric`, `down` (sorted from the largest first), `className` and
 * `style(row)`. `start` is the key of the column it is sorted by at first; `classes(row, previous)` a row's classes.
 */
function sortable(name, columns, rows, { caption, start, classes = () => "" }) {
  const order = () => {
    const kept = sorted[name];
    const column =
      columns.find(({ key }) => key === kept?.key) ?? columns.find(({ key }) => key === start) ?? columns[0];
    return { column, down: kept?.key === column.key ? kept.down : Boolean(column.down) };
  };
  const body = el("tbody");
  const heads = columns.map((column) => {
    const click = () => {
      const now = order();
      sorted[name] = { key: column.key, down: now.column === column ? !now.down : Boolean(column.down) };
      arrange();
    };
    const button = el("button", { type: "button", click, title: column.hint }, column.head);
    return el("th", { scope: "col", class: looks(column) }, button);
  });
  const lines = new Map(
    rows.map((row) => [
      row,
      el(
        "tr",
        {},
        columns.map((column, i) => cell(column, row, i === 0)),
      ),
    ]),
  );

  function arrange() {
    const { column, down } = order();
    heads.forEach((head, i) => {
      if (columns[i] === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const arranged = [...rows].sort((a, b) => compare(column.value(a), column.value(b), down));
    arranged.forEach((row, i) => (lines.get(row).className = classes(row, arranged[i - 1], column.key)));
    body.replaceChildren(...arranged.map((row) => lines.get(row)));
  }

  arrange();
  const table = el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)), body);
  const scroll = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
  return cued(scroll);
}

/** A container whose right edge shows a cue while more of its content follows there. */
function cued(scroll) {
  const cue = el("span", { class: "cue", "aria-hidden": "true" }, "scroll →");
  const frame = el("div", { class: "cued" }, cue, scroll);
  const update = () => {
    const more = scroll.scrollWidth - scroll.clientWidth - scroll.scrollLeft > 2;
    frame.classList.toggle("more", more);
  };
  scroll.addEventListener("scroll", update, { passive: true });
  new ResizeObserver(update).observe(scroll);
  return frame;
}

const looks = (column) => [column.numeric && "numeric", column.className].filter(Boolean).join(" ") || null;

function cell(column, row, first) {
  const attributes = { class: looks(column), style: column.style?.(row) ?? {} };
  return first ? el("th", { ...attributes, scope: "row" }, column.cell(row)) : el("td", attributes, column.cell(row));
}

/** Missing values come last in both directions. */
function compare(a, b, down) {
  const missing = (a === null || a === undefined) - (b === null || b === undefined);
  if (missing || a === null || a === undefined) return missing;
  const found = isNumber(a) ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -found : found;
}
