// Sends the form and shows the answer while it comes. What comes goes into the page as text; only the part that the
// server writes at the end, escaped there, is taken as markup.
"use strict";

(() => {
  const form = document.getElementById("play-form");
  if (!form) return;
  const at = (id) => document.getElementById(id);
  const [send, stop, live, state] = ["play-send", "play-stop", "play-live", "play-state"].map(at);
  const [thinking, thinkingBox, text, calls] = ["play-thinking", "play-thinking-box", "play-text", "play-calls"].map(at);
  const [problems, after, outcome] = ["play-problems", "play-after", "play-outcome"].map(at);
  let underWay = null;
  let requestId = "";

  const say = (words, look) => {
    state.textContent = words;
    state.className = `badge ${look}`;
  };

  const begin = () => {
    requestId = "";
    for (const each of [thinking, text, after]) each.textContent = "";
    for (const each of [calls, problems, outcome]) each.replaceChildren();
    thinkingBox.hidden = text.hidden = true;
    live.hidden = stop.hidden = false;
    send.disabled = true;
    say("waiting", "");
    // Below the form, on a phone, the answer would come unseen.
    live.scrollIntoView({ block: window.matchMedia("(max-width: 60rem)").matches ? "start" : "nearest" });
  };

  const end = () => {
    underWay = null;
    stop.hidden = true;
    send.disabled = false;
  };

  const fail = (sentences) => {
    say("not sent", "bad");
    problems.replaceChildren(...sentences.map((sentence) => {
      const made = document.createElement("li");
      made.textContent = sentence;
      return made;
    }));
  };

  const linkToRequest = (words) => {
    const link = document.createElement("a");
    link.href = form.dataset.request.replace("ID", encodeURIComponent(requestId));
    link.textContent = `Request ${requestId}`;
    after.replaceChildren(words, requestId ? link : "");
  };

  const grow = (node, added) => {
    const isAtEnd = node.scrollTop + node.clientHeight >= node.scrollHeight - 8;
    node.append(added);
    if (isAtEnd) node.scrollTop = node.scrollHeight;
  };

  const callNumbered = (number) => {
    while (calls.children.length <= number) {
      const made = document.createElement("pre");
      made.tabIndex = 0;
      calls.append(made);
    }
    return calls.children[number];
  };

  const finish = (html) => {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    outcome.replaceChildren(...parsed.body.childNodes);
    live.hidden = true;
    offerToGoOn();
  };

  const take = (told) => {
    if (told.kind === "begin") requestId = told.id;
    else if (told.kind === "end") finish(told.html);
    else if (told.text) {
      say("answering", "good");
      if (told.kind === "call") grow(callNumbered(told.call), told.text);
      else if (told.kind === "thinking") { thinkingBox.hidden = false; grow(thinking, told.text); }
      else { text.hidden = false; grow(text, told.text); }
    }
  };

  const readLines = async (body) => {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (held + value).split("\n");
      held = lines.pop();
      for (const line of lines) if (line) take(JSON.parse(line));
    }
  };

  const sendForm = async () => {
    underWay = new AbortController();
    const given = new FormData(form);
    begin();
    try {
      const response = await fetch(form.dataset.send, {
        method: "POST", body: given, signal: underWay.signal, redirect: "error",
      });
      if (response.ok) {
        await readLines(response.body);
        if (!live.hidden) linkToRequest("The connection broke off before the end. What was used is booked: ");
      } else if ((response.headers.get("content-type") || "").startsWith("application/json")) {
        fail((await response.json()).problems);
      } else {
        fail([`The gateway answered with status ${response.status}. Reload the page and try again.`]);
      }
    } catch (error) {
      if (error.name === "AbortError") {
        say("stopped", "warn");
        linkToRequest("Stopped. The call to the provider is cancelled, and what was used is booked: ");
      } else if (requestId) {
        say("broken off", "bad");
        linkToRequest("The connection broke off. What was used is booked: ");
      } else fail(["The gateway cannot be reached, or you are signed out. Reload the page and try again."]);
    }
    end();
  };

  const addTurn = (role, words) => {
    const made = at("play-turn").content.firstElementChild.cloneNode(true);
    const number = at("play-turns").querySelectorAll("textarea").length + 1;
    const area = made.querySelector("textarea");
    made.querySelector("select").value = role;
    made.querySelector("select").setAttribute("aria-label", `Who says message ${number}`);
    area.setAttribute("aria-label", `Message ${number}`);
    area.value = words;
    at("play-turns").append(made);
    return area;
  };

  const offerToGoOn = () => {
    const button = at("play-go-on");
    if (!button || form.elements.is_raw) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      addTurn("assistant", at("play-said").textContent);
      addTurn("user", "").focus();
      button.hidden = true;
    });
  };

  const showModels = async () => {
    const key = form.elements.key.value;
    const response = await fetch(`${form.dataset.models}?key=${encodeURIComponent(key)}`);
    if (!response.ok || form.elements.key.value !== key) return;
    const { models, patterns } = await response.json();
    const chosen = form.elements.alias.value;
    form.elements.alias.replaceChildren(...models.map((name) => new Option(name, name, false, name === chosen)));
    at("play-no-models").hidden = models.length > 0;
    at("play-patterns").textContent = patterns.length ? `Patterns: ${patterns.join(", ")}.` : "";
    if (!models.length) form.querySelector(".play-other").open = true;
  };

  form.addEventListener("submit", (event) => {
    if (event.submitter && event.submitter.value === "turn") {
      event.preventDefault();
      const roles = at("play-turns").querySelectorAll("select");
      const isUser = roles.length && roles[roles.length - 1].value === "user";
      addTurn(isUser ? "assistant" : "user", "").focus();
    } else if (!event.submitter || event.submitter.value === "send") {
      event.preventDefault();
      if (!underWay) sendForm();
    }
  });
  form.elements.key.addEventListener("change", showModels);
  stop.addEventListener("click", () => underWay && underWay.abort());
  offerToGoOn();
})();
