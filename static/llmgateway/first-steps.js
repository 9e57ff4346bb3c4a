// First steps: where one types next, a list that is narrowed as one types, and the wait for the first request.
// Without this file fields are chosen by hand, the list is searched by its button, and "Look again" looks.
"use strict";

(() => {
  const SOON_MS = 1000;
  const LATER_MS = 5000;
  const SOON_TIMES = 180;

  // Browsers heed no "autofocus" where the address names a part of the page, and take the focus away when they go there.
  function readies(form) {
    const fields = [...form.querySelectorAll(".llmgw-field :is(input, select)")];
    const wrong = fields.find((field) => field.parentElement.querySelector(".llmgw-error"));
    const first = wrong ?? fields.find((field) => !field.value) ?? form.querySelector("button[type=submit]");
    first.focus({ preventScroll: true });
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
    document.querySelectorAll("[data-filters]").forEach(filters);
    document.querySelectorAll("[data-news]").forEach(waits);
  });
  window.addEventListener("load", () => setTimeout(() => document.querySelectorAll("[data-readies]").forEach(readies)));
})();
