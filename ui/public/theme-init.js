// Runs before the first paint, so that a dark page never flashes white. The theme and the language are all that the
// page keeps in the browser besides drafts.
(function () {
  var root = document.documentElement;
  try {
    root.dataset.theme = localStorage.getItem("theme") || "system";
    root.lang = localStorage.getItem("language") || (navigator.language.indexOf("ru") === 0 ? "ru" : "en");
  } catch (_blocked) {
    root.dataset.theme = "system";
  }
})();
