/* Shows every <time datetime="..."> in the time zone of the reader, and in the page's language. */
(function () {
  "use strict";
  var format = new Intl.DateTimeFormat(document.documentElement.lang || undefined, {
    dateStyle: "medium",
    timeStyle: "short",
  });
  document.querySelectorAll("time[datetime*='T']").forEach(function (each) {
    var moment = new Date(each.dateTime);
    if (!isNaN(moment)) {
      each.textContent = format.format(moment);
    }
  });
})();
