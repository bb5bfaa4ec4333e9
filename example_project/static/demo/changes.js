/* Asks the site for this page again every few seconds, and shows the changes that came. */
(function () {
  "use strict";
  var shown = document.getElementById("changes");
  var format = new Intl.DateTimeFormat(document.documentElement.lang || undefined, {
    dateStyle: "medium",
    timeStyle: "short",
  });
  function look() {
    if (document.hidden) {
      return;
    }
    fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" })
      .then(function (answer) {
        return answer.ok ? answer.text() : Promise.reject(answer.status);
      })
      .then(function (text) {
        var page = new DOMParser().parseFromString(text, "text/html");
        var found = page.getElementById("changes");
        if (found && found.querySelectorAll("li").length !== shown.querySelectorAll("li").length) {
          found.querySelectorAll("time[datetime*='T']").forEach(function (each) {
            each.textContent = format.format(new Date(each.dateTime));
          });
          shown.innerHTML = found.innerHTML;
        }
      })
      .catch(function () {
        /* The site does not answer, or the user is logged out: the next time tells. */
      });
  }
  setInterval(look, 3000);
})();
