// Drawings: a scatter plot, a curve, sorted bars. Each takes numbers and texts and returns an SVG of a given width.

const LABEL_FONT = "12px system-ui, sans-serif";
const ruler = document.createElement("canvas").getContext("2d");
ruler.font = LABEL_FONT;
const textWidth = (text) => ruler.measureText(text).width;
const clipped = (text, length = 30) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/** Draw into a container now and whenever its width changes. */
function responsive(container, make) {
  let width = 0;
  const callbacks = new ResizeObserver(() => {
    const now = Math.floor(container.clientWidth);
    if (now && now !== width) container.replaceChildren(make((width = now)));
  });
  callbacks.observe(container);
  return container;
}

const linear = (from, to, start, end) => (value) => start + ((value - from) / (to - from || 1)) * (end - start);
const logarithmic = (from, to, start, end) => {
  const scale = linear(Math.log10(from), Math.log10(to), start, end);
  return (value) => scale(Math.log10(value));
};

/** Round numbers from 0 to at least `top`, about `count` of them. */
function ticks(top, count = 5) {
  const rough = (top || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, i) => i * step);
}

/** Powers of ten, with round numbers between them where they are few, from `from` to `to`. */
function logTicks(from, to) {
  const decades = Math.log10(to / from);
  const factors = decades > 2.5 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const powers = Array.from({ length: 40 }, (_, i) => 10 ** (i - 15));
  return powers
    .flatMap((power) => factors.map((factor) => factor * power))
    .filter((each) => each >= from && each <= to);
}

/**
 * Points {x, y, low, high, label, tip} on a logarithmic x axis, with their intervals, and lines {y, label, tip} across.
 * A label that has no room is left out; the point's tip has it.
 */
function scatter({ points, lines, xName, yName }, width) {
  const height = Math.round(Math.max(300, Math.min(440, width * 0.55)));
  const edge = { left: 46, right: 14, top: 26, bottom: 44 };
  const scaling = lines.filter((line) => !line.bound);
  const top = Math.max(...points.map((point) => point.high), ...scaling.map((line) => line.y), 1e-9);
  const yTicks = ticks(top);
  const xs = points.map((point) => point.x);
  const [from, to] = xs.length ? [Math.min(...xs) / 1.6, Math.max(...xs) * 1.6] : [1, 10];
  const x = logarithmic(from, to, edge.left, width - edge.right);
  const y = linear(0, yTicks.at(-1), height - edge.bottom, edge.top);
  const frame = [
    ...yTicks.map((tick) => [
      draw("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(tick), y2: y(tick) }),
      draw("text", { class: "tick", x: edge.left - 8, y: y(tick) + 4, "text-anchor": "end" }, String(+tick.toFixed(6))),
    ]),
    ...logTicks(from, to).map((tick) =>
      draw("text", { class: "tick", x: x(tick), y: height - edge.bottom + 18, "text-anchor": "middle" }, figure(tick)),
    ),
    draw("text", { class: "axis", x: 0, y: 12 }, yName),
    draw("text", { class: "axis", x: width - edge.right, y: height - 6, "text-anchor": "end" }, xName),
  ];
  const bounds = [edge.left, edge.top - 12, width - edge.right + 8, height - edge.bottom];
  const placed = points.map((point) => ({
    ...point,
    px: x(point.x),
    py: y(point.y),
    from: y(Math.max(point.low, 0)),
    to: y(point.high),
  }));
  const dots = placed.map(({ px, py }) => [px - 6, py - 6, px + 6, py + 6]);
  const reaches = placed.map(({ px, from, to }) => [px - 1, to, px + 1, from]);
  const place = labeller(bounds, dots, reaches);
  const across = lines.filter((line) => line.y <= yTicks.at(-1)).map((line) => {
    const text = clipped(line.label);
    const right = width - edge.right;
    const spots = [0, 1, 2, 3].flatMap((i) =>
      [-6, 14].map((down) => [right - textWidth(text) - i * 96, y(line.y) + down]),
    );
    const label = labelAt(place(text, spots), text, "reference");
    const rule = draw("line", { class: "rule", x1: edge.left, x2: right, y1: y(line.y), y2: y(line.y) });
    return focusable(line.tip, rule, label);
  });
  const marks = placed.map(({ px, py, from, to, label, tip }) => {
    const text = clipped(label);
    const length = textWidth(text);
    const near = [
      [10, 4],
      [-10 - length, 4],
      [8, -8],
      [8, 16],
      [-8 - length, -8],
      [-8 - length, 16],
      [-length / 2, -12],
      [-length / 2, 22],
    ];
    const far = [28, 46, 64].flatMap((away) => [
      [14, -away],
      [-14 - length, -away],
      [14, away + 8],
      [-14 - length, away + 8],
    ]);
    const spot = place(
      text,
      [...near, ...far].map(([right, down]) => [px + right, py + down]),
    );
    const isFar = spot && far.some(([right, down]) => px + right === spot[0] && py + down === spot[1]);
    const end = isFar && [spot[0] < px ? spot[0] + length + 2 : spot[0] - 2, spot[1] - 4];
    return focusable(
      tip,
      draw("line", { class: "reach", x1: px, x2: px, y1: from, y2: to }),
      end ? draw("line", { class: "leader", x1: px, y1: py, x2: end[0], y2: end[1] }) : null,
      draw("circle", { class: "halo", cx: px, cy: py, r: 14 }),
      draw("circle", { class: "dot", cx: px, cy: py, r: 5 }),
      labelAt(spot, text, "label"),
    );
  });
  return canvas(width, height, `${yName} against ${xName}`, frame.flat(), across, marks);
}

const canvas = (width, height, label, ...children) =>
  draw(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label },
    children.flat(),
  );

const focusable = (tip, ...children) =>
  withTip(draw("g", { class: "mark", tabindex: 0, role: "img", "aria-label": tip.join(", ") }, children), tip);

const labelAt = (spot, text, name) => (spot ? draw("text", { class: name, x: spot[0], y: spot[1] }, text) : null);

/**
 * A function that returns the first of some places (left, base line) where a text covers nothing `taken` and, if
 * possible, nothing that is `better` left free. Null if there is none.
 */
function labeller([left, top, right, bottom], taken, better) {
  const boxes = [...taken];
  return (text, spots) => {
    const length = textWidth(text);
    const boxAt = ([x, y]) => [x - 2, y - 11, x + length + 2, y + 4];
    const free = spots.filter((spot) => {
      const box = boxAt(spot);
      const inside = box[0] >= left && box[2] <= right && box[1] >= top && box[3] <= bottom;
      return inside && boxes.every((other) => apart(box, other));
    });
    const chosen = free.find((spot) => better.every((other) => apart(boxAt(spot), other))) ?? free[0] ?? null;
    if (chosen) boxes.push(boxAt(chosen));
    return chosen;
  };
}

const apart = (a, b) => a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];

/** Lines {steps, losses, name} of one panel, all on the same axes. */
function curve({ lines, label }, width) {
  const height = 120;
  const edge = { left: 50, right: 6, top: 8, bottom: 20 };
  const brief = (value) => String(Number(value.toPrecision(2)));
  const losses = lines.flatMap((line) => line.losses);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const last = Math.max(...lines.map((line) => line.steps.at(-1)));
  const x = linear(0, last, edge.left, width - edge.right);
  const y = linear(low, high, height - edge.bottom, edge.top);
  const paths = lines.map((line) =>
    draw("polyline", {
      class: "curve",
      points: line.steps.map((step, i) => `${x(step).toFixed(1)},${y(line.losses[i]).toFixed(1)}`).join(" "),
    }),
  );
  const tick = (value, at, attributes) => draw("text", { class: "tick", ...attributes, y: at }, value);
  const frame = [
    draw("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(low), y2: y(low) }),
    tick(brief(high), edge.top + 8, { x: edge.left - 6, "text-anchor": "end" }),
    tick(brief(low), y(low), { x: edge.left - 6, "text-anchor": "end" }),
    tick(plural(last, "step"), height - 4, { x: width - edge.right, "text-anchor": "end" }),
  ];
  const drawing = draw(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    frame,
    paths,
  );
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const step = ((event.clientX - box.left - edge.left) / (width - edge.left - edge.right)) * last;
    const tip = lines.map((line) => {
      const place = Math.max(
        0,
        line.steps.findIndex((each) => each >= step),
      );
      return `${line.name}: ${figure(line.losses[place])}`;
    });
    showTip([`step ${figure(Math.max(1, Math.round(step)))}`, ...tip.slice(0, 8)], event.clientX, box.top, box.bottom);
  });
  drawing.addEventListener("pointerleave", hideTip);
  return drawing;
}

/**
 * Bars {value, id} side by side, from the largest to the smallest. The pointer or the arrow keys choose one, and
 * `onChoose` is called with its number.
 */
function bars({ values, label, onChoose }, width) {
  const height = 220;
  const edge = { left: 46, right: 4, top: 10, bottom: 10 };
  const reach = Math.max(...values.map(Math.abs), 1e-9);
  const yTicks = ticks(reach, 2);
  const limit = yTicks.at(-1);
  const x = linear(0, values.length, edge.left, width - edge.right);
  const y = linear(-limit, limit, height - edge.bottom, edge.top);
  const area = (kept) => {
    const rectangles = values.map((value, i) =>
      kept(value) ? `M${x(i).toFixed(2)} ${y(0)}V${y(value).toFixed(2)}H${x(i + 1).toFixed(2)}V${y(0)}Z` : "",
    );
    return rectangles.join("");
  };
  const grid = [...yTicks.slice(1).map((tick) => -tick), ...yTicks].map((tick) => [
    draw("line", { class: tick ? "grid" : "zero", x1: edge.left, x2: width - edge.right, y1: y(tick), y2: y(tick) }),
    draw(
      "text",
      { class: "tick", x: edge.left - 8, y: y(tick) + 4, "text-anchor": "end" },
      tick ? signed(tick).replace(/\.?0+$/, "") : "0",
    ),
  ]);
  const cursor = draw("rect", {
    class: "cursor",
    y: edge.top,
    height: height - edge.top - edge.bottom,
    visibility: "hidden",
  });
  let chosen = 0;
  const choose = (place) => {
    chosen = Math.max(0, Math.min(values.length - 1, place));
    const wide = Math.max(x(1) - x(0), 2);
    for (const [name, value] of Object.entries({ x: x(chosen), width: wide, visibility: "visible" }))
      cursor.setAttribute(name, value);
    onChoose(chosen);
  };
  const drawing = draw(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, tabindex: 0, role: "img", "aria-label": label },
    grid.flat(),
    draw("path", { class: "wins", d: area((value) => value > 0) }),
    draw("path", { class: "losses", d: area((value) => value < 0) }),
    cursor,
  );
  const share = (event) =>
    (event.clientX - drawing.getBoundingClientRect().left - edge.left) / (width - edge.left - edge.right);
  drawing.addEventListener("pointermove", (event) => choose(Math.floor(share(event) * values.length)));
  drawing.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: values.length - 1 };
    if (event.key in moves) {
      event.preventDefault();
      choose(moves[event.key]);
    }
  });
  return drawing;
}
