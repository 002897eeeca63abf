// Flame graphs of the program.

const FLAME_ROW = 20;

/** The nodes of a flame graph with their places, for one node over the whole width. */
function layoutFlame(flame, root) {
  const inner = new Map();
  flame.nodes.forEach(([parent], i) => {
    if (i > 0) inner.set(parent, [...(inner.get(parent) || []), i]);
  });
  const placed = [];
  const place = (node, left, depth, scale) => {
    const total = flame.nodes[node][3];
    placed.push({ node, left, width: total * scale, depth });
    let at = left;
    for (const child of inner.get(node) || []) {
      place(child, at, depth + 1, scale);
      at += flame.nodes[child][3] * scale;
    }
  };
  const above = [];
  for (let node = flame.nodes[root][0]; root > 0 && node >= 0; node = node > 0 ? flame.nodes[node][0] : -1)
    above.unshift(node);
  above.forEach((node, depth) => placed.push({ node, left: 0, width: 1, depth, above: true }));
  place(root, 0, above.length, 1 / Math.max(1, flame.nodes[root][3]));
  return placed;
}

/** A flame graph: a click on a node makes it as wide as the whole, and the search marks nodes. */
function flameGraph(flame, whole) {
  const state = { root: 0, query: "" };
  const nameOf = (node) => (node === 0 ? whole : flame.names[flame.nodes[node][1]]);
  const matches = (node) => state.query !== "" && nameOf(node).toLowerCase().includes(state.query);
  const found = el("output", { class: "count" });
  let shown = [];
  const graph = plot(
    "Device time by phase, annotation and module; Enter makes the node at the cursor as wide as the whole",
    (width) => {
      const area = width - 2;
      const placed = layoutFlame(flame, state.root).filter((p) => p.width * area >= 0.6);
      const depth = Math.max(...placed.map((p) => p.depth)) + 1;
      const box = (p) => ({
        x: 1 + p.left * area,
        y: p.depth * FLAME_ROW,
        width: Math.max(0.5, p.width * area - 1),
        height: FLAME_ROW - 1,
      });
      const shapes = placed.map((p) => {
        const { x, y, width: w, height: h } = box(p);
        const classes = [
          "frame",
          `tone${toneOf(nameOf(p.node))}`,
          p.above ? "above" : "",
          matches(p.node) ? "found" : "",
        ]
          .filter(Boolean)
          .join(" ");
        const room = Math.floor((w - 8) / 6.6);
        const name = nameOf(p.node).replace("nn.Module: ", "");
        const text =
          room < 3
            ? null
            : svg("text", { x: x + 4, y: y + 14 }, name.length > room ? `${name.slice(0, room - 1)}…` : name);
        return svg("g", { class: classes }, svg("rect", { x, y, width: w, height: h, rx: 2 }), text);
      });
      shown = placed;
      return {
        image: image(width, depth * FLAME_ROW + 2, shapes),
        count: placed.length,
        at: (x, y) =>
          placed.findIndex(
            (p) => p.depth === Math.floor(y / FLAME_ROW) && x >= box(p).x && x < box(p).x + box(p).width + 1,
          ),
        place: (i) => box(placed[i]),
        describe: (i) => describeFrame(flame, placed[i].node, nameOf(placed[i].node)),
        move: (key, i, first) => {
          if (first && key.startsWith("Arrow")) return 0;
          return {
            ArrowRight: i + 1,
            ArrowLeft: i - 1,
            ArrowDown: nextBelow(placed, i),
            ArrowUp: lastAbove(placed, i),
            Home: 0,
            End: placed.length - 1,
          }[key];
        },
      };
    },
  );
  const zoom = (node) => {
    state.root = node;
    hideTooltip();
    graph.redraw();
    up.disabled = node === 0;
  };
  const up = el("button", { type: "button", disabled: true, onclick: () => zoom(0) }, "Whole graph");
  graph.host.addEventListener("click", (event) => {
    const box = graph.host.getBoundingClientRect();
    const [x, y] = [
      (event.clientX - box.left) / box.width,
      Math.floor((event.clientY - box.top) / FLAME_ROW),
    ];
    const hit = shown.find((p) => p.depth === y && x >= p.left && x < p.left + p.width);
    if (hit) zoom(hit.node);
  });
  graph.host.addEventListener("keydown", (event) => {
    const at = shown[graph.current()];
    if (event.key === "Enter" && at) zoom(at.node);
    if (event.key === "Escape") zoom(0);
  });
  const input = el("input", {
    type: "search",
    "aria-label": "Search modules",
    placeholder: "Search modules",
    oninput: () => {
      state.query = input.value.trim().toLowerCase();
      found.textContent = state.query ? `${flame.nodes.filter((_, i) => matches(i)).length} found` : "";
      graph.redraw();
    },
  });
  return el(
    "div",
    {},
    el("div", { class: "controls" }, el("div", { class: "control" }, input, found), up),
    graph.host,
  );
}

/** One of eight tones, by name: a module has the same one wherever it stands. */
function toneOf(name) {
  let hash = 0;
  for (const c of name) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
  return hash % 8;
}

function describeFrame(flame, node, name) {
  const [, , own, total, count] = flame.nodes[node];
  const share = (time) => `${formatDuration(time)}, ${formatShare(time / Math.max(1, flame.nodes[0][3]))}`;
  return [
    name,
    [
      ["with inner", share(total)],
      ["own", share(own)],
      ["pieces of work", formatCount(count)],
    ],
  ];
}

function nextBelow(placed, i) {
  const below = placed.findIndex((p) => p.depth === placed[i].depth + 1 && p.left >= placed[i].left - 1e-9);
  return below < 0 ? i : below;
}

function lastAbove(placed, i) {
  const above = placed.findIndex(
    (p) =>
      p.depth === placed[i].depth - 1 &&
      p.left <= placed[i].left + 1e-9 &&
      p.left + p.width > placed[i].left + 1e-9,
  );
  return above < 0 ? i : above;
}
