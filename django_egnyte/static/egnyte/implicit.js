/* Implicit grant: takes the answer out of the fragment and posts it to the server. */
(function () {
  "use strict";
  var form = document.getElementById("egnyte-implicit");
  if (!form) {
    return;
  }
  var given = new URLSearchParams(window.location.hash.slice(1));
  // First of all, out of the address bar and the history.
  window.history.replaceState(null, "", window.location.pathname);
  ["access_token", "state", "expires_in", "scope", "error"].forEach(function (name) {
    form.elements.namedItem(name).value = given.get(name) || "";
  });
  form.submit();
})();
