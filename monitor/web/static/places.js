// Links within the page. The address names what is chosen (#portfolio=desk&coin=BTC), so going to a panel must not write over it.

export function goTo(id) {
  const place = document.getElementById(id);
  if (!place) return;
  const heading = place.querySelector("h2") ?? place;
  place.scrollIntoView({ block: "start" });
  heading.focus({ preventScroll: true });
}

export function startPlaces() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#panel-"]');
    if (!link) return;
    event.preventDefault();
    goTo(link.hash.slice(1));
  });
}
