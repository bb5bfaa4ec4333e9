// An account's page in the admin: shows what came of a request as soon as it is known. Without this
// script, or where the site's policy forbids the fetch, a reload of the page shows it.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const WAITS = [1, 2, 3, 5, 10, 20, 30, 60];
  const PARTS = "#content .readonly, .egnyte-acts, .egnyte-history";
  const outcome = document.getElementById("egnyte-outcome");

  const isWaiting = () => outcome.classList.contains("egnyte-outcome-waiting");

  function show(page) {
    const news = page.getElementById("egnyte-outcome");
    if (!news || news.className === outcome.className) return;
    const shown = [...document.querySelectorAll(PARTS)];
    const fresh = [...page.querySelectorAll(PARTS)];
    if (shown.length === fresh.length) {
      shown.forEach((part, index) => part.replaceChildren(...fresh[index].childNodes));
    }
    outcome.className = news.className;
    outcome.replaceChildren(...news.childNodes);
  }

  async function look() {
    const answer = await fetch(window.location.href, { credentials: "same-origin" });
    if (answer.ok && !answer.redirected) {
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    }
  }

  function lookLater(number) {
    if (number >= WAITS.length || !isWaiting()) return;
    const next = () => look().then(() => lookLater(number + 1), () => {});
    window.setTimeout(next, WAITS[number] * 1000);
  }

  if (outcome) lookLater(0);
});
