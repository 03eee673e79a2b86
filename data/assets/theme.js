// The theme is set before the first paint; without scripts the system decides.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const read = () => { try { return localStorage.getItem("tidegate-theme") || "system"; } catch { return "system"; } };
  const show = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  show(read());
  addEventListener("DOMContentLoaded", () => {
    const chooser = document.getElementById("theme");
    if (!chooser) return;
    chooser.value = read();
    chooser.addEventListener("change", () => {
      try { localStorage.setItem("tidegate-theme", chooser.value); } catch { /* not kept, still shown */ }
      show(chooser.value);
    });
  });
})();
