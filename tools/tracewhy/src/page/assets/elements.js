// Elements of the page. Texts of the traces become text nodes and attributes only, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== undefined && child !== null && child !== false) node.append(child);
  }
  return node;
}

/** An element of HTML with attributes, listeners (`onclick`) and children. */
function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same of SVG. */
function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** A link to the definition of a number. */
function definitionLink(id, label) {
  return el("a", { class: "def", href: `#def-${id}`, "aria-label": `Definition of ${label}` }, "?");
}

/** A label that is itself the link to its definition. */
function definedLabel(id, label) {
  return el("a", { class: "defined", href: `#def-${id}`, title: "Definition" }, label);
}

function note(...children) {
  return el("p", { class: "note" }, ...children);
}

/** Says how much of a list is not on the page. */
function leftOutNote(count, what) {
  return count > 0 ? note(`Left out to bound the size of this page: ${formatCount(count)} ${what}.`) : null;
}

let selects = 0;

/** A labeled choice of `[value, text]`; calls `onchange` with the value at each change. */
function select(label, options, onchange, initial) {
  const id = `select-${(selects += 1)}`;
  const box = el(
    "select",
    { id, onchange: () => onchange(box.value) },
    options.map(([value, text]) => el("option", { value, selected: value === initial }, text)),
  );
  return el("div", { class: "control" }, el("label", { for: id }, label), box);
}

/** Squares of colors with their names, each of which is defined. */
function legend(entries) {
  return el(
    "ul",
    { class: "legend" },
    entries.map(([color, label, def]) =>
      el(
        "li",
        {},
        el("span", { class: `swatch ${color}`, "aria-hidden": "true" }),
        def ? definedLabel(def, label) : label,
      ),
    ),
  );
}

const tooltip = el("div", { class: "tooltip", hidden: true, "aria-hidden": "true" });
const spoken = el("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });

/** Shows `[label, value]` pairs under a title beside a place of the window. */
function showTooltip(title, pairs, x, y) {
  const rows = pairs.map(([label, value]) => [el("dt", {}, label), el("dd", {}, value)]);
  tooltip.replaceChildren(el("strong", {}, title), el("dl", {}, rows.flat()));
  tooltip.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = tooltip;
  const left = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
  const top = y + 14 + height > innerHeight ? y - 14 - height : y + 14;
  tooltip.style.left = `${Math.max(4, left)}px`;
  tooltip.style.top = `${Math.max(4, top)}px`;
}

function hideTooltip() {
  tooltip.hidden = true;
}

function speak(title, pairs) {
  spoken.textContent = [title, ...pairs.map(([label, value]) => `${label} ${value}`)].join(", ");
}
