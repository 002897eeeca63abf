// Maps of ranks by steps.

/** Shades of a map. */
const SHADES = 9;

/** Which shade a value has: of lateness, those below zero have their own. */
function shadeOf(value, range, isSigned) {
  if (isSigned) {
    // By the square root, so that one hiccup does not hide who is always a little late.
    const size = Math.min(4, Math.round(4 * Math.sqrt(Math.abs(value) / range.size)));
    return value < 0 ? `early${size}` : `late${size}`;
  }
  const span = range.most - range.least || 1;
  return `shade${Math.min(SHADES - 1, Math.floor(((value - range.least) / span) * SHADES))}`;
}

function rangeOf(metric) {
  const values = metric.cells.filter((v) => v !== null).sort((a, b) => a - b);
  const [least, most] = [values[0] ?? 0, values[values.length - 1] ?? 0];
  return { least, most, size: Math.max(Math.abs(least), Math.abs(most), 1) };
}

/** A map of one metric: rows are ranks, columns steps. */
function heatMap(heat, metric) {
  const [rows, columns] = [heat.rows.length, heat.columns.length];
  const range = rangeOf(metric);
  const isSigned = metric.key === "late";
  return plot(`${metric.label} of each rank in each step`, (width) => {
    const cellHeight = Math.max(4, Math.min(22, Math.floor(480 / rows)));
    const height = MARGIN.top + rows * cellHeight + MARGIN.bottom;
    const step = (width - MARGIN.left - MARGIN.right) / columns;
    // Cells of one shade are one path: a map of thousands has a dozen elements.
    const paths = new Map();
    metric.cells.forEach((value, i) => {
      if (value === null) return;
      const [x, y] = [MARGIN.left + (i % columns) * step, MARGIN.top + Math.floor(i / columns) * cellHeight];
      const shade = shadeOf(value, range, isSigned);
      const [w, h] = [step > 6 ? step - 1 : step + 0.3, cellHeight > 6 ? cellHeight - 1 : cellHeight + 0.3];
      const cell = `M${x.toFixed(1)} ${y}h${w.toFixed(1)}v${h}h${(-w).toFixed(1)}z`;
      paths.set(shade, (paths.get(shade) || "") + cell);
    });
    const cells = [...paths].map(([shade, d]) => svg("path", { class: shade, d }));
    const every = Math.max(1, Math.ceil(14 / cellHeight));
    const names = heat.rows.map(([first], i) =>
      i % every
        ? null
        : svg(
            "text",
            {
              class: "tick",
              x: MARGIN.left - 8,
              y: MARGIN.top + (i + 0.5) * cellHeight + 4,
              "text-anchor": "end",
            },
            `${first}`,
          ),
    );
    const title = svg(
      "text",
      {
        class: "axis",
        transform: `translate(14 ${MARGIN.top + (rows * cellHeight) / 2}) rotate(-90)`,
        "text-anchor": "middle",
      },
      "rank",
    );
    const labels = columnLabels(
      heat.columns.map(([first]) => `${first}`),
      width,
      height,
      "step",
    );
    const place = (i) => ({
      x: MARGIN.left + (i % columns) * step,
      y: MARGIN.top + Math.floor(i / columns) * cellHeight,
      width: step,
      height: cellHeight,
    });
    return {
      image: image(width, height, cells, names, title, labels),
      count: rows * columns,
      at: (x, y) => {
        const [c, r] = [Math.floor((x - MARGIN.left) / step), Math.floor((y - MARGIN.top) / cellHeight)];
        return c >= 0 && c < columns && r >= 0 && r < rows ? r * columns + c : -1;
      },
      place,
      describe: (i) => {
        const value = metric.cells[i];
        const cell = `rank ${formatRange(heat.rows[Math.floor(i / columns)])}, step ${formatRange(heat.columns[i % columns])}`;
        return [
          cell,
          [[metric.label, value === null ? "no such step" : formatDuration(value * metric.scale)]],
        ];
      },
      move: (key, i, first) => {
        if (first && key.startsWith("Arrow")) return 0;
        return {
          ArrowRight: i + 1,
          ArrowLeft: i - 1,
          ArrowDown: i + columns,
          ArrowUp: i - columns,
          Home: 0,
          End: rows * columns - 1,
        }[key];
      },
    };
  });
}

/** What the shades of a map mean. */
function heatLegend(metric) {
  const range = rangeOf(metric);
  const isSigned = metric.key === "late";
  const shades = isSigned
    ? ["early4", "early3", "early2", "early1", "late0", "late1", "late2", "late3", "late4"]
    : Array.from({ length: SHADES }, (_, i) => `shade${i}`);
  const [from, to] = isSigned ? [-range.size, range.size] : [range.least, range.most];
  return el(
    "div",
    { class: "ramp" },
    el("span", {}, formatDuration(from * metric.scale)),
    svg(
      "svg",
      { width: 180, height: 12, "aria-hidden": "true" },
      shades.map((shade, i) => svg("rect", { class: shade, x: i * 20, y: 0, width: 20, height: 12 })),
    ),
    el("span", {}, formatDuration(to * metric.scale)),
    definedLabel(metric.def, metric.label),
  );
}
