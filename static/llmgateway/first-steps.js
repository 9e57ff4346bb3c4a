// First steps: copy buttons, a list that is narrowed as one types, and the wait for the first request.
// Without this file lines are selected by hand, the list is searched by its button, and "Look again" looks.
"use strict";

(() => {
  const SOON_MS = 1000;
  const LATER_MS = 5000;
  const SOON_TIMES = 180;

  function copies(button) {
    const text = button.parentElement.querySelector("pre");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        // Browsers refuse it on pages without TLS: the text is selected, for Ctrl-C.
        getSelection().selectAllChildren(text);
        button.textContent = "Press Ctrl-C";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  function filters(input) {
    const list = document.getElementById(input.dataset.filters);
    if (!list) {
      return;
    }
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      list.querySelectorAll("[data-name]").forEach((choice) => {
        choice.hidden = !words.every((word) => choice.dataset.name.includes(word));
      });
    });
  }

  function waits(place) {
    let times = 0;

    async function look() {
      if (!document.hidden) {
        times += 1;
        try {
          const answer = await fetch(place.dataset.news, { headers: { "X-Requested-With": "fetch" } });
          if (answer.ok && !answer.redirected) {
            const news = await answer.json();
            if (news.html !== place.dataset.shown) {
              place.dataset.shown = news.html;
              place.innerHTML = news.html;
            }
            place.dataset.state = news.state;
          }
        } catch {
          // The gateway may be starting anew: the next look tells.
        }
      }
      if (place.dataset.state !== "succeeded") {
        setTimeout(look, times < SOON_TIMES ? SOON_MS : LATER_MS);
      }
    }

    if (place.dataset.state !== "succeeded") {
      setTimeout(look, SOON_MS);
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-copies]").forEach(copies);
    document.querySelectorAll("[data-filters]").forEach(filters);
    document.querySelectorAll("[data-news]").forEach(waits);
  });
})();
