// Comfort only: every page works without it.
"use strict";

// A form that acts is sent once. (A second one would do nothing either: it carries the same key.)
for (const form of document.querySelectorAll("form.once")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    form.querySelector("button[type=submit]").setAttribute("aria-busy", "true");
  });
}
// Back from the next page, it may be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form.once")) {
    delete form.dataset.sent;
    form.querySelector("button[type=submit]").removeAttribute("aria-busy");
  }
});

const print = document.getElementById("print");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}

document.getElementById("faults")?.focus();

// The figures of the first page, every five seconds while somebody looks.
const live = document.getElementById("live");
const pause = document.getElementById("pause");
if (live && pause) {
  let isPaused = false;
  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? pause.dataset.go : pause.dataset.pause;
  });
  setInterval(async () => {
    if (isPaused || document.hidden) return;
    try {
      const answer = await fetch("/console/live", { redirect: "error" });
      const text = answer.ok ? await answer.text() : "";
      // Said aloud only when it changed.
      if (text && text !== live.dataset.last) {
        live.dataset.last = text;
        live.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
      }
    } catch {
      // The next look may succeed.
    }
  }, 5000);
}
