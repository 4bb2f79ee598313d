// Two systems of a board, query by query.

/** The comparison of two systems from the view of the first; null if they were not compared. */
function comparison(measure, a, b) {
  for (const [one, other, difference, low, high, effect, pQueries, pSeeds, pHolm, family, wins, ties, losses] of data
    .pairs[measure] ?? []) {
    const same = { pQueries, pSeeds, pHolm, family, ties };
    if (one === a && other === b) return { ...same, difference, low, high, effect, wins, losses };
    const turned = { difference: -difference, low: -high, high: -low, effect: effect === null ? null : -effect };
    if (one === b && other === a) return { ...same, ...turned, wins: losses, losses: wins };
  }
  return null;
}

/** The common queries {id, a, b, value}, where value is the gain of the first system; largest gain first. */
function differences(measure, a, b) {
  const [ofA, ofB] = [a, b].map((system) => data.scores[measure]?.[system.id]);
  if (!ofA || !ofB) return [];
  const ids = data.boards[a.board].queries;
  return ids
    .map((id, i) => ({ id, a: ofA[i], b: ofB[i], known: ofA[i] !== null && ofB[i] !== null }))
    .filter((query) => query.known)
    .map((query) => ({ ...query, value: (isLower(measure) ? -1 : 1) * (query.a - query.b) }))
    .sort((one, other) => other.value - one.value);
}

function duelSection(state) {
  const { measure, duel } = state;
  if (state.board !== EVERYTHING && duel.follows !== state.board)
    Object.assign(duel, { board: state.board, follows: state.board });
  const places = boardsOf(measure);
  if (!places.includes(duel.board)) duel.board = places[0];
  const best = systems
    .filter((system) => system.board === duel.board && system.standings[measure])
    .sort(
      (a, b) =>
        a.reference - b.reference ||
        (isLower(measure) ? -1 : 1) * (b.standings[measure].mean - a.standings[measure].mean),
    );
  const pick = (label, fallback) => best.find((system) => system.label === label) ?? fallback;
  const a = pick(duel.a, best[0]);
  const b = pick(
    duel.b,
    best.find((system) => system !== a),
  );
  const again = (change) => {
    Object.assign(duel, change);
    duelSection(state);
  };
  const names = best.map((system) => [system.label, system.label]);
  const pickers = el(
    "div",
    { class: "pickers" },
    places.length > 1
      ? choice(
          "board",
          places.map((place) => [place, data.boards[place].title]),
          duel.board,
          (value) => again({ board: Number(value) }),
        )
      : null,
    choice("system", names, a?.label, (value) => again({ a: value })),
    choice("against", names, b?.label, (value) => again({ b: value })),
  );
  const title = "Query by query";
  if (!a || !b || a === b) return fill("duel", title, [], pickers, nothing("Choose two systems of one board."));
  const found = comparison(measure, a.id, b.id);
  const queries = differences(measure, a, b);
  const parts = found ? [verdict(found, a, b)] : [nothing("These two systems have no scored query in common.")];
  if (data.left_out.includes(measure)) {
    parts.push(
      nothing(
        `Scores per query by ${measure} are left out to limit the size of this page; ` +
          "scores.csv.gz of each cell has them.",
      ),
    );
  } else if (queries.length) {
    parts.push(...perQuery(queries, a, b, measure));
  }
  return fill("duel", title, [], pickers, ...parts);
}

function verdict(found, a, b) {
  const fact = (head, value, hint) => el("div", { title: hint }, el("dt", {}, head), el("dd", {}, value));
  return el(
    "dl",
    { class: "verdict" },
    fact(
      "difference",
      `${signed(found.difference)} [${signed(found.low)}, ${signed(found.high)}]`,
      "with its 95 % interval",
    ),
    fact("wins", String(found.wins), `queries on which ${a.label} is better than ${b.label}`),
    fact("ties", String(found.ties)),
    fact("losses", String(found.losses)),
    fact("p, queries", pValue(found.pQueries), "paired randomisation test over queries"),
    fact("p, seeds", pValue(found.pSeeds), "Student's test over seeds and queries; only where there are several seeds"),
    fact(`p, Holm of ${found.family}`, pValue(found.pHolm), "the larger of both, corrected for all pairs of the board"),
    fact(
      "effect size",
      found.effect === null ? DASH : signed(found.effect),
      "in standard deviations of the differences",
    ),
  );
}

function perQuery(queries, a, b, measure) {
  const line = (query) => `${query.id}: ${signed(query.a - query.b)} (${score(query.a)} against ${score(query.b)})`;
  const readout = el("p", { class: "readout", role: "status" }, "Point at a bar, or use the arrow keys.");
  const values = queries.map((query) => query.value);
  const label = `By how much ${a.label} is better than ${b.label} by ${measure}, per query, sorted`;
  const chart = responsive(el("div", { class: "chart" }), (width) =>
    bars({ values, label, onChoose: (place) => readout.replaceChildren(line(queries[place])) }, width),
  );
  const list = (title, some) =>
    el(
      "div",
      {},
      el("h3", {}, title),
      some.length
        ? el(
            "ol",
            {},
            some.map((query) => el("li", {}, el("code", {}, query.id), ` ${signed(query.a - query.b)}`)),
          )
        : nothing("None."),
    );
  const gains = queries.filter((query) => query.value > 0).slice(0, 8);
  const drops = queries
    .filter((query) => query.value < 0)
    .slice(-8)
    .reverse();
  const lists = [list(`Largest gains of ${a.label}`, gains), list(`Largest gains of ${b.label}`, drops)];
  return [chart, readout, el("div", { class: "extremes" }, lists)];
}
