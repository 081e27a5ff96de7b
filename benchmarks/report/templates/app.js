// What is shown: reads the embedded data, keeps the choice of language, theme and filters, and draws.
"use strict";

(() => {
  const parse = (id) => JSON.parse(document.getElementById(id).textContent);
  const texts = parse("texts-json"), data = parse("data-json");
  const $ = (id) => document.getElementById(id);
  const LANGUAGES = ["python", "rust", "go", "native"];

  const state = {
    speak: remembered("speak", (navigator.language || "").startsWith("ja") ? "jp" : "en"),
    theme: remembered("theme", "auto"),
    languages: new Set(LANGUAGES),
    groups: new Set(data.cases.map((one) => one.group)),
    only: "",
  };

  function remembered(name, otherwise) {
    try {
      return localStorage.getItem(`benchmark-${name}`) || otherwise;
    } catch (error) {
      if (error.name !== "SecurityError") throw error;
      return otherwise; // a page opened from a file may have no storage
    }
  }
  function remember(name, value) {
    try {
      localStorage.setItem(`benchmark-${name}`, value);
    } catch (error) {
      if (error.name !== "SecurityError" && error.name !== "QuotaExceededError") throw error;
    }
  }

  const say = (key) => texts[state.speak][key];
  const pick = (both) => both[state.speak];
  const named = (language) => data.names.languages[language];
  const rowName = (row) => pick(data.names.rows[row]);
  const caseOf = (name) => data.cases.find((one) => one.name === name);
  const chosen = (one) => state.groups.has(one.group) && (!state.only || state.only === one.name);
  const shownCases = () => data.cases.filter(chosen);

  function make(name, properties = {}, ...children) {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...children);
    return node;
  }
  function dot(language) {
    const mark = make("i");
    mark.style.background = `var(--${language})`;
    return mark;
  }
  function widthOf(node) {
    const style = getComputedStyle(node);
    return Math.max(240, Math.floor(node.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)));
  }
  function tipOf(row, case_) {
    const lines = [`${named(row.language)} · ${rowName(row.row)}`, row.implementation, `${Charts.time(row.median)}  [${Charts.time(row.low)}, ${Charts.time(row.high)}]`,
      `${Charts.amount(row.rate, `${row.unit}/s`)} · ${row.threads} ${say("roof_threads")} · ${row.samples} ${say("samples")}`];
    if (row.of_limit) lines.push(`${say("limit")}: ${Charts.percent(row.of_limit)} (${case_.bound})`);
    if (row.fraction < 1) lines.push(`× 1/${Charts.digits(1 / row.fraction)}`);
    if (row.noise.length) lines.push(`${say("noise")}: ${row.noise.join(", ")}`);
    return lines.join("\n");
  }

  // ---- parts

  function tiles() {
    const found = [];
    const promise = data.agreement.find((one) => one.case === "small_train_8x256") || data.agreement.find((one) => one.case === "tiny_train_2x32");
    if (promise) found.push([`${Charts.percent(promise.spread)} (≤ ${Charts.percent(promise.spread_high)})`, `${say("tile_spread")} ${pick(caseOf(promise.case).title)}`]);
    if (data.path) found.push([Charts.factor(data.path.value), `${say("tile_path")} ${pick(caseOf(data.path.case).title)}`]);
    const call = data.cases.find((one) => one.group === "call");
    if (call) {
      const rows = call.rows.filter((row) => row.row === "cpu" && row.threads === data.threads && row.language !== "native");
      const ends = [...new Set([rows[0], rows[rows.length - 1]].filter(Boolean).map((row) => Charts.time(row.median)))];
      const [unit] = ends.map((end) => end.split(" ")[1]);
      const shown = ends.every((end) => end.endsWith(` ${unit}`)) ? `${ends.map((end) => end.split(" ")[0]).join(" – ")} ${unit}` : ends.join(" – ");
      if (rows.length) found.push([shown, `${say("tile_call")} ${rows.map((row) => named(row.language)).join(", ")}`]);
    }
    const best = data.cases.filter((one) => one.bound === "fma").flatMap((one) => one.rows.filter((row) => row.row === "cpu" && row.of_limit && row.threads === data.threads).map((row) => [row.of_limit, one]));
    if (best.length) {
      const [share, one] = best.reduce((a, b) => (b[0] > a[0] ? b : a));
      found.push([Charts.percent(share), `${say("tile_limit")} ${pick(one.title)}`]);
    }
    $("tiles").replaceChildren(...found.map(([figure, what]) => make("div", { className: "tile" }, make("b", { textContent: figure }), make("span", { textContent: what }))));
  }

  function words() {
    $("learned").replaceChildren(...data.learned.map((part) => make("article", {}, make("h3", { textContent: pick(part.title) }), make("p", { textContent: pick(part.body) }))));
    $("insights").replaceChildren(...data.insights.map((one) => make("li", { textContent: pick(one) })));
    $("learned-section").hidden = !data.learned.length && !data.insights.length;
  }

  function filters() {
    const present = LANGUAGES.filter((language) => data.cases.some((one) => one.rows.some((row) => row.language === language)));
    const chip = (label, pressed, toggle, mark) => {
      const button = make("button", { type: "button", onclick: toggle }, ...(mark ? [mark] : []), label);
      button.setAttribute("aria-pressed", pressed);
      return button;
    };
    const toggled = (set, value) => () => {
      if (!set.delete(value)) set.add(value);
      render();
    };
    const languages = present.map((language) => Object.assign(chip(named(language), state.languages.has(language), toggled(state.languages, language), dot(language)), { value: language }));
    $("filter-languages").replaceChildren(...languages);
    const groups = [...new Set(data.cases.map((one) => one.group))];
    $("filter-groups").replaceChildren(...groups.map((group) => Object.assign(chip(pick(data.names.groups[group]), state.groups.has(group), toggled(state.groups, group)), { value: group })));
    const options = [["", say("all")], ...data.cases.filter((one) => state.groups.has(one.group)).map((one) => [one.name, pick(one.title)])];
    if (!options.some(([value]) => value === state.only)) state.only = "";
    $("filter-case").replaceChildren(...options.map(([value, label]) => make("option", { value, textContent: label, selected: value === state.only })));
  }

  // Puts a chart into a section, or hides the section where nothing is left to draw.
  function draw(section, target, items, chart) {
    $(section).hidden = !items.length;
    $(target).replaceChildren();
    if (items.length) $(target).append(chart(widthOf($(target))));
  }
  function cards(target, items, heading, chart) {
    const places = items.map((item) => {
      const [title, small] = heading(item);
      const place = make("div", { className: "chart" });
      const card = make("div", { className: "card" }, make("h4", { textContent: title }), make("small", { textContent: small }), place);
      return [card, place, item];
    });
    $(target).replaceChildren(...places.map(([card]) => card));
    for (const [, place, item] of places) place.append(chart(item, widthOf(place)));
    return items.length;
  }

  function languagesSideBySide() {
    const items = data.agreement.map((one) => ({ ...one, at: caseOf(one.case) })).filter((one) => one.at && chosen(one.at)).map((one) => ({
      label: pick(one.at.title),
      spread: one.spread,
      languages: one.languages.filter((row) => state.languages.has(row.language)).map((row) => ({
        ...row,
        tip: `${named(row.language)} · ${pick(one.at.title)}\n${Charts.time(row.median)} = ${Charts.factor(row.relative)}\n[${row.low.toFixed(3)}, ${row.high.toFixed(3)}]`,
      })),
    })).filter((one) => one.languages.length);
    draw("agreement-section", "agreement", items, (width) => Charts.agreement(items, width, say("agreement_axis"), say("agreement")));
  }

  function oneProduct() {
    const at = data.steps.length ? caseOf(data.steps[0].case) : null;
    const items = at && chosen(at) ? data.steps.filter((one) => state.languages.has(one.language)).map((one) => ({
      ...one,
      label: say(`step_${one.step}`),
      tip: `${say(`step_${one.step}`)}\n${Charts.time(one.median)}  [${Charts.time(one.low)}, ${Charts.time(one.high)}]\n${Charts.factor(one.factor)}  [${Charts.factor(one.factor_low)}, ${Charts.factor(one.factor_high)}]`,
    })) : [];
    draw("steps-section", "steps", items, (width) => Charts.steps(items, width, say("steps")));
  }

  function casesOneByOne() {
    const items = shownCases().filter((one) => one.group !== "process").map((one) => ({ ...one, rows: one.rows.filter((row) => row.whole && state.languages.has(row.language)) })).filter((one) => one.rows.length);
    $("cases-section").hidden = !items.length;
    const used = [...new Set(items.flatMap((one) => one.rows.map((row) => row.row)))];
    $("row-legend").replaceChildren(...used.map((row) => make("span", {}, Charts.swatch(row), rowName(row))));
    cards("cases", items, (one) => [pick(one.title), one.name], (one, width) => Charts.bars(one.rows.map((row) => ({
      ...row, label: `${named(row.language)} · ${rowName(row.row)}`, tip: tipOf(row, one),
    })), width, pick(one.title)));
  }

  function beside() {
    const best = (limit, threads) => Math.max(...data.limits.filter((one) => one.limit === limit && one.threads === threads).map((one) => one.best));
    const counts = [...new Set(data.limits.map((one) => one.threads))].sort((a, b) => b - a);
    const roofs = counts.map((threads, number) => ({
      flop: best("fma", threads), byte: best("triad", threads), less: number > 0,
      label: threads === 1 ? say("roof_thread") : `${threads} ${say("roof_threads")}`,
    }));
    const points = shownCases().flatMap((one) => one.rows.filter((row) => row.whole && row.intensity && ["cpu", "library", "naive"].includes(row.row) && state.languages.has(row.language)).map((row) => ({
      x: row.intensity, y: row.flop_rate, language: row.language, row: row.row, tip: `${pick(one.title)}\n${tipOf(row, one)}`,
    })));
    draw("roofline-section", "roofline", roofs.length ? points : [], (width) => Charts.roofline(roofs, points, width, { x: say("roofline_x"), y: say("roofline_y") }, say("roofline")));
  }

  function scaling() {
    const visible = (one) => state.languages.has(one.language);
    const byCase = shownCases().map((one) => [one, data.scaling.filter((line) => line.case === one.name && visible(line))]).filter(([, lines]) => lines.length);
    const drawn = cards("scaling", byCase, ([one]) => [pick(one.title), one.name], ([one, lines], width) => Charts.curves(lines.map((line) => ({
      ...line,
      points: line.points.map((p) => ({ x: p.threads, y: p.speedup, low: p.low, high: p.high, tip: `${named(line.language)} · ${rowName(line.row)}\n${p.threads} ${say("roof_threads")}: ${Charts.factor(p.speedup)}  [${Charts.factor(p.low)}, ${Charts.factor(p.high)}]` })),
    })), width, { ideal: true, axis: say("scaling_axis"), format: (v) => `${v}×`, label: pick(one.title) }));
    const models = state.groups.has("model") && !state.only;
    const names = models ? [...new Set(data.series.map((one) => one.series))] : [];
    const series = names.map((name) => [name, data.series.filter((one) => one.series === name && visible(one))]).filter(([, lines]) => lines.length);
    const also = cards("series", series, ([name, lines]) => [name, lines[0].points[0].unit], ([name, lines], width) => Charts.curves(lines.map((line) => ({
      ...line, points: line.points.map((p) => ({ x: p.x, y: p.rate, low: p.low, high: p.high, tip: `${named(line.language)}\n${p.x}: ${Charts.amount(p.rate, p.unit)}` })),
    })), width, { axis: name.split(" ").pop(), format: (v) => Charts.amount(v, "").trim(), label: name }));
    $("scaling-section").hidden = !drawn && !also;
    for (const node of [$("series").previousElementSibling, $("series").previousElementSibling.previousElementSibling]) node.hidden = !also;
  }

  function memory() {
    const whole = shownCases().filter((one) => one.group === "process");
    const kinds = whole.flatMap((one) => [[one, "median", Charts.time, ""], [one, "peak_rss_bytes", Charts.bytes, say("peak")]]);
    const items = kinds.map(([one, field, shown, small]) => ({
      one, small, bars: one.rows.filter((row) => state.languages.has(row.language) && row[field]).sort((a, b) => a[field] - b[field]).map((row) => ({
        label: named(row.language), language: row.language, value: row[field], shown: shown(row[field]), tip: tipOf(row, one),
      })),
    })).filter((item) => item.bars.length);
    cards("memory", items, (item) => [pick(item.one.title), item.small || say("time")], (item, width) => Charts.amounts(item.bars, width, pick(item.one.title)));
    const counted = (one, language) => one.rows.find((row) => row.row === "cpu" && row.whole && row.language === language && row.allocations !== null);
    const languages = LANGUAGES.filter((language) => state.languages.has(language) && data.cases.some((one) => counted(one, language)));
    const rows = shownCases().filter((one) => languages.some((language) => counted(one, language)));
    table("allocations", ["case", ...languages.map((language) => [language])], rows.map((one) => [
      pick(one.title), ...languages.map((language) => {
        const row = counted(one, language);
        if (!row) return "";
        const parts = [Charts.digits(row.allocations)];
        if (row.allocated_bytes) parts.push(Charts.bytes(row.allocated_bytes));
        if (row.gc_share) parts.push(`${say("collector")} ${Charts.percent(row.gc_share)}`);
        return parts.join(" · ");
      }),
    ]));
    $("memory-section").hidden = !items.length && !rows.length;
  }

  // Cells and headings are texts; a language is a list of its name. A "#" behind a heading aligns its column right.
  function table(target, heads, rows) {
    const right = heads.map((name) => !Array.isArray(name) && name.endsWith("#"));
    const cellOf = (kind, cell, at) => {
      const node = make(kind, { className: right[at] ? "number" : "" });
      if (Array.isArray(cell)) node.append(dot(cell[0]), named(cell[0]));
      else node.append(cell);
      return node;
    };
    const head = make("tr", {}, ...heads.map((name, at) => cellOf("th", Array.isArray(name) ? name : say(name.replace("#", "")), at)));
    const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, at) => cellOf("td", cell, at))));
    $(target).replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
    $(target).parentElement.hidden = !rows.length;
  }

  function everyRow() {
    const rows = shownCases().flatMap((one) => one.rows.filter((row) => state.languages.has(row.language)).map((row) => {
      const flags = make("span", {}, ...row.noise.map((flag) => make("span", { className: "flag", textContent: flag })));
      return [pick(one.title), [row.language], rowName(row.row), row.implementation, String(row.threads), Charts.time(row.median), `${Charts.time(row.low)} – ${Charts.time(row.high)}`,
        row.relative === null ? "" : Charts.factor(row.relative), Charts.amount(row.rate, `${row.unit}/s`), row.of_limit ? Charts.percent(row.of_limit) : "", String(row.samples), flags];
    }));
    $("rows-section").hidden = !rows.length;
    table("rows", ["case", "language", "row", "implementation", "threads#", "time#", "interval#", "relative#", "rate#", "limit#", "samples#", "noise"], rows);
  }

  function machine() {
    const m = data.machine;
    const entries = [
      ["processor", `${m.cpu}, ${m.cpu_family || m.architecture}, ${m.usable} × ${m.architecture}${m.virtual ? `, ${say("virtual")}` : ""}`],
      ["caches", m.caches.map((cache) => `L${cache.level} ${cache.size}`).join(", ") || say("unreadable")],
      ["isa", m.isa.join(", ")],
      ["memory_size", `${m.memory_bytes ? Charts.bytes(m.memory_bytes) : "?"}, huge pages: ${m.huge_pages || say("unreadable")}`],
      ["governor", m.governor || say("unreadable")],
      ["system", `${m.distribution || ""} ${m.system}`],
      ["load", `${m.load_before.toFixed(2)} → ${m.load_after.toFixed(2)}`],
      ["runtimes", Object.entries(data.runtimes).map(([name, version]) => `${name} ${version}`).join(" · ")],
      ["measured", data.started],
      ["commit", data.commit || "?"],
      ...data.skipped.map((one) => ["skipped", `${one.what}: ${one.why}`]),
    ];
    $("machine").replaceChildren(...entries.flatMap(([name, value]) => [make("dt", { textContent: say(name) }), make("dd", { textContent: value })]));
    table("limits", ["limit_name", "threads#", "best#", "median#"], data.limits.map((one) => [
      `${one.limit} ${one.isa}`.trim(), String(one.threads), Charts.amount(one.best, one.unit), Charts.amount(one.median, one.unit),
    ]));
    $("where").textContent = [`${m.cpu}, ${m.usable} × ${m.architecture}`, data.started.slice(0, 10), data.commit, data.pace.quick ? say("quick") : ""].filter(Boolean).join(" · ");
  }

  function render() {
    document.documentElement.lang = state.speak === "jp" ? "ja" : "en";
    document.documentElement.dataset.theme = state.theme;
    const night = state.theme === "dark" || (state.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    $("theme").textContent = night ? "☀" : "☾";
    for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
    for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say(node.dataset.label));
    for (const button of document.querySelectorAll("[data-speak]")) button.setAttribute("aria-pressed", button.dataset.speak === state.speak);
    tiles();
    words();
    filters();
    languagesSideBySide();
    oneProduct();
    casesOneByOne();
    beside();
    scaling();
    memory();
    everyRow();
    machine();
    $("nothing").hidden = shownCases().some((one) => one.rows.some((row) => state.languages.has(row.language)));
  }

  // ---- what people do

  for (const button of document.querySelectorAll("[data-speak]")) {
    button.addEventListener("click", () => {
      state.speak = button.dataset.speak;
      remember("speak", state.speak);
      render();
    });
  }
  $("theme").addEventListener("click", () => {
    const night = $("theme").textContent === "☀";
    state.theme = night ? "light" : "dark";
    remember("theme", state.theme);
    render();
  });
  $("filter-case").addEventListener("change", (event) => {
    state.only = event.target.value;
    render();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) {
      width = innerWidth;
      render();
    }
  });

  const tip = $("tip");
  function showTip(target, x, y) {
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
  }
  function showTipAt(target) {
    const box = target.getBoundingClientRect();
    showTip(target, box.left + box.width / 2, box.top + box.height / 2);
  }
  document.addEventListener("pointermove", (event) => {
    const target = event.target.closest("[data-tip]");
    if (target) showTip(target, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  document.addEventListener("focusin", (event) => {
    const target = event.target.closest("[data-tip]");
    if (target) showTipAt(target);
  });
  document.addEventListener("focusout", () => { tip.hidden = true; });
  addEventListener("scroll", () => {
    const target = document.activeElement.closest("[data-tip]"); // moving the focus scrolls: the tip goes along
    if (!target) tip.hidden = true;
    else if (!tip.hidden) showTipAt(target);
  }, { passive: true });

  render();
})();
