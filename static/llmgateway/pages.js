// On a phone the pages' names are one line that scrolls: the page one is on is brought into view.
"use strict";

(() => {
  const here = document.querySelector(".pages [aria-current]");
  const line = here?.closest(".pages");
  if (line) line.scrollLeft = here.offsetLeft - (line.clientWidth - here.offsetWidth) / 2;
})();
