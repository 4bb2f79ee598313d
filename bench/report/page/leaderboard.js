// The leaderboard: a board with intervals, ranks and significance, or an overview of all boards.

/** The text formats of costs that are not seconds. */
const SHOWN = { steps: figure, tokens: short, parameters: short };

/** Links that save the whole leaderboard, as CSV and as LaTeX. */
const downloads = () =>
  el(
    "p",
    { class: "downloads" },
    Object.entries(data.files).map(([name, text]) =>
      el("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/plain" })) }, name),
    ),
  );

function leaderboardSection(state) {
  const { board, measure } = state;
  const rows = rowsOf(state);
  const everything = board === EVERYTHING;
  const everyone = rowsOf({ ...state, passes: () => true });
  const top = highest(everyone);
  const down = !isLower(measure);
  const worst = down ? -1e9 : 1e9;
  const all = boardsOf(measure).length;
  const number = (key, head, value, options = {}) => ({
    ...{ key, head, value, numeric: true, cell: (row) => (options.show ?? figure)(value(row)) },
    ...options,
  });
  const method = { key: "method", head: "method", value: (row) => row.label, cell: nameOf, className: "first" };
  const supervision = {
    key: "supervision",
    head: "trains on",
    value: (row) => row.supervision || null,
    cell: (row) => row.supervision || DASH,
    className: "supervision",
  };
  const p = (row) => row.standing.p;
  const ranks = ({ standing: { best_rank: best, worst_rank: worst } }) =>
    !isNumber(best) ? DASH : best === worst ? figure(best) : `${figure(best)} – ${figure(worst)}`;
  const rank = {
    ...{ key: "rank", head: everything ? "mean ranks" : "rank", numeric: true, className: "rank", cell: ranks },
    value: ({ standing }) => (isNumber(standing.best_rank) ? standing.best_rank + standing.worst_rank : null),
    hint: "the best and the worst rank that the tests allow",
  };
  const mine = everything
    ? [
        {
          ...{ key: "mean", head: `${measure}, mean over boards`, down, className: "main" },
          // A mean over some of the boards is not comparable with one over all, so it comes last.
          value: (row) => row.standing.mean + (row.standing.boards < all ? worst : 0),
          cell: (row) => estimate(row.standing, top, "over boards from"),
        },
        ...(everyone.some((row) => row.standing.boards < all)
          ? [
              number("boards", "boards", (row) => row.standing.boards, {
                down: true,
                show: (count) => `${count} of ${all}`,
              }),
            ]
          : []),
        rank,
        {
          ...{ key: "p", head: "p", numeric: true, className: "p", value: p },
          hint: `the smallest and the largest p over the boards, against ${data.baseline}, Holm-corrected on each board`,
          cell: ({ standing: { p: least, most_p: most } }) =>
            pValue(least) === pValue(most) ? pValue(least) : `${pValue(least)} ${DASH} ${pValue(most)}`,
        },
        number(
          "better",
          `better / worse`,
          (row) => (row.standing.compared ? row.standing.better - row.standing.worse : null),
          {
            ...{ down: true, hint: `boards on which it is significantly better and worse than ${data.baseline}` },
            cell: (row) => (row.standing.compared ? `${row.standing.better} / ${row.standing.worse}` : DASH),
          },
        ),
      ]
    : [
        {
          ...{ key: "mean", head: `${measure}, 95 % interval`, down, className: "main" },
          value: (row) => row.standing.mean,
          cell: (row) => estimate(row.standing, top, "95 % interval"),
        },
        number("p", "p", p, { show: pValue, hint: `against ${data.baseline}, Holm-corrected`, className: "p" }),
        number("difference", `to ${data.baseline}`, (row) => row.standing.difference, { down, show: signed }),
        number("sd", "sd", (row) => row.standing.sd, {
          show: score,
          hint: "standard deviation over seeds of the mean",
        }),
        number("seeds", "seeds", (row) => row.seeds.length || null, { down: true }),
      ];
  const costs = Object.entries(COSTS).map(([name, [head, hint]]) =>
    number(name, head, (row) => row.cost[name], {
      hint,
      show: SHOWN[name] ?? amount,
    }),
  );
  const facts = [
    {
      ...{
        key: "diagnostics",
        head: "diagnostics",
        value: (row) => row.diagnostics.join(" ") || null,
        className: "facts",
      },
      cell: (row) => (row.diagnostics.length ? row.diagnostics.join("  ").replaceAll("=", " ") : DASH),
    },
  ];
  const columns = [...(everything ? [] : [rank]), method, ...mine, supervision, ...costs, ...facts];
  const shown = columns.filter(
    (column) => ["method", "rank"].includes(column.key) || everyone.some((row) => (column.value(row) ?? null) !== null),
  );
  const classes = (row, previous, key) =>
    [
      row.reference && "quiet",
      !everything && isNumber(p(row)) && p(row) < data.alpha && "significant",
      !everything &&
        ["rank", "mean"].includes(key) &&
        previous &&
        ranks(previous) !== ranks(row) &&
        "group",
    ]
      .filter(Boolean)
      .join(" ");
  const kinds = new Set(everyone.map((row) => row.standing.interval).filter(Boolean));
  const note = [
    down ? "" : `Less of ${measure} is better.`,
    everything
      ? `Means over ${plural(all, "board")}; a bar reaches from the lowest board to the highest and is no interval. ` +
        "Mean ranks are the means of the best and of the worst ranks on the boards. Choose a board for intervals and p-values."
      : "Rank is the best and the worst rank that the tests allow.",
    everyone.some((row) => row.bound)
      ? `${[...new Set(everyone.filter((row) => row.bound).map((row) => row.method))].join(", ")}: a bound, without a rank.`
      : "",
    kinds.size && !everything ? `Intervals are over ${[...kinds].join(" or over ")}.` : "",
    !everything && everyone.some((row) => isNumber(p(row)))
      ? `p is against ${data.baseline}; values below ${data.alpha} are bold.`
      : "",
    ...(everything ? [] : data.boards[board].corrections[measure].map((text) => `Corrected: ${text}.`)),
  ]
    .filter(Boolean)
    .join(" ");
  const caption = everything
    ? `Leaderboard by ${measure} over all boards`
    : `Leaderboard by ${measure}: ${data.boards[board].title}`;
  const table = sortable(everything ? "overview" : "board", shown, rows, { caption, start: "mean", classes });
  fill(
    "leaderboard",
    everything ? "Overview" : data.boards[board].title,
    [note, ...(everything ? [] : data.boards[board].seeds[measure])],
    downloads(),
    rows.length ? table : nothing(everyone.length ? NONE_PASSES : `This board was not scored by ${measure}.`),
  );
}
