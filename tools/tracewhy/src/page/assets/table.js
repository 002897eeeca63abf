// Tables that can be sorted and searched.
//
// A column has a label, the id of its definition, a kind, and the place of its value in a row.

const KINDS = {
  text: { text: true, format: (v) => v },
  name: { text: true, format: (v) => v },
  rank: { format: (v) => `${v}` },
  count: { format: formatCount },
  bytes: { format: formatBytes },
  share: { format: formatShare },
  growth: { format: formatGrowth },
  time: { format: (v, { unit, digits }) => formatFixed(v / unit.ns, digits) },
  rate: { format: (v) => (v < 0.1 ? String(Number(v.toPrecision(2))) : formatFixed(v, 2)) },
};

/** Rows that are shown before somebody asks for all. */
const FIRST_ROWS = 25;

/**
 * A table. `sort` is the index of the column by which it is sorted first, largest first; `search` the label of a
 * search field; `mark` tells the rows that stand out; `filter` is a choice of the values in a column (`at`).
 */
function table({ caption, columns, rows, sort, search, mark, filter }) {
  const state = {
    column: sort,
    descending: true,
    query: "",
    filter: (filter && filter.initial) || "",
    all: false,
  };
  const view = { scales: timeScales(columns, rows), columns, rows, mark, filter, state };
  const head = columns.map((column, index) => headCell(view, column, index, () => draw()));
  const body = el("tbody", {});
  const more = el("button", { type: "button", class: "more", onclick: () => ((state.all = true), draw()) });
  const count = el("output", { class: "count" });
  function draw() {
    const shown = visibleRows(view);
    const some = state.all ? shown : shown.slice(0, FIRST_ROWS);
    body.replaceChildren(...some.map((row) => bodyRow(view, row)));
    more.hidden = some.length === shown.length;
    more.textContent = `Show all ${formatCount(shown.length)}`;
    // What a print has in the place of the button.
    more.dataset.rest = `${formatCount(shown.length - some.length)} more rows: show all before printing`;
    count.textContent = `${formatCount(shown.length)} of ${formatCount(rows.length)}`;
    head.forEach((cell, index) => markSorted(cell, index, state));
  }
  draw();
  return el(
    "div",
    { class: "table-block" },
    controls(view, search, count, draw),
    el(
      "div",
      { class: "table-scroll", tabindex: "0", role: "region", "aria-label": caption },
      el(
        "table",
        { class: columns.length > 7 ? "" : "few-columns" },
        el("caption", {}, caption),
        el("thead", {}, el("tr", {}, head)),
        body,
      ),
    ),
    more,
  );
}

/**
 * The unit and the decimals of each column of times. The columns of a table share a unit, so that they can be compared,
 * except for those that are of something else (`apart`).
 */
function timeScales(columns, rows) {
  const largest = (c) => rows.reduce((most, row) => Math.max(most, Math.abs(row[c.at] || 0)), 0);
  const shared = columns.filter((c) => c.kind === "time" && !c.apart);
  const unit = timeUnit(Math.max(0, ...shared.map(largest)));
  return columns.map((column) => {
    if (column.kind !== "time") return null;
    const own = column.apart ? timeUnit(largest(column)) : unit;
    const most = largest(column) / own.ns;
    return { unit: own, digits: most >= 10000 ? 0 : most >= 1000 ? 1 : most >= 100 ? 2 : 3 };
  });
}

function controls({ filter, state }, search, count, draw) {
  const parts = [];
  if (filter) {
    parts.push(
      select(
        filter.label,
        [["", "all"], ...filter.values.map((v) => [v, v])],
        (value) => {
          state.filter = value;
          draw();
        },
        state.filter,
      ),
    );
  }
  if (search) {
    const input = el("input", {
      type: "search",
      "aria-label": search,
      placeholder: search,
      oninput: () => {
        state.query = input.value.trim().toLowerCase();
        draw();
      },
    });
    parts.push(el("div", { class: "control" }, input, count));
  }
  return parts.length ? el("div", { class: "controls" }, parts) : null;
}

function visibleRows({ columns, rows, filter, state }) {
  const texts = columns.filter((c) => KINDS[c.kind].text || c.kind === "rank");
  let shown = rows;
  if (filter && state.filter) shown = shown.filter((row) => row[filter.at] === state.filter);
  if (state.query) {
    shown = shown.filter((row) =>
      texts.some((c) =>
        String(row[c.at] ?? "")
          .toLowerCase()
          .includes(state.query),
      ),
    );
  }
  if (!columns[state.column]) return shown;
  const { at } = columns[state.column];
  const sign = state.descending ? -1 : 1;
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en") : a - b);
  return [...shown].sort((a, b) => {
    const [x, y] = [a[at], b[at]];
    // What has no value comes last, whatever the direction.
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * compare(x, y);
  });
}

function headCell({ scales, state }, column, index, draw) {
  const label = scales[index] ? `${column.label} (${scales[index].unit.name})` : column.label;
  const sort = () => {
    const again = state.column === index;
    state.descending = again ? !state.descending : !KINDS[column.kind].text;
    state.column = index;
    draw();
  };
  return el(
    "th",
    { scope: "col", class: KINDS[column.kind].text ? "text" : "number" },
    el("button", { type: "button", class: "sort", onclick: sort, title: "Sort" }, label),
    column.def ? definitionLink(column.def, column.label) : null,
  );
}

function markSorted(cell, index, state) {
  if (state.column === index) cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
  else cell.removeAttribute("aria-sort");
}

function bodyRow({ columns, scales, mark }, row) {
  const marked = mark && mark(row);
  return el(
    "tr",
    marked ? { class: "marked" } : {},
    columns.map((column, index) => {
      const { text, format } = KINDS[column.kind];
      const value = row[column.at];
      const shown = value === null || value === undefined ? "–" : format(value, scales[index]);
      const inner = column.kind === "name" ? el("span", { class: "clamp", title: shown }, shown) : shown;
      const cell = el("td", { class: text ? column.kind : "number" }, inner);
      if (column.kind === "share" && value > 0) {
        cell.classList.add("bar");
        cell.style.backgroundSize = `${Math.min(100, value * 100)}% 100%`;
      }
      return cell;
    }),
  );
}
