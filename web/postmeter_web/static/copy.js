// Shows the copy buttons, which need a script, and copies what they name.

function reveal() {
  if (!navigator.clipboard) return; // browsers have it on pages that came by HTTPS or from this machine
  for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
}

new MutationObserver(reveal).observe(document.body, { childList: true, subtree: true }); // live.js brings new ones
reveal();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = button.textContent;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = label), 2000);
});
