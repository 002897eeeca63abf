// Plots: drawn as SVG to the width of their place, with hover and keys.

/** Space around the area of a plot. */
const MARGIN = { left: 62, right: 14, top: 12, bottom: 40 };

/**
 * A plot that is drawn again when its width changes. `draw(width)` returns the SVG, the number of its points, which of
 * them is at a place (`at`), where one is (`place`), and what it says (`describe`: a title and pairs).
 */
function plot(label, draw) {
  const host = el("div", {
    class: "plot",
    tabindex: "0",
    role: "application",
    "aria-label": `${label}. Use the arrow keys to read values.`,
  });
  let drawn = null;
  let current = -1;
  const show = (index, x, y, aloud) => {
    current = index;
    const [title, pairs] = drawn.describe(index);
    showTooltip(title, pairs, x, y);
    if (aloud) speak(title, pairs);
    const { x: left, y: top, width, height } = drawn.place(index);
    drawn.cursor.removeAttribute("visibility");
    for (const [name, value] of Object.entries({ x: left, y: top, width, height }))
      drawn.cursor.setAttribute(name, value);
  };
  const hide = () => {
    current = -1;
    hideTooltip();
    if (drawn) drawn.cursor.setAttribute("visibility", "hidden");
  };
  const render = () => {
    const width = Math.max(260, Math.floor(host.clientWidth));
    if (drawn && drawn.width === width) return;
    drawn = { ...draw(width), width };
    drawn.cursor = svg("rect", { class: "cursor", visibility: "hidden" });
    drawn.image.append(drawn.cursor);
    host.replaceChildren(drawn.image);
  };
  const point = (event) => {
    const box = drawn.image.getBoundingClientRect();
    const scale = drawn.width / box.width;
    const index = drawn.at((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
    if (index >= 0 && index < drawn.count) show(index, event.clientX, event.clientY, false);
    else hide();
  };
  const key = (event) => {
    const next = drawn.move(event.key, Math.max(current, 0), current < 0);
    if (event.key === "Escape") hide();
    if (next === undefined || drawn.count === 0) return;
    event.preventDefault();
    const index = Math.min(drawn.count - 1, Math.max(0, next));
    const box = drawn.image.getBoundingClientRect();
    const { x, y, width } = drawn.place(index);
    const scale = box.width / drawn.width;
    show(index, box.left + (x + width) * scale, box.top + y * scale, true);
  };
  fill(
    host,
    { onpointermove: point, onpointerdown: point, onpointerleave: hide, onkeydown: key, onblur: hide },
    [],
  );
  const redraw = () => {
    drawn = null;
    render();
  };
  new ResizeObserver(render).observe(host);
  return { host, redraw, current: () => current };
}

/** The index that a key leads to, in a row of points. */
function moveInRow(key, index, isFirst, count) {
  if (isFirst && key.startsWith("Arrow")) return 0;
  return { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: count - 1 }[key];
}

function image(width, height, ...children) {
  return svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width: "100%",
      height,
      "aria-hidden": "true",
      preserveAspectRatio: "xMinYMin meet",
    },
    ...children,
  );
}

/** A vertical axis of times with lines across the plot; returns its parts and the height of a time. */
function timeAxis(width, height, largest) {
  const { name, ns } = timeUnit(largest);
  return valueAxis(width, height, largest, { name, size: ns });
}

/** The same for bytes. */
function byteAxis(width, height, largest) {
  const units = [
    { name: "GB", size: 1e9 },
    { name: "MB", size: 1e6 },
    { name: "kB", size: 1e3 },
    { name: "B", size: 1 },
  ];
  return valueAxis(width, height, largest, units.find((u) => largest >= u.size) || units[3]);
}

function valueAxis(width, height, largest, unit) {
  const ticks = axisTicks(largest / unit.size, Math.max(2, Math.floor(height / 44)));
  const top = ticks[ticks.length - 1];
  const y = (v) => MARGIN.top + (height - MARGIN.top - MARGIN.bottom) * (1 - v / unit.size / top);
  const digits =
    Math.max(0, -Math.floor(Math.log10(ticks[1] || 1) + 1e-9)) +
    (String(ticks[1]).includes("25") && ticks[1] < 10 ? 1 : 0);
  const parts = ticks.map((tick) => [
    svg("line", {
      class: "grid",
      x1: MARGIN.left,
      x2: width - MARGIN.right,
      y1: y(tick * unit.size),
      y2: y(tick * unit.size),
    }),
    svg(
      "text",
      { class: "tick", x: MARGIN.left - 8, y: y(tick * unit.size) + 4, "text-anchor": "end" },
      formatFixed(tick, Math.min(3, digits)),
    ),
  ]);
  const title = svg(
    "text",
    {
      class: "axis",
      x: 0,
      y: 0,
      transform: `translate(14 ${MARGIN.top + (height - MARGIN.top - MARGIN.bottom) / 2}) rotate(-90)`,
      "text-anchor": "middle",
    },
    unit.name,
  );
  return { parts: [...parts.flat(), title], y };
}

/** Labels below columns, as many as there is room for. */
function columnLabels(labels, width, height, title) {
  const area = width - MARGIN.left - MARGIN.right;
  const step = area / labels.length;
  const widest = Math.max(...labels.map((l) => l.length)) * 7 + 12;
  const every = Math.max(1, Math.ceil(widest / step));
  const marks = labels.map((label, i) =>
    i % every
      ? null
      : svg(
          "text",
          {
            class: "tick",
            x: MARGIN.left + (i + 0.5) * step,
            y: height - MARGIN.bottom + 16,
            "text-anchor": "middle",
          },
          label,
        ),
  );
  return [
    ...marks,
    svg("text", { class: "axis", x: MARGIN.left + area / 2, y: height - 4, "text-anchor": "middle" }, title),
  ];
}

/** Columns of parts one on the other. `columns` have a label, values and what else the tooltip says. */
function stackedColumns({ label, axis, parts, columns }) {
  return plot(label, (width) => {
    const height = 260;
    const { parts: axes, y } = timeAxis(width, height, Math.max(...columns.map((c) => sum(c.values))));
    const step = (width - MARGIN.left - MARGIN.right) / columns.length;
    const gap = Math.min(step * 0.18, 6);
    const bars = columns.flatMap((column, i) => {
      let base = 0;
      return parts.map((part, p) => {
        const value = column.values[p];
        base += value;
        const top = y(base);
        const bar = {
          class: `area ${part.color}`,
          x: MARGIN.left + i * step + gap / 2,
          y: top,
          width: Math.min(step - gap, 64),
          height: Math.max(0, y(base - value) - top),
        };
        if (step - gap > 64) bar.x += (step - gap - 64) / 2;
        return value > 0 ? svg("rect", bar) : null;
      });
    });
    const labels = columnLabels(
      columns.map((c) => c.label),
      width,
      height,
      axis,
    );
    const named = (column) => parts.map((part, p) => [part.label, column.values[p]]).filter(([, v]) => v > 0);
    return {
      image: image(width, height, axes, bars, labels),
      count: columns.length,
      at: (x) => Math.floor((x - MARGIN.left) / step),
      place: (i) => ({
        x: MARGIN.left + i * step,
        y: MARGIN.top,
        width: step,
        height: height - MARGIN.top - MARGIN.bottom,
      }),
      describe: (i) => {
        const all = sum(columns[i].values);
        const pairs = named(columns[i]).map(([name, v]) => [
          name,
          `${formatDuration(v)}, ${formatShare(v / all)}`,
        ]);
        return [columns[i].title, [["all", formatDuration(all)], ...pairs]];
      },
      move: (key, i, first) => moveInRow(key, i, first, columns.length),
    };
  });
}

/** The least, the middle and the most of each step, as a line within a band. */
function stepBand(steps) {
  const count = steps.middle.length;
  return plot("Length of the steps: least, median and most of all ranks", (width) => {
    const height = 240;
    const { parts: axes, y } = timeAxis(width, height, Math.max(...steps.most));
    const step = (width - MARGIN.left - MARGIN.right) / count;
    const x = (i) => MARGIN.left + (i + 0.5) * step;
    const line = (values) => values.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`);
    const band = [...line(steps.most), ...line(steps.least).reverse()].join(" ");
    const dots =
      count <= 80
        ? steps.middle.map((v, i) => svg("circle", { class: "dot", cx: x(i), cy: y(v), r: 2.5 }))
        : [];
    const shapes = [
      svg("polygon", { class: "band", points: band }),
      svg("polyline", { class: "line", points: line(steps.middle).join(" ") }),
      ...dots,
    ];
    if (count === 1)
      shapes[0] = svg("line", {
        class: "line thin",
        x1: x(0),
        x2: x(0),
        y1: y(steps.least[0]),
        y2: y(steps.most[0]),
      });
    const labels = columnLabels(steps.first.map(String), width, height, "step");
    return {
      image: image(width, height, axes, shapes, labels),
      count,
      at: (px) => Math.floor((px - MARGIN.left) / step),
      place: (i) => ({
        x: MARGIN.left + i * step,
        y: MARGIN.top,
        width: step,
        height: height - MARGIN.top - MARGIN.bottom,
      }),
      describe: (i) => [
        `step ${formatRange([steps.first[i], steps.last[i]])}`,
        [
          ["most", `${formatDuration(steps.most[i])}, rank ${steps.most_rank[i]}`],
          ["median", formatDuration(steps.middle[i])],
          ["least", formatDuration(steps.least[i])],
        ],
      ],
      move: (key, i, first) => moveInRow(key, i, first, count),
    };
  });
}

/** What a device has allocated and reserved over time, with its peak. */
function memoryPlot({ rank, device, peak, peak_at, at, allocated, left, reserved }) {
  const count = at.length;
  const span = Math.max(1, at[count - 1]);
  return plot(`Memory of ${device} of rank ${rank} over time`, (width) => {
    const height = 260;
    const bottom = height - MARGIN.bottom;
    const most = Math.max(1, ...allocated, ...reserved.map((v) => v ?? 0));
    const { parts: axes, y } = byteAxis(width, height, most);
    const area = width - MARGIN.left - MARGIN.right;
    const x = (ns) => MARGIN.left + (area * ns) / span;
    const place = (i, v) => `${x(at[i]).toFixed(1)},${y(Math.max(0, v ?? 0)).toFixed(1)}`;
    // What is left at the end of a point stays until the next one changes it.
    const steps = (highest, after) =>
      highest.flatMap((v, i) => [...(i > 0 ? [place(i, after[i - 1])] : []), place(i, v), place(i, after[i])]);
    const line = steps(allocated, left);
    const shapes = [
      svg("polygon", {
        class: "area compute faint",
        points: `${x(0)},${bottom} ${line.join(" ")} ${x(span)},${bottom}`,
      }),
      svg("polyline", { class: "line", points: line.join(" ") }),
      reserved.some((v) => v !== null)
        ? svg("polyline", { class: "line reserved", points: steps(reserved, reserved).join(" ") })
        : null,
      svg("circle", { class: "dot", cx: x(peak_at), cy: y(Math.max(0, peak)), r: 4 }),
    ];
    const unit = timeUnit(span);
    const ticks = axisTicks(span / unit.ns, Math.max(2, Math.floor(area / 120)));
    const label = (kind, px, py, text) =>
      svg("text", { class: kind, x: px, y: py, "text-anchor": "middle" }, text);
    const labels = [
      ...ticks
        .filter((t) => t * unit.ns <= span)
        .map((t) => label("tick", x(t * unit.ns), bottom + 16, `${Number(t.toPrecision(3))}`)),
      label("axis", MARGIN.left + area / 2, height - 4, `${unit.name} since the first change`),
    ];
    const nearest = (px) => {
      const ns = ((px - MARGIN.left) / area) * span;
      return at.reduce((best, t, i) => (Math.abs(t - ns) < Math.abs(at[best] - ns) ? i : best), 0);
    };
    const wide = Math.max(3, area / count);
    return {
      image: image(width, height, axes, shapes, labels),
      count,
      at: (px) => (px < MARGIN.left - 8 || px > width - MARGIN.right + 8 ? -1 : nearest(px)),
      place: (i) => ({ x: x(at[i]) - wide / 2, y: MARGIN.top, width: wide, height: bottom - MARGIN.top }),
      describe: (i) => [
        `after ${formatDuration(at[i])}`,
        [
          ["allocated", formatBytes(allocated[i])],
          ["then", formatBytes(left[i])],
          ...(reserved[i] === null ? [] : [["reserved", formatBytes(reserved[i])]]),
          ["peak", formatBytes(peak)],
        ],
      ],
      move: (key, i, first) => moveInRow(key, i, first, count),
    };
  });
}

/** Marks of an axis in powers of ten; of few powers, also between them. */
function powerTicks(from, to) {
  const within = to - from <= 2 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let p = from; p < to; p++) ticks.push(...within.map((m) => m * 10 ** p));
  return [...ticks, 10 ** to];
}

/** Bus bandwidth by size, both in powers of ten. */
function bandwidthPlot(points) {
  const [sizes, rates] = [points.map((p) => p.bytes), points.map((p) => p.bus)];
  const floor = (v) => Math.floor(Math.log10(v));
  const [x0, x1] = [floor(Math.min(...sizes)), floor(Math.max(...sizes) * 0.999999) + 1];
  const [y0, y1] = [floor(Math.min(...rates)), floor(Math.max(...rates) * 0.999999) + 1];
  return plot("Bus bandwidth of collectives by size", (width) => {
    const height = 260;
    const x = (v) => MARGIN.left + ((width - MARGIN.left - MARGIN.right) * (Math.log10(v) - x0)) / (x1 - x0);
    const y = (v) =>
      height - MARGIN.bottom - ((height - MARGIN.top - MARGIN.bottom) * (Math.log10(v) - y0)) / (y1 - y0);
    const axes = [];
    for (const v of powerTicks(x0, x1)) {
      axes.push(
        svg("line", { class: "grid", x1: x(v), x2: x(v), y1: MARGIN.top, y2: height - MARGIN.bottom }),
      );
      const anchor = v === 10 ** x1 ? "end" : "middle";
      const label = formatBytes(v).replace(/\.0+ /, " ");
      axes.push(
        svg("text", { class: "tick", x: x(v), y: height - MARGIN.bottom + 16, "text-anchor": anchor }, label),
      );
    }
    for (const v of powerTicks(y0, y1)) {
      axes.push(
        svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(v), y2: y(v) }),
      );
      const label = String(Number(v.toPrecision(1)));
      axes.push(svg("text", { class: "tick", x: MARGIN.left - 8, y: y(v) + 4, "text-anchor": "end" }, label));
    }
    const middle = MARGIN.top + (height - MARGIN.top - MARGIN.bottom) / 2;
    axes.push(
      svg(
        "text",
        { class: "axis", transform: `translate(14 ${middle}) rotate(-90)`, "text-anchor": "middle" },
        "bus GB/s",
      ),
    );
    axes.push(
      svg(
        "text",
        {
          class: "axis",
          x: MARGIN.left + (width - MARGIN.left - MARGIN.right) / 2,
          y: height - 4,
          "text-anchor": "middle",
        },
        "size of a call",
      ),
    );
    const dots = points.map((p) => svg("circle", { class: "point", cx: x(p.bytes), cy: y(p.bus), r: 4.5 }));
    const distance = (p, px, py) => Math.hypot(x(p.bytes) - px, y(p.bus) - py);
    return {
      image: image(width, height, axes, dots),
      count: points.length,
      at: (px, py) => {
        const near = points.map((p, i) => [distance(p, px, py), i]).sort((a, b) => a[0] - b[0])[0];
        return near[0] < 40 ? near[1] : -1;
      },
      place: (i) => ({ x: x(points[i].bytes) - 7, y: y(points[i].bus) - 7, width: 14, height: 14 }),
      describe: (i) => points[i].text,
      move: (key, i, first) => moveInRow(key, i, first, points.length),
    };
  });
}
