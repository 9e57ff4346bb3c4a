// Previews a form as it is typed: sends it, unsaved, to the address in data-preview and shows the answer.
// Without this file the button does the same by submitting the form.
"use strict";

(() => {
  const WAIT_MS = 400;

  function start(panel) {
    const form = panel.closest("form");
    const output = panel.querySelector("[data-preview-output]");
    let timer = 0;
    let asked = null;

    function clear() {
      form.querySelectorAll("[data-preview-fault]").forEach((fault) => fault.remove());
      form.querySelectorAll("[data-preview-marked]").forEach((input) => {
        input.removeAttribute("aria-invalid");
        input.removeAttribute("data-preview-marked");
      });
    }

    function placeFaults() {
      output.querySelectorAll("[data-preview-fault]").forEach((fault) => {
        const input = form.elements.namedItem(fault.dataset.previewFault);
        if (!(input instanceof HTMLElement) || input.offsetParent === null) {
          return;
        }
        input.setAttribute("aria-invalid", "true");
        input.setAttribute("data-preview-marked", "");
        fault.classList.add("llmgw-preview-placed");
        input.after(fault);
      });
    }

    async function refresh() {
      clearTimeout(timer);
      if (asked) {
        asked.abort();
      }
      asked = new AbortController();
      output.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch(panel.dataset.preview, {
          method: "POST",
          body: new FormData(form),
          headers: { "X-Requested-With": "fetch" },
          signal: asked.signal,
        });
        if (!answer.ok || answer.redirected) {
          throw new Error(`status ${answer.status}`);
        }
        const text = await answer.text();
        clear();
        output.innerHTML = text;
        placeFaults();
      } catch (error) {
        if (error.name === "AbortError") {
          return;
        }
        clear();
        output.textContent = "The preview could not be made. Is the page still signed in, and the input not too long?";
      }
      output.removeAttribute("aria-busy");
    }

    function later() {
      clearTimeout(timer);
      timer = setTimeout(refresh, WAIT_MS);
    }

    form.addEventListener("input", later);
    form.addEventListener("change", later);
    panel.querySelector("[data-preview-now]").addEventListener("click", (event) => {
      event.preventDefault();
      refresh();
    });
    const pattern = form.elements.namedItem("pattern");
    if (!pattern || pattern.value) {
      refresh();
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-preview]").forEach(start);
  });
})();
