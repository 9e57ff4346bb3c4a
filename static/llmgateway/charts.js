// Draws each canvas[data-chart] from the JSON element of that id. Colours are those of the page's style sheet, also after the
// reader has switched between light and dark. Without this script the tables beside the charts say the same.
(() => {
  "use strict";

  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const charts = [];

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function dollars(value) {
    const size = Math.abs(value);
    const digits = size >= 1 || size === 0 ? 2 : Math.min(12, 1 - Math.floor(Math.log10(size)) + 2);
    return (value < 0 ? "−$" : "$") + size.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: digits });
  }

  function shown(value, unit) {
    if (value === null) return "–";
    if (unit === "usd") return dollars(value);
    if (unit === "percent") return (value * 100).toFixed(1) + " %";
    return whole.format(value) + (unit === "ms" ? " ms" : "");
  }

  function onAxis(value, unit) {
    if (unit === "usd") return value !== 0 && Math.abs(value) < 1 ? dollars(value) : "$" + compact.format(value);
    if (unit === "percent") return Math.round(value * 1000) / 10 + " %";
    return compact.format(value);
  }

  // 2026-11-21 as 21 Nov; other labels, such as names and months, as they are.
  function short(label) {
    const day = /^(\d{4})-(\d{2})-(\d{2})$/.exec(label);
    return day ? `${Number(day[3])} ${months[Number(day[2]) - 1]}` : label.length > 26 ? `${label.slice(0, 25)}…` : label;
  }

  function dataOf(told) {
    return {
      labels: told.labels,
      datasets: told.series.map((series, number) => ({
        backgroundColor: color(`--series-${(number % 6) + 1}`),
        label: series.label,
        data: series.values.map((value) => (value === null ? null : Number(value))),
        borderWidth: told.lines ? 2 : 0,
        borderRadius: told.lines || told.stacked ? 0 : 3,
        pointRadius: told.labels.length === 1 ? 4 : 0,
        pointHitRadius: 12,
        tension: 0,
        maxBarThickness: 48,
        categoryPercentage: 0.86,
        barPercentage: 0.96,
      })),
    };
  }

  function optionsOf(told) {
    return {
      responsive: true,
      maintainAspectRatio: false,
      animation: false,
      normalized: true,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked: told.stacked, grid: { display: false }, border: { display: false }, ticks: { maxRotation: 45, autoSkip: told.labels.length > 12, autoSkipPadding: 16, callback: (_value, number) => short(told.labels[number]) } },
        y: { stacked: told.stacked, beginAtZero: true, border: { display: false }, ticks: { maxTicksLimit: 6, callback: (value) => onAxis(value, told.unit) } },
      },
      plugins: {
        legend: { display: told.series.length > 1, position: "bottom", labels: { boxWidth: 12, boxHeight: 12 } },
        tooltip: { callbacks: { label: (item) => ` ${item.dataset.label}: ${shown(item.raw, told.unit)}` } },
      },
    };
  }

  function paint(chart) {
    chart.data.datasets.forEach((dataset, number) => {
      dataset.backgroundColor = dataset.borderColor = color(`--series-${(number % 6) + 1}`);
    });
    for (const scale of Object.values(chart.options.scales)) {
      scale.ticks.color = color("--soft");
      scale.grid.color = color("--line");
    }
    chart.options.plugins.legend.labels.color = color("--ink");
    chart.options.plugins.tooltip.backgroundColor = color("--tip");
    chart.options.plugins.tooltip.titleColor = chart.options.plugins.tooltip.bodyColor = color("--tip-ink");
    chart.update("none");
  }

  function readAloud(chart, told, line, number) {
    const values = told.series.map((series) => `${series.label}: ${shown(series.values[number] === null ? null : Number(series.values[number]), told.unit)}`);
    line.textContent = `${told.labels[number]}. ${values.join(", ")}`;
    const active = told.series.map((_series, index) => ({ datasetIndex: index, index: number }));
    const bar = chart.getDatasetMeta(0).data[number];
    chart.setActiveElements(active);
    chart.tooltip.setActiveElements(active, { x: bar.x, y: bar.y });
    chart.update("none");
  }

  function listen(canvas, chart, told) {
    const line = canvas.parentElement.querySelector("[aria-live]");
    let number = -1;
    canvas.addEventListener("keydown", (event) => {
      const last = told.labels.length - 1;
      const steps = { ArrowRight: Math.min(last, number + 1), ArrowLeft: Math.max(0, number - 1), Home: 0, End: last };
      if (!(event.key in steps)) return;
      event.preventDefault();
      number = steps[event.key];
      readAloud(chart, told, line, number);
    });
    canvas.addEventListener("blur", () => {
      chart.setActiveElements([]);
      chart.tooltip.setActiveElements([], { x: 0, y: 0 });
      chart.update("none");
    });
  }

  function draw(canvas) {
    const told = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
    canvas.parentElement.hidden = false;
    const chart = new Chart(canvas, { type: told.lines ? "line" : "bar", data: dataOf(told), options: optionsOf(told) });
    charts.push(chart);
    paint(chart);
    listen(canvas, chart, told);
  }

  Chart.defaults.plugins.colors.enabled = false;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  document.querySelectorAll("canvas[data-chart]").forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(paint));
})();
