// The plots: quality against cost, the heat map, learning curves.

function costSection(state) {
  const rows = rowsOf(state);
  const isSpent = (name) => rows.some((row) => !row.reference && row.cost[name] > 0);
  const offered = Object.keys(COSTS).filter(isSpent);
  const name = offered.includes(state.cost) ? state.cost : offered[0];
  const everything = state.board === EVERYTHING;
  const [shown, lines] = [[], []];
  for (const row of rows) {
    const y = row.standing.mean;
    const [low, high] = [row.standing.low ?? y, row.standing.high ?? y];
    const tip = [row.label, `${state.measure} ${score(y)}${low < high ? ` [${score(low)}, ${score(high)}]` : ""}`];
    if (row.reference) lines.push({ y, label: row.label, tip, bound: row.bound });
    else if (row.cost[name] > 0)
      shown.push({
        x: row.cost[name],
        y,
        low,
        high,
        label: row.label,
        tip: [...tip, `${figure(row.cost[name])} ${COSTS[name][1]}`],
      });
  }
  const figureOf = el("div", { class: "chart" });
  if (shown.length)
    responsive(figureOf, (width) =>
      scatter({ points: shown, lines, xName: COSTS[name][1], yName: state.measure }, width),
    );
  const missing = rows.filter((row) => !row.reference && !(row.cost[name] > 0)).map((row) => row.label);
  const note = [
    everything
      ? "Mean over boards against mean cost; the lines reach from the lowest board to the highest."
      : "Vertical lines are 95 % intervals. Horizontal lines are reference rows, which need no training.",
    ...lines.filter((line) => line.bound).map((line) => `Bound: ${line.tip[0]}, ${line.tip[1]}.`),
    shown.length && missing.length ? `Without this cost: ${missing.join(", ")}.` : "",
  ];
  const picker =
    offered.length > 1
      ? choice(
          "cost",
          offered.map((each) => [each, COSTS[each][1]]),
          name,
          (value) => costSection(Object.assign(state, { cost: value })),
        )
      : null;
  fill(
    "cost",
    "Quality against cost",
    note,
    picker,
    shown.length ? figureOf : nothing("No system of this selection has a known training cost."),
  );
}

/** The share of the accent from which a cell's text has the colour of the page: both have a contrast of 4.5 there. */
const DEEP = { light: 0.83, dark: 0.67 };

function heatSection(state) {
  const { measure } = state;
  const places = boardsOf(measure);
  const rows = data.overview
    .map((entry) => {
      const members = entry.systems.map((id) => systems[id]).filter((system) => system.standings[measure]);
      const byBoard = new Map(members.map((system) => [system.board, system.standings[measure].mean]));
      return { ...systems[entry.systems[0]], byBoard, standing: entry.standings[measure] };
    })
    .filter((row) => row.standing && state.passes(row));
  const rivals = rows.filter((row) => !row.bound);
  const top = Math.max(...(rivals.length ? rivals : rows).flatMap((row) => [...row.byBoard.values()]), 0);
  const down = !isLower(measure);
  const worst = down ? -1e9 : 1e9;
  const depthOf = (value) => Math.min(value / (top || 1), 1);
  const heat = (value) => (isNumber(value) ? { "--heat": `${(100 * depthOf(value)).toFixed(1)}%` } : {});
  const columns = [
    { key: "method", head: "method", value: (row) => row.label, cell: nameOf, className: "first" },
    ...(places.length > 1
      ? [
          {
            ...{
              key: "mean",
              head: "mean",
              numeric: true,
              down,
              className: "mean",
              cell: (row) => score(row.standing.mean),
            },
            value: (row) => row.standing.mean + (row.standing.boards < places.length ? worst : 0),
          },
        ]
      : []),
    ...places.map((place) => ({
      ...{
        key: `board${place}`,
        head: boardName(data.boards[place]),
        hint: data.boards[place].title,
        numeric: true,
        down,
      },
      value: (row) => row.byBoard.get(place) ?? null,
      cell: (row) => {
        const value = row.byBoard.get(place);
        const depth = isNumber(value) ? depthOf(value) : 0;
        return el(
          "span",
          { class: depth > DEEP.light ? "deep deep-in-dark" : depth > DEEP.dark ? "deep-in-dark" : null },
          score(value),
        );
      },
      className: `heat${place === state.board ? " here" : ""}`,
      style: (row) => heat(row.byBoard.get(place)),
    })),
  ];
  const classes = (row) => (row.reference ? "quiet" : "");
  const start = places.length > 1 ? "mean" : `board${places[0]}`;
  const table = sortable("heat", columns, rows, { caption: `${measure} by board`, start, classes });
  const scale = el("p", { class: "scale", "aria-hidden": "true" }, "0", el("i"), score(top));
  fill("heat", "By language and collection", [], scale, rows.length ? table : nothing(NONE_PASSES));
}

function curvesSection(state) {
  const everything = state.board === EVERYTHING;
  const panels = new Map();
  for (const { systems: members, seed, steps, losses } of data.curves) {
    const system = systems[members.find((id) => everything || systems[id].board === state.board) ?? -1];
    if (!system || !state.passes(system)) continue;
    const name = [
      everything && data.boards.length > 1 ? boardName(data.boards[system.board]) : "",
      seed && `seed ${seed}`,
    ]
      .filter(Boolean)
      .join(" ");
    panels.set(system.label, [...(panels.get(system.label) ?? []), { steps, losses, name: name || "loss" }]);
  }
  const drawn = [...panels.keys()]
    .sort((a, b) => a.localeCompare(b, "en"))
    .map((label) => {
      const lines = panels.get(label);
      const frame = el("div", { class: "chart" });
      responsive(frame, (width) => curve({ lines, label: `Loss of ${label} over steps` }, width));
      return el("figure", { class: "panel" }, el("figcaption", {}, label), frame);
    });
  const note =
    "Training loss over steps, thinned to at most 200 points, each the mean of the steps before it. " +
    "Methods minimise different losses, so compare shapes, not heights.";
  const why = data.curves.length
    ? "None of the systems shown logged a loss."
    : "The trainings of this results folder were deleted or logged no loss.";
  fill(
    "curves",
    "Learning curves",
    drawn.length ? note : [],
    drawn.length ? el("div", { class: "panels" }, drawn) : nothing(why),
  );
}
