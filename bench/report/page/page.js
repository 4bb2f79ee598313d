// The state of the page, its controls, and the address that keeps it.

const SECTIONS = [leaderboardSection, costSection, heatSection, duelSection, curvesSection, methodsSection, manifestsSection];

const state = {
  measure: data.measures[0],
  board: data.boards.length > 1 ? EVERYTHING : 0,
  text: "",
  supervision: "",
  cost: "cpu",
  duel: { board: 0 },
  /** True if a row is shown. */
  passes: (row) => {
    const text = [row.label, row.supervision, row.budget, row.train].join(" ").toLowerCase();
    const words = state.text.toLowerCase().split(/\s+/);
    return words.every((word) => text.includes(word)) && (!state.supervision || parts(row.supervision).includes(state.supervision));
  },
};

const NOTHING = "nothing";
const parts = (supervision) => (supervision ? supervision.split(" + ") : [NOTHING]);

function change(changes) {
  Object.assign(state, changes);
  const kept = new URLSearchParams({ measure: state.measure, board: state.board });
  history.replaceState(null, "", `#${kept}`);
  hideTip();
  for (const section of SECTIONS) section(state);
}

/** Radio buttons side by side; a select if there are too many. */
function switches(legend, name, options, chosen, onChange) {
  if (options.length > 6) return choice(legend, options, chosen, onChange);
  const buttons = options.map(([value, text]) => {
    const input = el("input", {
      type: "radio",
      name,
      value,
      checked: String(value) === String(chosen),
      change: () => onChange(value),
    });
    return el("label", {}, input, el("span", {}, text));
  });
  return el("fieldset", { class: "switches" }, el("legend", {}, legend), el("div", {}, buttons));
}

function masthead() {
  const newest = new Date(data.finished).toLocaleDateString("en-GB", {
    day: "numeric",
    month: "long",
    year: "numeric",
    timeZone: "UTC",
  });
  const names = (key) => [...new Set(data.boards.map((board) => board[key]))].join(", ");
  byId("heading").append(`${plural(data.overview.length, "system")} on ${plural(data.boards.length, "board")}`);
  byId("lede").append(
    `${names("dataset")}: ${names("pair")}, with the encoder ${names("encoder")}. ` +
      `${plural(data.cells, "cell")}, the newest of ${newest}. Significance is against ${data.baseline}.` +
      data.notes.map((note) => ` ${note[0].toUpperCase()}${note.slice(1)}.`).join(""),
  );
}

function controls() {
  const measures = data.measures.map((measure) => [measure, measure]);
  const boards = [[EVERYTHING, "overview"], ...data.boards.map((board, i) => [i, boardName(board)])];
  const supervision = [...new Set(systems.flatMap((system) => parts(system.supervision)))].sort();
  const onText = (event) => change({ text: event.target.value });
  const filter = el("input", {
    type: "search",
    id: "filter",
    placeholder: "method, setting, …",
    input: onText,
    autocomplete: "off",
  });
  byId("controls").append(
    switches("measure", "measure", measures, state.measure, (measure) => change({ measure })),
    data.boards.length > 1
      ? switches("board", "board", boards, state.board, (board) => change({ board: Number(board) }))
      : "",
    choice("trains on", [["", "anything"], ...supervision.map((each) => [each, each])], state.supervision, (chosen) =>
      change({ supervision: chosen }),
    ),
    el("label", { class: "choice" }, el("span", {}, "filter"), filter),
  );
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
}

function restore() {
  const kept = new URLSearchParams(location.hash.slice(1));
  if (data.measures.includes(kept.get("measure"))) state.measure = kept.get("measure");
  const board = Number(kept.get("board") ?? NaN);
  if (Number.isInteger(board) && board >= (data.boards.length > 1 ? EVERYTHING : 0) && board < data.boards.length)
    state.board = board;
}

restore();
masthead();
controls();
change({});
addEventListener("scroll", moveTip, { passive: true });
addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
