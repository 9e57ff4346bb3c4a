// Buttons that copy the text beside them. Without this file it is selected by one click and copied by hand.
"use strict";

(() => {
  const SAID_MS = 4000;

  // Browsers keep their clipboard from pages without TLS, but let a script copy what is selected there.
  const copySelected = (text) => {
    getSelection().selectAllChildren(text);
    try {
      return document.execCommand("copy");
    } catch {
      return false;
    }
  };

  const copyText = async (text) => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      return true;
    } catch {
      return copySelected(text);
    }
  };

  // The button's own name stays the same, so that what it now shows is said beside it, for those who do not see it.
  const announcer = () => {
    const place = document.createElement("p");
    place.className = "unseen";
    place.setAttribute("role", "status");
    document.body.append(place);
    return (words) => { place.textContent = words; };
  };

  const copies = (button, announce) => {
    const text = button.parentElement.querySelector("pre");
    button.hidden = false;
    button.addEventListener("click", async () => {
      button.textContent = await copyText(text) ? "Copied" : "Press Ctrl-C";
      announce(button.textContent);
      setTimeout(() => { button.textContent = "Copy"; announce(""); }, SAID_MS);
    });
  };

  document.addEventListener("DOMContentLoaded", () => {
    const buttons = document.querySelectorAll("[data-copies]");
    if (!buttons.length) return;
    const announce = announcer();
    buttons.forEach((button) => copies(button, announce));
  });
})();
