// Keeps a page fresh without losing the reader's place, and copies text.
//
// A message `changed` on the event stream, or a timer, makes it fetch the page's own URL and swap
// the elements that carry data-live and an id. Pages work without it.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const focusable = "a[href], button, input, select, textarea, summary, [tabindex]";
  const restless = () => Date.now() - pointedAt < 2000;
  let pointedAt = 0, fetchedAt = 0, timer = 0, running = false, again = false, stream = null;
  let polling = false, mode = "live", aloudAt = 0, failing = false;

  // What the reader holds in `old`: focus, open details, checks and scroll, moved over to `fresh`.
  function carry(old, fresh) {
    for (const one of old.querySelectorAll("details[id]")) {
      const twin = fresh.querySelector("#" + CSS.escape(one.id));
      if (twin) twin.open = one.open;
    }
    for (const one of old.querySelectorAll("input[type=checkbox]:checked")) {
      const twin = fresh.querySelector(`input[name="${CSS.escape(one.name)}"][value="${CSS.escape(one.value)}"]`);
      if (twin) twin.checked = true;
    }
    if (old.isEqualNode(fresh)) return;
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const home = active && active.closest("[id]");
    const place = home ? [home, ...home.querySelectorAll(focusable)].indexOf(active) : -1;
    const boxes = [...old.querySelectorAll(".scroll, pre")].map((box) => [box.scrollLeft, box.scrollTop]);
    const [left, top] = [old.scrollLeft, old.scrollTop];
    old.replaceWith(fresh);
    [fresh.scrollLeft, fresh.scrollTop] = [left, top];
    [...fresh.querySelectorAll(".scroll, pre")].forEach((box, at) => {
      if (boxes[at]) [box.scrollLeft, box.scrollTop] = boxes[at];
    });
    const newHome = home && byId(home.id);
    const target = newHome && [newHome, ...newHome.querySelectorAll(focusable)][place];
    if (target) target.focus({ preventScroll: true });
  }

  // True while a swap would take something out of the reader's hands.
  function held(old) {
    const selection = getSelection();
    if (!selection.isCollapsed && selection.rangeCount && selection.getRangeAt(0).intersectsNode(old)) return true;
    if (old.querySelector("input:not([type=checkbox]):focus, select:focus, textarea:focus")) return true;
    if ([...old.querySelectorAll("input:not([type=hidden])")].some((box) => box.value !== box.defaultValue)) return true;
    if (old.querySelector("[data-said]")) return true;
    return restless() && old.querySelector("a:hover, button:hover, summary:hover") !== null;
  }

  function say(text, bad) {
    const line = byId("updated");
    line.textContent = text;
    line.classList.toggle("bad", bad);
    if (bad !== failing || Date.now() - aloudAt > 60000) {
      byId("updated-aloud").textContent = text;
      aloudAt = Date.now();
    }
    failing = bad;
  }

  const clock = () => new Date().toISOString().slice(11, 19) + " UTC";
  let shownAt = "", lostAt = "", ended = false;

  // A bar that stays in sight: nobody takes what is shown for how it is.
  function mark(text) {
    const bar = byId("stale");
    if (!text) { lostAt = ""; if (bar) bar.remove(); return; }
    const line = bar || document.createElement("p");
    line.id = line.className = "stale";
    line.textContent = text;
    if (!bar) byId("main").prepend(line);
  }

  function signedOut() {
    ended = true;
    running = false;
    if (stream) stream.close();
    say("Signed out", true);
    mark(`Signed out. What is shown is of ${shownAt} or before: `);
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "sign in again";
    byId("stale").append(link);
  }

  async function refresh() {
    if (running) { again = true; return; }
    running = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) throw new Error("status " + answer.status);
      // Another page in place of this one: the session is over.
      if (new URL(answer.url).pathname !== location.pathname) { signedOut(); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      let waiting = false;
      for (const old of document.querySelectorAll("[data-live][id]")) {
        const fresh = page.getElementById(old.id);
        if (!fresh) continue;
        if (held(old)) waiting = true;
        else carry(old, document.adoptNode(fresh));
      }
      again = again || (waiting && restless());
      // What is held is old, and a selection may be forgotten for hours.
      say("Updated " + clock() + (waiting ? ", but for what is selected or filled in" : ""), false);
      mark("");
      shownAt = clock();
      // Refused while the appliance started, a stream does not come back by itself.
      if (mode === "live" && stream && stream.readyState === EventSource.CLOSED) listen();
    } catch {
      say("Not reachable, tried " + clock(), true);
      lostAt = lostAt || clock();
      mark(`Not reachable since ${lostAt}. What is shown is of ${shownAt} or before.`);
    }
    fetchedAt = Date.now();
    running = false;
    plan();
  }

  // The next fetch: soon after a change, else by the chosen period; never more than one a second.
  function plan() {
    clearTimeout(timer);
    if (document.hidden || mode === "0" || ended) return;
    const period = mode === "live" ? (polling || failing ? 5 : 30) : Number(mode);
    const wait = again ? 1000 : period * 1000;
    timer = setTimeout(() => { again = false; refresh(); }, Math.max(0, fetchedAt + wait - Date.now()));
  }

  function listen() {
    if (stream) stream.close();
    stream = null;
    if (document.hidden || mode !== "live" || ended) return;
    stream = new EventSource("/v1/live");
    const changed = () => { again = true; if (!running) plan(); };
    stream.addEventListener("changed", changed);
    // Pages of measurements change with these, without any commit.
    if (document.querySelector("[data-samples]")) stream.addEventListener("snapshot", changed);
    stream.addEventListener("hello", () => { polling = false; changed(); });
    stream.addEventListener("error", () => { polling = true; plan(); });
  }

  function start() {
    const chooser = byId("refresh");
    try { mode = localStorage.getItem("tidegate-refresh") || "live"; } catch { /* not kept */ }
    chooser.value = mode;
    if (chooser.value !== mode) chooser.value = mode = "live";
    fetchedAt = Date.now();
    shownAt = clock();
    const restart = () => { again = !document.hidden; listen(); plan(); };
    chooser.addEventListener("change", () => {
      mode = chooser.value;
      try { localStorage.setItem("tidegate-refresh", mode); } catch { /* not kept */ }
      if (mode === "0") byId("updated").textContent += ", refresh is off";
      restart();
    });
    document.addEventListener("visibilitychange", restart);
    document.addEventListener("pointermove", () => { pointedAt = Date.now(); }, { passive: true });
    listen();
    plan();
  }

  // The clipboard needs a secure origin; over plain HTTP the old command still works.
  async function copy(text) {
    if (navigator.clipboard && isSecureContext) {
      try { await navigator.clipboard.writeText(text); return; } catch { /* refused: the old way */ }
    }
    const box = document.createElement("textarea");
    box.value = text;
    box.className = "offscreen";
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    if (!done) throw new Error("not copied");
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const source = button.dataset.copyFrom && byId(button.dataset.copyFrom);
    let text = "Copied";
    try { await copy(source ? source.textContent : button.dataset.copy); } catch { text = "Not copied"; }
    button.focus({ preventScroll: true });
    button.dataset.said = text;
    byId("updated-aloud").textContent = text;
    setTimeout(() => { delete button.dataset.said; }, 1500);
  });

  // Where there is little room, the current page or tab is scrolled into sight.
  for (const one of document.querySelectorAll("nav a[aria-current]")) {
    const [box, place] = [one.parentElement, one.getBoundingClientRect()];
    const hidden = place.right - box.getBoundingClientRect().right;
    if (hidden > 0) box.scrollLeft += hidden + place.width;
  }

  if (document.body.hasAttribute("data-refresh")) start();
})();
