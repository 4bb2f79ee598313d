// The data, the rows of the page, and helpers of all sections. All numbers were computed before.

const data = JSON.parse(byId("data").textContent);
const systems = data.systems.map((system, id) => ({
  ...system,
  id,
  label: [system.method, ...system.details].join(" · "),
}));
const COSTS = {
  cpu: ["CPU s", "training, CPU seconds"],
  seconds: ["train s", "training, seconds"],
  steps: ["steps", "training steps"],
  tokens: ["tokens", "tokens trained on"],
  memory: ["MiB", "peak memory of the training, MiB"],
  parameters: ["params", "parameters of the retriever"],
};
const EVERYTHING = -1;
const NONE_PASSES = "No system passes the filter.";

/** The name of a board, without the parts that all boards have in common. */
const common = (key) => new Set(data.boards.map((board) => board[key])).size === 1;
const boardName = (board) =>
  [
    ["dataset", board.dataset],
    ["pair", board.pair],
    ["encoder", board.encoder],
  ]
    .filter(([key]) => key === "pair" || !common(key))
    .map(([, text]) => text)
    .join(" ");

/**
 * The rows of the page: systems on a board, or on all of them.
 * {label, method, details, supervision, reference, seeds, diagnostics, cost, standing, members: numbers of systems}
 */
function rowsOf({ board, measure, passes }) {
  const rows =
    board === EVERYTHING
      ? data.overview.map((entry) => {
          const members = entry.systems.map((id) => systems[id]);
          const costs = Object.keys(COSTS).map((name) => {
            const known = members.map((system) => system.cost[name]).filter(isNumber);
            return [name, known.length ? mean(known) : null];
          });
          const row = { ...members[0], cost: Object.fromEntries(costs), diagnostics: [], members: entry.systems };
          return { ...row, standing: entry.standings[measure] };
        })
      : systems
          .filter((system) => system.board === board)
          .map((system) => ({ ...system, members: [system.id], standing: system.standings[measure] }));
  return rows.filter((row) => row.standing && passes(row));
}

/** True if less of a measure is better. */
const isLower = (measure) => data.lower.includes(measure);
/** The end of a scale. Bounds do not set it, unless there is nothing else. */
const highest = (rows) => {
  const rivals = rows.filter((row) => !row.bound);
  return Math.max(...(rivals.length ? rivals : rows).map((row) => row.standing.high ?? row.standing.mean), 0);
};

const boardsOf = (measure) =>
  data.boards.map((_, i) => i).filter((i) => systems.some((system) => system.board === i && system.standings[measure]));

function fill(id, title, note, ...children) {
  const notes = [note].flat().filter(Boolean);
  byId(id).replaceChildren(
    el("h2", { id: `${id}-title` }, title),
    ...notes.map((text) => el("p", { class: "note" }, text)),
    ...children,
  );
}

const nothing = (text) => el("p", { class: "empty" }, text);

/** The name of a row, with a link to the page of each of its methods. */
const nameOf = (row) =>
  el(
    "span",
    { class: "name" },
    row.pages.length === 1
      ? el("a", { href: `#method-${row.pages[0]}` }, el("b", {}, row.method))
      : [el("b", {}, row.method), row.pages.map((name) => el("a", { class: "part", href: `#method-${name}` }, name))],
    row.details.map((text) => el("small", {}, text)),
  );

/** A mean on a scale from 0 to `top`, with a bar from low to high. */
function estimate({ mean: value, low, high }, top, what) {
  if (!isNumber(low)) return el("span", { class: "estimate" }, el("b", {}, score(value)));
  const share = (each) => `${(100 * Math.max(0, Math.min(each, top))) / (top || 1)}%`;
  const reach = el("i", { class: "reach", style: { left: share(low), right: `calc(100% - ${share(high)})` } });
  const range = `${score(low)} to ${score(high)}`;
  return el(
    "span",
    { class: "estimate" },
    el("b", {}, score(value)),
    el(
      "span",
      { class: "bar", role: "img", "aria-label": `${what} ${range}` },
      reach,
      el("i", { class: "point", style: { left: share(value) } }),
    ),
    el("small", { "aria-hidden": "true" }, `${score(low)} ${DASH} ${score(high)}`),
  );
}
