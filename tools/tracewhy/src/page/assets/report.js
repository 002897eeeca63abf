// The report: its sections, in their order. A section that comes later is one more entry of SECTIONS, with a field of its
// own in the data.

const DATA = JSON.parse(document.getElementById("data").textContent);

/** How the time of a step divides, as the data has it; the causes of idle time come last. */
const BUSY = [
  { label: "compute", def: "compute", color: "compute" },
  { label: "exposed communication", def: "exposed-communication", color: "communication" },
  { label: "exposed copy", def: "exposed-copy", color: "copy" },
];
const CAUSES = [
  { label: "input", def: "input", color: "input" },
  { label: "garbage collection", def: "garbage-collection", color: "garbage" },
  { label: "allocation", def: "allocation", color: "allocation" },
  { label: "synchronization", def: "synchronization", color: "synchronization" },
  { label: "host late", def: "host-late", color: "host-late" },
  { label: "launch", def: "launch", color: "launch" },
  { label: "not known", def: "not-known", color: "not-known" },
];
const PARTS = [...BUSY, { label: "idle", def: "idle", color: "idle" }];

const partsOf = (times) => [...times.slice(0, 3), sum(times.slice(3))];
const causesOf = (times) => times.slice(3);
const legendOf = (parts) => legend(parts.map((p) => [p.color, p.label, p.def]));

const SECTIONS = [
  { id: "comparison", title: "What changed", has: (d) => d.comparison !== null, draw: drawComparison },
  { id: "steps", title: "How the steps went", has: (d) => d.steps.first.length > 0, draw: drawSteps },
  { id: "time", title: "Where the time goes", has: (d) => d.steps.first.length > 0, draw: drawTime },
  {
    id: "map",
    title: "Ranks by steps",
    has: (d) => d.heat.rows.length * d.heat.columns.length > 1,
    draw: drawMap,
  },
  { id: "ranks", title: "Slow ranks and why", has: (d) => d.ranks.rows.length > 0, draw: drawRanks },
  { id: "collectives", title: "Collectives", has: () => true, draw: drawCollectives },
  { id: "names", title: "Kernels and operators", has: (d) => d.names.rows.length > 0, draw: drawNames },
  { id: "program", title: "Modules and phases", has: () => true, draw: drawProgram },
  { id: "idle", title: "Why devices are idle", has: (d) => d.steps.first.length > 0, draw: drawIdle },
  {
    id: "memory",
    title: "What holds the memory",
    has: (d) => d.memory.peaks.rows.length > 0,
    draw: drawMemory,
  },
  { id: "checks", title: "Can the numbers be trusted?", has: () => true, draw: drawChecks },
];

function drawOverview({ verdict, job, totals }) {
  const whole = sum(totals);
  const tile = (def, label, value, detail) =>
    el(
      "div",
      { class: "tile" },
      el("dt", {}, definedLabel(def, label)),
      el("dd", {}, value, detail ? el("small", {}, detail) : null),
    );
  const parts = partsOf(totals);
  const missing = job.missing > 0 ? `${formatCount(job.missing)} without a trace` : "";
  const tiles = [
    tile("rank", "Ranks", formatCount(job.ranks), missing),
    tile("step", "Steps", formatCount(job.steps)),
    job.step_ns > 0 ? tile("step", "Median step", formatDuration(job.step_ns)) : null,
    ...(whole > 0
      ? PARTS.map((part, i) =>
          tile(part.def, part.label, formatShare(parts[i] / whole), formatDuration(parts[i])),
        )
      : []),
    tile("compared", "Collectives compared", formatCount(job.collectives)),
    verdict.rank === null
      ? null
      : tile(
          "others-lose",
          "Others lose",
          formatDuration(verdict.lost_ns),
          `by rank ${verdict.rank}`,
        ),
    verdict.confidence > 0 ? tile("confidence", "Confidence", formatFixed(verdict.confidence, 2)) : null,
  ];
  const bar = el("div", {
    class: "share-bar",
    role: "img",
    "aria-label": PARTS.map((p, i) => `${p.label} ${formatShare(parts[i] / Math.max(1, whole))}`).join(", "),
  });
  parts.forEach((value, i) => {
    const piece = el("span", { class: `swatch ${PARTS[i].color}` });
    piece.style.flexGrow = value / Math.max(1, whole);
    bar.append(piece);
  });
  return [el("dl", { class: "tiles" }, tiles), whole > 0 ? bar : null, whole > 0 ? legendOf(PARTS) : null];
}

function drawSteps(d) {
  const { size } = d.steps;
  return [
    note(
      "Each step: the ",
      definedLabel("step", "median length"),
      " of all ranks, within a band from the shortest to the longest.",
    ),
    stepBand(d.steps).host,
    size > 1 ? note(`Each point stands for ${formatCount(size)} steps: their median, least and most.`) : null,
  ];
}

/** Columns of what steps or ranks come to, by choice. */
function columnsByChoice(d, parts, valuesOf, label) {
  const place = el("div", {});
  const bySteps = () =>
    d.steps.first.map((first, i) => ({
      label: `${first}`,
      title: `step ${formatRange([first, d.steps.last[i]])}, mean of ranks`,
      values: valuesOf(d.steps.times[i]),
    }));
  const byRanks = () =>
    d.rank_times.ranks.map((ranks, i) => ({
      label: `${ranks[0]}`,
      title: `rank ${formatRange(ranks)}, mean of steps`,
      values: valuesOf(d.rank_times.times[i]),
    }));
  const draw = (by) => {
    const columns = by === "rank" ? byRanks() : bySteps();
    const size = by === "rank" ? d.rank_times.size : d.steps.size;
    const more = size > 1 ? note(`Each column is the mean of ${counted(size, by)}.`) : "";
    if (columns.every((c) => sum(c.values) === 0)) return place.replaceChildren(note("There is none."));
    place.replaceChildren(
      stackedColumns({ label: `${label} by ${by}`, axis: by, parts, columns }).host,
      more,
    );
  };
  const first =
    d.rank_times.ranks.length > 1
      ? [
          ["rank", "rank"],
          ["step", "step"],
        ]
      : [
          ["step", "step"],
          ["rank", "rank"],
        ];
  draw(first[0][0]);
  return [el("div", { class: "controls" }, select("by", first, draw), legendOf(parts)), place];
}

function drawTime(d) {
  return [
    note("A mean step, divided into what its device did."),
    ...columnsByChoice(d, PARTS, partsOf, "Time of a step"),
  ];
}

function drawIdle(d) {
  const host = d.job.on_device
    ? null
    : note("Without devices, a rank is idle when its host runs no operator.");
  return [
    host,
    note("Time of a mean step in which nothing ran, by what the host did meanwhile."),
    ...columnsByChoice(d, CAUSES, causesOf, "Idle time of a step"),
  ];
}

function drawMap({ heat }) {
  const [place, ramp] = [el("div", {}), el("div", {})];
  const draw = (key) => {
    const metric = heat.metrics.find((m) => m.key === key);
    place.replaceChildren(heatMap(heat, metric).host);
    ramp.replaceChildren(heatLegend(metric));
  };
  draw(heat.metrics[0].key);
  const of = [counted(heat.rows_size, "rank"), counted(heat.columns_size, "step")];
  const folded = heat.rows_size * heat.columns_size > 1;
  return [
    el(
      "div",
      { class: "controls" },
      select(
        "show",
        heat.metrics.map((m) => [m.key, m.label]),
        draw,
      ),
      ramp,
    ),
    place,
    note("Shades of lateness go with its square root."),
    folded ? note(`Each cell is the largest of ${of.join(" and ")}.`) : null,
  ];
}

function drawRanks(d) {
  const columns = [
    { label: "rank", def: "rank", kind: "rank", at: 0 },
    { label: "late", def: "late", kind: "time", at: 3 },
    { label: "others wait", def: "others-wait", kind: "time", at: 6, apart: true },
    { label: "last in", def: "last-in", kind: "count", at: 4 },
    { label: "of", def: "compared", kind: "count", at: 5 },
    { label: "step", def: "step", kind: "time", at: 7 },
    { label: "compute", def: "compute", kind: "time", at: 8 },
    { label: "exposed comm", def: "exposed-communication", kind: "time", at: 9 },
    { label: "copy", def: "exposed-copy", kind: "time", at: 10 },
    ...CAUSES.map((cause, i) => ({ label: cause.label, def: cause.def, kind: "time", at: 11 + i })),
    { label: "clock", def: "clock", kind: "time", at: 18, apart: true },
    { label: "trace", kind: "name", at: 1 },
  ].filter((c) => c.kind !== "time" || d.ranks.rows.some((row) => row[c.at]));
  const slow = d.verdict.rank;
  return [
    d.ranks.rows.length > 1
      ? null
      : note("One rank can be compared with no other: give the traces of all of them."),
    table({
      caption: "Ranks: times are means of a step; what others wait is of all steps",
      columns,
      rows: d.ranks.rows,
      sort: columns.findIndex((c) => c.label === "others wait"),
      search: "Search ranks",
      mark: (row) => slow !== null && row[0] === slow,
    }),
    slow === null ? null : note(`Marked: rank ${slow}, the slow one.`),
    leftOutNote(d.ranks.left_out, "ranks for which others waited less"),
    d.links.rows.length ? drawLinks(d.links) : null,
  ];
}

function drawLinks(links) {
  const columns = [
    { label: "kind", kind: "text", at: 0 },
    { label: "size", def: "size", kind: "bytes", at: 1 },
    { label: "time", def: "slow-link", kind: "time", at: 2 },
    { label: "usual", def: "slow-link", kind: "time", at: 3 },
    { label: "count", def: "count", kind: "count", at: 4 },
    { label: "ranks", kind: "name", at: 5 },
  ];
  return el(
    "div",
    {},
    el("h3", {}, "Slow links"),
    table({
      caption: "Transfers that take longer than equal ones of other ranks",
      columns,
      rows: links.rows,
    }),
    leftOutNote(links.left_out, "transfers"),
  );
}

function drawCollectives({ collectives }) {
  if (collectives.rows.length === 0) return [note("The traces have no collectives.")];
  const columns = [
    { label: "kind", kind: "text", at: 0 },
    { label: "size", def: "size", kind: "bytes", at: 1 },
    { label: "ranks", def: "group", kind: "count", at: 2 },
    { label: "count", def: "count", kind: "count", at: 3 },
    { label: "time", def: "call-time", kind: "time", at: 4 },
    { label: "transfer", def: "transfer", kind: "time", at: 5 },
    { label: "alg GB/s", def: "algorithm-bandwidth", kind: "rate", at: 6 },
    { label: "bus GB/s", def: "bus-bandwidth", kind: "rate", at: 7 },
    { label: "all calls", def: "all-calls", kind: "time", at: 8, apart: true },
    { label: "exposed", def: "exposed", kind: "share", at: 9 },
    { label: "group", def: "group", kind: "name", at: 10 },
  ];
  const points = collectives.rows
    .filter((row) => row[1] > 0 && row[7] > 0)
    .map((row) => ({
      bytes: row[1],
      bus: row[7],
      text: [
        `${row[0]}, ${formatBytes(row[1])}`,
        [
          ["bus GB/s", formatFixed(row[7], 2)],
          ["transfer", formatDuration(row[5])],
          ["ranks", `${row[2]}`],
          ["count", formatCount(row[3])],
        ],
      ],
    }));
  return [
    points.length > 1
      ? [
          note(definedLabel("bus-bandwidth", "Bus bandwidth"), " of each kind, size and group:"),
          bandwidthPlot(points).host,
        ]
      : null,
    table({
      caption: "Collectives by kind, size and group",
      columns,
      rows: collectives.rows,
      sort: 8,
      search: "Search collectives",
    }),
    leftOutNote(collectives.left_out, "kinds, sizes and groups with less exposed time"),
  ];
}

function drawNames({ names }) {
  const columns = [
    { label: "share", def: "share", kind: "share", at: 5 },
    { label: "time of a step", def: "time-of-step", kind: "time", at: 2 },
    { label: "calls of a step", def: "calls-of-step", kind: "count", at: 3 },
    { label: "mean of a call", def: "mean-of-call", kind: "time", at: 4, apart: true },
    { label: "what", kind: "text", at: 0 },
    { label: "name", kind: "name", at: 1 },
  ];
  const kinds = [...new Set(names.rows.map((row) => row[0]))];
  return [
    table({
      caption: "Kernels, operators and collectives: sums of durations in a mean step of a rank",
      columns,
      rows: names.rows,
      sort: 1,
      search: "Search kernels and operators",
      filter: { label: "show", values: kinds, at: 0, initial: kinds[0] },
    }),
    leftOutNote(
      names.left_out,
      `names with less time, ${formatDuration(names.left_out_ns)} of all steps and ranks together`,
    ),
  ];
}

function drawProgram({ flame, program, job }) {
  const columns = [
    { label: "share", def: "share", kind: "share", at: 4 },
    { label: "own", def: "own", kind: "time", at: 2 },
    { label: "with inner", def: "with-inner", kind: "time", at: 3 },
    { label: "pieces", def: "pieces", kind: "count", at: 5 },
    { label: "part", def: "part", kind: "text", at: 0 },
    { label: "name", kind: "name", at: 1 },
  ];
  if (program.rows.length === 0)
    return [
      note(
        job.on_device
          ? "The traces have no work on a device."
          : "Nothing ran on a device: modules are known by what they launch.",
      ),
    ];
  const parts = [...new Set(program.rows.map((row) => row[0]))];
  return [
    note(
      "Device time of all ranks and steps: the first level is the ",
      definedLabel("part", "phase"),
      ", below are annotations and modules. A click makes a part as wide as the whole.",
    ),
    flame.nodes.length > 1 ? flameGraph(flame, "device time") : null,
    leftOutNote(flame.left_out, "parts with less time, which leave a gap"),
    table({
      caption: "Phases, modules and annotations",
      columns,
      rows: program.rows,
      sort: 1,
      search: "Search modules and annotations",
      filter: { label: "show", values: parts, at: 0, initial: parts.find((p) => p === "module") || parts[0] },
    }),
    leftOutNote(program.left_out, "modules and annotations with less time"),
  ];
}

function drawMemory({ memory }) {
  const { peaks, shown } = memory;
  const bytes = (label, def, at) => ({ label, def, kind: "bytes", at });
  const columns = [
    { label: "rank", def: "rank", kind: "rank", at: 0 },
    { label: "device", kind: "text", at: 1 },
    bytes("peak", "peak", 2),
    bytes("reserved", "reserved", 3),
    bytes("before", "before-after", 4),
    bytes("after", "before-after", 5),
    { label: "allocations", def: "allocations", kind: "count", at: 6 },
  ];
  const held = [
    bytes("bytes", "held-by", 0),
    { label: "share", def: "held-by", kind: "share", at: 1 },
    { label: "blocks", def: "held-by", kind: "count", at: 2 },
    { label: "operator or frame", kind: "name", at: 3 },
    { label: "module or annotation", kind: "name", at: 4 },
  ];
  const place = el("div", {});
  const draw = (index) => {
    const device = shown[index];
    place.replaceChildren();
    fill(place, {}, [
      memoryPlot(device).host,
      table({
        caption: `What holds the peak of ${device.device} of rank ${device.rank}`,
        columns: held,
        rows: device.held.rows,
        sort: 0,
        search: "Search what holds memory",
      }),
      leftOutNote(device.held.left_out, "operators and modules that hold less"),
    ]);
  };
  draw(0);
  const choices = shown.map((s, i) => [`${i}`, `rank ${s.rank}, ${s.device}`]);
  const most = shown.length < peaks.rows.length + peaks.left_out;
  return [
    note("Bytes that are ", definedLabel("peak", "allocated"), " over time, and what holds them at their most."),
    el("div", { class: "controls" }, select("show", choices, draw), memoryLegend(shown)),
    place,
    most ? note(`The ${formatCount(shown.length)} with the highest peaks have a timeline.`) : null,
    table({ caption: "Devices of all ranks", columns, rows: peaks.rows, sort: 2, search: "Search devices" }),
    leftOutNote(peaks.left_out, "devices with a lower peak"),
  ];
}

/** Colors of the plot of memory; not every trace says what is reserved. */
function memoryLegend(shown) {
  const entries = [["compute", "allocated", "peak"]];
  if (shown.some((s) => s.reserved.some((v) => v !== null))) entries.push(["copy", "reserved", "reserved"]);
  return legend(entries);
}

function drawChecks(d) {
  const { findings } = d;
  const columns = [
    { label: "severity", def: "finding", kind: "text", at: 0 },
    { label: "rule", def: "finding", kind: "text", at: 1 },
    { label: "found", kind: "name", at: 3 },
    { label: "what to do", kind: "name", at: 4 },
    { label: "trace", kind: "name", at: 2 },
  ];
  const counts = ["error", "warning", "note"].map((s) => [findings.counts[s] || 0, s]).filter(([n]) => n > 0);
  const said = counts.map(([n, s]) => counted(n, s)).join(", ");
  const read = `Read: ${counted(d.job.files, "trace")} with ${counted(d.job.events, "event")}`;
  return [
    note(
      d.job.incomplete > 0
        ? `${read}, ${formatCount(d.job.incomplete)} of them not to their end.`
        : `${read}, all to their end.`,
    ),
    d.reading.rows.length
      ? table({
          caption: "What was lost in reading",
          columns: [
            { label: "trace", kind: "name", at: 0 },
            { label: "what", kind: "name", at: 1 },
          ],
          rows: d.reading.rows,
        })
      : null,
    findings.given
      ? note(said ? `traceq check found ${said}.` : "traceq check found nothing.")
      : note(
          "The rules of ",
          el("code", {}, "traceq check"),
          " were not asked. This makes the report with what they find:",
        ),
    findings.command ? el("pre", { class: "command" }, el("code", {}, findings.command)) : null,
    findings.rows.length
      ? table({
          caption: "Findings of traceq check",
          columns,
          rows: findings.rows,
          search: "Search findings",
        })
      : null,
    leftOutNote(findings.left_out, "findings of less severity"),
  ];
}

function drawComparison({ comparison }) {
  const columns = [
    { label: "change", def: "change", kind: "time", at: 4 },
    { label: "growth", def: "change", kind: "growth", at: 5 },
    { label: "before", def: "time-of-step", kind: "time", at: 2 },
    { label: "now", def: "time-of-step", kind: "time", at: 3 },
    { label: "noise", def: "noise", kind: "text", at: 6 },
    { label: "what", kind: "text", at: 0 },
    { label: "name", kind: "name", at: 1 },
  ];
  const parts = comparison.rows.filter((row) => row[0] === "step");
  const items = comparison.rows.filter((row) => row[0] !== "step");
  const noises = [...new Set(items.map((row) => row[6]))];
  return [
    el("p", { class: "lead" }, comparison.text),
    note(
      `Before: ${comparison.base} (${counted(comparison.base_ranks, "rank")}). Now: ${comparison.new} (${counted(comparison.new_ranks, "rank")}).`,
    ),
    table({ caption: "A step and its parts", columns, rows: parts }),
    items.length
      ? table({
          caption: "Kernels, operators, collectives, modules, annotations and phases: what changed most comes first",
          columns,
          rows: items,
          search: "Search changes",
          filter: { label: "noise", values: noises, at: 6, initial: noises.find((n) => n === "beyond") },
        })
      : null,
    leftOutNote(comparison.left_out, "names that changed less"),
  ];
}

/** Colors by choice: as the system has them, light, or dark. */
function themeChoice() {
  return select(
    "colors",
    [
      ["", "of the system"],
      ["light", "light"],
      ["dark", "dark"],
    ],
    (theme) => {
      if (theme) document.documentElement.setAttribute("data-theme", theme);
      else document.documentElement.removeAttribute("data-theme");
    },
  );
}

function drawReport() {
  const overview = document.getElementById("overview");
  fill(overview, {}, drawOverview(DATA));
  const menu = [];
  const sections = document.getElementById("sections");
  for (const { id, title, has, draw } of SECTIONS) {
    if (!has(DATA)) continue;
    menu.push([id, title]);
    const section = el(
      "section",
      { id, "aria-labelledby": `title-${id}` },
      el("h2", { id: `title-${id}` }, title),
    );
    sections.append(section);
    fill(section, {}, draw(DATA).flat());
  }
  menu.push(["definitions", "Definitions"]);
  document.getElementById("menu").append(
    el(
      "ul",
      {},
      menu.map(([id, title]) => el("li", {}, el("a", { href: `#${id}` }, title))),
    ),
  );
  document.getElementById("choices").append(themeChoice());
  document.body.append(tooltip, spoken);
  addEventListener("scroll", hideTooltip, { passive: true });
}

drawReport();
