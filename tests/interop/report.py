#!/usr/bin/env python3
"""Opens reports of tracewhy in Chromium and uses them as a reader does. Called by tests/interop/report."""
import json
import sys
import tempfile
import time
from pathlib import Path

from webdriver import Browser

LEFT, RIGHT, DOWN, ENTER, ESCAPE = "\ue012", "\ue014", "\ue015", "\ue007", "\ue00c"
SECTIONS = ["comparison", "steps", "time", "map", "ranks", "collectives", "names", "program", "idle", "memory", "checks", "definitions"]


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def expect_clean(browser, name):
    """Nothing is loaded, and the console is empty."""
    said = browser.log()
    expect(not said, f"{name}: the console says {said}")
    loaded = browser.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    expect(not loaded, f"{name}: it loads {loaded}")


def column(browser, section, label):
    """The values of a column of the first table of a section, as text."""
    return browser.run(
        """const table = document.querySelector(`#${arguments[0]} table`);
        const place = [...table.querySelectorAll('th')].findIndex((th) => th.querySelector('.sort').textContent.startsWith(arguments[1]));
        return [...table.querySelectorAll('tbody tr')].map((tr) => tr.children[place].textContent)""",
        section, label,
    )


def numbers(texts):
    return [float(text.replace(",", "")) for text in texts]


def sort_by(browser, section, label):
    place = browser.run(
        """const heads = [...document.querySelectorAll(`#${arguments[0]} table:first-of-type th`)];
        return heads.findIndex((th) => th.querySelector('.sort').textContent.startsWith(arguments[1])) + 1""",
        section, label,
    )
    browser.click(f"#{section} th:nth-child({place}) .sort")


def check_contents(browser, directory):
    found = browser.run("return [...document.querySelectorAll('section')].map((s) => s.id)")
    expect(found == SECTIONS, f"sections: {found}")
    verdict = browser.run("return document.querySelector('.verdict').textContent")
    expect(verdict.startswith("rank 5 is slow: it computes longer"), verdict)
    records = [json.loads(line) for line in (directory / "job.jsonl").read_text().splitlines()]
    expect(browser.run("return DATA.verdict.lost_ns") == records[0]["lost_ns"], "what others lose")
    rows = {row[0]: row for row in browser.run("return DATA.ranks.rows")}
    for record in (r for r in records if r["type"] == "tracewhy.rank"):
        row = rows[record["rank"]]
        said = [row[3], row[4], row[5], row[6], row[7], row[8], row[9], sum(row[11:18])]
        keys = ["late_ns", "last", "collectives", "others_wait_ns", "step_ns", "compute_ns", "exposed_communication_ns", "idle_ns"]
        expect(said == [record[key] for key in keys], f"rank {record['rank']}: {said}")
    marked = browser.run("return document.querySelector('#ranks tr.marked td').textContent")
    expect(marked == "5", f"marked: {marked}")
    # The parts of a step are its whole, in the mean over ranks and steps.
    totals, mean = browser.run("return [sum(DATA.totals), sum(DATA.rank_times.times.flat()) / DATA.rank_times.times.length]")
    expect(abs(totals - mean) < 0.01 * mean, f"{totals} and {mean}")


def check_tables(browser):
    for label in ["late", "step", "compute"]:
        sort_by(browser, "ranks", label)
        down = numbers(column(browser, "ranks", label))
        expect(down == sorted(down, reverse=True) and len(set(down)) > 1, f"{label} does not fall: {down}")
        sort_by(browser, "ranks", label)
        up = numbers(column(browser, "ranks", label))
        expect(up == sorted(up), f"{label} does not rise: {up}")
        state = browser.run("return [...document.querySelectorAll('#ranks th[aria-sort]')].map((th) => th.getAttribute('aria-sort'))")
        expect(state == ["ascending"], f"aria-sort: {state}")
    before = len(column(browser, "names", "name"))
    browser.write("#names input[type=search]", "flash")
    found = column(browser, "names", "name")
    expect(0 < len(found) < before and all("flash" in name for name in found), f"search finds {found}")
    browser.run("const s = document.querySelector('#names select'); s.value = 'operator'; s.dispatchEvent(new Event('change'))")
    expect(column(browser, "names", "name") == [], "no operator is called flash")


def read_tooltip(browser, selector, x, y):
    """What is shown at a place of a plot. The page hides it when it is scrolled, of which it may hear after the pointer moved."""
    for attempt in range(20):
        browser.hover(selector, x + attempt / 1000, y)
        text = browser.run("const t = document.querySelector('.tooltip'); return t.hidden ? '' : t.textContent")
        if text:
            return text
        time.sleep(0.1)
    return ""


def check_plots(browser):
    plots = browser.run("return [...document.querySelectorAll('.plot')].map((p) => p.closest('section').id)")
    expect(set(plots) >= {"steps", "time", "map", "collectives", "program", "idle"}, f"plots: {plots}")
    for section in ["steps", "time", "map", "program", "idle"]:
        text = read_tooltip(browser, f"#{section} .plot", 0.5, 0.3 if section != "program" else 0.02)
        expect(any(unit in text for unit in (" ms", " µs", " s")), f"{section}: hovering shows {text!r}")
        browser.run("document.querySelector(arguments[0]).focus()", f"#{section} .plot")
        browser.press(RIGHT, RIGHT)
        spoken = browser.run("return document.querySelector('[role=status]').textContent")
        expect(len(spoken) > 5, f"{section}: keys say {spoken!r}")
        browser.press(ESCAPE)
        expect(browser.run("return document.querySelector('.tooltip').hidden"), f"{section}: escape leaves the tooltip")
    shades = "return [...new Set([...document.querySelectorAll('#map .plot path')].map((p) => p.getAttribute('class')))].sort().join()"
    before = browser.run(shades)
    browser.run("const s = document.querySelector('#map select'); s.value = 'compute'; s.dispatchEvent(new Event('change'))")
    after = browser.run(shades)
    expect("late4" in before and "shade8" in after, f"the map has {before}, then {after}")


def check_flame(browser):
    # The largest phase comes first, below the whole.
    widths = """return [...document.querySelectorAll('#program .frame')].slice(0, 2).map((g) => [g.textContent, g.firstChild.getBoundingClientRect().width])"""
    whole, phase = browser.run(widths)
    expect(phase[1] < 0.8 * whole[1], f"{phase} in {whole}")
    browser.run("document.querySelector('#program .plot').focus()")
    browser.press(RIGHT, DOWN)
    browser.press(ENTER)
    _, zoomed = browser.run(widths)
    expect(zoomed[0] == phase[0] and abs(zoomed[1] - whole[1]) < 2, f"{phase} becomes as wide as the whole: {zoomed}")
    browser.press(ESCAPE)
    expect(browser.run(widths) == [whole, phase], "escape shows the whole again")
    browser.hover("#program .plot", 0.01, 0.3)
    browser.post("/actions", actions=[{"type": "pointer", "id": "mouse", "actions": [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]}])
    expect(not browser.run("return document.querySelector('#program .controls button').disabled"), "a click makes a node as wide as the whole")
    browser.click("#program .controls button")
    expect(browser.run(widths) == [whole, phase], "the button shows the whole again")
    browser.write("#program input[type=search]", "Attention_1")
    found = browser.run("return document.querySelectorAll('#program .frame.found').length")
    expect(found >= 2, f"{found} nodes are found, of the forward and the backward pass")


def check_memory(browser, directory):
    records = [json.loads(line) for line in (directory / "memory.jsonl").read_text().splitlines()]
    peaks = {record["rank"]: record for record in records if record["type"] == "tracewhy.memory"}
    for row in browser.run("return DATA.memory.peaks.rows"):
        record = peaks[row[0]]
        said = [record[f"{key}_bytes"] for key in ("peak", "reserved", "before", "after")] + [record["allocations"]]
        expect(row[2:] == said, f"rank {row[0]}: {row} instead of {said}")
    expect(browser.run("return DATA.memory.shown.length") == 8, "eight devices have a timeline")
    first = browser.run("return DATA.memory.shown[0]")
    held = [record["bytes"] for record in records if record["type"] == "tracewhy.memory_holder" and record["rank"] == first["rank"]]
    before = first["peak"] - sum(held)
    expect([row[0] for row in first["held"]["rows"]] == [before, *held], f"rank {first['rank']} holds {first['held']['rows']}")
    expect(max(first["allocated"]) == first["peak"], "the timeline has the peak")
    # The first device is shown; a choice shows another one, with its own plot and table.
    label = "return document.querySelector('#memory .plot').getAttribute('aria-label')"
    expect(f"rank {first['rank']} " in browser.run(label), browser.run(label))
    browser.run("const s = document.querySelector('#memory select'); s.value = '1'; s.dispatchEvent(new Event('change'))")
    second = browser.run("return DATA.memory.shown[1].rank")
    expect(f"rank {second} " in browser.run(label), browser.run(label))
    captions = browser.run("return [...document.querySelectorAll('#memory caption')].map((c) => c.textContent)")
    expect(captions == [f"What holds the peak of cuda:0 of rank {second}", "Devices of all ranks"], f"tables: {captions}")
    sort_by(browser, "memory", "blocks")
    down = numbers([text for text in column(browser, "memory", "blocks") if text != "–"])
    expect(down == sorted(down, reverse=True), f"blocks do not fall: {down}")
    text = read_tooltip(browser, "#memory .plot", 0.5, 0.3)
    expect("allocated" in text and "reserved6.00 GB" in text, f"hovering shows {text!r}")
    browser.run("document.querySelector('#memory .plot').focus()")
    browser.press(RIGHT, RIGHT, RIGHT)
    spoken = browser.run("return document.querySelector('[role=status]').textContent")
    expect(spoken.startswith("after ") and "allocated" in spoken, f"keys say {spoken!r}")
    browser.press(ESCAPE)


def check_access(browser):
    missing = browser.run("return [...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.getAttribute('href')).filter((h) => !document.querySelector(h))")
    expect(not missing, f"links lead nowhere: {missing}")
    for element in browser.find("button, input, select, nav a, .def, .defined, [role], table, section"):
        label = browser.label(element)
        hidden = browser.run("return arguments[0].hidden || arguments[0].matches('[role=status]')", {"element-6066-11e4-a52e-4f735466cecf": element})
        expect(label or hidden, "an element has no name: " + browser.run("return arguments[0].outerHTML.slice(0, 200)", {"element-6066-11e4-a52e-4f735466cecf": element}))
    twice = browser.run("const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.filter((id, i) => ids.indexOf(id) !== i)")
    expect(not twice, f"ids occur twice: {twice}")


CONTRAST = """
const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ground = light(getComputedStyle(document.body).backgroundColor);
return [...document.querySelectorAll('.verdict, .note, h2, td, th button, nav a, .def, .tile dt, .legend li, .plot text')].map((e) => {
  const style = getComputedStyle(e);
  const ink = light(e.namespaceURI.endsWith('svg') ? style.fill : style.color);
  return [(Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05), e.className.baseVal ?? e.className, e.tagName];
}).sort((a, b) => a[0] - b[0])[0]"""


def check_looks(browser, directory, shots):
    for scheme in ["light", "dark"]:
        browser.colors(scheme)
        for width in [1400, 390]:
            browser.size(width, 900)
            time.sleep(0.3)
            wide = browser.run("return document.documentElement.scrollWidth")
            expect(wide <= width, f"{scheme}: {wide} wide in a window of {width}")
            if shots:
                browser.screenshot(shots / f"job-{scheme}-{width}.png")
        worst = browser.run(CONTRAST)
        # Web Content Accessibility Guidelines 2.2, 1.4.3.
        expect(worst[0] >= 4.5, f"{scheme}: contrast {worst}")
    browser.size(1400, 900)
    browser.colors("light")
    pdf = browser.cdp("Page.printToPDF", printBackground=True)["data"]
    expect(len(pdf) > 20_000, "it prints")
    browser.colors("dark")
    browser.run("const s = document.querySelector('nav select'); s.value = 'light'; s.dispatchEvent(new Event('change'))")
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    expect(ground == "rgb(255, 255, 255)", f"the choice of colors: {ground}")
    browser.colors("light")


def check_job(browser, directory, shots):
    browser.size(1400, 900)
    browser.open(directory / "job.html")
    check_contents(browser, directory)
    check_access(browser)
    check_looks(browser, directory, shots)
    check_tables(browser)
    check_plots(browser)
    check_flame(browser)
    check_memory(browser, directory)
    expect_clean(browser, "job")
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(directory / "job.html")
    text = browser.request("GET", f"{browser.session}/element/{browser.find('main')[0]}/text")
    expect("rank 5 is slow" in text and "need JavaScript" in text and "No rank leaves a collective" in text, "without JavaScript")
    browser.cdp("Emulation.setScriptExecutionDisabled", value=False)


def check_hostile(browser, directory, shots):
    browser.open(directory / "hostile.html")
    browser.hover("#program .plot", 0.5, 0.1)
    browser.write("#names input[type=search]", "<img")
    harmed = browser.run("return window.harmed === undefined")
    expect(harmed, "a name was run")
    expect(browser.run("return document.title") == "</title><script>window.harmed=1</script>", "the title is text")
    expect(browser.run("return document.querySelectorAll('#memory .plot').length") == 1, "the memory of hostile traces is shown")
    names = column(browser, "names", "name")
    expect(names and all("<img src=x" in name for name in names), f"names are text: {names}")
    expect(browser.run("return document.querySelectorAll('img').length + document.scripts.length") == 2, "no element is made of a name")
    wide = browser.run("return document.documentElement.scrollWidth - innerWidth")
    expect(wide <= 0, f"long names make it {wide} too wide")
    if shots:
        browser.screenshot(shots / "hostile.png")
    expect_clean(browser, "hostile")


def check_many(browser, directory, shots):
    path = directory / "many.html"
    size = path.stat().st_size
    expect(size < 1_500_000, f"512 ranks take {size} bytes")
    browser.open(path)
    loaded, elements = browser.run("return [performance.timing.loadEventEnd - performance.timing.navigationStart, document.querySelectorAll('*').length]")
    print(f"interop: the report of 512 ranks: loaded in {loaded} ms, {elements} elements")
    expect(loaded < 5000 and elements < 20_000, f"{loaded} ms, {elements} elements")
    verdict = browser.run("return document.querySelector('.verdict').textContent")
    expect(verdict.startswith("rank 300 is slow"), verdict)
    browser.click("#ranks .more")
    expect(len(column(browser, "ranks", "rank")) == 512, "all ranks are listed")
    browser.write("#ranks input[type=search]", "rank300.json")
    expect(column(browser, "ranks", "rank") == ["300"], "a rank is found")
    if shots:
        browser.open(path)
        browser.screenshot(shots / "many.png")
    expect_clean(browser, "many")


def check_one(browser, directory, shots):
    browser.open(directory / "one.html")
    verdict = browser.run("return document.querySelector('.verdict').textContent")
    expect("one rank can be compared with no other" in verdict, verdict)
    command = browser.run("return document.querySelector('#checks .command').textContent")
    expect(command.startswith("traceq --format json check /") and "| tracewhy report --findings - -o /" in command, command)
    expect("comparison" not in browser.run("return [...document.querySelectorAll('section')].map((s) => s.id)"), "nothing is compared")
    if shots:
        browser.screenshot(shots / "one.png")
    expect_clean(browser, "one")


def check_print(browser, directory, shots):
    """On paper, nothing is cut or dark, and a table says how much of it is not there."""
    browser.cdp("Emulation.setEmulatedMedia", media="print")
    browser.cdp("Emulation.setDeviceMetricsOverride", width=720, height=1000, deviceScaleFactor=1, mobile=False)
    for name in ["job", "many", "one"]:
        browser.open(directory / f"{name}.html")
        browser.run("document.documentElement.setAttribute('data-theme', 'dark')")
        ground = browser.run("return getComputedStyle(document.body).backgroundColor")
        expect(ground == "rgb(255, 255, 255)", f"{name}: the ground is {ground}")
        cut = browser.run(
            """return [...document.querySelectorAll('main *:not(svg *)')]
                .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 || (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible'))
                .map((e) => `${e.tagName} ${e.className} of ${e.closest('section')?.id}`)"""
        )
        expect(not cut, f"{name}: cut off: {cut[:5]}")
        rest = browser.run(
            """return [...document.querySelectorAll('.more')].filter((e) => !e.hidden)
                .map((e) => getComputedStyle(e, '::after').content)"""
        )
        expect(all("more rows" in text for text in rest) and (rest or name != "many"), f"{name}: {rest}")
    browser.cdp("Emulation.clearDeviceMetricsOverride")
    browser.cdp("Emulation.setEmulatedMedia", media="")


def main():
    directory = Path(sys.argv[1])
    shots = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            for check in [check_job, check_hostile, check_many, check_one, check_print]:
                check(browser, directory, shots)
        except AssertionError as error:
            print(f"interop: FAILED: {error}")
            sys.exit(1)
        finally:
            browser.close()
    print("interop: reports of 1, 4, 16 and 512 ranks in Chromium: clicks, keys, hover, search, colors, hostile names, print")


if __name__ == "__main__":
    main()
