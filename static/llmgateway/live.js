// Shows what the WebSocket tells of requests. Everything goes into the page as text, never as markup.
"use strict";

(() => {
  const KEPT_MAX = 300;
  const RETRY_MAX_MS = 15000;
  const root = document.getElementById("live");
  const body = document.getElementById("live-rows");
  const state = document.getElementById("live-state");
  const count = document.getElementById("live-count");
  const empty = document.getElementById("live-empty");
  const filter = document.getElementById("live-filter");
  const status = document.getElementById("live-status");
  const pause = document.getElementById("live-pause");
  const finished = new Map(); // by request, the newest attempt; in order of their coming
  const running = new Map(); // by process, what it told last
  let retryMs = 500;
  let isPaused = false;

  const words = {
    waiting: "waiting", answering: "answering", succeeded: "succeeded", failed: "failed",
    client_closed: "client closed", interrupted: "interrupted",
  };
  const number = new Intl.NumberFormat("en");

  const say = (kind, text) => {
    state.dataset.state = kind;
    state.textContent = text;
  };

  const connect = () => {
    const scheme = window.location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${window.location.host}/ws/live/`);
    socket.addEventListener("open", () => {
      retryMs = 500;
      say("open", "Live");
    });
    socket.addEventListener("message", (event) => take(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      running.clear();
      draw();
      if (event.code === 4403) {
        say("closed", "There is nothing that you may see. Sign in anew, or ask for a role in a team.");
        return;
      }
      say("closed", "Connection lost; trying again …");
      window.setTimeout(connect, retryMs);
      retryMs = Math.min(RETRY_MAX_MS, retryMs * 2);
    });
  };

  const take = (frame) => {
    running.set(frame.process, { rows: frame.running, at: Date.now() });
    for (const row of frame.finished) {
      const held = finished.get(row.id);
      if (held && held.attempt > row.attempt) continue;
      finished.delete(row.id);
      finished.set(row.id, row);
    }
    while (finished.size > KEPT_MAX) finished.delete(finished.keys().next().value);
    if (!isPaused) draw();
  };

  const matches = (row) => {
    const isRunning = row.status === "waiting" || row.status === "answering";
    if (status.value === "running" ? !isRunning : status.value && row.status !== status.value) return false;
    const wanted = filter.value.trim().toLowerCase();
    if (!wanted) return true;
    const told = [row.id, row.team, row.project, row.key, row.member, row.agent, row.alias, row.provider, row.model, row.error];
    return told.some((text) => text && text.toLowerCase().includes(wanted));
  };

  const cell = (label, parts, className) => {
    const made = document.createElement("td");
    made.dataset.label = label;
    if (className) made.className = className;
    made.append(...parts);
    return made;
  };

  const small = (text) => {
    const made = document.createElement("small");
    made.textContent = text;
    return made;
  };

  const told = (value, write = (known) => number.format(known)) =>
    value === null || value === undefined ? "–" : write(value);

  const line = (row) => {
    const made = document.createElement("tr");
    const mark = document.createElement("span");
    mark.className = "live-mark";
    mark.dataset.status = row.status;
    mark.textContent = words[row.status] || row.status;
    const link = document.createElement("a");
    link.href = root.dataset.requestAddress.replace("ID", encodeURIComponent(row.id));
    link.textContent = row.at.slice(11, 19);
    link.title = row.id;
    const who = row.project ? `${row.team} / ${row.project}` : row.team;
    const beside = [row.key, row.member, row.agent].filter(Boolean).join(" · ");
    const attempt = row.attempt > 1 ? `attempt ${row.attempt}` : "";
    made.append(
      cell("State", [mark, ...(row.error ? [small(row.error)] : [])]),
      cell("Began", [link]),
      cell("Who", [who, small(beside)]),
      cell("Asked for", [row.alias, ...(row.streamed ? [small("streamed")] : [])]),
      cell("Answered by", [row.provider || "–", small([row.model, attempt].filter(Boolean).join(" · "))]),
      cell("Prompt", [told(row.prompt_tokens)], "number"),
      cell("Completion", [told(row.completion_tokens)], "number"),
      cell("TTFT (ms)", [told(row.ttft_ms)], "number"),
      cell("Time (s)", [told(row.ms, (ms) => (ms / 1000).toFixed(1))], "number"),
      cell("Cost (USD)", [row.cost_usd === null ? "unpriced" : told(row.cost_usd, cost)], "number"),
    );
    return made;
  };

  // The amount's own digits, without the zeros behind them.
  const cost = (text) => text.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");

  const draw = () => {
    const now = Date.now();
    const under = [];
    for (const [process, held] of running) {
      if (now - held.at > 5000) running.delete(process); // it has ended
      else under.push(...held.rows);
    }
    under.sort((a, b) => (a.id < b.id ? 1 : -1));
    const ids = new Set(under.map((row) => row.id));
    const ended = [...finished.values()].reverse().filter((row) => !ids.has(row.id));
    const rows = [...under, ...ended];
    const shown = rows.filter(matches);
    const focused = document.activeElement && body.contains(document.activeElement) ? document.activeElement.title : "";
    body.replaceChildren(...shown.map(line));
    if (focused) body.querySelector(`a[title="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    empty.hidden = rows.length > 0;
    count.textContent = rows.length
      ? `${under.length} running, ${ended.length} ended since this page was opened${shown.length < rows.length ? `; ${shown.length} shown` : ""}`
      : "";
  };

  filter.addEventListener("input", draw);
  status.addEventListener("change", draw);
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) draw();
  });
  connect();
})();
