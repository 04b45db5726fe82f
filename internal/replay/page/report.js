// All pictures share one time axis: each is an SVG whose viewBox is moved. Without this script the page shows everything.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const pictures = plots.map((p) => p.querySelector("svg"));
  const axes = [...document.querySelectorAll(".axis")];
  const readout = document.querySelector(".readout");
  const audio = document.querySelector("audio");
  const shortest = 100; // ms
  let from = 0, to = data.width, pinned = null;

  const layers = plots.map((plot) => {
    const cursor = document.createElement("div"), chosen = document.createElement("div");
    cursor.className = "cursor"; chosen.className = "chosen";
    cursor.hidden = chosen.hidden = true;
    plot.append(chosen, cursor);
    return { cursor, chosen };
  });
  document.querySelector(".controls").hidden = false;

  const steps = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 30000, 60000, 120000, 300000, 600000];
  const clock = (ms, step) => {
    const s = ms / 1000;
    const digits = step >= 1000 ? 0 : step >= 100 ? 1 : 2;
    return s >= 60 ? `${Math.floor(s / 60)}:${(s % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}` : `${s.toFixed(digits)} s`;
  };

  function show(a, b) {
    const length = Math.min(data.width, Math.max(shortest, b - a));
    from = Math.max(0, Math.min(data.width - length, a));
    to = from + length;
    for (const svg of pictures) svg.setAttribute("viewBox", `${from} 0 ${length} 100`);
    const room = Math.max(3, axes[0].clientWidth / 90);
    const step = steps.find((s) => length / s <= room) ?? 600000;
    for (const axis of axes) {
      axis.replaceChildren();
      for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
        const mark = document.createElement("span");
        mark.style.left = `${(100 * (t - from)) / length}%`;
        mark.textContent = clock(t, step);
        axis.append(mark);
      }
    }
    if (pinned !== null) point(pinned);
  }

  const nearest = (t) => { // packet by arrival; they are almost sorted
    const p = data.packets;
    let low = 0, high = p.length;
    while (low < high) { const m = (low + high) >> 1; if (p[m][0] < t) low = m + 1; else high = m; }
    let best = null;
    for (let i = Math.max(0, low - 12); i < Math.min(p.length, low + 12); i++) {
      if (best === null || Math.abs(p[i][0] - t) < Math.abs(best[0] - t)) best = p[i];
    }
    return best;
  };

  function point(t) {
    const share = (t - from) / (to - from);
    for (const { cursor } of layers) {
      cursor.hidden = share < 0 || share > 1;
      cursor.style.left = `${100 * share}%`;
    }
    const i = Math.max(0, Math.min(data.ops.length - 1, Math.floor(t / data.step)));
    const parts = [["at", clock(t, 10)], ["", data.names[data.ops[i]]], ["target", `${data.target[i]} ms`], ["delay", `${data.playout[i]} ms`], ["buffered", `${data.buffered[i]} ms`]];
    const packet = nearest(t);
    if (packet && Math.abs(packet[0] - t) < Math.max(40, (to - from) / 100)) {
      const fate = data.fates[packet[2]];
      parts.push([`packet ${packet[3]}`, fate === "lost" || fate === "recovered" ? fate : `${fate}, +${packet[1]} ms`]);
    }
    readout.replaceChildren();
    parts.forEach(([name, value], k) => {
      const b = document.createElement("b");
      b.textContent = value;
      readout.append(k ? " · " : "", name ? `${name} ` : "", b);
    });
  }

  const zoom = (factor, around = (from + to) / 2) => show(around - (around - from) * factor, around + (to - around) * factor);
  const pan = (share) => show(from + (to - from) * share, to + (to - from) * share);
  const acts = { in: () => zoom(0.5), out: () => zoom(2), left: () => pan(-0.4), right: () => pan(0.4), all: () => show(0, data.width) };
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", acts[button.dataset.do]);

  for (const plot of plots) {
    let start = null;
    const at = (e) => {
      const box = plot.getBoundingClientRect();
      return from + (to - from) * Math.max(0, Math.min(1, (e.clientX - box.left) / box.width));
    };
    const mark = (a, b) => {
      for (const { chosen } of layers) {
        chosen.hidden = false;
        chosen.style.left = `${(100 * (Math.min(a, b) - from)) / (to - from)}%`;
        chosen.style.width = `${(100 * Math.abs(a - b)) / (to - from)}%`;
      }
    };
    const unmark = () => layers.forEach(({ chosen }) => { chosen.hidden = true; });
    plot.addEventListener("pointerdown", (e) => {
      if (e.button !== 0) return;
      start = { t: at(e), x: e.clientX };
      plot.setPointerCapture(e.pointerId);
    });
    plot.addEventListener("pointermove", (e) => {
      point(at(e));
      if (start && Math.abs(e.clientX - start.x) > 6) mark(start.t, at(e));
    });
    plot.addEventListener("pointerup", (e) => {
      if (!start) return;
      const a = start.t, b = at(e), moved = Math.abs(e.clientX - start.x) > 6;
      start = null;
      unmark();
      if (moved) { show(Math.min(a, b), Math.max(a, b)); return; }
      pinned = b;
      point(b);
      if (audio) audio.currentTime = b / 1000;
    });
    plot.addEventListener("pointercancel", () => { start = null; unmark(); });
    plot.addEventListener("pointerleave", () => { if (pinned !== null) point(pinned); });
    plot.addEventListener("dblclick", acts.all);
    plot.addEventListener("wheel", (e) => {
      if (!e.ctrlKey && !e.metaKey && Math.abs(e.deltaX) <= Math.abs(e.deltaY)) return; // the page scrolls
      e.preventDefault();
      if (e.ctrlKey || e.metaKey) zoom(Math.exp(e.deltaY / 400), at(e));
      else pan(e.deltaX / plot.clientWidth);
    }, { passive: false });
  }

  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target instanceof HTMLMediaElement) return;
    const act = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all" }[e.key];
    if (act) { e.preventDefault(); acts[act](); }
  });
  for (const link of document.querySelectorAll("[data-from]")) {
    link.addEventListener("click", (e) => {
      e.preventDefault();
      show(Number(link.dataset.from), Number(link.dataset.to));
      pinned = (from + to) / 2;
      point(pinned);
    });
  }
  if (audio) {
    const follow = () => {
      const t = audio.currentTime * 1000;
      pinned = t;
      if (to - from < data.width && (t < from || t > to)) show(t, t + to - from);
      point(t);
      if (!audio.paused) requestAnimationFrame(follow);
    };
    audio.addEventListener("play", follow);
    audio.addEventListener("seeked", follow);
  }
  addEventListener("beforeprint", acts.all);
  addEventListener("resize", () => show(from, to));
  show(0, data.width);
})();
