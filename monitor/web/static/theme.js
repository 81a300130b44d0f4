// Light or dark, as chosen on this browser, before anything is painted. A classic script: modules come after the first paint.
(() => {
  const KEY = "marginwatch.theme";
  const root = document.documentElement;
  const apply = (theme) => (root.dataset.theme = ["light", "dark"].includes(theme) ? theme : "auto");
  const kept = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // a browser that keeps nothing
    }
  };
  apply(kept());
  addEventListener("storage", (event) => event.key === KEY && apply(event.newValue));
  document.addEventListener("change", (event) => {
    if (event.target.id !== "theme") return;
    apply(event.target.value);
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // it lasts as long as the page then
    }
  });
})();
