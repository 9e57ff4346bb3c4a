// Gives fields of the admin the names that its library leaves out, for those who hear a page instead of seeing it, and
// opens rows that are not there yet.
"use strict";

(() => {
  // A field in a table has its column's heading above it, and no label of its own.
  const nameOf = (field) => field.labels?.[0]?.textContent.replace("*", "").trim() || field.closest("td")?.dataset.label;

  const nameField = (field) => {
    const name = nameOf(field);
    if (name && !field.labels?.length) field.setAttribute("aria-label", name);
  };

  // What Select2 puts in the place of a select box says its value only, and nothing where it has none.
  const nameChooser = (select) => {
    const name = nameOf(select);
    if (!name) return;
    for (const part of ["selection", "selection__rendered", "search__field"]) {
      select.nextElementSibling?.querySelector(`.select2-${part}`)?.setAttribute("aria-label", name);
    }
  };

  const nameAll = () => {
    document.querySelectorAll("td.field-tabular :is(input:not([type=hidden]), select, textarea)").forEach(nameField);
    document.querySelectorAll("select.select2-hidden-accessible").forEach(nameChooser);
    document.querySelectorAll(".help-tooltip[aria-label]:not([role])").forEach((mark) => mark.setAttribute("role", "img"));
  };

  // A row's heading names its deployment; that of a row to be filled in would hide what has to be.
  const NEW_ROWS = ".form-group.template[x-data*=openRow]";
  const openNew = (place) => {
    const rows = [place.closest?.(NEW_ROWS), ...place.querySelectorAll(NEW_ROWS)];
    rows.filter(Boolean).forEach((row) => { window.Alpine.$data(row).openRow = true; });
  };

  // Select2 begins when the page is there, Django's boxes of two lists when it is loaded, new rows when they are added.
  const soon = (place) => window.setTimeout(() => {
    nameAll();
    openNew(place);
  });
  window.addEventListener("load", () => soon(document));
  document.addEventListener("formset:added", (event) => soon(event.target));
})();
