// Buttons that copy the text beside them. Without this file it is selected by one click and copied by hand.
"use strict";

(() => {
  const SAID_MS = 2000;

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

  const copies = (button) => {
    const text = button.parentElement.querySelector("pre");
    button.hidden = false;
    button.addEventListener("click", async () => {
      button.textContent = await copyText(text) ? "Copied" : "Press Ctrl-C";
      setTimeout(() => { button.textContent = "Copy"; }, SAID_MS);
    });
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-copies]").forEach(copies));
})();
