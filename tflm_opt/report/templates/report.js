const explore = (picture, facts, keys) => {
  if (!picture) return;
  const tip = document.getElementById("tip");
  const buffers = [...picture.querySelectorAll(".b")];
  buffers.sort((a, b) => a.dataset.rank - b.dataset.rank);

  const lines = buffer => keys
    .map(key => buffer.dataset[key]).filter(Boolean);

  // Drawn last, so that its whole outline is seen: SVG has no other order.
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  mark.setAttribute("class", "mark");
  picture.append(mark);

  const show = (buffer, x, y) => {
    for (const key of ["x", "y", "width", "height"])
      mark.setAttribute(key, buffer.getAttribute(key));
    facts.textContent = lines(buffer).join(" · ");
    tip.textContent = lines(buffer).join("\n");
    tip.hidden = false;
    const room = document.documentElement;
    const left = Math.min(x + 14, room.clientWidth - tip.offsetWidth - 8);
    const below = y + 18 + tip.offsetHeight < room.clientHeight;
    tip.style.left = `${Math.max(left, 8)}px`;
    tip.style.top = `${Math.max(below ? y + 18 : y - tip.offsetHeight - 10, 8)}px`;
  };
  const hide = () => {
    tip.hidden = true;
    mark.removeAttribute("width");
  };
  const showFocused = buffer => {
    const box = buffer.getBoundingClientRect();
    show(buffer, box.left + box.width / 2, box.top + box.height / 2);
  };
  const select = buffer => {
    buffers.forEach(other => other.setAttribute("tabindex", other === buffer ? 0 : -1));
    buffer.focus();
  };

  buffers.forEach((buffer, rank) => {
    buffer.addEventListener("pointermove", event => show(buffer, event.clientX, event.clientY));
    buffer.addEventListener("pointerleave", hide);
    buffer.addEventListener("focus", () => showFocused(buffer));
    buffer.addEventListener("blur", hide);
    buffer.addEventListener("keydown", event => {
      const last = buffers.length - 1;
      const to = { ArrowRight: rank + 1, ArrowDown: rank + 1, ArrowLeft: rank - 1,
                   ArrowUp: rank - 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") hide();
      if (to === undefined) return;
      event.preventDefault();
      select(buffers[Math.min(Math.max(to, 0), last)]);
    });
  });
  // Focus scrolls what it goes to into view: its tip follows, any other is out of place.
  addEventListener("scroll", () => {
    const focused = document.activeElement;
    if (tip.hidden) return;
    if (buffers.includes(focused)) showFocused(focused);
    else if (!document.querySelector(".b:focus")) hide();
  }, { passive: true, capture: true });
};
const byId = id => document.getElementById(id);
explore(byId("arena"), byId("facts"), ["name", "kind", "bytes", "life", "stage"]);
explore(byId("sqnr"), byId("sqnr-facts"), ["name", "kind", "own", "net", "use"]);
