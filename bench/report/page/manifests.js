// The provenance of each result, to be unfolded.

function methodsSection() {
  const items = Object.entries(data.methods).map(([name, facts]) =>
    el(
      "article",
      { id: `method-${name}` },
      el("h3", {}, name),
      Object.entries(facts).map(([fact, text]) =>
        text ? el("p", {}, fact === "description" ? text : `${fact}: ${text}`) : null,
      ),
      el("p", {}, "All settings and limits: ", el("code", {}, `bench ls methods ${name}`)),
    ),
  );
  fill("methods", "Methods", [], items.length ? el("div", { class: "methods" }, items) : nothing("None is known here."));
}

function manifestsSection(state) {
  const places = data.boards.map((_, i) => i).filter((i) => state.board === EVERYTHING || state.board === i);
  const groups = places.map((place) => {
    const shown = systems.filter((system) => system.board === place && state.passes(system));
    return [
      place,
      shown.map((system) => folded(el("b", {}, system.label), () => data.manifests[system.id].map(manifest))),
    ];
  });
  const found = groups.filter(([, items]) => items.length);
  const items =
    found.length > 1
      ? found.map(([place, inside]) => folded(data.boards[place].title, () => inside))
      : found.flatMap(([, inside]) => inside);
  const note = "The provenance of each result: fingerprints, commit, libraries, command and preparation of the data.";
  fill("manifests", "Manifests", note, ...(items.length ? items : [nothing(NONE_PASSES)]));
}

/** A line that unfolds to the result of `make`, which is called when it is first opened. */
function folded(title, make) {
  const node = el("details", { class: "folded" }, el("summary", {}, title));
  node.addEventListener("toggle", () => node.children.length > 1 || node.append(...make()));
  return node;
}

function manifest({ seed, cell, training }) {
  const parts = [
    ["cell", cell],
    ["training", training],
  ].filter(([, value]) => value);
  return el(
    "div",
    { class: "manifest" },
    seed ? el("h3", {}, `seed ${seed}`) : null,
    parts.map(([name, value]) => tree(name, value, true)),
    training || !cell.training ? null : nothing("The folder of its training was deleted."),
  );
}

function tree(name, value, open = false) {
  const isEmpty = value === null || value === "" || (typeof value === "object" && !Object.keys(value).length);
  if (isEmpty) return el("div", { class: "leaf" }, el("span", {}, name), el("code", { class: "none" }, DASH));
  if (typeof value !== "object")
    return el("div", { class: "leaf" }, el("span", {}, name), el("code", {}, String(value)));
  const entries = Object.entries(value);
  return el(
    "details",
    { open, class: "tree" },
    el("summary", {}, name),
    entries.map(([key, item]) => tree(key, item)),
  );
}
