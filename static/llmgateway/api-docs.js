"use strict";

// Shows the OpenAPI document. The session's CSRF token goes with what is tried from the page.
window.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("api-docs");
  window.SwaggerUIBundle({
    url: place.dataset.document,
    domNode: place,
    deepLinking: true,
    docExpansion: "none",
    defaultModelsExpandDepth: 0,
    filter: true,
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (request.method && !["GET", "HEAD"].includes(request.method.toUpperCase())) {
        request.headers["X-CSRFToken"] = place.dataset.csrf;
      }
      return request;
    },
  });

  // What Swagger UI 5.x leaves to be wished by those who hear a page or have no mouse: names of fields, examples that are
  // scrolled by keyboard, no link inside a button. Not needed once axe-core finds nothing on an opened operation without.
  const mend = () => {
    place.querySelectorAll(".parameters :is(input, select):not([aria-label])").forEach((field) => {
      const name = field.closest("[data-param-name]")?.dataset.paramName;
      if (name) field.setAttribute("aria-label", name);
    });
    place.querySelectorAll("textarea.body-param__text:not([aria-label])").forEach((field) => field.setAttribute("aria-label", "Request body"));
    place.querySelectorAll("pre.microlight:not([tabindex])").forEach((example) => example.setAttribute("tabindex", "0"));
    place.querySelectorAll("button.opblock-summary-control a[href]").forEach((link) => link.removeAttribute("href"));
  };
  new MutationObserver(mend).observe(place, { childList: true, subtree: true });
});
