"use strict";
// One selection and one filter for the table and all pictures. Rows are trials, best first, as in the report's contents.
(() => {
  const contents = JSON.parse(document.getElementById("contents").textContent);
  const { trials, search, hyperparameters, constants } = contents;
  const num = trials.id.length;
  const values = trials.metrics[search.metric];
  const everyone = [...Array(num).keys()];
  const state = { shown: everyone, selected: [], sort: "rank", down: false, page: 0, ranges: [], brushes: new Map() };
  const PAGE = 100;
  const $ = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const several = (list) => new Set(list).size > 1;

  // Columns, by keys under which they are sorted, filtered and used for colours.

  const columns = [
    { key: "rank", name: "rank", of: (row) => trials.rank[row] },
    { key: "id", name: "trial", of: (row) => trials.id[row] },
    ...Object.keys(trials.metrics).map((name) => ({
      key: `metric:${name}`, name, of: (row) => trials.metrics[name][row], error: trials.standard_error[name], metric: true,
    })),
    ...(trials.fresh ? [{ key: "fresh", name: "on fresh seeds", of: (row) => trials.fresh[row], error: trials.fresh_error, metric: true }] : []),
    ...hyperparameters.map((one) => ({
      key: `hp:${one.name}`, name: one.name, of: (row) => trials.hyperparameters[one.name][row],
      category: one.kind === "category", log: one.kind === "log", hp: one,
    })),
    { key: "steps", name: "steps", of: (row) => trials.steps[row] },
    { key: "kind", name: "status", of: (row) => trials.kind[row], text: (row) => trials.status[row], category: true },
    ...(several(trials.generation) ? [{ key: "generation", name: "generation", of: (row) => trials.generation[row], category: true }] : []),
    ...(several(trials.bracket) ? [{ key: "bracket", name: "bracket", of: (row) => trials.bracket[row], category: true }] : []),
  ];
  const column = Object.fromEntries(columns.map((one) => [one.key, one]));
  const objective = `metric:${search.metric}`;

  const short = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    return Number(value.toPrecision(4)).toString();
  };
  const cell = (one, row) => {
    if (one.text) return one.text(row);
    const error = one.error ? one.error[row] : null;
    return short(one.of(row)) + (error === null || error === undefined ? "" : ` ± ${short(Number(error.toPrecision(2)))}`);
  };

  // Pictures: Bokeh's tables follow the selection, and tell theirs.

  let source = null, shown = null, linked = [], figures = [], linking = false;
  const model = (name) => document_.get_model_by_name(name);
  let document_ = null;

  function select(rows, brushed = false) {
    const chosen = [...new Set(rows)].filter((row) => visible.has(row)).sort((a, b) => a - b);
    if (!brushed) state.brushes.clear();
    showBrushes();
    if (String(chosen) === String(state.selected)) return tell();
    state.selected = chosen;
    linking = true;
    if (source) source.selected.indices = chosen;
    for (const other of linked) {
      const wanted = new Set(chosen), found = [];
      other.data.rows.forEach((rows, i) => rows.some((row) => wanted.has(row)) && found.push(i));
      other.selected.indices = found;
    }
    linking = false;
    state.page = 0;
    if (chosen.length === 2) [$("first").value, $("second").value] = chosen.map((row) => trials.id[row]);
    compare();
    fillTable();
    tell();
    showTables();
  }

  function showTables() {
    for (const details of document.querySelectorAll("details[data-table][open]")) asTable(details);
  }

  function clear() {
    last = -1;
    $("find").value = "";
    select([]);
  }

  function tell() {
    const filtered = state.shown.length < num ? `, ${state.shown.length} of ${num} shown` : "";
    $("status").textContent = `${state.selected.length} of ${num} selected${filtered}`;
    $("ranges-selected").textContent = state.selected.length > 1 ? [column[objective], ...columns.filter((one) => one.hp).slice(0, 8)].map(span).filter(Boolean).join(", ") : "";
    $("copy-who").textContent = state.selected.length ? `the ${state.selected.length} selected` : "the winner, or as CSV all that are shown";
  }

  // What the selected trials have of a column, in words.
  function span(one) {
    const known = [...new Set(state.selected.map(one.of).filter((value) => value !== null))];
    if (!known.length) return "";
    if (one.category) return `${one.name} ${known.slice(0, 4).join(" | ")}${known.length > 4 ? " …" : ""}`;
    return `${one.name} ${short(Math.min(...known))}${known.length > 1 ? ` to ${short(Math.max(...known))}` : ""}`;
  }

  function connect() {
    source = model("trials");
    shown = model("shown");
    linked = document_.roots().flatMap((figure) => figure.renderers.map((one) => one.data_source))
      .filter((one, i, all) => one.tags.includes("linked") && all.indexOf(one) === i);
    figures = document_.roots();
    source.selected.properties.indices.change.connect(() => {
      if (!linking) select([...source.selected.indices]);
    });
    for (const other of linked) {
      other.selected.properties.indices.change.connect(() => {
        if (!linking) select(other.selected.indices.flatMap((i) => other.data.rows[i]));
      });
    }
    const on = (name, answer) => {
      const figure = model(name);
      if (figure) figure.on_event("selectiongeometry", (event) => event.final && event.geometry.type === "rect" && answer(sides(event.geometry)));
    };
    on("parallel", brushAxes);
    on("rungs", ({ x0, x1 }) => select(linked.filter((one) => one.data.bottom).flatMap((one) => one.data.rows.filter((_, i) => i >= x0 && i <= x1)).flat()));
    on("lineage", ({ y0, y1 }) => select(everyone.filter((row) => trials.id[row] >= y0 && trials.id[row] <= y1)));
    on("curves", (box) => select(inBox("curves", "steps", "curve", box)));
    for (const { name } of figures) {
      if (name.startsWith("schedule")) on(name, (box) => select(inBox(name, `${name}x`, `${name}y`, box)));
    }
  }

  const sides = ({ x0, x1, y0, y1 }) => ({
    x0: Math.min(x0, x1), x1: Math.max(x0, x1), y0: Math.min(y0, y1), y1: Math.max(y0, y1),
  });

  // Trials whose line comes through a box: one of its points is inside, or a piece of it crosses a side.
  function inBox(name, xs, ys, box) {
    const along = (scale) => (scale.type === "LogScale" ? Math.log : Number); // lines are straight on the screen
    const [across, up] = [along(model(name).x_scale), along(model(name).y_scale)];
    const [x0, x1, y0, y1] = [across(box.x0), across(box.x1), up(box.y0), up(box.y1)];
    const inside = (x, y) => x >= x0 && x <= x1 && y >= y0 && y <= y1;
    const crosses = (a, b, c, d) => [[x0, y0, x0, y1], [x1, y0, x1, y1], [x0, y0, x1, y0], [x0, y1, x1, y1]].some(([e, f, g, h]) => {
      const area = (c - a) * (h - f) - (d - b) * (g - e);
      const s = ((e - a) * (h - f) - (f - b) * (g - e)) / area, t = ((e - a) * (d - b) - (f - b) * (c - a)) / area;
      return s >= 0 && s <= 1 && t >= 0 && t <= 1;
    });
    return everyone.filter((row) => {
      const line = [...source.data[xs][row]].map((x, i) => [across(x), up(source.data[ys][row][i])]);
      return line.some(([x, y], i) => inside(x, y) || (i > 0 && crosses(...line[i - 1], x, y)));
    });
  }

  // A box on parallel coordinates is a range on each axis that it covers; ranges on several axes all have to hold.
  function brushAxes({ x0, x1, y0, y1 }) {
    const places = source.data.places;
    for (let axis = Math.max(0, Math.ceil(x0 - 0.08)); axis <= Math.min(x1 + 0.08, places[0].length - 1); axis++) {
      state.brushes.set(axis, [y0, y1]);
    }
    const holds = (row) => [...state.brushes].every(([axis, [low, high]]) => places[row][axis] >= low && places[row][axis] <= high);
    select(everyone.filter((row) => state.brushes.size && holds(row)), true);
  }

  function showBrushes() {
    if (!document_) return;
    for (let axis = 0, box = model("brush0"); box; box = model(`brush${++axis}`)) {
      const range = state.brushes.get(axis);
      box.visible = range !== undefined;
      if (range) [box.bottom, box.top] = range;
    }
  }

  // Filters

  let visible = new Set(everyone);

  function filter() {
    const kinds = new Set([...document.querySelectorAll("#kinds input:checked")].map((box) => box.value));
    const best = Number($("top").value) || Infinity;
    const chosen = ["generation", "bracket"].filter((key) => $(key)).map((key) => [trials[key], $(key).value]);
    state.shown = everyone.filter((row) =>
      kinds.has(trials.kind[row]) && trials.rank[row] <= best &&
      chosen.every(([list, value]) => value === "" || String(list[row]) === value) &&
      state.ranges.every(({ key, low, high }) => {
        const value = column[key].of(row);
        return value !== null && value >= low && value <= high;
      }));
    visible = new Set(state.shown);
    if (shown) shown.indices = state.shown;
    const alpha = Math.min(0.85, Math.max(0.25, 6 / Math.sqrt(Math.max(1, state.shown.length)))); // a few may be strong
    for (const figure of figures) for (const one of figure.renderers) if (one.name === "lines") one.glyph.line_alpha = { value: alpha };
    state.page = 0;
    select(state.selected, true);
    fillTable();
    tell();
    showTables();
  }

  function showRanges() {
    $("ranges").replaceChildren(...state.ranges.map((range, i) => {
      const text = `${short(range.low)} ≤ ${column[range.key].name} ≤ ${short(range.high)}`;
      const remove = make("button", { type: "button", textContent: `${text} ✕`, ariaLabel: `remove the filter ${text}` });
      remove.onclick = () => { state.ranges.splice(i, 1); showRanges(); filter(); };
      return remove;
    }));
  }

  function addRange() {
    const bound = (id, otherwise) => ($(id).value === "" ? otherwise : Number($(id).value));
    const range = { key: $("range").value, low: bound("low", -Infinity), high: bound("high", Infinity) };
    if (Number.isNaN(range.low) || Number.isNaN(range.high) || (range.low === -Infinity && range.high === Infinity)) return;
    state.ranges.push(range);
    $("low").value = $("high").value = "";
    showRanges();
    filter();
  }

  function find() {
    const wanted = new Set();
    for (const [, first, last] of $("find").value.matchAll(/(\d+)(?:\s*[-–]\s*(\d+))?/g)) {
      for (const id of trials.id) if (id >= Number(first) && id <= Number(last ?? first)) wanted.add(id);
    }
    select(everyone.filter((row) => wanted.has(trials.id[row])));
    if ($("find").value.trim() && !state.selected.length) $("status").textContent = `no such trial is shown: ${$("find").value}`;
  }

  // Colours: good to bad in a scale that everybody can tell apart on light and dark, options in eight that are far apart.

  const SCALE = [[230, 97, 0], [196, 160, 140], [75, 120, 214]];
  const OPTIONS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8f98", "#a6761d"];

  function blend(place) {
    const at = Math.min(1, Math.max(0, place)) * (SCALE.length - 1), i = Math.min(Math.floor(at), SCALE.length - 2);
    return `rgb(${SCALE[i].map((low, k) => Math.round(low + (at - i) * (SCALE[i + 1][k] - low))).join(",")})`;
  }

  function colours(key) {
    const one = column[key];
    if (one.category) {
      const options = one.hp ? one.hp.options : [...new Set(everyone.map(one.of))].sort((a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b))));
      const of = new Map(options.map((option, i) => [option, OPTIONS[i % OPTIONS.length]]));
      return { each: everyone.map((row) => of.get(one.of(row)) ?? "#8a8f98"), legend: [...of].slice(0, 12) };
    }
    const known = everyone.map(one.of).filter((value) => value !== null).sort((a, b) => a - b);
    let [low, high] = [known[0], known[known.length - 1]];
    if (key === objective) {
      if (search.mode === "min") high = known[Math.floor(0.75 * (known.length - 1))];
      else [low, high] = [high, known[Math.ceil(0.25 * (known.length - 1))]];
    }
    const log = one.log || (key === objective && Math.min(low, high) > 0 && Math.max(low, high) > 10 * Math.min(low, high));
    const scale = (value) => (log ? Math.log(value) : value);
    const place = (value) => (high === low ? 0 : (scale(value) - scale(low)) / (scale(high) - scale(low)));
    return {
      each: everyone.map((row) => (one.of(row) === null ? (one.metric ? "#c53030" : "#8a8f98") : blend(place(one.of(row))))),
      legend: known.length ? [
        [key === objective ? `best ${short(low)}` : short(low), blend(0)], ["…", blend(0.5)],
        [key === objective ? `${short(high)} or worse` : short(high), blend(1)],
      ] : [],
    };
  }

  function colour() {
    const found = colours($("colour").value);
    $("legend").replaceChildren(...found.legend.map(([text, ink]) => {
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = ink;
      return make("span", {}, swatch, String(text));
    }));
    if (source) source.data = { ...source.data, colour: found.each };
  }

  // The table: rows can be walked through with arrows, and chosen with space or a click.

  function sorted() {
    const one = column[state.sort], sign = state.down ? -1 : 1;
    const chosen = $("only").checked ? state.selected : state.shown;
    return [...chosen].sort((a, b) => {
      const [x, y] = [one.of(a), one.of(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a - b; // what is missing comes last, always
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y))) || a - b;
    });
  }

  function fillTable(focus = -1) {
    const rows = sorted(), chosen = new Set(state.selected);
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const here = rows.slice(state.page * PAGE, (state.page + 1) * PAGE);
    const current = here.includes(focus) ? focus : here[0];
    $("rows").replaceChildren(...here.map((row) => {
      const line = make("tr", { tabIndex: row === current ? 0 : -1, ariaSelected: String(chosen.has(row)) });
      line.dataset.row = row;
      if (trials.id[row] === search.best) line.classList.add("best");
      line.append(...columns.map((one) => make("td", { textContent: cell(one, row), className: one.category ? "word" : "" })));
      return line;
    }));
    $("pages").hidden = pages === 1;
    $("page").textContent = `${state.page * PAGE + 1} to ${state.page * PAGE + here.length} of ${rows.length}`;
    $("empty").hidden = rows.length > 0;
    for (const head of document.querySelectorAll("#head th")) {
      head.ariaSort = head.dataset.key === state.sort ? (state.down ? "descending" : "ascending") : "none";
    }
  }

  function toggle(row, extend) {
    const chosen = new Set(state.selected);
    const here = sorted(), anchor = here.indexOf(last);
    if (extend && anchor >= 0) {
      const [a, b] = [anchor, here.indexOf(row)].sort((x, y) => x - y);
      for (const one of here.slice(a, b + 1)) chosen.add(one);
    } else if (!chosen.delete(row)) chosen.add(row);
    last = row;
    const page = state.page;
    select([...chosen]);
    state.page = page;
    fillTable(row);
    document.querySelector(`#rows tr[data-row="${row}"]`)?.focus();
  }
  let last = -1;

  function walk(event) {
    const line = event.target.closest("tr");
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === " ") {
      event.preventDefault();
      toggle(Number(line.dataset.row), event.shiftKey);
    } else if (step !== undefined) {
      event.preventDefault();
      const lines = [...$("rows").children], at = Math.min(lines.length - 1, Math.max(0, lines.indexOf(line) + step));
      line.tabIndex = -1;
      lines[at].tabIndex = 0;
      lines[at].focus();
      if (event.shiftKey) toggle(Number(lines[at].dataset.row), true);
    }
  }

  function buildTable() {
    $("head").replaceChildren(...columns.map((one) => {
      const button = make("button", { type: "button", textContent: one.name });
      button.onclick = () => {
        state.down = state.sort === one.key ? !state.down : one.metric && search.mode === "max";
        state.sort = one.key;
        state.page = 0;
        fillTable();
      };
      const head = make("th", { scope: "col", className: one.category ? "word" : "" }, button);
      head.dataset.key = one.key;
      return head;
    }));
    $("rows").onclick = (event) => event.target.closest("tr") && toggle(Number(event.target.closest("tr").dataset.row), event.shiftKey);
    $("rows").onkeydown = walk;
    $("earlier").onclick = () => { state.page = Math.max(0, state.page - 1); fillTable(); };
    $("later").onclick = () => { state.page += 1; fillTable(); };
    $("only").onchange = () => { state.page = 0; fillTable(); };
  }

  // Copies

  function literal(one, value) {
    if (one.kind === "category") return one.literals[value];
    const text = String(value);
    return one.integer || /[.e]/.test(text) ? text : `${text}.0`;
  }

  function configuration(row) {
    const items = [
      ...hyperparameters.map((one) => [one.name, trials.hyperparameters[one.name][row], one]).filter(([, value]) => value !== null)
        .map(([name, value, one]) => `${JSON.stringify(name)}: ${literal(one, value)}`),
      ...constants.map((one) => `${JSON.stringify(one.name)}: ${one.literal}`),
    ];
    return `{${items.join(", ")}}`;
  }

  function csv(rows) {
    const quote = (value) => {
      const text = value === null || value === undefined ? "" : String(value);
      const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text; // no formula for a spreadsheet
      return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const line = (cells) => cells.map(quote).join(",");
    return [line(columns.map((one) => one.name)), ...rows.map((row) => line(columns.map((one) => (one.text ? one.text(row) : one.of(row)))))].join("\n");
  }

  const chosenOr = (otherwise) => (state.selected.length ? state.selected : otherwise);
  const winner = [Math.max(0, trials.id.indexOf(search.best))];
  const copies = {
    "copy-hp": () => {
      const rows = chosenOr(winner);
      if (rows.length === 1) return `hp = ${configuration(rows[0])}`;
      return `hps = [\n${rows.map((row) => `    ${configuration(row)},  # trial ${trials.id[row]}`).join("\n")}\n]`;
    },
    "copy-points": () => `jt.Points([\n${chosenOr(winner).map((row) => `    ${configuration(row)},`).join("\n")}\n])`,
    "copy-csv": () => csv(chosenOr(state.shown)),
  };

  async function copy(id) {
    const text = copies[id]();
    $("copied").value = text;
    $("copied").hidden = false;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      $("copied").select();
      document.execCommand("copy");
    }
    $("status").textContent = `copied ${chosenOr(id === "copy-csv" ? state.shown : winner).length} of ${num}`;
  }

  // Two configurations, side by side

  function compare() {
    const rows = ["first", "second"].map((id) => ($(id).value === "" ? -1 : trials.id.indexOf(Number($(id).value))));
    if (rows.includes(-1)) return $("difference").replaceChildren(make("p", { textContent: "Name two trials by their numbers." }));
    const [a, b] = rows;
    const difference = (one) => {
      const [x, y] = [one.of(a), one.of(b)];
      return typeof x === "number" && typeof y === "number" ? short(y - x) : "";
    };
    const lines = columns.filter((one) => !["rank", "id"].includes(one.key) && (one.metric || one.of(a) !== one.of(b)))
      .map((one) => make("tr", {}, make("th", { scope: "row", textContent: one.name }),
        ...[a, b].map((row) => make("td", { textContent: cell(one, row) || "—" })), make("td", { textContent: difference(one) })));
    const heads = [...rows.map((row) => `trial ${trials.id[row]}`), "difference"];
    const head = make("tr", {}, make("td"), ...heads.map((name) => make("th", { scope: "col", textContent: name })));
    $("difference").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines)));
  }

  // Pictures as tables

  const hpColumns = columns.filter((one) => one.hp);
  const ofTrials = (names) => [["trial", search.metric, ...names.map((one) => one.name)],
    state.shown.map((row) => [trials.id[row], values[row], ...names.map((one) => one.of(row))])];
  const ofRecords = (list) => (list.length ? [Object.keys(list[0]), list.map((one) => Object.values(one))] : [["nothing"], []]);
  const tables = {
    parallel: () => ofTrials(hpColumns),
    slices: () => ofTrials(hpColumns),
    curves: () => [["trial", "step", search.metric], chosenOr(state.shown.slice(0, 20)).flatMap((row) =>
      contents.curves[row].steps.map((step, i) => [trials.id[row], step, contents.curves[row].values[i]]))],
    progress: () => [["training steps", "seconds", "best so far", "trial"], contents.progress.lane_steps.map((spent, i) =>
      [spent, contents.progress.seconds[i], contents.progress.value[i], contents.progress.trial[i]])],
    rungs: () => ofRecords(contents.rungs),
    importance: () => ofRecords(contents.importance.hyperparameters),
    tuning: () => [["trials", "expected best", "low", "high"], contents.tuning.trials.map((n, i) =>
      [n, contents.tuning.mean[i], contents.tuning.low[i], contents.tuning.high[i]])],
    isolation: () => ofRecords(contents.isolation.flatMap((one) => one.buckets.map((bucket) => ({ hyperparameter: one.name, ...bucket })))),
    contour: () => ofTrials(hpColumns.filter((one) => contents.contour.names.includes(one.name))),
    lineage: () => ofRecords(contents.lineage.copies),
  };

  function asTable(details) {
    details.querySelectorAll(":scope > :not(summary)").forEach((old) => old.remove());
    if (!details.open) return;
    const [heads, rows] = tables[details.dataset.table]();
    const body = rows.slice(0, 500).map((row) => make("tr", {}, ...row.map((value) => make("td", { textContent: short(value) }))));
    const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col", textContent: name })));
    const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `${details.dataset.table} as a table` });
    scroll.append(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
    details.append(scroll);
    if (rows.length > 500) details.append(make("p", { textContent: `The first 500 of ${rows.length} rows.` }));
    if (details.dataset.table === "curves" && !state.selected.length) details.append(make("p", { textContent: "Of the first 20 trials; select others to see theirs." }));
  }

  // Beginning

  function controls() {
    const option = (one) => make("option", { value: one.key, textContent: one.name });
    const kinds = [...new Set(trials.kind)].sort();
    $("kinds").append(...kinds.map((kind) => make("label", {}, make("input", { type: "checkbox", value: kind, checked: true }), ` ${kind}`)));
    $("kinds").onchange = filter;
    for (const key of ["generation", "bracket"]) {
      if (!column[key]) continue;
      const choice = make("select", { id: key, onchange: filter }, make("option", { value: "", textContent: "all" }),
        ...[...new Set(trials[key])].sort((a, b) => a - b).map((one) => make("option", { value: String(one), textContent: String(one) })));
      $("parts").append(make("label", {}, `${key} `, choice));
    }
    $("range").append(...columns.filter((one) => !one.category).map(option));
    $("range").value = objective;
    $("colour").append(...columns.filter((one) => !["rank", "id"].includes(one.key)).map(option));
    $("colour").value = objective;
    $("colour").onchange = colour;
    $("top").onchange = filter;
    $("add").onclick = addRange;
    $("find").onchange = find;
    $("clear").onclick = clear;
    $("everything").onclick = () => {
      state.ranges = [];
      $("top").value = "";
      for (const box of document.querySelectorAll("#kinds input")) box.checked = true;
      for (const key of ["generation", "bracket"]) if ($(key)) $(key).value = "";
      showRanges();
      filter();
    };
    for (const id of Object.keys(copies)) $(id).onclick = () => copy(id);
    for (const id of ["first", "second"]) $(id).onchange = compare;
    const fresh = (row) => (trials.fresh && trials.fresh[row] !== null ? 0 : 1);
    const order = everyone.filter((row) => trials.id[row] !== search.best).sort((a, b) => fresh(a) - fresh(b) ||
      (fresh(a) ? a - b : (search.mode === "min" ? 1 : -1) * (trials.fresh[a] - trials.fresh[b])));
    $("first").value = search.best ?? trials.id[0];
    $("second").value = trials.id[order[0] ?? 0];
    document.addEventListener("keydown", (event) => event.key === "Escape" && clear());
    for (const details of document.querySelectorAll("details[data-table]")) details.ontoggle = () => asTable(details);
  }

  buildTable();
  controls();
  fillTable();
  compare();
  colour();
  tell();
  (function wait() {
    if (!window.Bokeh || !Bokeh.documents.length) return void setTimeout(wait, 20);
    document_ = Bokeh.documents[0];
    connect();
    colour();
    filter();
    document.body.dataset.ready = "yes";
  })();
})();
