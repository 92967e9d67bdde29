// A figure opens at full size in a dialogue, by pointer or keyboard; Escape or another click closes it.
document.addEventListener("DOMContentLoaded", () => {
  const figures = document.querySelectorAll("img.vgg-figure");
  if (!figures.length) return;
  const dialog = document.createElement("dialog");
  dialog.className = "vgg-zoom";
  dialog.setAttribute("aria-label", "Figure at full size; press Escape to close");
  dialog.addEventListener("click", () => dialog.close());
  // The theme listens for Escape, too, and keeps it from the dialogue.
  dialog.addEventListener("keydown", (event) => event.key === "Escape" && dialog.close());
  document.body.append(dialog);
  for (const figure of figures) {
    const open = () => {
      dialog.replaceChildren(figure.cloneNode());
      dialog.firstChild.removeAttribute("tabindex");
      dialog.firstChild.removeAttribute("role");
      dialog.showModal();
    };
    figure.tabIndex = 0;
    figure.setAttribute("role", "button");
    figure.setAttribute("aria-label", `Enlarge figure: ${figure.alt}`);
    figure.addEventListener("click", open);
    figure.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open();
    });
  }
});
