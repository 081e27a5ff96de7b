// Drawing: every chart is a function from data and a width in pixels to an SVG element. No state, no libraries.
"use strict";

const Charts = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function el(name, attributes = {}, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(key, value);
    for (const child of children) node.append(child);
    return node;
  }

  function text(x, y, content, attributes = {}) {
    return el("text", { x, y, ...attributes }, document.createTextNode(content));
  }

  function svg(width, height, label) {
    return el("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  }

  // ---- numbers, as in units.py

  function digits(value) {
    if (value === 0) return "0";
    if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
    return String(Number(value.toPrecision(3)));
  }
  function time(seconds) {
    for (const [unit, size] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]]) if (seconds >= size) return `${digits(seconds / size)} ${unit}`;
    return `${digits(seconds / 1e-9)} ns`;
  }
  function amount(value, unit) {
    for (const [prefix, size] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]]) if (value >= size) return `${digits(value / size)} ${prefix}${unit}`;
    return `${digits(value)} ${unit}`;
  }
  function bytes(count) {
    for (const [unit, scale] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) if (count >= scale) return `${digits(count / scale)} ${unit}`;
    return `${digits(count)} B`;
  }
  const factor = (value) => (value >= 10 ? `${digits(value)}×` : `${value.toFixed(2)}×`);
  const percent = (share) => (share < 0.1 ? `${(100 * share).toFixed(1)}%` : `${Math.round(100 * share)}%`);

  // ---- scales

  function linear(from, to, low, high) {
    return (value) => low + ((value - from) / (to - from)) * (high - low);
  }
  function logarithmic(from, to, low, high) {
    const scale = linear(Math.log(from), Math.log(to), low, high);
    return (value) => scale(Math.log(value));
  }
  function decades(from, to) {
    const found = [];
    for (let e = Math.ceil(Math.log10(from) - 1e-9); e <= Math.floor(Math.log10(to) + 1e-9); e++) found.push(10 ** e);
    return found;
  }
  // About `count` round values between two, steps of 1, 2 or 5.
  function ticks(from, to, count) {
    const rough = (to - from) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const found = [];
    for (let value = Math.ceil(from / step - 1e-9) * step; value <= to + step * 1e-9; value += step) found.push(Number(value.toPrecision(12)));
    return found;
  }
  // Width of a text in the charts' font: wide characters count twice.
  function measure(content, size = 12.5) {
    let units = 0;
    for (const c of content) units += c.charCodeAt(0) > 0x2e80 ? 1 : 0.54;
    return units * size;
  }
  function shortened(content, width) {
    if (measure(content) <= width) return content;
    let kept = content;
    while (kept.length > 1 && measure(`${kept}…`) > width) kept = kept.slice(0, -1);
    return `${kept}…`;
  }

  // ---- bars of one case: [{label, language, row, median, low, high, relative, tip}]

  function bars(rows, width, label) {
    const line = 38, top = 4, axis = 22, right = 62;
    const height = top + rows.length * line + axis;
    const from = Math.min(...rows.map((r) => r.low)) / 2.2, to = Math.max(...rows.map((r) => r.high)) * 1.15;
    const x = logarithmic(from, to, 0, width - right);
    const root = svg(width, height, label);
    const marks = decades(from, to);
    for (const value of marks) {
      const at = x(value);
      root.append(el("line", { class: "axis", x1: at, x2: at, y1: top, y2: height - axis + 3 }));
      if (at < width - right - 10) root.append(text(at, height - 5, time(value), { "text-anchor": "middle", class: "faint" }));
    }
    rows.forEach((row, number) => {
      const y = top + number * line, end = Math.max(x(row.median), 2);
      const group = el("g", { class: `${row.language} bar`, "data-tip": row.tip, tabindex: 0 });
      group.append(el("rect", { x: 0, y: y + 1, width, height: line - 4, fill: "transparent" }));
      group.append(text(0, y + 12, shortened(row.label, width - right - 70), {}));
      group.append(text(width - right - 4, y + 12, time(row.median), { "text-anchor": "end", class: "strong" }));
      group.append(el("rect", { class: `mark ${row.row}`, x: 0.5, y: y + 17, width: end, height: 13, rx: 2.5 }));
      group.append(el("line", { class: "whisker", x1: x(row.low), x2: Math.max(x(row.high), x(row.low) + 1.5), y1: y + 23.5, y2: y + 23.5 }));
      for (const bound of [row.low, row.high]) group.append(el("line", { class: "whisker", x1: x(bound), x2: x(bound), y1: y + 20, y2: y + 27 }));
      group.append(text(width, y + 28, row.relative === null ? "" : factor(row.relative), { "text-anchor": "end", class: row.relative === 1 ? "strong" : "" }));
      root.append(group);
    });
    return root;
  }

  // ---- languages as multiples of the fastest: [{label, spread, languages: [{language, relative, low, high, tip}]}]

  function agreement(items, width, axisLabel, label) {
    const narrow = width < 560;
    const left = narrow ? 0 : Math.min(width * 0.34, Math.max(...items.map((i) => measure(i.label))) + 14), right = 54;
    const line = narrow ? 56 : 40, above = narrow ? 17 : 0, top = 8, axis = 38;
    const height = top + items.length * line + axis;
    const far = Math.max(...items.flatMap((i) => i.languages.map((l) => l.relative)));
    const to = Math.min(Math.max(1.06, far * 1.02), 1.3), from = 1 - (to - 1) * 0.1; // what is farther stands at the edge
    const x = linear(from, to, left, width - right);
    const root = svg(width, height, label);
    root.append(el("rect", { class: "band", x: x(1), y: top, width: x(1.02) - x(1), height: height - top - axis + 4 }));
    for (const value of ticks(1, to, narrow ? 3 : 6)) {
      const at = x(value);
      root.append(el("line", { class: value === 1 ? "mid" : "axis", x1: at, x2: at, y1: top, y2: height - axis + 6 }));
      root.append(text(at, height - axis + 20, `${Number(value.toFixed(3))}×`, { "text-anchor": "middle", class: "faint" }));
    }
    root.append(text(width - right, height - 2, axisLabel, { "text-anchor": "end", class: "faint" }));
    items.forEach((item, number) => {
      const y = top + number * line + above;
      root.append(narrow ? text(0, y - 4, shortened(item.label, width - right), {}) : text(0, y + line / 2 + 4, shortened(item.label, left - 10), {}));
      root.append(text(width, y + (line - above) / 2 + 4, `+${percent(item.spread)}`, { "text-anchor": "end", class: item.spread <= 0.02 ? "strong" : "" }));
      item.languages.forEach((one, place) => {
        const at = y + (line - above) / 2 + (place - (item.languages.length - 1) / 2) * 10;
        const group = el("g", { class: `${one.language} dot`, "data-tip": one.tip, tabindex: 0 });
        const begin = Math.max(x(one.low), left), end = Math.min(x(one.high), width - right - 4);
        group.append(el("line", { x1: begin, x2: Math.max(end, begin), y1: at, y2: at, stroke: "var(--c)", "stroke-width": 3, opacity: 0.38, "stroke-linecap": "round" }));
        if (one.relative > to) group.append(el("path", { class: "mark cpu", d: `M${width - right - 4},${at - 4.5}l7,4.5l-7,4.5z` }));
        else group.append(el("circle", { class: "mark cpu", cx: x(one.relative), cy: at, r: 4.2 }));
        group.append(el("rect", { x: begin - 5, y: at - 5, width: Math.max(end - begin, 0) + 10, height: 10, fill: "transparent" }));
        root.append(group);
      });
    });
    return root;
  }

  // ---- one product: [{label, language, rate, median, factor, tip}]

  function steps(items, width, label) {
    const line = 50, top = 2;
    const height = top + items.length * line;
    const from = Math.min(...items.map((i) => i.rate)) / 3, to = Math.max(...items.map((i) => i.rate));
    const x = logarithmic(from, to, 0, width - 128);
    const root = svg(width, height, label);
    items.forEach((item, number) => {
      const y = top + number * line;
      const group = el("g", { class: `${item.language} step`, "data-tip": item.tip, tabindex: 0 });
      group.append(text(0, y + 14, item.label, {}));
      const end = x(item.rate);
      group.append(el("rect", { class: "mark cpu", x: 0.5, y: y + 20, width: end, height: 20, rx: 3 }));
      group.append(text(end + 9, y + 34.5, amount(item.rate, "flop/s"), { class: "strong" }));
      if (number) group.append(text(width, y + 14, factor(item.factor), { "text-anchor": "end", class: "strong" }));
      root.append(group);
    });
    return root;
  }

  // ---- roofline: roofs [{flop, byte, label, less}], points [{x, y, language, row, tip}]

  function roofline(roofs, points, width, texts, label) {
    const height = Math.round(Math.min(480, Math.max(320, width * 0.52))), left = 58, right = 14, top = 16, bottom = 40;
    const every = points.map((p) => p.x);
    const ridge = roofs.map((r) => r.flop / r.byte);
    const fromX = Math.min(0.3, ...every) / 1.6, toX = Math.max(...every, ...ridge) * 2.2;
    const highest = Math.max(...roofs.map((r) => r.flop), ...points.map((p) => p.y));
    const fromY = Math.min(...points.map((p) => p.y), ...roofs.map((r) => r.byte * fromX)) / 1.6, toY = highest * 2.2;
    const x = logarithmic(fromX, toX, left, width - right), y = logarithmic(fromY, toY, height - bottom, top);
    const root = svg(width, height, label);
    for (const value of decades(fromX, toX)) {
      root.append(el("line", { class: "axis", x1: x(value), x2: x(value), y1: top, y2: height - bottom }));
      root.append(text(x(value), height - bottom + 16, digits(value), { "text-anchor": "middle", class: "faint" }));
    }
    for (const value of decades(fromY, toY)) {
      root.append(el("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      root.append(text(left - 8, y(value) + 4, amount(value, "").trim(), { "text-anchor": "end", class: "faint" }));
    }
    root.append(text(width - right, height - 4, texts.x, { "text-anchor": "end", class: "faint" }));
    root.append(text(left - 50, top - 4, texts.y, { class: "faint" }));
    for (const roof of roofs) {
      const bend = roof.flop / roof.byte;
      const begin = Math.max(fromX, fromY / roof.byte);
      const path = `M${x(begin)},${y(roof.byte * begin)}L${x(bend)},${y(roof.flop)}L${x(toX)},${y(roof.flop)}`;
      root.append(el("path", { class: roof.less ? "roof less" : "roof", d: path }));
      root.append(text(width - right - 2, y(roof.flop) - 6, `${amount(roof.flop, "flop/s")} · ${amount(roof.byte, "B/s")} · ${roof.label}`, { "text-anchor": "end", class: "faint" }));
    }
    const order = { naive: 0, library: 1, cpu: 2 };
    for (const point of [...points].sort((a, b) => order[a.row] - order[b.row])) {
      const group = el("g", { class: `${point.language} point`, "data-tip": point.tip, tabindex: 0 });
      const cx = x(point.x), cy = y(point.y);
      if (point.row === "naive") group.append(el("path", { class: "mark naive", d: `M${cx},${cy - 5}l4.8,8.6h-9.6z` }));
      else if (point.row === "library") group.append(el("rect", { class: "mark library", x: cx - 4, y: cy - 4, width: 8, height: 8, rx: 1 }));
      else group.append(el("circle", { class: "mark cpu", cx, cy, r: 4.8, stroke: "var(--card)" }));
      root.append(group);
    }
    return root;
  }

  // ---- curves: [{language, row, points: [{x, y, low, high, tip}]}]; ideal draws y = x

  function curves(lines, width, options) {
    const height = 210, left = 48, right = 14, top = 12, bottom = 34;
    const xs = [...new Set(lines.flatMap((l) => l.points.map((p) => p.x)))].sort((a, b) => a - b);
    const x = logarithmic(xs[0], xs[xs.length - 1], left + 12, width - right - 12);
    const most = Math.max(...lines.flatMap((l) => l.points.map((p) => p.high)), options.ideal ? xs[xs.length - 1] : 0);
    const y = linear(0, most * 1.06, height - bottom, top);
    const root = svg(width, height, options.label);
    for (const value of ticks(0, most, 4)) {
      root.append(el("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      root.append(text(left - 7, y(value) + 4, options.format(value), { "text-anchor": "end", class: "faint" }));
    }
    for (const value of xs) root.append(text(x(value), height - bottom + 16, digits(value), { "text-anchor": "middle", class: "faint" }));
    root.append(text(width - right, height - 3, options.axis, { "text-anchor": "end", class: "faint" }));
    if (options.ideal) root.append(el("path", { class: "mid", fill: "none", d: `M${x(xs[0])},${y(xs[0])}` + xs.map((v) => `L${x(v)},${y(v)}`).join("") }));
    for (const one of lines) {
      const group = el("g", { class: one.language });
      const path = one.points.map((p, i) => `${i ? "L" : "M"}${x(p.x)},${y(p.y)}`).join("");
      const area = one.points.map((p, i) => `${i ? "L" : "M"}${x(p.x)},${y(p.high)}`).join("") + [...one.points].reverse().map((p) => `L${x(p.x)},${y(p.low)}`).join("") + "Z";
      group.append(el("path", { class: "area", d: area }));
      group.append(el("path", { class: "curve", d: path, "stroke-dasharray": one.row === "library" ? "5 4" : null }));
      for (const p of one.points) group.append(el("circle", { class: "mark cpu", cx: x(p.x), cy: y(p.y), r: 3.6, "data-tip": p.tip, tabindex: 0 }));
      root.append(group);
    }
    return root;
  }

  // ---- plain bars from zero: [{label, language, value, shown, tip}]

  function amounts(items, width, label) {
    const line = 36, height = items.length * line + 2;
    const most = Math.max(...items.map((i) => i.value));
    const root = svg(width, height, label);
    items.forEach((item, number) => {
      const y = number * line;
      const group = el("g", { class: `${item.language} bar`, "data-tip": item.tip, tabindex: 0 });
      group.append(text(0, y + 12, item.label, {}));
      group.append(text(width, y + 12, item.shown, { "text-anchor": "end", class: "strong" }));
      group.append(el("rect", { class: "mark cpu", x: 0.5, y: y + 17, width: Math.max(2, (item.value / most) * (width - 1)), height: 10, rx: 2.5 }));
      root.append(group);
    });
    return root;
  }

  // A small picture of how a row is drawn, for the legend.
  function swatch(row) {
    const root = svg(16, 12, "");
    root.setAttribute("style", "width:16px;height:12px");
    root.append(el("g", { class: "native" }, el("rect", { class: `mark ${row}`, x: 0.5, y: 1, width: 15, height: 10, rx: 2 })));
    return root;
  }

  return { bars, agreement, steps, roofline, curves, amounts, swatch, time, amount, bytes, factor, percent, digits };
})();
